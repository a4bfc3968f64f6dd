"""What is PostgreSQL's own: connections that break, deadlocks, wake-ups between processes, claims side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import pytest

from posthouse.kit.errors import Conflict, Unavailable
from posthouse.mail.journal import changing
from posthouse.store import accounts, jobs, secrets, spool, submissions, webhooks
from posthouse.store.database import Database, Tx
from posthouse.store.postgres import PostgresDatabase
from store.builders import AT, claim_tellings, delivery, endpoint, house, spooled, submission, telling

_TERMINATE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""


@pytest.fixture
async def db(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    database = await PostgresDatabase.open(postgres_url)
    yield database
    await database.close()


async def _add(tx: Tx, name: str) -> str:
    return await secrets.get_or_add(tx, name, "v", AT)


async def _names(tx: Tx) -> list[str]:
    return [row["name"] for row in await tx.all("SELECT name FROM secret ORDER BY name")]


async def _cut(url: str) -> None:
    """End every connection but this one, as a restart or a failing network does."""
    admin = await asyncpg.connect(url)
    await admin.execute(_TERMINATE)
    await admin.close()


async def test_a_connection_that_ends_in_a_unit_takes_the_unit_with_it(db: PostgresDatabase) -> None:
    async def unit(tx: Tx) -> None:
        await _add(tx, "lost")
        await tx.one("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable) as caught:
        await db.write(unit)
    assert caught.value.temporary
    with pytest.raises(Unavailable):
        await db.read(lambda tx: tx.one("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert await db.write(lambda tx: _add(tx, "kept")) == "v"
    assert await db.read(_names) == ["kept"]


async def test_after_all_connections_were_cut_it_works_again_by_itself(db: PostgresDatabase, postgres_url: str) -> None:
    await asyncio.gather(*(db.write(lambda tx, n=n: _add(tx, f"a{n}")) for n in range(8)))
    await _cut(postgres_url)
    outcomes = await asyncio.gather(
        *(db.write(lambda tx, n=n: _add(tx, f"b{n}")) for n in range(8)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} <= {str, Unavailable}
    # Each connection that was cut is found out at most once.
    for _ in range(8):
        try:
            await db.write(lambda tx: _add(tx, "c"))
            break
        except Unavailable:
            pass
    names = await db.read(_names)
    assert names == sorted(
        [*(f"a{n}" for n in range(8)), *(f"b{n}" for n, outcome in enumerate(outcomes) if outcome == "v"), "c"]
    )


async def test_wake_ups_reach_other_processes_and_are_heard_again_after_a_cut(
    db: PostgresDatabase, postgres_url: str
) -> None:
    other = await PostgresDatabase.open(postgres_url, connections=1)
    heard = asyncio.Event()
    other.listen("topic", lambda _: heard.set())

    async def wake(tx: Tx) -> None:
        tx.wake("topic")

    async def until_heard() -> None:
        while not heard.is_set():
            try:
                await db.write(wake)
                await asyncio.wait_for(heard.wait(), 0.1)
            except (Unavailable, TimeoutError):
                pass

    await asyncio.wait_for(until_heard(), 5)
    await _cut(postgres_url)
    heard.clear()
    await asyncio.wait_for(until_heard(), 10)
    await other.close()


async def test_units_that_lock_crosswise_are_both_done_in_the_end(db: PostgresDatabase) -> None:
    await house(db, "ann", "bob")
    started = {"ann": asyncio.Event(), "bob": asyncio.Event()}
    runs: list[str] = []

    async def cross(tx: Tx, first: str, second: str) -> None:
        runs.append(first)
        await tx.run("SET LOCAL deadlock_timeout = '20ms'")
        async with changing(tx, first, AT, added_bytes=1):
            started[first].set()
            await started[second].wait()  # no unit does this; here it makes sure that both hold their first lock
            async with changing(tx, second, AT, added_bytes=1):
                pass

    before = await db.read(lambda tx: accounts.get_many(tx, ["ann", "bob"]))
    await asyncio.gather(db.write(lambda tx: cross(tx, "ann", "bob")), db.write(lambda tx: cross(tx, "bob", "ann")))
    assert len(runs) > 2
    after = await db.read(lambda tx: accounts.get_many(tx, ["ann", "bob"]))
    for name in ("ann", "bob"):
        assert after[name].used_bytes == 2
        assert after[name].modseq == before[name].modseq + 2


async def test_a_unit_that_never_gets_through_is_given_up_as_temporary(db: PostgresDatabase) -> None:
    runs: list[int] = []

    async def unit(tx: Tx) -> None:
        runs.append(1)
        await _add(tx, "never")
        await tx.run("DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = 'serialization_failure'; END $$")

    with pytest.raises(Unavailable):
        await db.write(unit)
    assert len(runs) > 1
    assert await db.read(_names) == []


async def test_a_read_sees_one_instant(db: PostgresDatabase) -> None:
    await db.write(lambda tx: _add(tx, "a"))

    async def look(tx: Tx) -> tuple[list[str], list[str]]:
        before = await _names(tx)
        await db.write(lambda other: _add(other, "b"))
        return before, await _names(tx)

    assert await db.read(look) == (["a"], ["a"])
    assert await db.read(_names) == ["a", "b"]


async def test_a_claim_passes_over_rows_another_is_claiming(db: PostgresDatabase) -> None:
    await db.write(lambda tx: spool.add(tx, [spooled("a"), spooled("b")]))
    held, done = asyncio.Event(), asyncio.Event()

    async def first(tx: Tx) -> list[str]:
        found = [row.id for row in await spool.claim(tx, AT, AT + 60, 1)]
        held.set()
        await done.wait()
        return found

    task = asyncio.create_task(db.write(first))
    await held.wait()
    second = await asyncio.wait_for(db.write(lambda tx: spool.claim(tx, AT, AT + 60, 9)), 5)
    done.set()
    assert (await task, [row.id for row in second]) == (["a"], ["b"])


async def test_a_value_the_engine_cannot_store_is_a_fault_of_the_caller_not_of_the_server(db: PostgresDatabase) -> None:
    for value in ("nul \x00", "surrogate \udc80"):
        with pytest.raises(Exception, match=r".") as caught:
            await db.write(lambda tx, value=value: secrets.get_or_add(tx, "s", value, AT))
        assert not isinstance(caught.value, Unavailable)
    with pytest.raises(Exception, match=r".") as caught:
        await db.write(lambda tx: secrets.get_or_add(tx, "s", "v", 2**70))
    assert not isinstance(caught.value, Unavailable)
    assert await db.read(_names) == []


async def test_a_refused_statement_fails_its_unit_alone(db: PostgresDatabase) -> None:
    async def twice(tx: Tx) -> None:
        for _ in range(2):
            await tx.run("INSERT INTO secret (name, value, created_at) VALUES ('a', 'v', 1)")

    async def refuses(tx: Tx) -> None:
        await _add(tx, "c")
        raise Conflict("no")

    outcomes = await asyncio.gather(
        db.write(twice), db.write(refuses), db.write(lambda tx: _add(tx, "b")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [asyncpg.UniqueViolationError, Conflict, str]
    assert await db.read(_names) == ["b"]


async def test_a_server_that_is_gone_is_unavailable(db: Database, tmp_path: object) -> None:
    with pytest.raises(Unavailable):
        await PostgresDatabase.open(f"postgresql://postgres@/postgres?host={tmp_path}")


_CLAIMS: dict[str, Callable[[Tx, int, int, int], Awaitable[Sequence[Any]]]] = {
    "spool": spool.claim,
    "delivery": submissions.claim,
    "webhook_delivery": claim_tellings,
    "job": lambda tx, now, until, limit: jobs.claim(tx, "k", now, until, limit),
}


@pytest.mark.parametrize("table", list(_CLAIMS))
async def test_a_claim_takes_no_more_than_its_limit_whatever_the_planner_chooses(
    db: PostgresDatabase, table: str
) -> None:
    await house(db, "ann")

    async def fill(tx: Tx) -> None:
        names = [f"r{n}" for n in range(20)]
        await spool.add(tx, [spooled(name) for name in names])
        await submissions.add(tx, submission())
        await submissions.add_deliveries(tx, [delivery(name) for name in names])
        await webhooks.add(tx, endpoint())
        await webhooks.add_deliveries(tx, [telling(name) for name in names])
        for _ in names:
            await jobs.add(tx, "k", due_at=AT, at=AT)

    await db.write(fill)

    async def claim(tx: Tx) -> int:
        # A nested loop that runs the inner query for each row, as the planner may choose for a small table.
        for method in ("hashjoin", "mergejoin", "material", "hashagg", "sort", "memoize"):
            await tx.run(f"SET LOCAL enable_{method} = off")
        return len(await _CLAIMS[table](tx, AT, AT + 60, 3))

    assert await db.write(claim) == 3
