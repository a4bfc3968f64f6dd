"""The log of changes: what became of each object since a state."""

import pytest

from posthouse.kit.errors import NotFound
from posthouse.mail.journal import changing
from posthouse.store import accounts, changes
from posthouse.store.changes import Action, Changes
from posthouse.store.database import Database, Tx
from store.builders import AT, house


async def _log(
    db: Database, *entries: tuple[int, str, Action], at: int = AT, scope: str = "s", kind: str = "Email"
) -> None:
    async def unit(tx: Tx) -> None:
        for modseq, object_id, action in entries:
            await changes.record(tx, scope, modseq, at, [(kind, object_id, action)])

    await db.write(unit)


async def _since(db: Database, modseq: int, current: int, limit: int = 100) -> Changes | None:
    return await db.read(lambda tx: changes.since(tx, "s", "Email", modseq, current, limit))


async def test_each_object_is_told_once_as_what_became_of_it_in_all(db: Database) -> None:
    await _log(
        db,
        (1, "made", "created"), (1, "passing", "created"), (1, "old", "created"), (1, "doomed", "created"),
        (2, "made", "updated"), (3, "passing", "updated"), (4, "passing", "destroyed"), (4, "old", "updated"),
        (5, "doomed", "updated"), (6, "doomed", "destroyed"), (7, "old", "updated"),
    )  # fmt: skip
    assert await _since(db, 0, 7) == Changes(("made", "old"), (), (), 7, False)
    assert await _since(db, 1, 7) == Changes((), ("made", "old"), ("passing", "doomed"), 7, False)
    assert await _since(db, 6, 7) == Changes((), ("old",), (), 7, False)
    assert await _since(db, 7, 7) == Changes((), (), (), 7, False)


async def test_scopes_and_types_do_not_mix_and_the_new_state_is_the_scope_s(db: Database) -> None:
    await _log(db, (1, "a", "created"))
    await _log(db, (2, "b", "created"), scope="t")
    await _log(db, (2, "c", "created"), kind="Thread")
    # The scope has moved on to 5 by changes of other types.
    assert await _since(db, 0, 5) == Changes(("a",), (), (), 5, False)


async def test_a_limit_never_cuts_a_change_number(db: Database) -> None:
    await _log(db, *((1, f"a{n}", "created") for n in range(3)), *((2, f"b{n}", "created") for n in range(3)))
    first = await _since(db, 0, 2, limit=4)
    assert first == Changes(("a0", "a1", "a2"), (), (), 1, True)
    assert await _since(db, 1, 2, limit=4) == Changes(("b0", "b1", "b2"), (), (), 2, False)
    # Rather more than was asked for than half a number, and never no progress.
    assert await _since(db, 0, 2, limit=1) == first
    assert await _since(db, 0, 2, limit=6) == Changes(("a0", "a1", "a2", "b0", "b1", "b2"), (), (), 2, False)


async def test_a_limit_counts_objects_not_entries(db: Database) -> None:
    await _log(db, (1, "a", "created"), *((n, "a", "updated") for n in range(2, 9)), (9, "b", "created"))
    assert await _since(db, 0, 9, limit=1) == Changes(("a",), (), (), 8, True)
    assert await _since(db, 0, 9, limit=2) == Changes(("a", "b"), (), (), 9, False)


async def test_what_was_made_and_destroyed_in_two_answers_is_told_in_both(db: Database) -> None:
    await _log(db, (1, "a", "created"), (2, "b", "created"), (3, "a", "destroyed"))
    assert await _since(db, 0, 3, limit=1) == Changes(("a",), (), (), 1, True)
    assert await _since(db, 1, 3, limit=5) == Changes(("b",), (), ("a",), 3, False)


async def test_a_state_from_the_future_is_unknown(db: Database) -> None:
    await _log(db, (1, "a", "created"))
    assert await _since(db, 2, 1) is None


async def test_a_state_older_than_the_log_is_unknown(db: Database) -> None:
    await _log(db, (1, "a", "created"), (2, "a", "updated"), at=AT)
    await _log(db, (3, "b", "created"), at=AT + 10)
    await _log(db, (4, "x", "created"), at=AT, scope="other")
    assert await db.write(lambda tx: changes.prune(tx, AT + 10)) == 3
    assert await _since(db, 0, 3) is None
    assert await _since(db, 1, 3) is None
    assert await _since(db, 2, 3) == Changes(("b",), (), (), 3, False)
    assert await db.write(lambda tx: changes.prune(tx, AT + 10)) == 0
    assert await _since(db, 2, 3) is not None
    assert await db.write(lambda tx: changes.prune(tx, AT + 11)) == 1
    assert await _since(db, 2, 3) is None
    assert await _since(db, 3, 3) == Changes((), (), (), 3, False)


async def test_forgetting_never_pretends_to_reach_further_back_than_before(db: Database) -> None:
    # Instants are taken before a unit gets its number, so they need not rise with the numbers.
    await _log(db, (1, "a", "created"), at=AT + 5)
    await _log(db, (2, "b", "created"), at=AT)
    await db.write(lambda tx: changes.prune(tx, AT + 1))
    await db.write(lambda tx: changes.prune(tx, AT + 9))
    assert await _since(db, 1, 2) is None
    assert await _since(db, 2, 2) == Changes((), (), (), 2, False)


async def test_of_several_entries_of_a_number_the_last_counts_and_made_stays_made(db: Database) -> None:
    await _log(db, (1, "a", "created"), (1, "a", "updated"), (1, "b", "updated"), (1, "b", "destroyed"))
    assert await _since(db, 0, 1) == Changes(("a",), (), ("b",), 1, False)


async def test_objects_made_come_in_order_and_in_whole_numbers(db: Database) -> None:
    await _log(
        db, (1, "a", "created"), (2, "b", "created"), (2, "c", "created"), (2, "d", "created"), (3, "a", "updated"),
        (4, "e", "created"),
    )  # fmt: skip

    async def after(modseq: int, limit: int) -> tuple[list[str], int | None]:
        return await db.read(lambda tx: changes.created_after(tx, "s", "Email", modseq, limit))

    assert await after(0, 2) == (["a", "b", "c", "d"], 2)
    assert await after(2, 2) == (["e"], None)
    assert await after(2, 1) == (["e"], 4)
    assert await after(4, 1) == ([], None)
    assert await after(0, 99) == (["a", "b", "c", "d", "e"], None)


async def test_a_journal_writes_what_was_noted_under_one_number_and_wakes_the_account(db: Database) -> None:
    await house(db, "ann")
    before = (await db.read(lambda tx: accounts.get_many(tx, ["ann"])))["ann"].modseq

    async def unit(tx: Tx) -> None:
        async with changing(tx, "ann", AT) as journal:
            journal.created("Email", "a")
            journal.updated("Email", "a")
            journal.updated("Email", "b")
            journal.destroyed("Email", "b")

    await db.write(unit)
    found = await db.read(lambda tx: changes.since(tx, "ann", "Email", before, before + 1, 9))
    assert found == Changes(("a",), (), ("b",), before + 1, False)
    with pytest.raises(NotFound):
        await db.write(lambda tx: _open(tx, "nobody"))


async def _open(tx: Tx, account_id: str) -> None:
    async with changing(tx, account_id, AT):
        pass
