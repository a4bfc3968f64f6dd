-- The owner is asked by mail: the Message-ID of the question, which holds a secret, and when nobody answering is a no.
ALTER TABLE hold ADD COLUMN asked_id $text;
ALTER TABLE hold ADD COLUMN expires_at BIGINT;
CREATE INDEX hold_asked ON hold (asked_id) WHERE asked_id IS NOT NULL;
