"""What a database promises, on both engines."""

import asyncio

import pytest

from posthouse.kit.errors import Conflict, Unavailable
from posthouse.store.database import Database, Tx


async def _add(tx: Tx, name: str, value: str = "v") -> None:
    await tx.run("INSERT INTO secret (name, value, created_at) VALUES (:name, :value, 1)", name=name, value=value)


async def _names(tx: Tx) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM secret ORDER BY name")]


async def test_a_unit_returns_its_result_after_its_commit(db: Database) -> None:
    async def unit(tx: Tx) -> int:
        await _add(tx, "a")
        return 7

    assert await db.write(unit) == 7
    assert await db.read(_names) == ["a"]


async def test_a_failed_unit_leaves_nothing_and_its_neighbours_alone(db: Database) -> None:
    async def good(tx: Tx, name: str) -> None:
        await _add(tx, name)

    async def bad(tx: Tx) -> None:
        await _add(tx, "bad")
        raise Conflict("no")

    outcomes = await asyncio.gather(
        *(db.write(lambda tx, n=n: good(tx, f"n{n}")) for n in range(20)),
        db.write(bad),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [Conflict]
    assert await db.read(_names) == sorted(f"n{n}" for n in range(20))


async def test_many_units_at_once_are_all_there(db: Database) -> None:
    await asyncio.gather(*(db.write(lambda tx, n=n: _add(tx, f"{n:04}")) for n in range(300)))
    assert len(await db.read(_names)) == 300


async def test_reading_cannot_write(db: Database) -> None:
    with pytest.raises(Unavailable):
        await db.read(lambda tx: _add(tx, "x"))
    assert await db.read(_names) == []


async def test_a_list_of_values_stands_inside_in(db: Database) -> None:
    for name in ("a", "b", "c"):
        await db.write(lambda tx, name=name: _add(tx, name))

    async def unit(tx: Tx) -> list[str]:
        rows = await tx.all("SELECT name FROM secret WHERE name IN (:names...) ORDER BY name", names=["a", "c", "z"])
        numbers = await tx.all("SELECT name FROM secret WHERE created_at IN (:ats...int)", ats=[1])
        assert len(numbers) == 3
        return [row["name"] for row in rows]

    assert await db.read(unit) == ["a", "c"]


async def test_run_counts_rows_and_returning_gives_them(db: Database) -> None:
    async def unit(tx: Tx) -> tuple[int, str, int]:
        await tx.many(
            "INSERT INTO secret (name, value, created_at) VALUES (:name, :value, :at)",
            [{"name": f"k{n}", "value": "it's :not a name", "at": n} for n in range(3)],
        )
        row = await tx.one("UPDATE secret SET value = 'x::y' WHERE name = :name RETURNING value", name="k1")
        assert row is not None
        return await tx.run("DELETE FROM secret WHERE created_at > 0"), row["value"], len(await _names(tx))

    assert await db.write(unit) == (2, "x::y", 1)


async def test_a_long_read_gives_the_whole_answer(db: Database) -> None:
    async def unit(tx: Tx) -> int:
        row = await tx.one(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)"
            " SELECT count(*) AS total FROM n"
        )
        assert row is not None
        return int(row["total"])

    assert await db.read(unit) == 400_000
    assert await db.read(unit) == 400_000


async def test_text_sorts_by_code_point_on_either_engine(db: Database) -> None:
    for name in ("b", "B", "a", "é", "_"):
        await db.write(lambda tx, name=name: _add(tx, name))
    assert await db.read(_names) == ["B", "_", "a", "b", "é"]


async def test_a_wake_up_comes_after_the_commit_and_only_then(db: Database) -> None:
    heard: list[str] = []
    arrived = asyncio.Event()

    def hear(topic: str) -> None:
        heard.append(topic)
        arrived.set()

    stop = db.listen("account:*", hear)

    async def fails(tx: Tx) -> None:
        tx.wake("account:bad")
        raise Conflict("no")

    async def works(tx: Tx) -> None:
        await _add(tx, "a")
        tx.wake("account:good")
        tx.wake("account:good")

    with pytest.raises(Conflict):
        await db.write(fails)
    await db.write(works)
    await asyncio.wait_for(arrived.wait(), 5)
    assert heard == ["account:good"]
    stop()


async def test_a_closed_database_refuses_with_a_temporary_error(db: Database) -> None:
    await db.close()
    with pytest.raises(Unavailable):
        await db.write(lambda tx: _add(tx, "a"))
    with pytest.raises(Unavailable):
        await db.read(_names)


async def test_a_cancelled_caller_does_not_take_others_with_it(db: Database) -> None:
    tasks = [asyncio.create_task(db.write(lambda tx, n=n: _add(tx, f"{n:02}"))) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes) == 1
    names = await db.read(_names)
    assert {f"{n:02}" for n in range(10) if n != 3} <= set(names)
