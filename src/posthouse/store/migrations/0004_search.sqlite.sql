DROP TABLE message_index;
DELETE FROM message_indexed;
-- contentless: the words only; the message row holds the text. account_id is the scope column.
CREATE VIRTUAL TABLE message_index USING fts5(
  account_id, marks, subject, people, body,
  content = '', contentless_delete = 1, tokenize = 'porter unicode61 remove_diacritics 2'
);
