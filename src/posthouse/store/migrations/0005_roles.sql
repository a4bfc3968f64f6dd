-- The roles of the mailboxes a message lies in, each between blanks: what every list asks of every row.
ALTER TABLE message ADD COLUMN roles $text NOT NULL DEFAULT '';
UPDATE message SET roles = coalesce((
  SELECT ' ' || string_agg(mailbox.role, ' ') || ' ' FROM membership
  JOIN mailbox ON mailbox.id = membership.mailbox_id
  WHERE membership.message_id = message.id AND membership.expunged_modseq IS NULL
    AND mailbox.role IN ('inbox', 'sent', 'drafts', 'trash', 'junk', 'archive')
), '');
