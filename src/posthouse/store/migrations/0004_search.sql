-- What messages are sorted by beside their arrival: beginnings of texts in one case, written with the text index.
CREATE TABLE message_sort (
  message_id $text PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  account_id $text NOT NULL,
  received_at BIGINT NOT NULL,
  subject_key $text NOT NULL,
  from_key $text NOT NULL
);
CREATE INDEX message_sort_subject ON message_sort (account_id, subject_key, received_at, message_id);
CREATE INDEX message_sort_from ON message_sort (account_id, from_key, received_at, message_id);
CREATE INDEX message_size ON message (account_id, size_bytes, received_at, id);

-- Messages that have not been read, few among many that have. The list of keywords is JSON text.
CREATE INDEX message_unread ON message (account_id, received_at, id)
  WHERE length(replace(keywords, '"$seen"', '')) = length(keywords);

-- The text index is made anew with marks of single fields: what an account has is indexed by its next search or
-- by the job, whichever comes first. A negative number says that nothing of it has been indexed.
UPDATE account SET indexed_modseq = -1;
INSERT INTO job (id, kind, account_id, payload, dedup_key, state, due_at, created_at)
SELECT 'index-' || id, 'index', id, '{}', id, 'ready', 0, 0 FROM account WHERE TRUE
ON CONFLICT (kind, dedup_key) WHERE dedup_key IS NOT NULL AND state = 'ready' DO NOTHING;

-- What an account has uploaded is summed up with each upload.
CREATE INDEX upload_size ON upload (account_id, size_bytes);
