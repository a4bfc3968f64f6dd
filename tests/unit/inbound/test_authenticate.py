"""Who a mail is really from, and what is believed about it."""

from __future__ import annotations

import pytest

from posthouse.inbound.authenticate import Authentication, Authenticator
from posthouse.inbound.spool import cleaned
from posthouse.store.spool import Spooled
from posthouse.wire.dkim_sign import dns_name, dns_record, generate_key, load_key, sign
from posthouse.wire.message import parse
from posthouse.wire.resolver import NameNotFound, ResolverFailure

NOW = 1_790_000_000_000
MAIL = b"From: Bank <info@bank.example>\r\nTo: a@agents.test\r\nSubject: Hello\r\n\r\nHello.\r\n"


class Zone:
    """DNS out of a dictionary; a value of None is a server that does not answer."""

    def __init__(self, txt: dict[str, str | None]) -> None:
        self._txt = txt

    async def txt(self, name: str) -> list[bytes]:
        if name not in self._txt:
            raise NameNotFound(name, no_domain=True)
        value = self._txt[name]
        if value is None:
            raise ResolverFailure(name)
        return [value.encode()]

    async def mx(self, name: str) -> list[tuple[int, str]]:
        raise NameNotFound(name)

    async def addresses(self, name: str) -> list[str]:
        raise NameNotFound(name)

    async def ptr(self, address: str) -> list[str]:
        raise NameNotFound(address)


def row(client_address: str = "203.0.113.9", via: str = "smtp", mail_from: str = "info@bank.example") -> Spooled:
    handed_in = {"via": via, "client_address": client_address, "helo": "mx.bank.example"}
    return Spooled("s1", "a1", "hash", mail_from, ["a@agents.test"], handed_in, 100, NOW, 1, NOW, False, None)


async def check(raw: bytes, zone: dict[str, str | None], **kwargs: str) -> Authentication | None:
    authenticator = Authenticator(Zone(zone), lambda: NOW, "agents.test")
    return await authenticator.check(row(**kwargs), raw, parse(raw))


async def test_mail_from_this_machine_is_not_asked_about() -> None:
    assert await check(MAIL, {}, client_address="127.0.0.1") is None
    assert await check(MAIL, {}, client_address="::1") is None
    assert await check(MAIL, {}, via="local") is None


async def test_no_policy_is_no_failure() -> None:
    found = await check(MAIL, {})
    assert found is not None
    assert not found.failed
    assert found.summary == {"spf": "none", "dkim": "none", "dmarc": "none"}
    assert found.header.startswith("agents.test;")


@pytest.mark.parametrize(("policy", "failed"), [("reject", True), ("quarantine", True), ("none", False)])
async def test_an_unmet_dmarc_policy_fails_when_it_asks_for_more_than_reports(policy: str, failed: bool) -> None:
    found = await check(MAIL, {"_dmarc.bank.example": f"v=DMARC1; p={policy}", "bank.example": "v=spf1 ~all"})
    assert found is not None
    assert found.summary["dmarc"] == "fail"
    assert found.failed is failed


async def test_an_aligned_signature_meets_the_policy_though_spf_fails() -> None:
    pem, _ = generate_key("ed25519-sha256")
    key = load_key("bank.example", "s", pem)
    signed = sign(MAIL, [key], at_s=NOW // 1000) + MAIL
    zone: dict[str, str | None] = {
        dns_name(key): dns_record(key),
        "_dmarc.bank.example": "v=DMARC1; p=reject",
        "bank.example": "v=spf1 -all",
    }
    found = await check(signed, zone)
    assert found is not None
    assert found.summary == {"spf": "fail", "dkim": "pass", "dmarc": "pass"}
    assert not found.failed
    broken = await check(signed.replace(b"Hello.", b"Pay me."), zone)
    assert broken is not None
    assert broken.failed


async def test_a_hard_spf_fail_with_nothing_to_vouch_fails() -> None:
    found = await check(MAIL, {"bank.example": "v=spf1 -all"})
    assert found is not None
    assert found.failed


async def test_dns_that_does_not_answer_says_nothing_against_a_mail() -> None:
    found = await check(MAIL, {"bank.example": None, "_dmarc.bank.example": None})
    assert found is not None
    assert not found.failed
    assert found.summary["spf"] == "temperror"


async def test_several_authors_are_not_judged_by_dmarc() -> None:
    raw = MAIL.replace(b"<info@bank.example>", b"<info@bank.example>, x@other.example")
    found = await check(raw, {"_dmarc.bank.example": "v=DMARC1; p=reject"})
    assert found is not None
    assert "dmarc" not in found.summary


def test_results_forged_under_our_name_are_taken_out_when_the_mail_is_taken_in() -> None:
    forged = b"Authentication-Results: agents.test; dmarc=pass\r\nReturn-Path: <boss@bank.example>\r\n"
    other = b"Authentication-Results: elsewhere.example; spf=pass\r\n"
    assert cleaned(forged + other + MAIL, "agents.test") == (other + MAIL, 0)
