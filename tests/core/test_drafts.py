"""Drafts: written, planned, sent once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core.home import Home, refused
from core.world import BOB
from posthouse.accounts.rights import Right
from posthouse.kit.clock import HOUR
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.mail import drafts as draft_rules
from posthouse.mail.drafts import FAILED, SCHEDULED
from posthouse.mail.filing import ANSWERED, DRAFT, FORWARDED, SEEN
from posthouse.outbound import scheduled
from posthouse.store import draft_plans
from posthouse.wire.compose import Attachment

CAT = "cat@elsewhere.example"


async def test_a_draft_lies_in_drafts_and_goes_nowhere(home: Home) -> None:
    draft = await home.draft(subject="Plan", bcc=CAT, labels=["urgent"])
    found = await home.written(draft)
    assert (found.message.subject, found.message.direction) == ("Plan", "draft")
    assert set(found.message.keywords) == {DRAFT, SEEN, "urgent"}
    assert [person.email for person in found.message.bcc_list] == [CAT]
    assert await home.roles(found.message.id) == {"drafts"}
    await home.later(days=1)
    assert home.elsewhere.parcels == []
    assert await home.told() == []


async def test_a_rewritten_draft_keeps_its_id_and_place_and_not_its_text(home: Home) -> None:
    draft = await home.draft(subject="One")
    after = await home.rewrite(await home.written(draft), subject="Two", labels=["x"])
    assert after.id == draft.id
    assert after.message_id != draft.message_id
    (message,) = await home.messages(role="drafts")
    assert (message.id, message.subject) == (after.message_id, "Two")
    assert set(message.keywords) == {DRAFT, SEEN, "x"}
    assert message.thread_id == (await home.written(draft)).message.thread_id


async def test_of_two_writers_of_one_text_the_later_is_told(home: Home) -> None:
    draft = await home.draft()
    before = await home.written(draft)
    await home.rewrite(before, subject="Two")
    with refused(Conflict, "changed_meanwhile"):
        await home.rewrite(before, subject="Three")
    with refused(Conflict, "changed_meanwhile"):
        await home.db.write(lambda tx: draft_rules.delete(tx, home.ann, before, home.clock()))
    assert (await home.written(draft)).message.subject == "Two"


async def test_a_sent_draft_is_no_draft_any_more(home: Home) -> None:
    draft = await home.draft(
        subject="Go", bcc=CAT, labels=["a", "b"], attachments=(Attachment("a.txt", "text/plain", b"x"),)
    )
    sent = await home.send_draft(draft, add=["c"], remove=["a"])
    with refused(NotFound, field="draft_id"):
        await home.written(draft)
    (message,) = await home.messages()
    assert (message.id, message.direction, message.subject) == (sent.message_id, "out", "Go")
    assert set(message.keywords) == {SEEN, "b", "c"}
    assert [part.filename for part in message.attachments] == ["a.txt"]
    assert sent.thread_id == message.thread_id
    await home.settle()
    assert len(home.elsewhere.got()) == len(home.elsewhere.got(CAT)) == 1
    with refused(NotFound, field="draft_id"):
        await home.send_draft(draft)


async def test_a_draft_sent_many_times_at_once_leaves_once(home: Home) -> None:
    draft = await home.draft()
    answers = await asyncio.gather(*(home.send_draft(draft) for _ in range(5)), return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert all(isinstance(each, Conflict | NotFound) for each in answers if isinstance(each, BaseException))
    await home.settle()
    assert len(home.elsewhere.got()) == 1


async def test_a_draft_that_is_refused_stays(home: Home) -> None:
    draft = await home.draft(to=())
    with refused(Invalid, "no_recipients"):
        await home.send_draft(draft)
    with refused(Forbidden, "missing_permission"):
        await home.send_draft(draft, by=home.bound(home.ann, rights=frozenset({Right.MESSAGE_SEND})))
    assert (await home.written(draft)).message.id == draft.message_id


async def test_an_answer_and_a_forward_mark_their_parents_when_they_are_sent(home: Home) -> None:
    asked = await home.receive()
    answer = await home.draft(kind="reply", parent=asked)
    forward = await home.draft(kind="forward", parent=asked)
    assert (await home.written(answer)).message.thread_id == asked.thread_id
    assert (await home.written(forward)).message.thread_id != asked.thread_id
    assert not {ANSWERED, FORWARDED} & set((await home.message(asked.id)).keywords)
    await home.send_draft(answer)
    await home.send_draft(forward)
    assert {ANSWERED, FORWARDED} <= set((await home.message(asked.id)).keywords)


# --- Levels


@pytest.mark.parametrize(
    ("writers", "sender", "held"),
    [
        (["gated"], None, True), (["read_only"], None, True), ([None], "gated", True), (["gated", None], None, True),
        ([None, "gated"], None, True), (["monitored"], None, False), (["autonomous", "monitored"], None, False),
    ],
)  # fmt: skip
async def test_the_strictest_level_of_all_who_wrote_it_holds_whoever_sends_it(
    home: Home, writers: list[str | None], sender: str | None, held: bool
) -> None:
    await home.set_level("autonomous")
    first, *others = [home.bound(home.ann, level=level) for level in writers]
    draft = await home.draft(by=first)
    for writer in others:
        await home.rewrite(await home.written(draft), by=writer, subject="Again")
    assert (await home.send_draft(draft, by=home.bound(home.ann, level=sender))).held is held


async def test_other_labels_leave_a_drafts_level_as_it_was(home: Home) -> None:
    draft = await home.draft()
    after = await home.rewrite(await home.written(draft), by=home.bound(home.ann, level="gated"), labels=["x"])
    assert (after.level, after.message_id) == (None, draft.message_id)


# --- Plans


async def test_a_planned_draft_leaves_at_its_time(home: Home) -> None:
    draft = await home.draft(send_at=home.clock() + HOUR)
    assert (draft.send_status, draft.send_at) == (SCHEDULED, home.clock() + HOUR)
    await home.later(minutes=59)
    assert home.elsewhere.parcels == []
    await home.later(minutes=1)
    assert len(home.elsewhere.got()) == 1
    await home.later(hours=2)
    assert len(home.elsewhere.got()) == 1
    assert await home.messages(role="drafts") == []


async def test_a_plan_that_is_taken_back_sends_nothing(home: Home) -> None:
    draft = await home.draft(send_at=home.clock() + HOUR)
    before = await home.written(draft)
    await home.db.write(lambda tx: draft_rules.schedule(tx, before, None, home.clock()))
    await home.later(hours=2)
    assert home.elsewhere.parcels == []
    assert (await home.written(draft)).draft.send_status is None


async def test_a_draft_sent_before_its_time_is_not_sent_again(home: Home) -> None:
    draft = await home.draft(send_at=home.clock() + HOUR)
    await home.send_draft(draft)
    await home.later(hours=2)
    assert len(home.elsewhere.got()) == 1


async def test_a_draft_thrown_away_before_its_time_is_not_sent(home: Home) -> None:
    draft = await home.draft(send_at=home.clock() + HOUR)
    before = await home.written(draft)
    await home.db.write(lambda tx: draft_rules.delete(tx, home.ann, before, home.clock()))
    await home.later(hours=2)
    assert (home.elsewhere.parcels, await home.messages()) == ([], [])


@pytest.mark.parametrize("end", ["revoked", "expired", "restricted", "read_only"])
async def test_a_plan_ends_with_the_rights_of_its_key(home: Home, end: str) -> None:
    key = await home.key(home.ann, expires_at=home.clock() + HOUR // 2 if end == "expired" else None)
    draft = await home.draft(by=key.bearer, send_at=home.clock() + HOUR)
    if end == "revoked":
        await home.revoke(key)
    elif end == "restricted":
        await home.restrict(key, [Right.DRAFT_CREATE])
    elif end == "read_only":
        await home.set_level("read_only")
    await home.later(hours=1)
    assert home.elsewhere.parcels == []
    assert (await home.written(draft)).draft.send_status == FAILED
    assert await home.db.read(draft_plans.next_due) is None


async def test_a_plan_under_a_gated_key_waits_for_the_owner_when_it_is_due(home: Home) -> None:
    await home.draft(by=home.bound(home.ann, level="gated"), send_at=home.clock() + HOUR)
    assert await home.pending() == []
    await home.later(hours=1)
    assert home.elsewhere.parcels == []
    (hold,) = await home.pending()
    await home.approve(hold.id)
    await home.settle()
    assert len(home.elsewhere.got()) == 1


async def test_who_may_not_send_drafts_plans_none(home: Home) -> None:
    reader = home.bound(home.ann, rights=frozenset({Right.DRAFT_CREATE}))
    with refused(Forbidden, "missing_permission"):
        await home.draft(by=reader, send_at=home.clock() + HOUR)
    with refused(Forbidden, "read_only", field="send_at"):
        await home.draft(by=home.bound(home.ann, level="read_only"), send_at=home.clock() + HOUR)
    assert await home.messages() == []


async def test_a_plan_that_fails_in_passing_is_tried_again(home: Home) -> None:
    home.submitter.limits = replace(home.submitter.limits, submissions_a_day=1)
    await home.send()
    draft = await home.draft(send_at=home.clock() + HOUR, to=CAT)
    await home.later(hours=1)
    assert (await home.written(draft)).draft.send_status != FAILED
    home.submitter.limits = replace(home.submitter.limits, submissions_a_day=2)
    await home.later(minutes=1)
    assert len(home.elsewhere.got(CAT)) == 1


async def test_a_planned_draft_says_what_its_last_writer_wrote(home: Home) -> None:
    draft = await home.draft(subject="One", send_at=home.clock() + HOUR)
    before = await home.written(draft)
    after = await home.rewrite(before, subject="Two")

    async def plan(tx):
        new = await scheduled.plan_for(tx, home.agent, home.ann, home.clock() + HOUR)
        await draft_rules.schedule(tx, replace(before, draft=after), new, home.clock())

    await home.db.write(plan)
    await home.later(hours=1)
    (parcel,) = home.elsewhere.got(BOB)
    assert b"Subject: Two" in parcel.raw
