-- Whom an account has written to.
CREATE TABLE correspondent (
  account_id $text NOT NULL REFERENCES account (id) ON DELETE CASCADE,
  address $text NOT NULL,
  domain $text NOT NULL,
  written_at BIGINT NOT NULL,
  PRIMARY KEY (account_id, address)
);
CREATE INDEX correspondent_domain ON correspondent (account_id, domain);
INSERT INTO correspondent (account_id, address, domain, written_at)
  SELECT account_id, lower(recipient), min(domain), min(created_at) FROM delivery
  WHERE state NOT IN ('held', 'canceled', 'suppressed') GROUP BY account_id, lower(recipient);
