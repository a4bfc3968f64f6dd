"""Mail that comes in: whom it leads to, what is thought of it, what it gives rise to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from core.home import Home, refused
from core.world import BOB
from posthouse.accounts import accounts as account_rules
from posthouse.inbound import recipients, spool, vacation
from posthouse.inbound.spool import HandedIn, Incoming
from posthouse.kit.errors import Forbidden, Invalid, NotFound, OverQuota
from posthouse.kit.principal import Principal
from posthouse.mail.filing import BLOCKED, UNAUTHENTICATED
from posthouse.mail.journal import changing
from posthouse.outbound import automatic
from posthouse.store import accounts, graveyard
from posthouse.store import spool as spool_rows
from posthouse.store.database import Tx
from posthouse.store.vacations import Vacation
from posthouse.wire.message import parse
from store.builders import DOMAIN, mail

ANN = f"ann@{DOMAIN}"
ABROAD = "203.0.113.9"


def incoming(home: Home, raw: bytes, *account_ids: str) -> Incoming:
    """A mail from elsewhere for some accounts."""
    return Incoming(BOB, {id_: [ANN] for id_ in account_ids or (home.ann.id,)}, raw, HandedIn("smtp"), DOMAIN)


async def resolve(home: Home, address: str, quota_bytes: int = 10**9) -> recipients.Recipient:
    return await home.db.read(
        lambda tx: recipients.resolve(
            tx, address, operator_address=home.house.settings.operator_address, quota_bytes=quota_bytes
        )
    )


async def test_a_mail_is_filed_in_the_inbox_unread_and_told(home: Home) -> None:
    got = await home.receive(mail("Hello", message_id="m1@elsewhere.example"), came_to=f"ann+news@{DOMAIN}")
    assert (got.direction, got.subject, got.keywords) == ("in", "Hello", ())
    assert await home.roles(got.id) == {"inbox"}
    _, body = await home.whole(got.id)
    assert body.handed_in["via"] == "smtp"
    assert (body.handed_in["mail_from"], body.handed_in["recipients"]) == (BOB, [f"ann+news@{DOMAIN}"])
    (event,) = await home.events()
    assert (event.type, event.message_id, event.payload) == ("message.received", got.id, {"thread_id": got.thread_id})


async def test_the_bytes_are_those_that_came_below_a_trace(home: Home) -> None:
    raw = mail(body="As it is.")
    got = await home.receive(raw)
    stored = await home.bytes_of(got)
    assert stored.endswith(raw)
    assert stored.startswith(b"Return-Path: <bob@elsewhere.example>\r\n")
    assert b"Received: from mx.elsewhere.example" in stored[: -len(raw)]


async def test_a_mail_that_was_taken_is_filed_once_even_after_a_crash(home: Home) -> None:
    await spool.receive(home.db, home.blobs, incoming(home, mail()), home.clock)
    at = home.clock()
    claimed = await home.db.write(lambda tx: spool_rows.claim(tx, at, at + 60_000, 10))
    assert len(claimed) == 1
    await home.settle()
    assert await home.messages() == []
    await home.later(minutes=1)
    await home.later(minutes=2)
    assert len(await home.messages()) == 1


async def test_the_same_mail_twice_is_two_mails_of_one_thread(home: Home) -> None:
    raw = mail("Hello", message_id="m1@elsewhere.example")
    first, second = await home.receive(raw), await home.receive(raw)
    assert first.id != second.id
    assert first.thread_id == second.thread_id


async def test_a_mail_for_many_is_filed_for_each(home: Home) -> None:
    carl = await home.account("carl")
    await spool.receive(home.db, home.blobs, incoming(home, mail("For two"), home.ann.id, carl.id), home.clock)
    await home.settle()
    assert [message.subject for message in await home.messages()] == ["For two"]
    assert [message.subject for message in await home.messages(carl)] == ["For two"]


async def test_an_answer_joins_the_thread_of_what_was_sent(home: Home) -> None:
    sent = await home.send(subject="Lunch?")
    got = await home.receive(mail("Re: Lunch?", from_=BOB, in_reply_to=[sent.header_message_id]))
    assert got.thread_id == sent.thread_id


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\x00\xff\xfe", b"no header at all", b"Subject: x\r\n", b"\n" * 99])
async def test_whatever_comes_is_filed(home: Home, raw: bytes) -> None:
    got = await home.receive(raw)
    assert await home.roles(got.id) == {"inbox"}


async def test_mail_that_goes_round_in_circles_is_refused(home: Home) -> None:
    hops = b"Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n"
    await home.receive(hops * spool.MAX_RECEIVED + mail())
    with refused(Forbidden, "loop"):
        await home.receive(hops * (spool.MAX_RECEIVED + 1) + mail())


async def test_mail_for_an_account_that_went_away_meanwhile_is_buried(home: Home) -> None:
    carl = await home.account("carl")
    await spool.receive(home.db, home.blobs, incoming(home, mail("Late"), carl.id), home.clock)
    await home.db.write(lambda tx: account_rules.destroy(tx, carl, home.clock()))
    await home.settle()
    graves = await home.db.read(lambda tx: graveyard.of_account(tx, carl.id))
    assert [grave.payload["subject"] for grave in graves if grave.kind == "message"] == ["Late"]


# --- Whom it leads to


async def test_an_address_leads_to_its_account_in_any_case_and_with_any_tag(home: Home) -> None:
    for address, tag in ((ANN, ""), (f"ANN@{DOMAIN.upper()}", ""), (f"ann+a+b@{DOMAIN}", "a+b")):
        found = await resolve(home, address)
        assert (found.account.id, found.tag) == (home.ann.id, tag)


async def test_the_operators_addresses_lead_to_the_owner(home: Home) -> None:
    for address in ("postmaster", f"postmaster@{DOMAIN}", f"Abuse@{DOMAIN}", f"security+x@{DOMAIN}"):
        assert (await resolve(home, address)).account.main_address == home.house.settings.operator_address


async def test_what_leads_nowhere_is_refused(home: Home) -> None:
    with refused(NotFound, "no_such_user", field="recipient"):
        await resolve(home, f"nobody@{DOMAIN}")
    with refused(Forbidden, "relay_denied", field="recipient"):
        await resolve(home, BOB)
    with refused(Invalid, field="recipient"):
        await resolve(home, "ann")


async def test_a_full_account_takes_no_more(home: Home) -> None:
    await home.receive(mail(body="x" * 2_000))
    await resolve(home, ANN, quota_bytes=10_000)
    with refused(OverQuota, field="recipient"):
        await resolve(home, ANN, quota_bytes=2_000)


async def test_of_many_mails_that_saw_room_the_first_take_it(home: Home) -> None:
    async def take() -> str:
        return await spool.receive(
            home.db, home.blobs, incoming(home, mail(body="x" * 900)), home.clock, tight=[home.ann.id],
            quota_bytes=2_000,
        )  # fmt: skip

    answers = await asyncio.gather(*(take() for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, OverQuota) for answer in answers) == 3
    await home.settle()
    assert len(await home.messages()) == 2


async def test_a_name_of_a_destroyed_account_is_kept_free(home: Home) -> None:
    carl = await home.account("carl")
    await home.db.write(lambda tx: account_rules.destroy(tx, carl, home.clock()))
    with refused(NotFound, "no_such_user", field="recipient"):
        await resolve(home, carl.main_address)
    with pytest.raises(Exception, match="is taken"):
        await home.account("carl")
    home.clock.forward(days=31)
    again = await home.account("carl")
    assert (await resolve(home, carl.main_address)).account.id == again.id


# --- Who it is from


async def test_mail_that_its_authors_domain_disowns_is_marked(home: Home) -> None:
    home.zone.texts["_dmarc.example.org"] = ["v=DMARC1; p=reject"]
    home.zone.texts["example.org"] = ["v=spf1 ip4:192.0.2.1 -all"]
    forged = await home.receive(mail(), sender="bob@example.org", client=ABROAD)
    assert UNAUTHENTICATED in forged.keywords
    assert await home.roles(forged.id) == {"inbox"}
    assert await home.told() == ["message.received.unauthenticated"]
    assert (await home.whole(forged.id))[1].headers[0][0] == "Authentication-Results"


async def test_mail_that_its_authors_domain_vouches_for_is_not_marked(home: Home) -> None:
    home.zone.texts["_dmarc.example.org"] = ["v=DMARC1; p=reject"]
    home.zone.texts["example.org"] = [f"v=spf1 ip4:{ABROAD} -all"]
    got = await home.receive(mail(), sender="bob@example.org", client=ABROAD)
    assert got.keywords == ()
    assert await home.told() == ["message.received"]


async def test_mail_that_could_not_be_judged_is_marked(home: Home) -> None:
    got = await home.receive(mail(from_="undisclosed:;"), client=ABROAD)
    assert UNAUTHENTICATED in got.keywords


async def test_what_a_list_keeps_out_is_junk_whoever_it_is_from(home: Home) -> None:
    home.zone.texts["_dmarc.example.org"] = ["v=DMARC1; p=reject"]
    await home.list_entry("receive", "block", "example.org")
    got = await home.receive(mail(), client=ABROAD)
    assert BLOCKED in got.keywords
    assert UNAUTHENTICATED not in got.keywords
    assert await home.roles(got.id) == {"junk"}


async def test_what_a_stranger_says_of_himself_is_not_believed(home: Home) -> None:
    lie = f"Authentication-Results: {DOMAIN}; dmarc=pass header.from=bank.example"
    got = await home.receive(mail(extra=lie))
    assert b"dmarc=pass" not in await home.bytes_of(got)
    marked = await home.receive(mail(extra="X-Keywords: $junk\r\nX-Spam: $blocked"))
    assert marked.keywords == ()


# --- Answering for somebody who is away


async def go_away(home: Home, *, by: Principal | None = None, **given: Any) -> None:
    """Have ann's mail answered."""
    after = Vacation(home.ann.id, is_enabled=True, subject=None, text_body="I am away.\n")

    async def unit(tx: Tx) -> None:
        before = await automatic.response_of(tx, home.ann.id)
        words = {"subject", "text_body", "html_body"}
        async with changing(tx, home.ann.id, home.clock()) as journal:
            await automatic.change(tx, journal, by or home.agent, before, replace(after, **given), rewritten=words)

    await home.db.write(unit)


async def test_who_writes_to_somebody_away_is_answered_once_a_week(home: Home) -> None:
    await go_away(home)
    got = await home.receive(mail("Lunch?", from_=BOB, message_id="q@elsewhere.example"))
    (answer,) = home.elsewhere.got()
    read = parse(answer.raw)
    assert (answer.mail_from, read.subject, read.in_reply_to) == ("", "Auto: Lunch?", ("q@elsewhere.example",))
    assert b"Auto-Submitted: auto-replied" in answer.raw
    assert (await home.messages(role="sent"))[0].thread_id == got.thread_id
    home.clock.forward(days=6)
    await home.receive(mail("Again?", from_=BOB))
    assert len(home.elsewhere.got()) == 1
    home.clock.forward(days=2)
    await home.receive(mail("And now?", from_=BOB))
    assert len(home.elsewhere.got()) == 2


async def test_what_no_machine_may_answer_is_not_answered(home: Home) -> None:
    await go_away(home)
    await home.list_entry("receive", "block", "blocked.example")
    for raw, sender in (
        (mail(), ""),
        (mail(), "mailer-daemon@elsewhere.example"),
        (mail(), "news-request@elsewhere.example"),
        (mail(extra="Auto-Submitted: auto-generated"), BOB),
        (mail(extra="List-Id: <news.example>"), BOB),
        (mail(extra="Precedence: bulk"), BOB),
        (mail(to="everybody@elsewhere.example"), BOB),
        (mail(from_="x@blocked.example"), "x@blocked.example"),
        (mail(from_=ANN), ANN),
    ):
        await home.receive(raw, sender=sender)
    # Abroad, a sender nobody vouches for is a stranger who would get mail they never asked for.
    await home.receive(mail(), client=ABROAD)
    assert home.elsewhere.parcels == []
    assert await home.messages(role="sent") == []


async def test_an_answer_is_given_within_its_time(home: Home) -> None:
    at = home.clock()
    await go_away(home, from_at=at + 1_000, to_at=at + 2_000)
    await home.receive(mail(from_=BOB))
    assert home.elsewhere.parcels == []
    home.clock.forward(seconds=1)
    await home.receive(mail(from_=BOB))
    assert len(home.elsewhere.parcels) == 1
    home.clock.forward(seconds=1)
    await home.receive(mail(from_=BOB), sender="cat@elsewhere.example")
    assert len(home.elsewhere.parcels) == 1


async def test_an_answer_leaves_with_the_rights_of_who_wrote_it(home: Home) -> None:
    key = await home.key(home.ann, level="gated")
    await go_away(home, by=key.bearer)
    await home.receive(mail(from_=BOB))
    assert home.elsewhere.parcels == []
    (hold,) = await home.pending()
    await home.approve(hold.id)
    await home.settle()
    assert len(home.elsewhere.got()) == 1
    await home.revoke(key)
    await home.receive(mail(), sender="cat@elsewhere.example")
    assert len(home.elsewhere.parcels) == 1
    assert await home.pending() == []


async def test_who_may_only_read_has_nothing_answered(home: Home) -> None:
    with refused(Forbidden, "read_only", field="isEnabled"):
        await go_away(home, by=home.bound(home.ann, level="read_only"))
    await go_away(home)
    await home.set_level("read_only")
    await home.receive(mail(from_=BOB))
    assert home.elsewhere.parcels == []


async def test_a_crowd_of_forged_senders_is_not_answered_one_by_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vacation, "MAX_A_DOMAIN", 2)
    monkeypatch.setattr(vacation, "MAX_AN_HOUR", 3)
    await go_away(home)
    for sender in ("a@x.example", "b@x.example", "c@x.example", "a@y.example", "a@z.example"):
        await home.receive(mail(), sender=sender)
    written = [parcel.recipients for parcel in home.elsewhere.parcels]
    assert written == [("a@x.example",), ("b@x.example",), ("a@y.example",)]


async def test_mail_counts_against_the_accounts_room_as_it_is_stored(home: Home) -> None:
    got = await home.receive(mail(body="x" * 500))
    account = await home.db.read(lambda tx: accounts.get(tx, home.ann.id))
    assert account is not None
    assert account.used_bytes == got.size_bytes == len(await home.bytes_of(got))
