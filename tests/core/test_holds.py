"""Mail that waits for its owner."""

from __future__ import annotations

import pytest

from core.home import Home, once, raw_mail, refused, stored_mail
from core.world import BOB
from posthouse.kit.clock import DAY, HOUR
from posthouse.kit.errors import Conflict, Forbidden, NotFound, OverQuota
from posthouse.kit.principal import Principal
from posthouse.mail.filing import HELD
from posthouse.outbound import approvals, guard, holding, suppressions
from posthouse.store import messages
from posthouse.wire.compose import Attachment
from store.builders import DOMAIN, mail


@pytest.fixture
async def home(home: Home) -> Home:
    """A house whose inbox is gated."""
    await home.set_level("gated")
    return home


async def test_approved_mail_leaves_as_the_very_bytes_that_were_held(home: Home) -> None:
    sent = await home.send(subject="Signed")
    held = await home.bytes_of(await home.message(sent.message_id))
    (hold,) = await home.pending()
    assert (hold.id, hold.submission_id, hold.findings[0]) == (sent.hold_id, sent.submission_id, guard.GATED)
    decided = await home.approve(hold.id)
    assert (decided.state, decided.decided_by) == ("approved", "owner")
    await home.settle()
    assert [parcel.raw for parcel in home.elsewhere.got()] == [held]
    message = await home.message(sent.message_id)
    assert (HELD in message.keywords, message.delivery_state) == (False, "delivered")
    assert await home.roles(message.id) == {"sent"}
    assert await home.pending() == []
    assert await home.told() == ["message.held", "message.sent", "message.delivered"]


async def test_rejected_mail_lies_in_drafts_and_never_leaves(home: Home) -> None:
    sent = await home.send()
    decided = await home.reject(sent.hold_id, "not this way")
    assert (decided.state, decided.reason) == ("rejected", "not this way")
    await home.later(days=10)
    assert home.elsewhere.parcels == []
    message = await home.message(sent.message_id)
    assert (HELD in message.keywords, message.delivery_state) == (False, "rejected")
    assert await home.roles(message.id) == {"drafts"}
    assert await home.states(sent) == {BOB: "canceled"}
    assert (await home.submission(sent)).state == "rejected"
    told = await home.events()
    assert [event.type for event in told] == ["message.held", "message.rejected"]
    assert told[1].payload["reason"] == "not this way"


async def test_a_decision_is_made_once(home: Home) -> None:
    first, second = await home.send(), await home.send()
    await home.approve(first.hold_id)
    await home.reject(second.hold_id)
    for hold_id in (first.hold_id, second.hold_id):
        with refused(Conflict, "decided"):
            await home.approve(hold_id)
        with refused(Conflict, "decided"):
            await home.reject(hold_id)
    await home.settle()
    assert len(home.elsewhere.parcels) == 1


async def test_nobody_but_the_owner_decides(home: Home) -> None:
    sent = await home.send()
    for who in (home.agent, Principal(home.organization_id), (await home.key()).bearer):
        with refused(Forbidden, "owner_only"):
            await home.approve(sent.hold_id, by=who)
        with refused(Forbidden, "owner_only"):
            await home.reject(sent.hold_id, by=who)
    assert len(await home.pending()) == 1


async def test_a_hold_of_another_organisation_is_not_there(home: Home) -> None:
    sent = await home.send()
    stranger = Principal(await home.organization(), is_owner=True)
    with refused(NotFound):
        await home.approve(sent.hold_id, by=stranger)
    with refused(NotFound):
        await approvals.find(home.db, stranger, sent.hold_id or "")
    assert (await approvals.waiting(home.db, stranger))[0] == []
    with refused(NotFound):
        await home.approve("nothing")


async def test_held_mail_is_not_carried_whatever_time_passes(home: Home) -> None:
    sent = await home.send()
    await home.later(days=13)
    assert home.elsewhere.got() == []
    await home.approve(sent.hold_id)
    # Its days of being tried begin when it leaves.
    assert (await home.submission(sent)).expires_at > home.clock() + 4 * DAY
    await home.settle()
    assert await home.states(sent) == {BOB: "delivered"}


async def test_bytes_that_were_changed_are_neither_shown_nor_approved(home: Home) -> None:
    sent = await home.send()
    await home.tamper_with(sent)
    with refused(Forbidden, "tampered"):
        await home.shown(sent.hold_id)
    with refused(Forbidden, "tampered"):
        await home.approve(sent.hold_id)
    await home.settle()
    assert home.elsewhere.parcels == []


async def test_bytes_that_are_changed_after_the_approval_do_not_leave(home: Home) -> None:
    sent = await home.send()
    await home.approve(sent.hold_id)
    await home.tamper_with(sent)
    await home.settle()
    assert home.elsewhere.parcels == []
    assert await home.states(sent) == {BOB: "bounced"}


@pytest.mark.parametrize("column", ["recipient", "mail_from"])
async def test_an_envelope_that_was_changed_is_not_approved(home: Home, column: str) -> None:
    sent = await home.send()
    table, key = ("delivery", "submission_id") if column == "recipient" else ("submission", "id")
    await home.db.write(
        lambda tx: tx.run(
            f"UPDATE {table} SET {column} = :value WHERE {key} = :id", value="eve@far.example", id=sent.submission_id
        )
    )
    with refused(Forbidden, "tampered"):
        await home.approve(sent.hold_id)


async def test_held_mail_that_was_destroyed_cannot_be_approved(home: Home) -> None:
    sent = await home.send()
    message = await home.message(sent.message_id)
    await home.destroy(message)
    with refused(NotFound):
        await home.approve(sent.hold_id)
    assert await home.db.read(lambda tx: messages.get(tx, home.ann.id, message.id)) is None
    await home.settle()
    assert home.elsewhere.parcels == []


async def test_the_owner_is_shown_all_that_leaves(home: Home) -> None:
    sent = await home.send(
        to=BOB, cc="cat@elsewhere.example", bcc="dan@far.example", reply_to="eve@far.example", subject="Terms",
        text="As agreed.\n", html="<p>As agreed.</p><p style='display:none'>And my soul.</p>",
        attachments=(Attachment("terms.txt", "text/plain", b"one\n"),), headers=(("X-Ref", "7"),),
    )  # fmt: skip
    shown = await home.shown(sent.hold_id)
    assert (shown.inbox, shown.subject, shown.surface) == (home.ann.main_address, "Terms", "agentmail")
    assert set(shown.recipients) == {BOB, "cat@elsewhere.example", "dan@far.example"}
    assert (shown.to, shown.cc) == ((BOB,), ("cat@elsewhere.example",))
    assert (shown.bcc, shown.reply_to) == (("dan@far.example",), ("eve@far.example",))
    assert shown.text.strip() == "As agreed."
    assert shown.html_text is not None
    assert "my soul" not in shown.html_text
    assert any("my soul" in text for _, text in shown.hidden)
    assert [(each.name, each.size_bytes) for each in shown.attachments] == [("terms.txt", 4)]
    assert ("Reply-To", "eve@far.example") in shown.directing
    assert ("X-Ref", "7") in shown.headers
    assert shown.size_bytes == len(await home.bytes_of(await home.message(sent.message_id)))
    assert shown.send_at is None


async def test_what_is_shown_can_be_printed_anywhere(home: Home) -> None:
    raw = mail("Re\x1b[2Jset", from_=home.ann.main_address, to=BOB, body="one\x1b]0;x\x07\u202etwo")
    sent = await home.submit(raw_mail(raw))
    shown = await home.shown(sent.hold_id)
    assert not any(sign in shown.subject + shown.text for sign in "\x1b\x07\u202e")


async def test_what_waits_longest_is_shown_first_in_pages(home: Home) -> None:
    made = []
    for _ in range(3):
        made.append((await home.send()).hold_id)
        home.clock.forward(seconds=1)
    first, total = await approvals.waiting(home.db, home.owner, limit=2)
    rest, _ = await approvals.waiting(home.db, home.owner, after=(first[-1].created_at, first[-1].id), limit=2)
    assert total == 3
    assert [hold.id for hold in (*first, *rest)] == made


async def test_mail_taken_back_by_its_sender_is_no_longer_the_owners_question(home: Home) -> None:
    sent = await home.send()
    assert await home.take_back(sent)
    assert await home.pending() == []
    with refused(Conflict, "decided"):
        await home.approve(sent.hold_id)
    assert not await home.take_back(sent)
    await home.settle()
    assert home.elsewhere.parcels == []


async def test_mail_that_has_been_carried_is_not_taken_back(home: Home) -> None:
    sent = await home.send()
    await home.approve(sent.hold_id)
    await home.settle()
    assert not await home.take_back(sent)


async def test_approved_mail_that_was_planned_for_later_still_waits_for_its_time(home: Home) -> None:
    draft = await home.draft()
    sent = await home.submit(stored_mail(draft.message_id, send_at=home.clock() + HOUR))
    assert sent.held
    assert (await home.shown(sent.hold_id)).send_at == home.clock() + HOUR
    await home.approve(sent.hold_id)
    await home.later(minutes=59)
    assert home.elsewhere.parcels == []
    await home.later(minutes=1)
    assert len(home.elsewhere.parcels) == 1


async def test_mail_planned_for_a_time_that_passed_while_it_waited_leaves_when_it_is_approved(home: Home) -> None:
    draft = await home.draft()
    sent = await home.submit(stored_mail(draft.message_id, send_at=home.clock() + HOUR))
    await home.later(hours=2)
    await home.approve(sent.hold_id)
    await home.settle()
    assert len(home.elsewhere.parcels) == 1


async def test_an_inbox_has_so_much_waiting_and_no_more(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MAX_OF_ACCOUNT", 2)
    first = await home.send()
    await home.send()
    with refused(OverQuota, "too_many_held"):
        await home.send()
    assert len(await home.messages()) == 2
    await home.reject(first.hold_id)
    await home.send()


async def test_a_key_has_so_much_waiting_in_all_its_inboxes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MAX_OF_KEY", 2)
    carl = await home.account("carl", level="gated")
    key = (await home.key()).bearer
    await home.send(by=key)
    await home.send(by=key, account=carl)
    with refused(OverQuota, "too_many_held"):
        await home.send(by=key)
    await home.send()


async def test_automatic_answers_take_but_a_part_of_the_room(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "MAX_AUTOMATIC", 1)
    await home.send(is_automatic=True)
    with refused(OverQuota, "too_many_held"):
        await home.send(is_automatic=True)
    await home.send()


async def test_a_suppressed_recipient_of_held_mail_stays_out_when_it_is_approved(home: Home) -> None:
    await home.db.write(lambda tx: suppressions.add(tx, home.ann, "cat@elsewhere.example", "manual", home.clock()))
    sent = await home.send(to=[BOB, "cat@elsewhere.example"])
    assert (await home.shown(sent.hold_id)).suppressed == ("cat@elsewhere.example",)
    await home.approve(sent.hold_id)
    await home.settle()
    assert await home.states(sent) == {BOB: "delivered", "cat@elsewhere.example": "suppressed"}


async def test_a_repeated_request_asks_the_owner_once(home: Home) -> None:
    first, second = await home.send(once=once()), await home.send(once=once())
    assert (second.replayed, second.held, second.hold_id) == (True, True, first.hold_id)
    assert len(await home.pending()) == 1


async def test_the_owners_own_mail_waits_too_where_the_inbox_is_gated(home: Home) -> None:
    assert (await home.send(by=home.owner)).held
    house = Principal.house(home.organization_id)
    assert not (await home.send(by=house)).held


async def test_loosening_the_level_lets_nothing_go_that_waits(home: Home) -> None:
    await home.send()
    await home.set_level("autonomous")
    await home.settle()
    assert home.elsewhere.parcels == []
    assert len(await home.pending()) == 1


async def test_held_mail_within_the_house_is_deposited_when_it_is_approved(home: Home) -> None:
    carl = await home.account("carl")
    sent = await home.send(to=f"carl@{DOMAIN}")
    await home.settle()
    assert await home.messages(carl) == []
    await home.approve(sent.hold_id)
    await home.settle()
    assert len(await home.messages(carl, "inbox")) == 1
