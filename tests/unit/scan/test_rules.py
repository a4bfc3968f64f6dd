"""Every rule meets the text it was written for, and leaves that text's clean twin alone."""

from __future__ import annotations

import re

import pytest

from posthouse.scan import outbound
from posthouse.scan.engine import Rule
from posthouse.scan.passages import Passage, plain
from posthouse.scan.verdict import SEVERITIES

RULES = outbound.rules().rules


def _name(rule: Rule) -> str:
    return f"{rule.id} {rule.name}"


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_a_rule_meets_its_example_and_not_the_clean_twin(rule: Rule) -> None:
    ruleset = outbound.rules()
    assert rule in [match.rule for match in ruleset.matches(Passage("text", plain(rule.hit)))]
    assert rule not in [match.rule for match in ruleset.matches(Passage("text", plain(rule.clean)))]


def test_rules_are_written_as_rules_are() -> None:
    assert len({_name(rule) for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"ob_[a-z0-9_]+", rule.id)
        assert rule.severity in SEVERITIES
        assert rule.hit
        assert rule.clean
        assert rule.description.endswith(".")
        assert rule.keywords, f"{_name(rule)} would be tried on every text"


def test_every_rule_id_of_the_contract_is_there() -> None:
    wanted = """ob_ssn ob_ssn_obfuscated ob_credit_card ob_bank_routing ob_drivers_license ob_passport ob_tax_id ob_itin
    ob_medicare ob_immigration ob_iban ob_crypto_wallet ob_wire_transfer ob_phone ob_dob ob_pin ob_security_qa ob_swift
    ob_api_key ob_aws_key ob_password_value ob_private_key ob_bearer_token ob_connection_string ob_github_token
    ob_stripe_key ob_jwt ob_webhook_url ob_env_block ob_seed_phrase ob_2fa_codes ob_credential_pair ob_oauth_token
    ob_vpn_creds ob_private_ip ob_file_path ob_env_variable ob_internal_url ob_owner_info ob_personal_reveal"""
    assert set(wanted.split()) <= {rule.id for rule in RULES}
