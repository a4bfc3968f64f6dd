-- What JMAP asks beyond mail itself: counts of threads, identities, vacation, uploads, push, spent challenges.

ALTER TABLE mailbox ADD COLUMN total_threads BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN unread_threads BIGINT NOT NULL DEFAULT 0;

-- Which threads lie in a mailbox, and whether one of them is unread there (RFC 8621 §2). No reference to the
-- thread: a thread that has gone is counted out before its row here goes.
CREATE TABLE mailbox_thread (
  mailbox_id $text NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
  thread_id $text NOT NULL,
  is_unread BOOLEAN NOT NULL,
  PRIMARY KEY (mailbox_id, thread_id)
);
CREATE INDEX mailbox_thread_thread ON mailbox_thread (thread_id);
INSERT INTO mailbox_thread (mailbox_id, thread_id, is_unread)
SELECT DISTINCT membership.mailbox_id, message.thread_id, EXISTS (
    SELECT 1 FROM message AS other WHERE other.thread_id = message.thread_id AND NOT EXISTS (
      SELECT 1 FROM message_keyword WHERE message_keyword.message_id = other.id
        AND message_keyword.keyword IN ('$seen', '$draft')))
FROM membership JOIN message ON message.id = membership.message_id
WHERE membership.expunged_modseq IS NULL;
UPDATE mailbox SET
  total_threads = (SELECT count(*) FROM mailbox_thread WHERE mailbox_thread.mailbox_id = mailbox.id),
  unread_threads = (SELECT count(*) FROM mailbox_thread
                    WHERE mailbox_thread.mailbox_id = mailbox.id AND mailbox_thread.is_unread);

CREATE TABLE identity (
  id $text PRIMARY KEY,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  name $text NOT NULL,
  email $text NOT NULL,
  reply_to $json,
  bcc $json,
  text_signature $text NOT NULL,
  html_signature $text NOT NULL,
  may_delete BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX identity_account ON identity (account_id, created_at, id);

CREATE TABLE vacation (
  account_id $text PRIMARY KEY REFERENCES account (id) ON DELETE CASCADE,
  is_enabled BOOLEAN NOT NULL,
  from_at BIGINT,
  to_at BIGINT,
  subject $text,
  text_body $text,
  html_body $text
);
CREATE TABLE vacation_answer (
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  address $text NOT NULL,
  answered_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, address)
);
CREATE INDEX vacation_answer_age ON vacation_answer (answered_at);

-- Bytes a caller handed in that no message names yet.
CREATE TABLE upload (
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  blob_hash $text NOT NULL,
  content_type $text NOT NULL,
  size_bytes BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, blob_hash)
);
CREATE INDEX upload_blob ON upload (blob_hash);
CREATE INDEX upload_age ON upload (expires_at);

CREATE TABLE push_subscription (
  id $text PRIMARY KEY,
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  key_id $text,
  device_client_id $text NOT NULL,
  url $text NOT NULL,
  p256dh $text,
  auth $text,
  verification_code $text NOT NULL,
  is_verified BOOLEAN NOT NULL DEFAULT FALSE,
  types $json,
  expires_at BIGINT NOT NULL,
  pushed_modseq BIGINT NOT NULL,
  verify_due BOOLEAN NOT NULL DEFAULT TRUE,
  leased BOOLEAN NOT NULL DEFAULT FALSE,
  due_at BIGINT NOT NULL,
  failures BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL
);
CREATE INDEX push_subscription_account ON push_subscription (account_id);
CREATE INDEX push_subscription_due ON push_subscription (due_at, id);
CREATE INDEX push_subscription_age ON push_subscription (expires_at);

-- A puzzle counts once, solved or not.
CREATE TABLE spent_challenge (
  jti $text PRIMARY KEY,
  expires_at BIGINT NOT NULL
);
CREATE INDEX spent_challenge_age ON spent_challenge (expires_at);

-- What a submission was asked for in JMAP, beside what became of it.
CREATE TABLE submission_request (
  submission_id $text PRIMARY KEY REFERENCES submission (id) ON DELETE CASCADE,
  identity_id $text NOT NULL,
  envelope $json,
  send_at BIGINT NOT NULL,
  is_destroyed BOOLEAN NOT NULL DEFAULT FALSE
);
-- Reports that came back about a submission.
CREATE TABLE submission_report (
  submission_id $text NOT NULL REFERENCES submission (id) ON DELETE CASCADE,
  message_id $text NOT NULL,
  kind $text NOT NULL,
  PRIMARY KEY (submission_id, message_id)
);
CREATE INDEX submission_report_message ON submission_report (message_id);
CREATE INDEX submission_thread ON submission (thread_id);
