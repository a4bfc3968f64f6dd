-- Stems like the other engine's porter tokenizer, and like it drops no word.
CREATE TEXT SEARCH DICTIONARY posthouse_stem (TEMPLATE = snowball, LANGUAGE = porter);
CREATE TEXT SEARCH CONFIGURATION posthouse (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION posthouse ALTER MAPPING REPLACE simple WITH posthouse_stem;
-- The account's id is one of the lexemes (see store/search.py), so that one GIN index answers scoped queries.
CREATE TABLE message_index (
  message_id TEXT COLLATE "C" PRIMARY KEY REFERENCES message (id) ON DELETE CASCADE,
  words tsvector NOT NULL
);
CREATE INDEX message_index_words ON message_index USING gin (words);
