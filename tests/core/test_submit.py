"""Handing mail over to be sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.home import Home, composition, raw_mail, refused, stored_mail
from core.world import BOB
from posthouse.accounts.rights import Right
from posthouse.kit.clock import DAY, HOUR
from posthouse.kit.errors import Forbidden, Invalid, NotFound, TooLarge, TooMany
from posthouse.mail.filing import ANSWERED, DRAFT, FORWARDED, HELD, SEEN
from posthouse.mail.journal import changing
from posthouse.outbound import suppressions
from posthouse.outbound.request import RawMail, RecipientOptions, Submitted
from posthouse.store import accounts, organizations, submissions
from posthouse.store.database import Tx
from posthouse.store.submissions import Request
from posthouse.wire.address import Address
from posthouse.wire.compose import Attachment
from store.builders import DOMAIN, file, mail

CAT = "cat@elsewhere.example"
ANN = f"ann@{DOMAIN}"


async def test_a_composition_is_stored_in_sent_and_carried(home: Home) -> None:
    sent = await home.send(subject="Plans", text="One.\n", html="<p>One.</p>\n")
    own, body = await home.whole(sent.message_id)
    assert (own.direction, own.subject, own.delivery_state) == ("out", "Plans", "queued")
    assert (own.from_list[0].email, own.to_list[0].email) == (ANN, BOB)
    assert (body.text_body, body.html_body) == ("One.\n", "<p>One.</p>\n")
    assert own.keywords == (SEEN,)
    assert await home.roles(own.id) == {"sent"}
    assert (sent.held, sent.suppressed, sent.replayed, sent.hold_id) == (False, (), False, None)
    assert sent.header_message_id == own.header_message_id
    assert sent.header_message_id.endswith(f"@{DOMAIN}")

    await home.settle()
    (parcel,) = home.elsewhere.parcels
    assert parcel.raw == await home.bytes_of(own)
    assert (await home.message(own.id)).delivery_state == "delivered"
    assert await home.states(sent) == {BOB: "delivered"}
    assert (await home.submission(sent)).state == "done"
    assert await home.told() == ["message.sent", "message.delivered"]


async def test_what_the_answer_promises_is_there_before_anything_is_carried(home: Home) -> None:
    sent = await home.send(labels=["urgent"])
    assert home.elsewhere.parcels == []
    assert await home.states(sent) == {BOB: "queued"}
    assert set((await home.message(sent.message_id)).keywords) == {SEEN, "urgent"}


async def test_everybody_named_gets_one_copy_however_often_and_in_whatever_case(home: Home) -> None:
    sent = await home.send(to=[BOB, "BOB@Elsewhere.Example"], cc=[CAT, BOB], bcc=[CAT, "dan@far.example"])
    await home.settle()
    assert await home.states(sent) == dict.fromkeys([BOB, CAT, "dan@far.example"], "delivered")
    assert sorted(each for parcel in home.elsewhere.parcels for each in parcel.recipients) == [
        BOB, CAT, "dan@far.example",
    ]  # fmt: skip


async def test_a_blind_copy_is_known_to_the_sender_alone(home: Home) -> None:
    sent = await home.send(to=BOB, bcc="dan@far.example")
    await home.settle()
    assert [person.email for person in (await home.message(sent.message_id)).bcc_list] == ["dan@far.example"]
    assert len(home.elsewhere.parcels) == 2
    for parcel in home.elsewhere.parcels:
        assert b"dan@far.example" not in parcel.raw
        assert b"\r\nbcc:" not in parcel.raw.lower()


async def test_each_recipient_elsewhere_has_a_reverse_path_nobody_else_is_told(home: Home) -> None:
    await home.send(to=[BOB, CAT])
    await home.settle()
    paths = {parcel.mail_from for parcel in home.elsewhere.parcels}
    assert len(paths) == 2
    assert all(path.startswith("ann+b-") and path.endswith(f"@{DOMAIN}") for path in paths)
    assert not any(path.encode() in parcel.raw for path in paths for parcel in home.elsewhere.parcels)


async def test_an_account_that_writes_to_itself_has_its_own_copy_and_what_came(home: Home) -> None:
    sent = await home.send(to=[ANN, f"ann+notes@{DOMAIN}"])
    await home.settle()
    assert await home.states(sent) == {ANN: "delivered", f"ann+notes@{DOMAIN}": "delivered"}
    assert [message.id for message in await home.messages(role="sent")] == [sent.message_id]
    assert len(await home.messages(role="inbox")) == 1
    assert home.elsewhere.parcels == []


async def test_an_account_here_gets_mail_without_its_leaving_the_house(home: Home) -> None:
    carl = await home.account("carl")
    sent = await home.send(to=carl.main_address, subject="Near")
    await home.settle()
    (got,) = await home.messages(carl, "inbox")
    assert (got.subject, got.header_message_id) == ("Near", sent.header_message_id)
    assert (await home.bytes_of(got)).endswith(await home.bytes_of(await home.message(sent.message_id)))
    assert home.elsewhere.parcels == []


@pytest.mark.parametrize("sender", ["mallory@elsewhere.example", f"carl@{DOMAIN}", f"carl+x@{DOMAIN}"])
async def test_nobody_sends_as_somebody_else(home: Home, sender: str) -> None:
    await home.account("carl")
    with refused(Forbidden, "sender_not_allowed", field="from"):
        await home.send(from_=Address(sender))
    with refused(Forbidden, "sender_not_allowed", field="mail_from"):
        await home.submit(raw_mail(mail(from_=ANN, to=BOB), mail_from=sender))
    with refused(Forbidden, "sender_not_allowed", field="from"):
        await home.submit(raw_mail(mail(from_=sender, to=BOB)))
    assert await home.messages() == []


async def test_an_own_address_may_have_a_name_a_tag_and_any_case(home: Home) -> None:
    sent = await home.send(from_=Address(f"Ann+Shop@{DOMAIN.upper()}", "Ann of the Shop"))
    assert (await home.message(sent.message_id)).from_list[0].name == "Ann of the Shop"
    await home.submit(raw_mail(mail(from_=f"Shop <ann+shop@{DOMAIN}>", to=BOB), mail_from=f"ann+bounces@{DOMAIN}"))


async def test_a_composition_without_from_has_the_accounts_name(home: Home) -> None:
    carl = await home.account("carl", display_name="Carl of Calls")
    sent = await home.send(account=carl, by=home.bound(carl))
    assert (await home.message(sent.message_id, carl)).from_list[0].name == "Carl of Calls"


@pytest.mark.parametrize("who", ["other_account", "other_organization"])
async def test_an_account_out_of_reach_is_as_if_it_were_not(home: Home, who: str) -> None:
    where = await home.organization() if who == "other_organization" else ""
    carl = await home.account("carl", where)
    with refused(NotFound):
        await home.send(by=home.bound(carl))
    with refused(NotFound):
        await home.submit(raw_mail(mail(from_=ANN, to=BOB)), by=home.bound(carl))
    assert await home.messages() == []


async def test_a_key_without_the_right_to_send_sends_in_no_form(home: Home) -> None:
    draft = await home.draft()
    reader = (await home.key(home.ann, rights=[Right.MESSAGE_READ, Right.DRAFT_SEND])).bearer
    for given in (composition(), raw_mail(mail(from_=ANN, to=BOB)), stored_mail(draft.message_id)):
        with refused(Forbidden, "missing_permission"):
            await home.submit(given, by=reader)
    await home.submit(composition(), by=(await home.key(home.ann, rights=[Right.MESSAGE_SEND])).bearer)


async def test_nobody_to_write_to_is_refused(home: Home) -> None:
    with refused(Invalid, "no_recipients", field="to"):
        await home.send(to=())
    with refused(Invalid, "no_recipients", field="to"):
        await home.submit(RawMail(mail(from_=ANN, to=BOB), ANN, []))


async def test_an_address_that_is_none_is_refused(home: Home) -> None:
    with refused(Invalid, field="to"):
        await home.send(to="not an address")
    assert await home.messages() == []


async def test_a_message_has_at_most_so_many_recipients_counted_once_each(home: Home) -> None:
    home.submitter.limits = replace(home.submitter.limits, recipients=2)
    await home.send(to=[BOB, CAT, BOB], cc=[CAT])
    with refused(Invalid, "too_many_recipients", field="to"):
        await home.send(to=[BOB, CAT], bcc=["dan@far.example"])


async def test_a_message_over_the_limit_is_refused_in_every_form(home: Home) -> None:
    home.submitter.limits = replace(home.submitter.limits, message_bytes=2_000)
    filed = await home.receive(mail(from_=ANN, message_id="own@client.example", body="x" * 900))
    long = Attachment("a.bin", "application/octet-stream", b"\0" * 2_000)
    for given in (
        composition(attachments=(long,)),
        composition(text="x" * 3_000),
        raw_mail(mail(from_=ANN, to=BOB, body="x\r\n" * 900)),
    ):
        with refused(TooLarge):
            await home.submit(given)
    await home.submit(stored_mail(filed.id))
    home.submitter.limits = replace(home.submitter.limits, message_bytes=500)
    with refused(TooLarge):
        await home.submit(stored_mail(filed.id))
    assert len(await home.messages(role="sent")) == 1


async def test_a_suppressed_recipient_is_left_out_and_named(home: Home) -> None:
    await home.db.write(lambda tx: suppressions.add(tx, home.ann, CAT, "manual", home.clock()))
    sent = await home.send(to=[BOB, "Cat@Elsewhere.example"])
    assert sent.suppressed == ("Cat@Elsewhere.example",)
    await home.settle()
    assert await home.states(sent) == {BOB: "delivered", "Cat@Elsewhere.example": "suppressed"}
    assert [parcel.recipients for parcel in home.elsewhere.parcels] == [(BOB,)]


async def test_a_message_all_of_whose_recipients_are_suppressed_is_refused(home: Home) -> None:
    await home.db.write(lambda tx: suppressions.add(tx, home.ann, CAT, "complaint", home.clock()))
    await home.db.write(lambda tx: suppressions.add(tx, None, BOB, "manual", home.clock()))
    with refused(Forbidden, "suppressed", field="to"):
        await home.send(to=[BOB, CAT])
    assert await home.messages() == []
    # Another account has nothing against the one; the house has, against the other.
    carl = await home.account("carl")
    assert (await home.send(to=[BOB, CAT], account=carl, by=home.bound(carl))).suppressed == (BOB,)


async def test_a_recipient_whom_a_list_keeps_out_stops_the_whole_message(home: Home) -> None:
    await home.list_entry("send", "block", CAT)
    with refused(Forbidden, "list_blocked", field="to"):
        await home.send(to=[BOB], bcc=["CAT@elsewhere.example"])
    assert await home.messages() == []


async def test_an_account_sends_so_many_a_day(home: Home) -> None:
    home.submitter.limits = replace(home.submitter.limits, submissions_a_day=3)
    carl = await home.account("carl")
    for _ in range(3):
        await home.send()
    with refused(TooMany, "send_rate"):
        await home.send()
    with refused(TooMany, "send_rate"):
        await home.submit(raw_mail(mail(from_=ANN, to=BOB)))
    await home.send(account=carl, by=home.bound(carl))
    home.clock.forward(days=1, seconds=1)
    await home.send()


async def test_bytes_leave_as_they_were_handed_in(home: Home) -> None:
    raw = mail("Ünïcode", from_=ANN, to=BOB, message_id="own@client.example", body="Straße\r\nund  Weg")
    sent = await home.submit(raw_mail(raw, envelope_id="E1", dsn_return="FULL"))
    assert sent.header_message_id == "own@client.example"
    await home.settle()
    (parcel,) = home.elsewhere.parcels
    assert parcel.raw == raw == await home.bytes_of(await home.message(sent.message_id))
    assert (parcel.envelope_id, parcel.dsn_return) == ("E1", "FULL")
    assert parcel.requires_8bit
    assert await home.roles(sent.message_id) == {"sent"}


async def test_bytes_without_a_message_id_get_one(home: Home) -> None:
    sent = await home.submit(raw_mail(mail(from_=ANN, to=BOB)))
    await home.settle()
    assert sent.header_message_id.endswith(f"@{DOMAIN}")
    assert home.elsewhere.parcels[0].raw.count(f"<{sent.header_message_id}>".encode()) == 1


async def test_a_bcc_field_in_handed_in_bytes_leaves_nowhere(home: Home) -> None:
    raw = mail(from_=ANN, to=BOB, bcc="dan@far.example", extra="Resent-Bcc: eve@far.example")
    sent = await home.submit(raw_mail(raw, BOB, "dan@far.example"))
    await home.settle()
    assert len(home.elsewhere.parcels) == 2
    assert not any(b"bcc" in parcel.raw.lower() for parcel in home.elsewhere.parcels)
    assert [person.email for person in (await home.message(sent.message_id)).bcc_list] == ["dan@far.example"]


@pytest.mark.parametrize(
    "extra", ["From: ann@agents.test", "Sender: ann@agents.test\r\nSender: ann@agents.test"], ids=["from", "sender"]
)
async def test_bytes_with_two_authors_fields_are_refused(home: Home, extra: str) -> None:
    with refused(Invalid, field="from"):
        await home.submit(raw_mail(mail(from_=ANN, to=BOB, extra=extra)))


async def test_the_wishes_of_a_recipient_go_with_it(home: Home) -> None:
    wishes = RecipientOptions("SUCCESS,FAILURE", "rfc822;robert@elsewhere.example")
    await home.submit(RawMail(mail(from_=ANN, to=BOB), ANN, [(BOB, wishes)]))
    await home.settle()
    (parcel,) = home.elsewhere.parcels
    assert parcel.notify == {BOB: "SUCCESS,FAILURE"}
    assert parcel.original_recipients == {BOB: "rfc822;robert@elsewhere.example"}


async def test_a_stored_message_becomes_a_sent_one(home: Home) -> None:
    draft = await home.draft(subject="Later", to=BOB)
    sent = await home.submit(stored_mail(draft.message_id))
    assert sent.message_id == draft.message_id
    message = await home.message(sent.message_id)
    assert (message.direction, DRAFT in message.keywords) == ("out", False)
    assert await home.roles(message.id) == {"sent"}
    assert len(await home.messages()) == 1
    with refused(NotFound):
        await home.written(draft)
    await home.settle()
    assert home.elsewhere.got()[0].raw == await home.bytes_of(message)


async def test_a_stored_message_that_its_sender_files_stays_where_it_is(home: Home) -> None:
    draft = await home.draft()
    sent = await home.submit(stored_mail(draft.message_id, files_itself=False))
    assert await home.roles(sent.message_id) == {"drafts"}
    assert DRAFT in (await home.message(sent.message_id)).keywords


async def test_a_stored_message_without_message_id_is_replaced_by_what_was_sent(home: Home) -> None:
    async def unit(tx: Tx) -> str:
        async with changing(tx, home.ann.id, home.clock(), added_bytes=500) as journal:
            raw = mail(from_=ANN, to=BOB, bcc="dan@far.example")
            return (await file(tx, journal, raw, direction="draft", mailbox_roles=["drafts"], keywords=[DRAFT])).id

    before = await home.db.write(unit)
    sent = await home.submit(stored_mail(before, references=["parent@elsewhere.example"]))
    assert sent.message_id != before
    (message,) = await home.messages()
    assert message.header_message_id == sent.header_message_id
    assert message.refs == ("parent@elsewhere.example",)
    # The writer's copy still says who got a blind copy; what leaves does not.
    assert b"Bcc: dan@far.example" in await home.bytes_of(message)
    await home.settle()
    assert b"dan@far.example" not in home.elsewhere.got()[0].raw


async def test_a_stored_message_that_is_gone_is_not_sent(home: Home) -> None:
    with refused(NotFound, field="message_id"):
        await home.submit(stored_mail("nothing"))


async def test_what_is_sent_for_later_waits_for_its_time(home: Home) -> None:
    draft = await home.draft()
    sent = await home.submit(stored_mail(draft.message_id, send_at=home.clock() + HOUR))
    await home.settle()
    assert home.elsewhere.parcels == []
    assert (await home.submission(sent)).state == "scheduled"
    assert await home.roles(sent.message_id) == {"drafts"}
    assert await home.told() == []
    await home.later(hours=1)
    assert len(home.elsewhere.got()) == 1
    assert await home.roles(sent.message_id) == {"sent"}
    assert await home.told() == ["message.sent", "message.delivered"]


async def test_what_is_sent_for_later_is_held_or_refused_as_it_would_be_then(home: Home) -> None:
    drafts = [await home.draft(subject=name) for name in ("gated", "ended", "barred")]
    key = await home.key(home.ann)
    later = home.clock() + HOUR
    gated = await home.submit(stored_mail(drafts[0].message_id, send_at=later))
    ended = await home.submit(stored_mail(drafts[1].message_id, CAT, send_at=later), by=key.bearer)
    barred = await home.submit(stored_mail(drafts[2].message_id, "dan@far.example", send_at=later))
    await home.revoke(key)
    await home.list_entry("send", "block", "far.example")
    await home.set_level("gated")
    await home.later(hours=1)
    assert home.elsewhere.parcels == []
    assert [(await home.submission(each)).state for each in (gated, ended, barred)] == ["held", "rejected", "rejected"]
    assert await home.roles(ended.message_id) == {"drafts"}
    assert (await home.message(barred.message_id)).delivery_state == "rejected"
    (hold,) = await home.pending()
    await home.approve(hold.id)
    await home.settle()
    assert len(home.elsewhere.parcels) == 1


async def test_mail_read_only_when_its_time_has_come_is_refused(home: Home) -> None:
    draft = await home.draft()
    sent = await home.submit(stored_mail(draft.message_id, send_at=home.clock() + HOUR))
    await home.set_level("read_only")
    await home.later(hours=1)
    assert (await home.submission(sent)).state == "rejected"
    assert await home.told() == ["message.rejected"]


async def test_an_answer_joins_its_thread_and_marks_what_it_answers(home: Home) -> None:
    asked = await home.receive(
        mail("Lunch?", message_id="q2@elsewhere.example", references=["q1@elsewhere.example"], to=ANN)
    )
    sent = await home.answer(asked)
    own = await home.message(sent.message_id)
    assert own.thread_id == asked.thread_id == sent.thread_id
    assert own.subject == "Re: Lunch?"
    assert own.in_reply_to == ("q2@elsewhere.example",)
    assert own.refs == ("q1@elsewhere.example", "q2@elsewhere.example")
    assert [person.email for person in own.to_list] == ["bob@example.org"]
    assert ANSWERED in (await home.message(asked.id)).keywords


async def test_an_answer_to_everyone_leaves_out_the_writer(home: Home) -> None:
    asked = await home.receive(mail("Lunch?", to=f"{ANN}, {CAT}", cc=f"dan@far.example, ann+x@{DOMAIN}"))
    sent = await home.answer(asked, everyone=True)
    assert set(await home.states(sent)) == {"bob@example.org", CAT, "dan@far.example"}


@pytest.mark.parametrize(
    "own",
    [f"ANN@{DOMAIN}", f"Ann+News@{DOMAIN.upper()}", f"ann+a+b@{DOMAIN}", f'"Ann, me" <aNN+%C3%A4@{DOMAIN}>'],
)
async def test_every_address_that_reaches_the_writer_is_left_out(home: Home, own: str) -> None:
    asked = await home.receive(mail("Termin?", to=f"{own}, {CAT}", cc=own, extra=f"Reply-To: {own}, {BOB}\r\n"))
    assert set(await home.states(await home.answer(asked, everyone=True))) == {BOB, CAT}
    alone = await home.receive(mail("Termin?", to=own, extra=f"Reply-To: {own}\r\n"))
    assert set(await home.states(await home.answer(alone, everyone=True))) == {"bob@example.org"}


async def test_an_address_that_only_looks_like_the_writers_is_answered(home: Home) -> None:
    near = f"ann-x@{DOMAIN.replace('.', '-')}.example"
    asked = await home.receive(mail("Termin?", to=f"{ANN}, {near}", cc="ann+x@elsewhere.example"))
    assert set(await home.states(await home.answer(asked, everyone=True))) == {
        "bob@example.org", near, "ann+x@elsewhere.example",
    }  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    ["root", "kim@", "@far.example", "kim@far..example", "kim@-far-.example", "kim@@far.example", "kim@[300.1.1.1",
     f"{'k' * 70}@{'far.' * 70}example", "<<>>"],
)  # fmt: skip
async def test_what_nobody_can_write_to_refuses_no_answer(home: Home, broken: str) -> None:
    asked = await home.receive(mail("Hallo?", to=f"{ANN}, {broken}, {CAT}", cc=broken, extra=f"Reply-To: {broken}\r\n"))
    assert set(await home.states(await home.answer(asked, everyone=True))) == {"bob@example.org", CAT}


async def test_a_refused_answer_marks_nothing(home: Home) -> None:
    asked = await home.receive()
    await home.set_level("read_only")
    with refused(Forbidden, "read_only"):
        await home.answer(asked)
    assert ANSWERED not in (await home.message(asked.id)).keywords


async def test_a_forward_marks_what_it_forwards(home: Home) -> None:
    asked = await home.receive()
    sent = await home.send(forwarded_message_id=asked.id)
    assert FORWARDED in (await home.message(asked.id)).keywords
    assert sent.thread_id != asked.thread_id


@pytest.mark.parametrize("level", ["guarded", "monitored", "autonomous"])
async def test_a_loose_level_lets_mail_go(home: Home, level: str) -> None:
    await home.set_level(level)
    assert not (await home.send()).held
    await home.settle()
    assert len(home.elsewhere.parcels) == 1


async def test_a_read_only_account_sends_in_no_form(home: Home) -> None:
    draft = await home.draft()
    await home.set_level("read_only")
    for given in (composition(), raw_mail(mail(from_=ANN, to=BOB)), stored_mail(draft.message_id)):
        with refused(Forbidden, "read_only"):
            await home.submit(given)
    assert len(await home.messages()) == 1


async def test_a_gated_account_has_its_mail_held_in_every_form(home: Home) -> None:
    draft = await home.draft()
    await home.set_level("gated")
    for given in (composition(), raw_mail(mail(from_=ANN, to=BOB)), stored_mail(draft.message_id)):
        sent = await home.submit(given)
        assert sent.held
        assert sent.hold_id is not None
        message = await home.message(sent.message_id)
        assert HELD in message.keywords
        assert (message.direction, message.delivery_state) == ("out", "held")
        assert await home.roles(message.id) == {"drafts"}
    await home.settle()
    assert home.elsewhere.parcels == []
    assert await home.told() == ["message.held"] * 3


@pytest.mark.parametrize(
    ("account", "key", "held"),
    [
        ("gated", "autonomous", True), ("autonomous", "gated", True), ("monitored", None, False),
        (None, "gated", True), (None, None, False), ("autonomous", "monitored", False),
    ],
)  # fmt: skip
async def test_a_key_only_tightens_the_level(home: Home, account: str | None, key: str | None, held: bool) -> None:
    await home.set_level(account)
    assert (await home.send(by=home.bound(home.ann, level=key))).held is held


async def test_an_account_without_a_level_has_that_of_its_organisation(home: Home) -> None:
    await home.db.write(lambda tx: organizations.set_level(tx, home.organization_id, "gated", home.clock()))
    assert (await home.send()).held
    await home.set_level("monitored")
    assert not (await home.send()).held


async def test_automatic_mail_has_a_null_reverse_path_and_reports_nothing(home: Home) -> None:
    home.elsewhere.answers[BOB] = ("failed", "5.1.1")
    sent = await home.send(is_automatic=True)
    await home.settle()
    assert home.elsewhere.parcels[0].mail_from == ""
    assert home.elsewhere.parcels[0].notify == {BOB: "NEVER"}
    assert await home.states(sent) == {BOB: "bounced"}
    assert await home.messages(role="inbox") == []


async def test_what_a_door_writes_down_is_there_with_the_message_or_not_at_all(home: Home) -> None:
    async def also(tx: Tx, sent: Submitted) -> None:
        await submissions.add_request(tx, Request(sent.submission_id, "identity", None, home.clock()))

    async def fails(tx: Tx, sent: Submitted) -> None:
        await also(tx, sent)
        raise Invalid("the door changed its mind", field="x")

    sent = await home.submit(composition(), also=also)
    (detail,) = await home.db.read(lambda tx: submissions.details(tx, home.ann.id, None))
    assert detail.request is not None
    assert detail.submission.id == sent.submission_id
    with refused(Invalid, field="x"):
        await home.submit(composition(), also=fails)
    assert len(await home.db.read(lambda tx: submissions.details(tx, home.ann.id, None))) == 1
    assert len(await home.messages()) == 1


async def test_a_submission_counts_against_the_accounts_room(home: Home) -> None:
    before = await home.db.read(lambda tx: accounts.get(tx, home.ann.id))
    sent = await home.send(text="x" * 5_000)
    after = await home.db.read(lambda tx: accounts.get(tx, home.ann.id))
    assert before is not None
    assert after is not None
    assert after.used_bytes - before.used_bytes == (await home.message(sent.message_id)).size_bytes > 5_000


async def test_mail_that_is_not_taken_is_tried_again_and_given_up_after_days(home: Home) -> None:
    home.elsewhere.answers[BOB] = ("deferred", "4.2.1")
    sent = await home.send()
    await home.settle()
    assert await home.states(sent) == {BOB: "deferred"}
    await home.later(hours=5)
    assert "message.delayed" in await home.told()
    for _ in range(14):
        await home.later(hours=9)
    assert await home.states(sent) == {BOB: "bounced"}
    assert (await home.deliveries(sent))[BOB].status == "4.4.7"
    assert len(home.elsewhere.parcels) > 10
    reports = await home.messages(role="inbox")
    assert len(reports) == 2
    assert all(f"postmaster@{DOMAIN}" in {person.email for person in report.from_list} for report in reports)
    assert home.clock() - (await home.submission(sent)).created_at > 5 * DAY


async def test_mail_whose_stored_bytes_were_changed_does_not_leave(home: Home) -> None:
    sent = await home.send()
    await home.tamper_with(sent)
    await home.settle()
    assert home.elsewhere.parcels == []
    assert await home.states(sent) == {BOB: "bounced"}
