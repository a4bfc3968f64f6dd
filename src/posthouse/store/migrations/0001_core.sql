-- Who: organisations, pods, accounts, addresses, keys, domains.

CREATE TABLE organization (
  id $text PRIMARY KEY,
  name $text NOT NULL,
  slug $text UNIQUE,
  level $text NOT NULL,
  modseq BIGINT NOT NULL DEFAULT 0,
  self_registered BOOLEAN NOT NULL DEFAULT FALSE,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);

CREATE TABLE pod (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  name $text NOT NULL,
  client_id $text,
  is_default BOOLEAN NOT NULL DEFAULT FALSE,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX pod_client_id ON pod (organization_id, client_id) WHERE client_id IS NOT NULL;
CREATE UNIQUE INDEX pod_default ON pod (organization_id) WHERE is_default;

-- A domain without an organisation is shared by all: the installation's own.
CREATE TABLE domain (
  name $text PRIMARY KEY,
  organization_id $text REFERENCES organization (id) ON DELETE CASCADE,
  pod_id $text REFERENCES pod (id) ON DELETE CASCADE,
  client_id $text,
  status $text NOT NULL,
  feedback_enabled BOOLEAN NOT NULL DEFAULT TRUE,
  subdomains_enabled BOOLEAN NOT NULL DEFAULT FALSE,
  verified_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX domain_organization ON domain (organization_id, created_at, name);

CREATE TABLE dkim_key (
  domain $text NOT NULL REFERENCES domain (name) ON DELETE CASCADE,
  selector $text NOT NULL,
  algorithm $text NOT NULL,
  private_key $text NOT NULL,
  created_at BIGINT NOT NULL,
  retired_at BIGINT,
  PRIMARY KEY (domain, selector)
);

-- modseq is the account's change counter and, on PostgreSQL, its row the account's lock.
CREATE TABLE account (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  pod_id $text NOT NULL REFERENCES pod (id) ON DELETE CASCADE,
  main_address $text NOT NULL,
  display_name $text,
  client_id $text,
  metadata $json,
  level $text,
  modseq BIGINT NOT NULL DEFAULT 0,
  indexed_modseq BIGINT NOT NULL DEFAULT 0,
  used_bytes BIGINT NOT NULL DEFAULT 0,
  quota_bytes BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX account_listing ON account (organization_id, created_at, id);
CREATE INDEX account_pod ON account (pod_id, created_at, id);
CREATE UNIQUE INDEX account_client_id ON account (organization_id, client_id) WHERE client_id IS NOT NULL;

-- An address outlives its account for as long as it is reserved, so that no stranger inherits its mail.
CREATE TABLE address (
  address $text PRIMARY KEY,
  account_id $text REFERENCES account (id) ON DELETE SET NULL,
  domain $text NOT NULL,
  reserved_until BIGINT
);
CREATE INDEX address_account ON address (account_id);

CREATE TABLE api_key (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  pod_id $text REFERENCES pod (id) ON DELETE CASCADE,
  account_id $text REFERENCES account (id) ON DELETE CASCADE,
  surface $text NOT NULL,
  name $text NOT NULL,
  prefix $text NOT NULL,
  digest $text NOT NULL UNIQUE,
  scopes $json,
  level $text,
  is_owner BOOLEAN NOT NULL DEFAULT FALSE,
  expires_at BIGINT,
  used_at BIGINT,
  created_at BIGINT NOT NULL
);
CREATE INDEX api_key_listing ON api_key (organization_id, created_at, id);
CREATE INDEX api_key_account ON api_key (account_id);
CREATE INDEX api_key_pod ON api_key (pod_id);

-- Secrets the installation made for itself: signing keys, the inbound secret.
CREATE TABLE secret (
  name $text PRIMARY KEY,
  value $text NOT NULL,
  created_at BIGINT NOT NULL
);

-- What: mailboxes, threads, messages.

CREATE TABLE mailbox (
  id $text PRIMARY KEY,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name $text NOT NULL,
  parent_id $text REFERENCES mailbox (id),
  role $text,
  sort_order BIGINT NOT NULL DEFAULT 0,
  is_subscribed BOOLEAN NOT NULL DEFAULT TRUE,
  uid_validity BIGINT NOT NULL,
  uid_next BIGINT NOT NULL DEFAULT 1,
  total_messages BIGINT NOT NULL DEFAULT 0,
  unread_messages BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL
);
CREATE INDEX mailbox_account ON mailbox (account_id, sort_order, name);
CREATE INDEX mailbox_parent ON mailbox (parent_id);
CREATE UNIQUE INDEX mailbox_role ON mailbox (account_id, role) WHERE role IS NOT NULL;

CREATE TABLE thread (
  id $text PRIMARY KEY,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  subject $text NOT NULL,
  base_subject $text NOT NULL,
  message_count BIGINT NOT NULL DEFAULT 0,
  last_message_at BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX thread_listing ON thread (account_id, last_message_at, id);
CREATE INDEX thread_subject ON thread (account_id, base_subject, last_message_at);

-- Which thread a Message-ID belongs to, whether the message itself was seen or only named by another.
CREATE TABLE thread_reference (
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  reference $text NOT NULL,
  thread_id $text NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
  PRIMARY KEY (account_id, reference)
);
CREATE INDEX thread_reference_thread ON thread_reference (thread_id);

CREATE TABLE blob (
  hash $text PRIMARY KEY,
  size_bytes BIGINT NOT NULL,
  data $blob,
  touched_at BIGINT NOT NULL
);
CREATE INDEX blob_touched ON blob (touched_at);

-- A message never changes; what changes about it are its keywords and where it lies.
CREATE TABLE message (
  id $text PRIMARY KEY,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  thread_id $text NOT NULL REFERENCES thread (id) ON DELETE CASCADE,
  blob_hash $text NOT NULL,
  size_bytes BIGINT NOT NULL,
  direction $text NOT NULL,
  header_message_id $text,
  in_reply_to $json NOT NULL,
  refs $json NOT NULL,
  subject $text NOT NULL,
  from_list $json NOT NULL,
  to_list $json NOT NULL,
  cc_list $json NOT NULL,
  bcc_list $json NOT NULL,
  reply_to_list $json NOT NULL,
  preview $text NOT NULL,
  sent_at BIGINT,
  received_at BIGINT NOT NULL,
  keywords $json NOT NULL,
  attachments $json NOT NULL,
  delivery_state $text,
  origin_mailbox_id $text,
  modseq BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX message_listing ON message (account_id, received_at, id);
CREATE INDEX message_thread ON message (thread_id, received_at, id);
CREATE INDEX message_header ON message (account_id, header_message_id);
CREATE INDEX message_blob ON message (blob_hash);

-- What only a reader of the one message needs; kept apart so that lists stay narrow.
CREATE TABLE message_body (
  message_id $text PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  headers $json NOT NULL,
  structure $json NOT NULL,
  text_body $text,
  html_body $text,
  extracted_text $text,
  extracted_is_text BOOLEAN NOT NULL DEFAULT FALSE,
  extracted_html $text,
  defects $json NOT NULL,
  handed_in $json NOT NULL
);

CREATE TABLE message_keyword (
  account_id $text NOT NULL,
  keyword $text NOT NULL,
  received_at BIGINT NOT NULL,
  message_id $text NOT NULL REFERENCES message (id) ON DELETE CASCADE,
  PRIMARY KEY (account_id, keyword, received_at, message_id)
);
CREATE INDEX message_keyword_message ON message_keyword (message_id);

-- A message's place in a mailbox. Rows with expunged_modseq are tombstones; a UID is never used twice.
CREATE TABLE membership (
  mailbox_id $text NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  uid BIGINT NOT NULL,
  account_id $text NOT NULL,
  message_id $text NOT NULL,
  received_at BIGINT NOT NULL,
  modseq BIGINT NOT NULL,
  expunged_modseq BIGINT,
  PRIMARY KEY (mailbox_id, uid)
);
CREATE UNIQUE INDEX membership_live ON membership (message_id, mailbox_id) WHERE expunged_modseq IS NULL;
CREATE INDEX membership_order ON membership (mailbox_id, received_at, message_id) WHERE expunged_modseq IS NULL;
CREATE INDEX membership_expunged ON membership (account_id, expunged_modseq) WHERE expunged_modseq IS NOT NULL;

CREATE TABLE draft (
  id $text PRIMARY KEY,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  message_id $text NOT NULL REFERENCES message (id) ON DELETE CASCADE,
  kind $text NOT NULL,
  parent_message_id $text,
  client_id $text,
  send_at BIGINT,
  send_status $text,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX draft_listing ON draft (account_id, updated_at, id);
CREATE INDEX draft_message ON draft (message_id);
CREATE UNIQUE INDEX draft_client_id ON draft (account_id, client_id) WHERE client_id IS NOT NULL;

-- The log of changes: scope is an account, or an organisation for what belongs to no account.
CREATE TABLE change_log (
  scope_id $text NOT NULL,
  type $text NOT NULL,
  modseq BIGINT NOT NULL,
  object_id $text NOT NULL,
  action $text NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (scope_id, type, modseq, object_id)
);
CREATE INDEX change_log_age ON change_log (at);

-- How far back a scope's log still reaches, once its beginning has been forgotten.
CREATE TABLE change_log_cut (
  scope_id $text PRIMARY KEY,
  modseq BIGINT NOT NULL
);

CREATE TABLE event (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  pod_id $text,
  account_id $text,
  modseq BIGINT NOT NULL,
  type $text NOT NULL,
  message_id $text,
  payload $json NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX event_account ON event (account_id, modseq, id);
CREATE INDEX event_organization ON event (organization_id, at, id);
CREATE INDEX event_age ON event (at);

-- In: what was taken in and is not filed yet, one row for each account it is for.
CREATE TABLE spool (
  id $text PRIMARY KEY,
  account_id $text NOT NULL,
  blob_hash $text NOT NULL,
  mail_from $text NOT NULL,
  recipients $json NOT NULL,
  handed_in $json NOT NULL,
  size_bytes BIGINT NOT NULL,
  received_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  leased BOOLEAN NOT NULL DEFAULT FALSE,
  due_at BIGINT NOT NULL,
  last_error $text
);
CREATE INDEX spool_due ON spool (due_at, id);
CREATE INDEX spool_blob ON spool (blob_hash);

-- Out: a submission and one delivery for each recipient.
CREATE TABLE submission (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  message_id $text NOT NULL,
  thread_id $text NOT NULL,
  blob_hash $text NOT NULL,
  header_message_id $text NOT NULL,
  mail_from $text NOT NULL,
  envelope_id $text NOT NULL,
  dsn_return $text NOT NULL,
  state $text NOT NULL,
  key_id $text,
  surface $text NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX submission_account ON submission (account_id, created_at, id);
CREATE INDEX submission_message ON submission (message_id);
CREATE INDEX submission_header ON submission (account_id, header_message_id);
CREATE INDEX submission_blob ON submission (blob_hash);

CREATE TABLE delivery (
  id $text PRIMARY KEY,
  submission_id $text NOT NULL REFERENCES submission (id) ON DELETE CASCADE,
  account_id $text NOT NULL,
  recipient $text NOT NULL,
  original_recipient $text NOT NULL,
  notify $text NOT NULL,
  domain $text NOT NULL,
  state $text NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  leased BOOLEAN NOT NULL DEFAULT FALSE,
  due_at BIGINT,
  delay_noticed BOOLEAN NOT NULL DEFAULT FALSE,
  status $text,
  diagnostic $text,
  remote_mta $text,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX delivery_submission ON delivery (submission_id, id);
CREATE INDEX delivery_due ON delivery (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_recipient ON delivery (account_id, recipient, created_at);

CREATE TABLE hold (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  submission_id $text NOT NULL REFERENCES submission (id) ON DELETE CASCADE,
  digest $text NOT NULL,
  findings $json NOT NULL,
  state $text NOT NULL,
  reason $text,
  decided_by $text,
  decided_at BIGINT,
  created_at BIGINT NOT NULL
);
CREATE INDEX hold_pending ON hold (organization_id, created_at, id) WHERE state = 'pending';
CREATE UNIQUE INDEX hold_submission ON hold (submission_id);

CREATE TABLE suppression (
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  address $text NOT NULL,
  reason $text NOT NULL,
  diagnostic $text,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  PRIMARY KEY (account_id, address)
);

-- Tell: webhook endpoints, and each telling with its attempts.
CREATE TABLE webhook_endpoint (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  pod_id $text REFERENCES pod (id) ON DELETE CASCADE,
  account_id $text REFERENCES account (id) ON DELETE CASCADE,
  surface $text NOT NULL,
  url $text NOT NULL,
  secret $text NOT NULL,
  is_enabled BOOLEAN NOT NULL,
  event_types $json NOT NULL,
  account_ids $json NOT NULL,
  pod_ids $json NOT NULL,
  headers $json NOT NULL,
  client_id $text,
  hidden_labels $json NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX webhook_listing ON webhook_endpoint (organization_id, created_at, id);
CREATE INDEX webhook_account ON webhook_endpoint (account_id);
CREATE INDEX webhook_pod ON webhook_endpoint (pod_id);
CREATE UNIQUE INDEX webhook_client_id ON webhook_endpoint (organization_id, client_id)
  WHERE client_id IS NOT NULL;

CREATE TABLE webhook_delivery (
  id $text PRIMARY KEY,
  endpoint_id $text NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
  organization_id $text NOT NULL,
  account_id $text,
  event_id $text NOT NULL,
  event_type $text NOT NULL,
  body $blob,
  state $text NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  leased BOOLEAN NOT NULL DEFAULT FALSE,
  due_at BIGINT,
  last_status BIGINT,
  last_error $text,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX webhook_delivery_due ON webhook_delivery (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_delivery_listing ON webhook_delivery (endpoint_id, created_at, id);
CREATE INDEX webhook_delivery_age ON webhook_delivery (created_at);

CREATE TABLE webhook_attempt (
  delivery_id $text NOT NULL REFERENCES webhook_delivery (id) ON DELETE CASCADE,
  attempt BIGINT NOT NULL,
  status BIGINT,
  error $text,
  elapsed_ms BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (delivery_id, attempt)
);

-- Work to be done later: idempotent, leased, retried.
CREATE TABLE job (
  id $text PRIMARY KEY,
  kind $text NOT NULL,
  account_id $text,
  payload $json NOT NULL,
  dedup_key $text,
  state $text NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  leased BOOLEAN NOT NULL DEFAULT FALSE,
  due_at BIGINT NOT NULL,
  last_error $text,
  created_at BIGINT NOT NULL
);
CREATE INDEX job_due ON job (kind, due_at, id) WHERE state = 'ready';
CREATE UNIQUE INDEX job_dedup ON job (kind, dedup_key) WHERE dedup_key IS NOT NULL AND state = 'ready';

CREATE TABLE idempotency (
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  key $text NOT NULL,
  scope $text NOT NULL,
  digest $text NOT NULL,
  answer $json,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, key)
);
CREATE INDEX idempotency_age ON idempotency (expires_at);

-- What was destroyed and can still be brought back by the owner.
CREATE TABLE graveyard (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL,
  account_id $text NOT NULL,
  kind $text NOT NULL,
  blob_hash $text,
  payload $json NOT NULL,
  destroyed_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX graveyard_listing ON graveyard (organization_id, destroyed_at, id);
CREATE INDEX graveyard_age ON graveyard (expires_at);
CREATE INDEX graveyard_blob ON graveyard (blob_hash);
