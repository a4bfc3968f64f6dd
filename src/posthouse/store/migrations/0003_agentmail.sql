-- Allow and block lists. scope_id is the narrowest of account, pod and organisation the entry belongs to.
CREATE TABLE list_entry (
  id $text PRIMARY KEY,
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  pod_id $text REFERENCES pod (id) ON DELETE CASCADE,
  account_id $text REFERENCES account (id) ON DELETE CASCADE,
  scope_id $text NOT NULL,
  direction $text NOT NULL,
  kind $text NOT NULL,
  entry $text NOT NULL,
  entry_type $text NOT NULL,
  reason $text,
  created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX list_entry_name ON list_entry (scope_id, direction, kind, entry);
CREATE INDEX list_entry_listing ON list_entry (scope_id, direction, kind, created_at, id);
CREATE INDEX list_entry_organization ON list_entry (organization_id);
CREATE INDEX list_entry_pod ON list_entry (pod_id);
CREATE INDEX list_entry_account ON list_entry (account_id);

-- What was put on a message and taken off it after it was filed: keywords, and roles of mailboxes as `role:trash`.
CREATE TABLE marking (
  id $text PRIMARY KEY,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  message_id $text NOT NULL,
  mark $text NOT NULL,
  is_added BOOLEAN NOT NULL,
  at BIGINT NOT NULL
);
CREATE INDEX marking_listing ON marking (account_id, at, id);
CREATE INDEX marking_age ON marking (at);

-- When a draft is to be sent, and with whose rights. The row goes with the plan.
CREATE TABLE draft_plan (
  id $text PRIMARY KEY REFERENCES draft (id) ON DELETE CASCADE,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  key_id $text,
  surface $text NOT NULL,
  level $text,
  attempts BIGINT NOT NULL DEFAULT 0,
  leased BOOLEAN NOT NULL DEFAULT FALSE,
  due_at BIGINT NOT NULL
);
CREATE INDEX draft_plan_due ON draft_plan (due_at, id);
CREATE INDEX draft_plan_account ON draft_plan (account_id);

-- The circuit breaker of an endpoint: nothing is tried before paused_until.
CREATE TABLE webhook_health (
  endpoint_id $text PRIMARY KEY REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
  failures BIGINT NOT NULL DEFAULT 0,
  paused_until BIGINT NOT NULL DEFAULT 0,
  last_success_at BIGINT,
  last_failure_at BIGINT,
  last_error $text
);

-- What DNS said of a domain's records when it was last asked.
CREATE TABLE domain_check (
  domain $text PRIMARY KEY REFERENCES domain (name) ON DELETE CASCADE,
  statuses $json NOT NULL,
  reason $text,
  checked_at BIGINT NOT NULL
);

-- Who registered an organisation by itself, and whether they proved the address they named.
CREATE TABLE signup (
  organization_id $text PRIMARY KEY REFERENCES organization (id) ON DELETE CASCADE,
  human_email $text NOT NULL UNIQUE,
  account_id $text NOT NULL,
  key_id $text NOT NULL,
  otp_digest $text NOT NULL,
  otp_expires_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  verified_at BIGINT,
  source $text,
  referrer $text,
  created_at BIGINT NOT NULL
);

-- What came after a given message: ids made later sort later.
CREATE INDEX message_arrival ON message (account_id, id);
