-- What is to be sent later carries who wrote it last, and the strictest level of all who wrote it.
ALTER TABLE draft ADD COLUMN level $text;
ALTER TABLE draft_plan ADD COLUMN scope $text NOT NULL DEFAULT '';
ALTER TABLE submission ADD COLUMN level $text;
ALTER TABLE vacation ADD COLUMN key_id $text;
ALTER TABLE vacation ADD COLUMN surface $text NOT NULL DEFAULT '';
ALTER TABLE vacation ADD COLUMN level $text;

-- How much waits for the owner: in all, of an account, of a key.
ALTER TABLE hold ADD COLUMN key_id $text;
CREATE INDEX hold_account ON hold (account_id) WHERE state = 'pending';
CREATE INDEX hold_key ON hold (key_id) WHERE state = 'pending';

-- How wide the key was that put an entry on a list: a narrower one neither takes it off nor lets through what it
-- keeps out. Of entries from before it is taken to have been as wide as the list.
ALTER TABLE list_entry ADD COLUMN set_by $text NOT NULL DEFAULT 'account';
UPDATE list_entry SET set_by = CASE WHEN account_id IS NOT NULL THEN 'account' WHEN pod_id IS NOT NULL THEN 'pod'
  ELSE 'organization' END;

-- An idempotency key is its holder's own: those of before were given by keys of whole organisations.
UPDATE idempotency SET key = organization_id || ' ' || key;
