-- What is paused: an account, an organisation, or everything (*).
CREATE TABLE pause (
  scope_id $text PRIMARY KEY,
  paused_by $text,
  width $text NOT NULL,
  reason $text,
  paused_at BIGINT NOT NULL
);
