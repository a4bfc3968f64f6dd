-- An organisation that registered itself may have no human yet, or another than it named at first. An address is
-- one registration's to come back to (`registered_email`), and vouches for one organisation; naming it reserves nothing.
CREATE TABLE signup_with_humans (
  organization_id $text PRIMARY KEY REFERENCES organization (id) ON DELETE CASCADE,
  registered_email $text UNIQUE,
  human_email $text,
  replacements BIGINT NOT NULL DEFAULT 0,
  account_id $text NOT NULL,
  key_id $text NOT NULL,
  otp $text,
  otp_expires_at BIGINT NOT NULL DEFAULT 0,
  attempts BIGINT NOT NULL DEFAULT 0,
  verified_at BIGINT,
  source $text,
  referrer $text,
  created_at BIGINT NOT NULL
);
-- Only a digest was kept of the codes that are out, so none of them can be mailed again: they end here.
INSERT INTO signup_with_humans (organization_id, registered_email, human_email, account_id, key_id, verified_at,
    source, referrer, created_at)
  SELECT organization_id, human_email, human_email, account_id, key_id, verified_at, source, referrer, created_at
  FROM signup;
DROP TABLE signup;
ALTER TABLE signup_with_humans RENAME TO signup;
CREATE UNIQUE INDEX signup_vouched ON signup (human_email) WHERE verified_at IS NOT NULL;
