"""What is SQLite's own: a full disk, units that take long, backups, other processes' locks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

import databases
from posthouse.kit.errors import Conflict, Unavailable
from posthouse.store import blobs, secrets
from posthouse.store.database import Tx
from posthouse.store.sqlite import SqliteDatabase
from store.builders import AT, house, mail, receive, role


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    databases.lay(tmp_path / "posthouse.db")
    database = await SqliteDatabase.open(tmp_path / "posthouse.db")
    yield database
    await database.close()


async def _add(tx: Tx, name: str, value: str = "v") -> str:
    return await secrets.get_or_add(tx, name, value, AT)


async def _names(tx: Tx) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM secret ORDER BY name")]


async def _pages(db: SqliteDatabase, limit: int | None) -> None:
    """Let the file grow by `limit` pages more, or without bound."""

    async def unit(tx: Tx) -> None:
        row = await tx.one("PRAGMA page_count")
        assert row is not None
        wanted = 1_073_741_823 if limit is None else row["page_count"] + limit
        await tx.one(f"PRAGMA max_page_count = {wanted}")

    await db.write(unit)


async def test_a_full_disk_acknowledges_nothing_and_ends_when_there_is_room_again(db: SqliteDatabase) -> None:
    await db.write(lambda tx: _add(tx, "before"))
    await _pages(db, 5)
    big = "x" * 100_000
    with pytest.raises(Unavailable) as caught:
        await db.write(lambda tx: _add(tx, "big", big))
    assert caught.value.temporary
    # Reading goes on, and what still has room is written.
    assert await db.read(_names) == ["before"]
    await db.write(lambda tx: _add(tx, "small"))
    await _pages(db, None)
    assert await db.write(lambda tx: _add(tx, "big", big)) == big
    assert await db.read(_names) == ["before", "big", "small"]


async def test_units_beside_one_that_filled_the_disk_are_either_refused_or_there(db: SqliteDatabase) -> None:
    await _pages(db, 5)
    tasks = [
        asyncio.create_task(db.write(lambda tx, n=n: _add(tx, f"{n:02}", "x" * 200_000 if n == 5 else "v")))
        for n in range(12)
    ]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[5], Unavailable)
    assert {type(outcome) for outcome in outcomes} <= {Unavailable, str}
    there = [f"{n:02}" for n, outcome in enumerate(outcomes) if outcome == "v"]
    assert await db.read(_names) == there
    for n in range(12):
        await db.write(lambda tx, n=n: _add(tx, f"{n:02}", "v"))
    assert len(await db.read(_names)) == 12


async def test_mail_that_found_the_disk_full_can_be_filed_once_there_is_room(db: SqliteDatabase) -> None:
    await house(db, "ann")
    await _pages(db, 3)
    raw = mail(body="words " * 20_000)
    with pytest.raises(Unavailable):
        await receive(db, "ann", raw)
    inbox = await role(db, "ann", "inbox")
    assert (inbox.total_messages, inbox.uid_next) == (0, 1)
    await _pages(db, None)
    made = await receive(db, "ann", raw)
    assert (await role(db, "ann", "inbox")).uid_next == 2
    found = await db.read(lambda tx: blobs.get(tx, made.blob_hash))
    assert found == (len(raw), raw)


async def test_what_was_written_survives_reopening(db: SqliteDatabase, tmp_path: Path) -> None:
    await asyncio.gather(*(db.write(lambda tx, n=n: _add(tx, f"{n:03}")) for n in range(100)))
    await db.close()
    again = await SqliteDatabase.open(tmp_path / "posthouse.db")
    assert len(await again.read(_names)) == 100
    await again.close()


_LONG = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT count(*) AS total FROM n"
)


async def test_a_unit_that_takes_long_is_done_once_and_its_neighbours_too(db: SqliteDatabase) -> None:
    async def slow_read(tx: Tx) -> str:
        await _add(tx, "read")
        row = await tx.one(_LONG)
        assert row is not None
        return str(row["total"])

    async def slow_write(tx: Tx) -> str:
        await tx.run(
            "INSERT INTO secret (name, value, created_at) "
            + _LONG.replace("SELECT count(*) AS total FROM n", "SELECT 'w' || i, 'v', 1 FROM n WHERE i % 1000 = 0")
        )
        return "written"

    async def slow_failure(tx: Tx) -> str:
        await _add(tx, "never")
        await tx.one(_LONG)
        raise Conflict("no")

    async def many(tx: Tx) -> str:
        await tx.many(
            "INSERT INTO secret (name, value, created_at) VALUES (:name, 'v', 1)",
            [{"name": f"m{n:04}"} for n in range(2_000)],
        )
        return "many"

    quick = [lambda tx, n=n: _add(tx, f"q{n}") for n in range(8)]
    units = [quick[0], slow_read, *quick[1:3], slow_write, *quick[3:5], slow_failure, quick[5], many, *quick[6:]]
    outcomes = await asyncio.gather(*(db.write(unit) for unit in units), return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome != "v"][:2] == ["200000", "written"]
    assert [type(outcome) for outcome in outcomes].count(Conflict) == 1
    assert outcomes.count("v") == 8
    names = await db.read(_names)
    assert sum(name[0] == "w" for name in names) == 200
    assert sum(name[0] == "m" for name in names) == 2_000
    assert {"read", *(f"q{n}" for n in range(8))} <= set(names)
    assert "never" not in names


async def test_a_unit_that_says_it_is_heavy_is_done_like_any_other(db: SqliteDatabase) -> None:
    outcomes = await asyncio.gather(
        *(db.write(lambda tx, n=n: _add(tx, f"{n}", f"{n}"), heavy=n % 2 == 0) for n in range(10))
    )
    assert outcomes == [str(n) for n in range(10)]


async def test_a_read_sees_one_instant_even_when_it_takes_long(db: SqliteDatabase) -> None:
    await db.write(lambda tx: _add(tx, "a"))

    async def look(tx: Tx) -> tuple[list[str], list[str]]:
        before = await _names(tx)
        await tx.one(_LONG)
        return before, await _names(tx)

    (before, after), *_ = await asyncio.gather(
        db.read(look), *(db.write(lambda tx, n=n: _add(tx, f"b{n}")) for n in range(20))
    )
    assert before == after


async def test_a_unit_that_awaits_something_else_is_refused_and_leaves_nothing(db: SqliteDatabase) -> None:
    async def unit(tx: Tx) -> None:
        await _add(tx, "a")
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaited"):
        await db.write(unit)
    assert await db.read(_names) == []
    await db.write(lambda tx: _add(tx, "b"))
    assert await db.read(_names) == ["b"]


async def test_a_refused_statement_fails_its_unit_alone(db: SqliteDatabase) -> None:
    async def twice(tx: Tx) -> None:
        for _ in range(2):
            await tx.run("INSERT INTO secret (name, value, created_at) VALUES ('a', 'v', 1)")

    outcomes = await asyncio.gather(db.write(twice), db.write(lambda tx: _add(tx, "b")), return_exceptions=True)
    assert isinstance(outcomes[0], apsw.ConstraintError)
    assert outcomes[1] == "v"
    assert await db.read(_names) == ["b"]


async def test_another_program_that_holds_the_file_makes_it_unavailable_for_that_time(
    db: SqliteDatabase, tmp_path: Path
) -> None:
    db._write_connection.set_busy_timeout(10)
    other = apsw.Connection(str(tmp_path / "posthouse.db"))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable):
        await db.write(lambda tx: _add(tx, "a"))
    other.execute("ROLLBACK")
    other.close()
    await db.write(lambda tx: _add(tx, "a"))
    assert await db.read(_names) == ["a"]


async def test_a_backup_is_whole_while_writing_goes_on(db: SqliteDatabase, tmp_path: Path) -> None:
    for n in range(50):
        await db.write(lambda tx, n=n: _add(tx, f"{n:03}", "x" * 2_000))
    await asyncio.gather(
        db.backup(tmp_path / "copy.db"), *(db.write(lambda tx, n=n: _add(tx, f"late{n}")) for n in range(20))
    )
    copy = await SqliteDatabase.open(tmp_path / "copy.db")
    names = await copy.read(_names)
    assert [name for name in names if name.isdigit()] == [f"{n:03}" for n in range(50)]
    checked = await copy.read(lambda tx: tx.one("PRAGMA integrity_check"))
    assert checked is not None
    assert list(checked.values()) == ["ok"]
    await copy.close()


async def test_closing_finishes_what_was_taken_on(db: SqliteDatabase, tmp_path: Path) -> None:
    tasks = [asyncio.create_task(db.write(lambda tx, n=n: _add(tx, f"{n:02}"))) for n in range(30)]
    await asyncio.sleep(0)
    await db.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    again = await SqliteDatabase.open(tmp_path / "posthouse.db")
    assert await again.read(_names) == [f"{n:02}" for n, outcome in enumerate(outcomes) if outcome == "v"]
    assert {type(outcome) for outcome in outcomes} <= {str, Unavailable}
    await again.close()


async def test_no_statement_is_planned_anew_for_the_values_bound_to_it(db: SqliteDatabase) -> None:
    assert len(db._opened) >= 2
    for connection in db._opened:
        assert connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, -1) == 1


async def test_the_database_and_its_backup_are_read_by_their_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        db = await SqliteDatabase.open(tmp_path / "posthouse.db")
        await db.write(lambda tx: _add(tx, "one"))
        await db.backup(tmp_path / "copy.db")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir() if path.suffix.startswith(".db")}
        await db.close()
    finally:
        os.umask(before)
    assert modes.keys() >= {"posthouse.db", "posthouse.db-wal", "posthouse.db-shm", "copy.db"}
    assert set(modes.values()) == {0o600}, modes
