-- Each recipient's own mark in the reverse-path, by which what comes back is believed to be about that recipient.
ALTER TABLE delivery ADD COLUMN token $text;
CREATE UNIQUE INDEX delivery_token ON delivery (token) WHERE token IS NOT NULL;

-- Whether a conversation has unread messages is asked whenever one is filed in it, however long it is. The words are
-- those of the query in store/mailboxes.py.
CREATE INDEX message_thread_unread ON message (thread_id)
  WHERE length(replace(keywords, '"$seen"', '')) = length(keywords)
    AND length(replace(keywords, '"$draft"', '')) = length(keywords);
