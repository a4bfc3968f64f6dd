"""Lists: every filter means what it says, and pages neither skip nor repeat while mail comes in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from posthouse.kit.errors import NotFound
from posthouse.kit.ids import latest_id, new_id
from posthouse.mail import reading
from posthouse.store import listing
from posthouse.store.database import Database, Tx
from posthouse.store.filters import Condition
from posthouse.store.listing import Within
from posthouse.store.messages import Message
from store.builders import AT, deliver, destroy, house, mail, mark, receive


async def _ids(db: Database, account_id: str = "ann", **values: Any) -> list[str]:
    found = await db.read(lambda tx: listing.messages(tx, account_id, Condition(**values), limit=1_000))
    return [message.id for message in found]


async def _subjects(db: Database, **values: Any) -> list[str]:
    found = await db.read(lambda tx: listing.messages(tx, "ann", Condition(**values), ascending=True, limit=1_000))
    return [message.subject for message in found]


# --- what a filter means


@dataclass(frozen=True)
class _Mail:
    """A message of the model."""

    id: str
    received_at: int
    keywords: frozenset[str]
    roles: frozenset[str]
    direction: str
    delivery_state: str | None
    from_: str
    to: str
    cc: str
    subject: str


_WORDS = ("$seen", "$flagged", "a", "B")
_ROLES = ("inbox", "sent", "archive", "junk", "trash")
_NAMES = ("Bob <bob@x.test>", '"100% _sure_" <p@x.test>', "Élodie <e@x.test>", '"Doe, J." <doe@x.test>')
_PARTS = ("bob", "X.TEST", "100%", "_sure_", "Élodie", "doe,", "zz", "@")
_SUBJECTS = ("Lunch", "50% off", "5000 off", "a_b", "axb", "c\\d", 'it\'s "so"', "ÉTÉ", "été")


def _lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def _holds(one: _Mail, wanted: Condition) -> bool:
    def within(text: str, parts: Sequence[str]) -> bool:
        return all(_lower(part) in _lower(text) for part in parts)

    return (
        set(wanted.keywords) <= one.keywords
        and not set(wanted.without_keywords) & one.keywords
        and set(wanted.roles) <= one.roles
        and not set(wanted.without_roles) & one.roles
        and (not wanted.directions or one.direction in wanted.directions)
        and (not wanted.delivery_states or one.delivery_state in wanted.delivery_states)
        and one.delivery_state not in wanted.without_delivery_states
        and (wanted.after is None or one.received_at >= wanted.after)
        and (wanted.before is None or one.received_at < wanted.before)
        and within(one.from_.replace('"', ""), wanted.from_contains)
        and all(within(one.to, [p]) or within(one.cc.replace('"', ""), [p]) for p in wanted.to_contains)
        and within(one.subject, wanted.subject_contains)
    )


def _some(dice: random.Random, of: Sequence[Any], most: int = 2) -> tuple[Any, ...]:
    return tuple(dice.sample(of, dice.choice([0, 0, 0, *range(1, most + 1)])))


async def _fill(db: Database, dice: random.Random, total: int) -> list[_Mail]:
    made: list[_Mail] = []

    async def unit(tx: Tx) -> None:
        made.clear()  # a unit may be run again
        for _ in range(total):
            one = _Mail(
                id="", received_at=AT + dice.randint(0, 12), keywords=frozenset(_some(dice, _WORDS, 4)),
                roles=frozenset(dice.sample(_ROLES, dice.randint(1, 2))), direction=dice.choice(["in", "out", "draft"]),
                delivery_state=dice.choice([None, "queued", "bounced"]), from_=dice.choice(_NAMES),
                to="ann@agents.test", cc=dice.choice(["", *_NAMES]), subject=dice.choice(_SUBJECTS),
            )  # fmt: skip
            stored = await deliver(
                tx, "ann", mail(one.subject, from_=one.from_, cc=one.cc), received_at=one.received_at,
                keywords=one.keywords, mailbox_roles=sorted(one.roles), direction=one.direction,
                delivery_state=one.delivery_state,
            )  # fmt: skip
            made.append(replace(one, id=stored.id))
        await deliver(tx, "bob", mail("Lunch"))

    await db.write(unit)
    return sorted(made, key=lambda one: (one.received_at, one.id), reverse=True)


async def test_any_filter_gives_what_a_plain_search_gives(db: Database) -> None:
    await house(db, "ann", "bob")
    dice = random.Random(7)
    made = await _fill(db, dice, 120)
    hits = 0
    for _ in range(150):
        edges = sorted(dice.sample(range(AT - 2, AT + 16), 2))
        wanted = Condition(
            keywords=_some(dice, _WORDS), without_keywords=_some(dice, _WORDS), roles=_some(dice, _ROLES),
            without_roles=_some(dice, _ROLES), directions=_some(dice, ["in", "out", "draft"]),
            delivery_states=_some(dice, ["queued", "bounced"]),
            without_delivery_states=_some(dice, ["held", "bounced"], 1),
            after=dice.choice([None, None, edges[0]]), before=dice.choice([None, None, edges[1]]),
            from_contains=_some(dice, _PARTS, 1), to_contains=_some(dice, _PARTS, 1),
            subject_contains=_some(dice, ["LUNCH", "%", "_", "0", "\\", "'", '"so"', "É", "é", "off"], 1),
        )  # fmt: skip
        expected = [one.id for one in made if _holds(one, wanted)]
        found = await db.read(lambda tx, wanted=wanted: listing.messages(tx, "ann", wanted, limit=1_000))
        assert [message.id for message in found] == expected, wanted
        found = await db.read(
            lambda tx, wanted=wanted: listing.messages(tx, "ann", wanted, ascending=True, limit=1_000)
        )
        assert [message.id for message in found] == expected[::-1], wanted
        hits += bool(expected)
    assert hits > 30


async def test_special_signs_of_a_pattern_stand_for_themselves(db: Database) -> None:
    await house(db, "ann")
    for n, subject in enumerate(_SUBJECTS):
        await receive(db, "ann", mail(subject), at=AT + n)
    for part, expected in (
        ("50%", ["50% off"]), ("_", ["a_b"]), ("\\", ["c\\d"]), ("'", ["it's \"so\""]), ('"', ["it's \"so\""]),
        ("A_B", ["a_b"]), ("%", ["50% off"]), ("OFF", ["50% off", "5000 off"]), ("\\%", []),
        # Letters beyond ASCII are compared as they stand, alike on both engines.
        ("É", ["ÉTÉ"]), ("é", ["été"]), ("t", ["it's \"so\"", "ÉTÉ", "été"]), ("", list(_SUBJECTS)),
    ):  # fmt: skip
        assert await _subjects(db, subject_contains=(part,)) == expected, part


async def test_names_and_addresses_are_found_as_they_read_not_as_they_are_stored(db: Database) -> None:
    await house(db, "ann")
    await receive(db, "ann", mail("quote", from_='"O\\"Neil" <o@x.test>'), at=AT)
    await receive(db, "ann", mail("back", from_='"a\\\\b" <back@x.test>'), at=AT + 1)
    await receive(db, "ann", mail("plain", from_="n@y.test", to="Ünal <u@x.test>", bcc="Hidden <h@x.test>"), at=AT + 2)
    assert await _subjects(db, from_contains=('o"neil',)) == ["quote"]
    assert await _subjects(db, from_contains=("a\\b",)) == ["back"]
    assert await _subjects(db, from_contains=("\\",)) == ["back"]
    assert await _subjects(
        db,
        from_contains=(
            "o@",
            "X.TEST",
        ),
    ) == ["quote"]
    assert await _subjects(db, to_contains=("Ünal",)) == ["plain"]
    assert await _subjects(db, to_contains=("hidden",)) == ["plain"]
    assert (
        await _subjects(
            db,
            to_contains=(
                "hidden",
                "ünal",
            ),
        )
        == []
    )


async def test_a_list_follows_marks_moves_and_destruction(db: Database) -> None:
    await house(db, "ann")
    one = await receive(db, "ann", mail("one"))
    two = await receive(db, "ann", mail("two"), at=AT + 1, keywords=["$seen"])
    assert await _ids(db, without_keywords=("$seen",)) == [one.id]
    await mark(db, "ann", one.id, ["$seen"])
    assert await _ids(db, without_keywords=("$seen",)) == []
    assert await _ids(db, keywords=("$seen",), roles=("inbox",)) == [two.id, one.id]
    await destroy(db, two)
    assert await _ids(db, keywords=("$seen",)) == [one.id]
    assert await _ids(db, "bob") == []


# --- pages


async def _walk(db: Database, wanted: Condition, *, ascending: bool, between: Any = None) -> list[Message]:
    seen: list[Message] = []
    after = None
    while True:
        found, after = await db.read(
            lambda tx, after=after: reading.page(tx, "ann", wanted, after=after, ascending=ascending, limit=4)
        )
        assert len(found) <= 4
        seen += found
        if after is None:
            return seen
        if between is not None:
            await between()


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_give_every_message_once_while_others_come_in_and_go(db: Database, ascending: bool) -> None:
    await house(db, "ann")
    dice = random.Random(3)
    # Many share an instant: the id decides there.
    there = [await receive(db, "ann", mail(f"m{n}"), at=AT + n // 7) for n in range(25)]
    doomed = [await receive(db, "ann", mail(f"d{n}"), at=AT + n) for n in range(3)]
    came: list[Message] = []

    async def between() -> None:
        came.extend([await receive(db, "ann", mail("new"), at=AT + dice.randint(-2, 6)) for _ in range(3)])
        if doomed:
            await destroy(db, doomed.pop())

    seen = await _walk(db, Condition(), ascending=ascending, between=between)
    ids = [message.id for message in seen]
    assert len(ids) == len(set(ids))
    assert {message.id for message in there} <= set(ids)
    order = [(message.received_at, message.id) for message in seen]
    assert order == sorted(order, reverse=not ascending)
    assert len(await _walk(db, Condition(), ascending=ascending)) == len(there) + len(came) + len(doomed)


async def test_a_page_that_is_just_full_is_the_last(db: Database) -> None:
    await house(db, "ann")
    for n in range(4):
        await receive(db, "ann", mail(f"m{n}"), at=AT + n)
    found, after = await db.read(lambda tx: reading.page(tx, "ann", Condition(), after=None, ascending=False, limit=4))
    assert (len(found), after) == (4, None)
    assert await db.read(lambda tx: reading.page(tx, "nobody", Condition(), after=None, ascending=False, limit=4)) == (
        [],
        None,
    )


# --- threads


async def test_a_list_of_threads_has_those_with_a_message_under_the_filter(db: Database) -> None:
    await house(db, "ann", "bob", "cy")
    old = await receive(db, "ann", mail("old", message_id="1@x"), keywords=["k"])
    await receive(db, "ann", mail("Re: old", references=["1@x"]), at=AT + 50, mailbox_roles=["archive"])
    new = await receive(db, "ann", mail("new"), at=AT + 20)
    theirs = await receive(db, "bob", mail("old"), at=AT + 30, keywords=["k"])
    await receive(db, "cy", mail("old"), at=AT + 30, keywords=["k"])

    async def page(
        *account_ids: str, ascending: bool = False, after: int | None = None, before: int | None = None, **values: Any
    ) -> list[str]:
        found, _ = await db.read(
            lambda tx: reading.thread_walk(
                tx, account_ids, Condition(**values), within=Within(after, before), as_of=latest_id(), after=None,
                ascending=ascending, limit=9,
            )
        )  # fmt: skip
        return [one.thread.id for one in found]

    assert await page("ann") == [old.thread_id, new.thread_id]
    assert await page("ann", "bob") == [old.thread_id, theirs.thread_id, new.thread_id]
    assert await page("ann", "bob", ascending=True) == [new.thread_id, theirs.thread_id, old.thread_id]
    assert await page("ann", "bob", keywords=("k",)) == [old.thread_id, theirs.thread_id]
    # One message must hold all of it: the labelled one is not in the archive.
    assert await page("ann", keywords=("k",), roles=("archive",)) == []
    assert await page("ann", roles=("archive",)) == [old.thread_id]
    # The bounds are of the thread's last message.
    assert await page("ann", keywords=("k",), after=AT + 50) == [old.thread_id]
    assert await page("ann", before=AT + 50) == [new.thread_id]
    assert await page() == []
    assert await page("nobody") == []


async def test_a_thread_reads_with_its_messages_oldest_first_and_where_they_lie(db: Database) -> None:
    await house(db, "ann")
    late = await receive(db, "ann", mail("a", message_id="1@x"), at=AT + 9, mailbox_roles=["trash", "archive"])
    early = await receive(db, "ann", mail("b", references=["1@x"]), at=AT)
    found = await db.read(lambda tx: reading.get_thread(tx, "ann", late.thread_id))
    assert [(message.id, message.roles) for message in found.messages] == [
        (early.id, frozenset({"inbox"})), (late.id, frozenset({"trash", "archive"})),
    ]  # fmt: skip
    assert found.thread.last_message_at == AT + 9
    for account_id, thread_id in (("bob", late.thread_id), ("ann", "none")):
        with pytest.raises(NotFound):
            await db.read(lambda tx, a=account_id, t=thread_id: reading.get_thread(tx, a, t))


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_of_threads_of_several_accounts_give_each_once(db: Database, ascending: bool) -> None:
    await house(db, "ann", "bob")
    made = [await receive(db, "ann" if n % 3 else "bob", mail(f"t{n}"), at=AT + n // 4) for n in range(14)]
    seen: list[tuple[int, str]] = []
    after = None
    while True:
        found, after = await db.read(
            lambda tx, after=after: reading.thread_walk(
                tx, ["ann", "bob"], Condition(), as_of=latest_id(), after=after, ascending=ascending, limit=3
            )
        )
        seen += [(one.thread.last_message_at, one.thread.id) for one in found]
        assert all(len(one.messages) == 1 for one in found)
        if after is None:
            break
        new = await receive(db, "bob", mail("x"), at=AT - 1 if ascending else AT + 99)
        assert new.thread_id not in [thread_id for _, thread_id in seen]
    assert seen == sorted(((one.received_at, one.thread_id) for one in made), reverse=not ascending)


def test_no_id_made_until_now_comes_after_the_latest() -> None:
    made = [new_id() for _ in range(2_000)]
    latest = latest_id()
    assert max(made) <= latest
    assert len(latest) == len(made[0])
