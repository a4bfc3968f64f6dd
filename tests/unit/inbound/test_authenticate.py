"""Who a mail is really from, and what is believed about it."""

from __future__ import annotations

import asyncio
import base64
import hashlib

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


async def test_a_policy_nobody_could_ask_for_is_not_taken_for_none() -> None:
    found = await check(MAIL, {"bank.example": None, "_dmarc.bank.example": None})
    assert found is not None
    assert found.failed
    assert found.summary["dmarc"] == "temperror"


@pytest.mark.parametrize(("policy", "failed"), [("reject", True), ("quarantine", True), ("none", False)])
async def test_a_check_without_answer_counts_as_unmet_where_a_policy_is_published(policy: str, failed: bool) -> None:
    found = await check(MAIL, {"bank.example": None, "_dmarc.bank.example": f"v=DMARC1; p={policy}"})
    assert found is not None
    assert found.summary == {"spf": "temperror", "dkim": "none", "dmarc": "temperror"}
    assert found.failed is failed


class Slow(Zone):
    """A zone in which some names never answer."""

    def __init__(self, txt: dict[str, str | None], hanging: str) -> None:
        super().__init__(txt)
        self._hanging = hanging

    async def txt(self, name: str) -> list[bytes]:
        if name.endswith(self._hanging):
            await asyncio.Event().wait()
        return await super().txt(name)


async def judge_slowly(
    raw: bytes, zone: dict[str, str | None], hanging: str, mail_from: str = "info@bank.example"
) -> Authentication:
    authenticator = Authenticator(Slow(zone, hanging), lambda: NOW, "agents.test", share_s=0.3, question_s=0.05)
    found = await authenticator.check(row(mail_from=mail_from), raw, parse(raw))
    assert found is not None
    return found


SIGNED_BY_SLOW = b"".join(
    b"DKIM-Signature: v=1; a=rsa-sha256; d=slow.example; s=s%d; h=from:subject; bh=%s; b=AAAA\r\n"
    % (n, base64.b64encode(hashlib.sha256(b"Hello.\r\n").digest()))
    for n in range(5)
)


async def test_a_sender_who_makes_his_own_names_slow_does_not_keep_the_policy_from_being_known() -> None:
    zone: dict[str, str | None] = {"_dmarc.bank.example": "v=DMARC1; p=reject", "bank.example": "v=spf1 -all"}
    by_spf = await judge_slowly(MAIL, zone, "slow.example", mail_from="x@slow.example")
    assert (by_spf.summary["spf"], by_spf.summary["dmarc"]) == ("temperror", "fail")
    assert by_spf.failed
    by_dkim = await judge_slowly(SIGNED_BY_SLOW + MAIL, zone, "slow.example")
    assert (by_dkim.summary["dkim"], by_dkim.summary["dmarc"]) == ("temperror", "fail")
    assert by_dkim.failed


async def test_a_hanging_signature_does_not_take_the_time_of_a_good_one() -> None:
    pem, _ = generate_key("ed25519-sha256")
    key = load_key("bank.example", "s", pem)
    raw = SIGNED_BY_SLOW.split(b"\r\n")[0] + b"\r\n" + sign(MAIL, [key], at_s=NOW // 1000) + MAIL
    zone: dict[str, str | None] = {dns_name(key): dns_record(key), "_dmarc.bank.example": "v=DMARC1; p=reject"}
    found = await judge_slowly(raw, zone, "slow.example")
    assert (found.summary["dkim"], found.summary["dmarc"], found.failed) == ("pass", "pass", False)


async def test_a_policy_that_hangs_is_not_taken_for_none() -> None:
    found = await judge_slowly(MAIL, {}, "_dmarc.bank.example")
    assert (found.summary["dmarc"], found.failed) == ("temperror", True)


REJECT: dict[str, str | None] = {"_dmarc.bank.example": "v=DMARC1; p=reject", "evil.example": "v=spf1 +all"}


@pytest.mark.parametrize(
    "author",
    [
        b"x@evil.example, info@bank.example",
        b"info@bank.example, x@evil.example",
        b"Bank: info@bank.example;",
        b"Bank: x@evil.example, info@bank.example;",
        b"info@bank.example\r\nFrom: x@evil.example",
        b"x@evil.example\r\nFROM : info@bank.example",
        b"Bank:;",
        b"Bank",
        b"info@bank.example\xe2\x80\x8b",
        b"info@bank\xc2\xad.example",
        b"info@bank.example\xef\xb8\x8f",
        b"info@bank\xe2\x80\x8d.example",
        b"info@ba\xe2\x80\x8cnk.example",
        b"info@bank.example\xcd\x8f",
        b"info@bank.example\xe3\x85\xa4",
        b"info@bank.example\x00",
        b"info@bank.\x00example",
        b"info@bank..example",
        b"info@[192.0.2.1]",
        b"<>",
        b"",
    ],
)
async def test_an_author_nobody_can_judge_is_unauthenticated(author: bytes) -> None:
    raw = MAIL.replace(b"Bank <info@bank.example>", author)
    found = await check(raw, REJECT, mail_from="x@evil.example")
    assert found is not None
    assert found.failed
    assert found.summary["dmarc"] in ("fail", "permerror")


async def test_a_mail_without_from_is_unauthenticated() -> None:
    found = await check(MAIL.partition(b"\r\n")[2], {"_dmarc.bank.example": "v=DMARC1; p=none"})
    assert found is not None
    assert found.failed


async def test_two_authors_who_are_both_vouched_for_are_authenticated() -> None:
    keys = [load_key(domain, "s", generate_key("ed25519-sha256")[0]) for domain in ("bank.example", "shop.example")]
    raw = MAIL.replace(b"<info@bank.example>", b"<info@bank.example>, <x@shop.example>")
    zone: dict[str, str | None] = {dns_name(key): dns_record(key) for key in keys}
    zone |= {"_dmarc.bank.example": "v=DMARC1; p=reject", "_dmarc.shop.example": "v=DMARC1; p=reject"}
    both = await check(sign(raw, keys, at_s=NOW // 1000) + raw, zone)
    assert both is not None
    assert (both.summary["dmarc"], both.failed) == ("pass", False)
    one = await check(sign(raw, keys[:1], at_s=NOW // 1000) + raw, zone)
    assert one is not None
    assert (one.summary["dmarc"], one.failed) == ("fail", True)


@pytest.mark.parametrize(
    ("zone", "mail_from", "proved"),
    [
        ({"bank.example": "v=spf1 ip4:203.0.113.9 -all"}, "info@bank.example", True),
        ({"bank.example": "v=spf1 ip4:192.0.2.1 ?all"}, "info@bank.example", False),
        ({}, "info@bank.example", False),
        ({"evil.example": "v=spf1 +all"}, "victim@other.example", False),
        ({"bank.example": "v=spf1 +all", "_dmarc.bank.example": None}, "info@bank.example", False),
        ({"bank.example": "v=spf1 +all"}, "", False),
    ],
)
async def test_a_sender_is_proved_by_his_own_domain_alone(
    zone: dict[str, str | None], mail_from: str, proved: bool
) -> None:
    found = await check(MAIL, zone, mail_from=mail_from)
    assert found is not None
    assert found.proves_sender is proved


async def test_mail_whose_checks_are_given_up_is_unauthenticated() -> None:
    authenticator = Authenticator(Zone({}), lambda: NOW, "agents.test")
    given_up = authenticator.unasked(row())
    assert given_up is not None
    assert given_up.failed
    assert authenticator.unasked(row(client_address="127.0.0.1")) is None


def test_results_forged_under_our_name_are_taken_out_when_the_mail_is_taken_in() -> None:
    forged = b"Authentication-Results: agents.test; dmarc=pass\r\nReturn-Path: <boss@bank.example>\r\n"
    other = b"Authentication-Results: elsewhere.example; spf=pass\r\n"
    assert cleaned(forged + other + MAIL, "agents.test") == (other + MAIL, 0)
