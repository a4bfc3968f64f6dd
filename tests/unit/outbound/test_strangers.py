"""Domains that are easily read for others."""

from __future__ import annotations

import pytest

from posthouse.outbound.strangers import looks_like

KNOWN = {"paypal.com", "example.org", "mornington.co.uk", "bank.example", "kraftwerk.de", "x.org"}


@pytest.mark.parametrize(
    ("domain", "other"),
    [
        ("paypa1.com", "paypal.com"), ("paypai.com", "paypal.com"), ("pay-pal.com", "paypal.com"),
        ("xn--pypal-4ve.com", "paypal.com"), ("rnornington.co.uk", "mornington.co.uk"),
        ("exarnple.org", "example.org"), ("examlpe.org", "example.org"), ("exampe.org", "example.org"),
        ("exampple.org", "example.org"), ("krattwerk.de", "kraftwerk.de"),
    ],
)  # fmt: skip
def test_a_domain_that_is_read_for_another_is_told(domain: str, other: str) -> None:
    assert looks_like(domain, KNOWN) == other


@pytest.mark.parametrize(
    "domain",
    [
        "paypal.com",
        "mail.paypal.com",
        "org",
        "example.com",
        "y.org",
        "elsewhere.example",
        "bunk.example",
        "de",
        "",
        "xn--",
    ],
)
def test_a_domain_that_is_not_is_left_alone(domain: str) -> None:
    assert looks_like(domain, KNOWN) is None
