-- Each recipient's own mark in the reverse-path, by which what comes back is believed to be about that recipient.
ALTER TABLE delivery ADD COLUMN token $text;
CREATE UNIQUE INDEX delivery_token ON delivery (token) WHERE token IS NOT NULL;
