"""The first results under a filter are the beginning of all of them, whichever index they are read from."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from posthouse.mail import filing, indexing
from posthouse.mail.journal import changing
from posthouse.store import listing, mailboxes, messages, sorting, walking
from posthouse.store.database import Database, Tx
from posthouse.store.filters import Comparator, Condition, Filter, Match, Operator
from posthouse.store.walking import Bounds
from store.builders import AT, house, mail, receive

WORDS = ("alpha", "beta", "gamma", "delta")
KEYWORDS = ("$seen", "$flagged", "Urgent", "late")
WRITERS = ("Bob Brown <bob@example.org>", "zoe@example.org", "Ann <ann.other@example.net>", "Émile <e@example.org>")
# So small that every way of reading is gone, and given up.
SMALL = Bounds(few=12, sample=4, least=5, most=16, patience=15, asked=15)
SORTS = [
    [Comparator("receivedAt", is_ascending=False)],
    [Comparator("receivedAt")],
    [Comparator("size", is_ascending=False)],
    [Comparator("size"), Comparator("receivedAt", is_ascending=False)],
    [Comparator("subject")],
    [Comparator("subject", is_ascending=False), Comparator("receivedAt", is_ascending=False)],
    [Comparator("from"), Comparator("subject")],
    [Comparator("hasKeyword", False, "$flagged"), Comparator("receivedAt", is_ascending=False)],
    [Comparator("hasKeyword", True, "urgent")],
    [Comparator("sentAt")],
    [Comparator("receivedAt"), Comparator("size", is_ascending=False)],
]


async def _fill(db: Database, chance: random.Random, count: int) -> dict[str, str]:
    await house(db, "ann")
    boxes = {box.role or "": box.id for box in await db.read(lambda tx: mailboxes.all_of(tx, "ann"))}
    for number in range(count):
        subject = (
            f"{chance.choice(['', 'Re: '])}{chance.choice(WORDS)} {chance.choice(['', 'x' * 50 + 'ab'[number % 2]])}"
        )
        made = await receive(
            db,
            "ann",
            mail(subject, body=" ".join(chance.choices(WORDS, k=2)), from_=chance.choice(WRITERS)),
            # Out of order, and several in one second.
            at=AT + chance.randrange(20) * 400,
        )

        async def unit(tx: Tx, id_: str = made.id) -> None:
            async with changing(tx, "ann", AT) as journal:
                message = await messages.get(tx, "ann", id_)
                assert message is not None
                marked = [word for word in KEYWORDS if chance.random() < 0.4]
                message = await filing.set_keywords(tx, journal, message, marked)
                wanted = chance.sample([boxes["inbox"], boxes["archive"], boxes["trash"]], chance.choice([1, 1, 2]))
                await filing.move(tx, journal, message, wanted)

        await db.write(unit)
    await indexing.drain(db, "ann")
    return boxes


def _filters(boxes: dict[str, str]) -> list[Filter | None]:
    inbox, trash = Condition(in_mailbox=boxes["inbox"]), Condition(in_mailbox=boxes["trash"])
    return [
        None,
        inbox,
        Condition(in_mailbox=boxes["drafts"]),
        Condition(in_mailbox=boxes["inbox"], has_keyword="$flagged"),
        Condition(has_keyword="urgent", not_keyword="$seen"),
        Condition(in_mailbox=boxes["trash"], not_keyword="$seen", before=AT + 5_000, after=AT + 1_000),
        Condition(text="alpha"),
        Condition(in_mailbox=boxes["trash"], text="beta", has_keyword="late"),
        Condition(subject="gamma", from_="bob"),
        Condition(from_="example.org", to="ann"),
        Condition(from_="emile"),
        Condition(text="nowhere"),
        Condition(text="..."),
        Operator("AND", (inbox, trash)),
        Operator("OR", (Condition(text="alpha"), Condition(from_="zoe@example.org"))),
        Operator("AND", (inbox, Operator("NOT", (Condition(text="alpha"), Condition(body="beta"))))),
        Operator("OR", (Condition(text="delta"), trash)),
        Operator("NOT", (Condition(text="..."),)),
        Operator("AND", (Condition(text="alpha"), Operator("OR", (trash, Condition(min_size=400))))),
        Condition(roles=("inbox",), without_roles=("trash",)),
        Condition(keywords=("Urgent",), without_keywords=("late", "$seen"), subject_contains=("ALPHA",)),
        Operator("AND", (Condition(directions=("in",)), Operator("NOT", (Condition(roles=("inbox", "trash")),)))),
    ]


def _collapsed(found: Sequence[Match]) -> list[Match]:
    seen: dict[str, Match] = {}
    for match in found:
        seen.setdefault(match.thread_id, match)
    return list(seen.values())


@pytest.mark.parametrize("bounds", [Bounds(), SMALL], ids=["usual", "small"])
async def test_the_first_results_are_the_beginning_of_all_results(db: Database, bounds: Bounds) -> None:
    boxes = await _fill(db, random.Random(5), 90)
    for (number, filter_), sort, collapse in itertools.product(enumerate(_filters(boxes)), SORTS, (False, True)):

        async def unit(tx: Tx, filter_: Any = filter_, sort: Any = sort, collapse: bool = collapse) -> Any:
            everything = await sorting.ids(tx, "ann", filter_, sort)
            counted = await sorting.count(tx, "ann", filter_, collapse=collapse)
            return (
                everything,
                counted,
                [
                    await walking.first(tx, "ann", filter_, sort, wanted, collapse=collapse, bounds=bounds)
                    for wanted in (0, 1, 7, 200)
                ],
            )

        everything, counted, found = await db.read(unit)
        expected = _collapsed(everything) if collapse else everything
        assert counted == len(expected), number
        for wanted, some in zip((0, 1, 7, 200), found, strict=True):
            assert some == expected[:wanted], (number, sort, collapse, wanted)


async def test_a_page_takes_every_filter_that_a_window_takes(db: Database) -> None:
    boxes = await _fill(db, random.Random(6), 40)

    async def unit(tx: Tx) -> None:
        for number, filter_ in enumerate(_filters(boxes)):
            wanted = filter_ or Condition()
            everything = [match.id for match in await sorting.ids(tx, "ann", wanted, SORTS[0])]
            first = [message.id for message in await listing.messages(tx, "ann", wanted, limit=7)]
            every = [message.id for message in await listing.messages(tx, "ann", wanted, ascending=True, limit=100)]
            assert (first, every) == (everything[:7], everything[::-1]), number

    await db.read(unit)


async def test_addresses_are_looked_for_in_their_own_field(db: Database) -> None:
    await house(db, "ann")
    raw = mail("one", from_="Wolf Lion <bear@zoo.test>", to="Puma <puma@zoo.test>", cc="elk@zoo.test", body="tiger")
    made = await receive(db, "ann", raw)
    await indexing.drain(db, "ann")
    for condition, is_found in (
        (Condition(from_="wolf"), True), (Condition(from_="bear@zoo"), True), (Condition(from_="lion wolf"), True),
        (Condition(from_="puma"), False), (Condition(to="puma"), True), (Condition(to="elk"), False),
        (Condition(cc="elk@zoo.test"), True), (Condition(cc="puma"), False), (Condition(bcc="elk"), False),
        (Condition(from_="tiger"), False), (Condition(text="elk"), True), (Condition(from_="bear zoo", cc="elk"), True),
    ):  # fmt: skip
        found = await db.read(lambda tx, c=condition: sorting.ids(tx, "ann", c, SORTS[0]))
        assert [match.id for match in found] == ([made.id] if is_found else []), condition
