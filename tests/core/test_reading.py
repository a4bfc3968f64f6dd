"""Reading: pages, windows, threads, filters and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.home import Home, refused
from posthouse.accounts import reach
from posthouse.accounts.reach import Reach
from posthouse.kit.errors import NotFound
from posthouse.kit.ids import latest_id
from posthouse.mail import history, indexing, marking, reading, searching, visibility, windows
from posthouse.mail.filing import FLAGGED, SEEN
from posthouse.mail.journal import EMAIL, changing
from posthouse.mail.marking import Patch
from posthouse.mail.windows import Query
from posthouse.store import mailboxes
from posthouse.store.changes import Position
from posthouse.store.database import Tx
from posthouse.store.filters import Comparator, Condition, Filter, Operator
from posthouse.store.messages import Message
from store.builders import deliver, mail

NEWEST = (Comparator("receivedAt", is_ascending=False),)


async def fill(home: Home, *subjects: str, **given: Any) -> list[Message]:
    """Mails filed one second after another, oldest first."""
    made = []
    for subject in subjects:
        home.clock.forward(seconds=1)
        at = home.clock()
        raw = mail(subject, message_id=f"{subject}@x.example".replace(" ", "."), **given)
        made.append(await home.db.write(lambda tx, raw=raw, at=at: deliver(tx, home.ann.id, raw, at=at)))
    return made


async def page(home: Home, limit: int = 100, after: Any = None, **filter_: Any) -> tuple[list[str], Any]:
    """A page of ids, newest first unless said otherwise, and where to go on."""
    ascending = filter_.pop("ascending", False)
    found, more = await home.db.read(
        lambda tx: reading.page(tx, home.ann.id, Condition(**filter_), after=after, ascending=ascending, limit=limit)
    )
    return [message.id for message in found], more


async def window(
    home: Home, node: Filter | None = None, *, position: int = 0, limit: int = 100, sort: Sequence[Comparator] = NEWEST,
    collapse: bool = False,
) -> tuple[list[str], int]:  # fmt: skip
    """The ids at a position, and how many there are in all."""

    query = Query(node, tuple(sort), collapse)

    async def unit(tx: Tx) -> tuple[list[str], int]:
        _, found = await windows.window(tx, home.ann.id, query, position=position, limit=limit)
        return found, await windows.total(tx, home.ann.id, query)

    return await home.db.read(unit)


async def mark(home: Home, message: Message, **patch: Any) -> None:
    """Change a message on a caller's behalf."""

    async def unit(tx: Tx) -> None:
        async with changing(tx, home.ann.id, home.clock()) as journal:
            found, _ = await reading.get(tx, home.ann.id, message.id)
            await marking.apply(tx, journal, found, Patch(**patch))

    await home.db.write(unit)


def ids(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


@pytest.mark.parametrize("ascending", [False, True])
async def test_pages_follow_each_other_without_gap_or_repetition(home: Home, ascending: bool) -> None:
    made = ids(await fill(home, *"abcde"))
    seen, after = [], None
    for size in (2, 2, 1):
        found, after = await page(home, 2, after, ascending=ascending)
        assert len(found) == size
        seen += found
    assert after is None
    assert seen == (made if ascending else made[::-1])


async def test_mail_that_arrives_in_the_middle_of_a_walk_disturbs_no_page(home: Home) -> None:
    made = ids(await fill(home, *"abcd"))
    first, after = await page(home, 2)
    await fill(home, "e")
    second, more = await page(home, 2, after)
    assert (first + second, more) == (made[::-1], None)


async def test_mails_of_one_instant_are_told_apart_by_their_ids(home: Home) -> None:
    at = home.clock()
    made = [(await home.db.write(lambda tx, n=n: deliver(tx, home.ann.id, mail(f"m{n}"), at=at))).id for n in range(5)]
    seen, after = [], None
    while True:
        found, after = await page(home, 2, after)
        seen += found
        if after is None:
            break
    assert seen == sorted(made, reverse=True)


async def test_a_page_is_of_one_account(home: Home) -> None:
    carl = await home.account("carl")
    (mine,) = await fill(home, "mine")
    await home.db.write(lambda tx: deliver(tx, carl.id, mail("carls"), at=home.clock()))
    assert await page(home) == ([mine.id], None)
    with refused(NotFound, field="message_id"):
        await home.db.read(lambda tx: reading.get(tx, carl.id, mine.id))
    with refused(NotFound, field="thread_id"):
        await home.db.read(lambda tx: reading.get_thread(tx, carl.id, mine.thread_id))


async def test_a_window_has_a_position_and_the_total(home: Home) -> None:
    made = ids(await fill(home, *"abcde"))[::-1]
    assert await window(home, position=0, limit=2) == (made[:2], 5)
    assert await window(home, position=3, limit=2) == (made[3:], 5)
    assert await window(home, position=9) == ([], 5)


async def test_a_window_is_counted_from_behind_the_last_result_as_well(home: Home) -> None:
    made = ids(await fill(home, *"abcde"))[::-1]
    assert await window(home, position=-2) == (made[3:], 5)
    assert await window(home, position=-4, limit=2) == (made[1:3], 5)
    assert await window(home, position=-9, limit=2, collapse=True) == (made[:2], 5)


async def test_what_may_have_changed_of_a_window_is_told(home: Home) -> None:
    made = await fill(home, *"abc")
    query = Query(Condition(has_keyword="urgent"))
    since = Position((await home.db.read(lambda tx: history.current(tx, home.ann.id, [EMAIL])))[EMAIL])
    await mark(home, made[1], add=["urgent"])
    (new,) = await fill(home, "d")
    found = await home.db.read(lambda tx: windows.changed(tx, home.ann.id, query, since))
    assert found is not None
    assert (found.ids, found.older, found.log.created) == ([made[1].id], {made[1].id}, (new.id,))
    ahead = Position(found.log.position.modseq + 1)
    assert await home.db.read(lambda tx: windows.changed(tx, home.ann.id, query, ahead)) is None


async def test_what_is_hidden_from_a_caller_is_not_there_for_it(home: Home) -> None:
    first, other = await fill(home, "one", "two")
    (answer,) = await fill(home, "Re: one", references=["one@x.example"])
    await mark(home, answer, move_to="trash")
    await mark(home, other, move_to="junk")
    hidden = {visibility.TRASH, visibility.JUNK}
    with refused(NotFound, field="message_id"):
        await home.db.read(lambda tx: reading.get_shown(tx, home.ann.id, answer.id, hidden))
    assert (await home.db.read(lambda tx: reading.get_shown(tx, home.ann.id, answer.id, set())))[0].id == answer.id
    within = Reach(home.organization_id, None, None)
    account, _, seen = await home.db.read(lambda tx: reach.thread(tx, within, first.thread_id, hidden))
    assert (account.id, ids(seen)) == (home.ann.id, [first.id])
    with refused(NotFound, field="thread_id"):
        await home.db.read(lambda tx: reach.thread(tx, within, other.thread_id, hidden))
    with refused(NotFound, field="thread_id"):
        await home.db.read(lambda tx: reach.thread(tx, Reach("another", None, None), first.thread_id, ()))


async def test_a_message_is_found_by_its_message_id_with_brackets_or_without(home: Home) -> None:
    (first,) = await fill(home, "one")
    (answer,) = await fill(home, "Re: one", references=["one@x.example", "gone@x.example"])
    for given in ("one@x.example", "<one@x.example>"):
        assert await home.db.read(lambda tx, given=given: reading.id_of_header(tx, home.ann.id, given)) == first.id
    with refused(NotFound, field="message_id"):
        await home.db.read(lambda tx: reading.id_of_header(tx, home.ann.id, "gone@x.example"))
    named = await home.db.read(lambda tx: reading.named_by(tx, home.ann.id, [first, answer]))
    assert named == {"one@x.example": first.id}


async def test_a_window_of_threads_has_the_first_message_of_each(home: Home) -> None:
    first, other = await fill(home, "one", "two")
    (answer,) = await fill(home, "Re: one", references=["one@x.example"])
    assert answer.thread_id == first.thread_id
    assert await window(home, collapse=True) == ([answer.id, other.id], 2)


async def test_a_thread_is_read_oldest_first(home: Home) -> None:
    first, _ = await fill(home, "one", "two")
    (answer,) = await fill(home, "Re: one", references=["one@x.example"])
    found = await home.db.read(lambda tx: reading.get_thread(tx, home.ann.id, first.thread_id))
    assert ids(found.messages) == [first.id, answer.id]


async def test_a_walk_through_threads_comes_to_one_that_mail_reaches_meanwhile(home: Home) -> None:
    made = [message.thread_id for message in await fill(home, *"abcd")]
    begun = latest_id()

    async def step(after: Any) -> tuple[list[str], Any]:
        found, more = await home.db.read(
            lambda tx: reading.thread_walk(
                tx, [home.ann.id], Condition(), as_of=begun, after=after, ascending=False, limit=2
            )
        )
        return [each.thread.id for each in found], more

    first, after = await step(None)
    await fill(home, "Re: a", references=["a@x.example"])
    await fill(home, "new")
    second, more = await step(after)
    assert (first + second, more) == (made[::-1], None)


# One question in the words of each of the two ways in which messages are looked for.
async def _questions(home: Home, made: Sequence[Message]) -> list[tuple[str, Condition, Filter]]:
    async def unit(tx: Tx) -> dict[str | None, str]:
        return {mailbox.role: mailbox.id for mailbox in await mailboxes.all_of(tx, home.ann.id)}

    roles = await home.db.read(unit)
    middle = made[2].received_at
    return [
        ("all", Condition(), Condition()),
        ("unread", Condition(without_keywords=(SEEN,)), Condition(not_keyword=SEEN)),
        ("flagged", Condition(keywords=(FLAGGED,)), Condition(has_keyword=FLAGGED)),
        ("label", Condition(keywords=("urgent",)), Condition(has_keyword="urgent")),
        ("after", Condition(after=middle), Condition(after=middle)),
        ("before", Condition(before=middle), Condition(before=middle)),
        ("trash", Condition(roles=("trash",)), Condition(in_mailbox=roles["trash"])),
        ("not trash", Condition(without_roles=("trash",)), Condition(in_mailbox_other_than=(roles["trash"],))),
        (
            "both",
            Condition(keywords=(FLAGGED,), without_keywords=("urgent",)),
            Operator("AND", (Condition(has_keyword=FLAGGED), Condition(not_keyword="urgent"))),
        ),
        ("none", Condition(keywords=("nothing",)), Condition(has_keyword="nothing")),
    ]  # fmt: skip


async def test_both_ways_of_looking_find_the_same(home: Home) -> None:
    made = await fill(home, *"abcdef")
    await mark(home, made[0], add=[SEEN, FLAGGED])
    await mark(home, made[1], add=[FLAGGED, "urgent"])
    await mark(home, made[2], add=["urgent"])
    await mark(home, made[3], move_to="trash")
    sizes = {}
    for name, filter_, node in await _questions(home, made):
        found = await home.db.read(
            lambda tx, filter_=filter_: reading.page(tx, home.ann.id, filter_, after=None, ascending=False, limit=100)
        )
        every = await home.db.read(lambda tx, node=node: windows.everything(tx, home.ann.id, Query(node)))
        expected = ids(found[0])
        assert await window(home, node) == (expected, len(expected)), name
        assert every == expected, name
        sizes[name] = len(expected)
    assert sizes == {
        "all": 6, "unread": 5, "flagged": 2, "label": 2, "after": 4, "before": 2, "trash": 1, "not trash": 5,
        "both": 1, "none": 0,
    }  # fmt: skip


async def test_texts_are_looked_for_in_either_case_and_taken_literally(home: Home) -> None:
    made = await fill(home, "Invoice 100%", "invoice 100 of 200", "Rechnung_7", "Rechnung 7")
    assert (await page(home, subject_contains=("INVOICE",)))[0] == [made[1].id, made[0].id]
    assert (await page(home, subject_contains=("100%",)))[0] == [made[0].id]
    assert (await page(home, subject_contains=("g_7",)))[0] == [made[2].id]
    assert (await page(home, from_contains=("BOB@example",)))[0] == ids(made)[::-1]
    assert (await page(home, to_contains=("nobody",)))[0] == []


async def test_words_are_found_best_first_and_shown_where_they_are(home: Home) -> None:
    quiet, loud = await fill(home, "garden", "harvest")
    (body,) = await fill(home, "other", body="A garden at last. Gardens everywhere.")
    await searching.index(home.db, [home.ann.id])

    async def find(query: str, limit: int = 10, position: Any = None) -> tuple[list[searching.Hit], Any]:
        return await home.db.read(
            lambda tx: searching.find_messages(
                tx, [home.ann.id], query, visible=lambda message: True, after=None, before=None, position=position,
                limit=limit,
            )
        )  # fmt: skip

    found, more = await find("garden")
    assert ({hit.message.id for hit in found}, more) == ({quiet.id, body.id}, None)
    assert found[0].message.id == quiet.id
    assert (await searching.highlights(found, "garden"))[0].subject == ("**garden**",)
    assert any("**garden**" in piece for piece in (await searching.highlights(found, "garden"))[1].text)
    first, position = await find("garden", 1)
    rest, more = await find("garden", 1, position)
    assert ([hit.message.id for hit in (*first, *rest)], more) == ([hit.message.id for hit in found], None)
    assert (await find("garden harvest"))[0] == []
    assert [hit.message.id for hit in (await find("harvest"))[0]] == [loud.id]


async def test_what_the_caller_may_not_see_is_not_found(home: Home) -> None:
    made = await fill(home, "garden one", "garden two", "garden three")
    await searching.index(home.db, [home.ann.id])
    found, _ = await home.db.read(
        lambda tx: searching.find_messages(
            tx, [home.ann.id], "garden", visible=lambda message: message.id != made[1].id, after=None, before=None,
            position=None, limit=2,
        )
    )  # fmt: skip
    assert [hit.message.id for hit in found] == [made[2].id, made[0].id]


async def test_words_and_windows_find_the_same_messages(home: Home) -> None:
    made = await fill(home, "garden one", "orchard", "garden two")
    await indexing.drain(home.db, home.ann.id)
    assert await window(home, Condition(text="garden")) == ([made[2].id, made[0].id], 2)
    assert await window(home, Condition(subject="orchard")) == ([made[1].id], 1)
    assert await window(home, Operator("NOT", (Condition(text="garden"),))) == ([made[1].id], 1)


async def test_a_message_is_marked_and_moved_and_comes_back(home: Home) -> None:
    (message,) = await fill(home, "a")
    await mark(home, message, add=[SEEN, "label"], move_to="trash")
    assert await home.roles(message.id) == {"trash"}
    assert set((await home.message(message.id)).keywords) == {SEEN, "label"}
    await mark(home, message, remove=["label"], take_from=["trash"])
    assert await home.roles(message.id) == {"inbox"}
    assert (await home.message(message.id)).keywords == (SEEN,)


async def test_a_destroyed_message_is_found_nowhere(home: Home) -> None:
    kept, gone = await fill(home, "garden kept", "garden gone")
    await indexing.drain(home.db, home.ann.id)
    await home.destroy(gone)
    assert await page(home) == ([kept.id], None)
    assert await window(home, Condition(text="garden")) == ([kept.id], 1)
    with refused(NotFound, field="message_id"):
        await home.db.read(lambda tx: reading.get(tx, home.ann.id, gone.id))
