-- Any organisation may name a domain; whoever proves it first has it. So a name is no key any more.
CREATE TABLE named_domain (
  id $text PRIMARY KEY,
  name $text NOT NULL,
  organization_id $text REFERENCES organization (id) ON DELETE CASCADE,
  pod_id $text REFERENCES pod (id) ON DELETE CASCADE,
  client_id $text,
  status $text NOT NULL,
  feedback_enabled BOOLEAN NOT NULL DEFAULT TRUE,
  subdomains_enabled BOOLEAN NOT NULL DEFAULT FALSE,
  verified_at BIGINT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
INSERT INTO named_domain (id, name, organization_id, pod_id, client_id, status, feedback_enabled, subdomains_enabled,
    verified_at, created_at, updated_at)
  SELECT name, name, organization_id, pod_id, client_id, status, feedback_enabled, subdomains_enabled, verified_at,
    created_at, updated_at
  FROM domain;
CREATE TABLE named_dkim_key (
  domain_id $text NOT NULL REFERENCES named_domain (id) ON DELETE CASCADE,
  selector $text NOT NULL,
  algorithm $text NOT NULL,
  private_key $text NOT NULL,
  created_at BIGINT NOT NULL,
  retired_at BIGINT,
  PRIMARY KEY (domain_id, selector)
);
INSERT INTO named_dkim_key (domain_id, selector, algorithm, private_key, created_at, retired_at)
  SELECT domain, selector, algorithm, private_key, created_at, retired_at FROM dkim_key;
CREATE TABLE named_check (
  domain_id $text PRIMARY KEY REFERENCES named_domain (id) ON DELETE CASCADE,
  statuses $json NOT NULL,
  reason $text,
  checked_at BIGINT NOT NULL
);
INSERT INTO named_check (domain_id, statuses, reason, checked_at)
  SELECT domain, statuses, reason, checked_at FROM domain_check;
DROP TABLE domain_check;
DROP TABLE dkim_key;
DROP TABLE domain;
ALTER TABLE named_domain RENAME TO domain;
ALTER TABLE named_dkim_key RENAME TO dkim_key;
ALTER TABLE named_check RENAME TO domain_check;
CREATE UNIQUE INDEX domain_proved ON domain (name) WHERE verified_at IS NOT NULL;
CREATE UNIQUE INDEX domain_of_organization ON domain (organization_id, name);
CREATE INDEX domain_organization ON domain (organization_id, created_at, name);
CREATE INDEX domain_pod ON domain (pod_id);

-- The DKIM keys an organisation's domains have in common. They prove a domain: nobody else knows them.
CREATE TABLE organization_dkim_key (
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  selector $text NOT NULL,
  algorithm $text NOT NULL,
  private_key $text NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, selector)
);

-- Who registered with an address that another organisation's registration named: a key that opens nothing before
-- its own code, mailed to that address, was entered.
CREATE TABLE signup_claim (
  key_id $text PRIMARY KEY REFERENCES api_key (id) ON DELETE CASCADE,
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  otp $text NOT NULL,
  otp_expires_at BIGINT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL
);
CREATE INDEX signup_claim_organization ON signup_claim (organization_id);

-- To whom elsewhere an organisation that registered itself has written while it was new.
CREATE TABLE newcomer_recipient (
  organization_id $text NOT NULL REFERENCES organization (id) ON DELETE CASCADE,
  address $text NOT NULL,
  first_at BIGINT NOT NULL,
  PRIMARY KEY (organization_id, address)
);
CREATE INDEX newcomer_recipient_age ON newcomer_recipient (first_at);

-- What no inbox of the house sends to, as the owner has said.
CREATE TABLE house_suppression (
  address $text PRIMARY KEY,
  reason $text NOT NULL,
  diagnostic $text,
  created_at BIGINT NOT NULL
);
CREATE INDEX suppression_address ON suppression (address);
