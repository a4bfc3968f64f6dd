-- contentless: the words only; the message row holds the text. account_id is the scope column.
CREATE VIRTUAL TABLE message_index USING fts5(
  account_id, subject, people, body,
  content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TABLE message_indexed (
  row INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL UNIQUE REFERENCES message (id) ON DELETE CASCADE
);
