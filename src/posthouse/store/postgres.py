"""PostgreSQL 15 or later, through asyncpg: the same units, awaited on a pooled connection.

Writes run READ COMMITTED; whoever changes an account's mail first takes the account's row, which is the lock.
A deadlock or a serialisation failure runs the unit again. Wake-ups travel by NOTIFY, sent with the commit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import asyncpg

from posthouse.kit import log
from posthouse.kit.errors import PosthouseError, Unavailable
from posthouse.store import migrations
from posthouse.store.database import Listener, Row, Topics, Unit
from posthouse.store.statement import for_postgres

T = TypeVar("T")
_log = log.get("store")

_CHANNEL = "posthouse"
_TRIES = 6
# Any number of our own: two processes that start at once migrate one after the other.
_MIGRATION_LOCK = 7_305_001

# A unique name that another unit took meanwhile: run again, the unit finds it and answers as it should.
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UniqueViolationError)
_GONE = (
    asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError,
    asyncpg.PostgresIOError, asyncpg.ReadOnlySQLTransactionError, asyncpg.InternalClientError, OSError, TimeoutError,
)  # fmt: skip


class _Tx:
    """`Tx` over one asyncpg connection inside a transaction."""

    engine: Literal["sqlite", "postgres"] = "postgres"
    lock = "FOR UPDATE SKIP LOCKED"

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.wakes: list[str] = []

    async def one(self, sql: str, **values: Any) -> Row | None:
        statement = for_postgres(sql)
        row: Row | None = await self._connection.fetchrow(statement.sql, *[values[name] for name in statement.names])
        return row

    async def all(self, sql: str, **values: Any) -> list[Row]:
        statement = for_postgres(sql)
        rows: list[Row] = await self._connection.fetch(statement.sql, *[values[name] for name in statement.names])
        return rows

    async def tuples(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        statement = for_postgres(sql)
        rows = await self._connection.fetch(statement.sql, *[values[name] for name in statement.names])
        return [tuple(row) for row in rows]

    async def run(self, sql: str, **values: Any) -> int:
        statement = for_postgres(sql)
        status: str = await self._connection.execute(statement.sql, *[values[name] for name in statement.names])
        tail = status.rpartition(" ")[2]
        return int(tail) if tail.isdigit() else 0

    async def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            statement = for_postgres(sql)
            await self._connection.executemany(statement.sql, [[row[name] for name in statement.names] for row in rows])

    def wake(self, topic: str) -> None:
        if topic not in self.wakes:
            self.wakes.append(topic)


class PostgresDatabase:
    """A `Database` on a server. Open it with `await PostgresDatabase.open(url)`."""

    engine: Literal["sqlite", "postgres"] = "postgres"

    def __init__(self, pool: Any, url: str) -> None:
        self._pool = pool
        self._url = url
        self._topics = Topics()
        self._closing = False
        self._ear: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, *, connections: int = 8) -> PostgresDatabase:
        """Connect and bring the schema up to date.

        Raises:
            Unavailable: no connection, or the schema is newer than this version knows.
        """
        try:
            await _migrate(url)
            pool = await asyncpg.create_pool(
                url, min_size=1, max_size=connections, command_timeout=60, statement_cache_size=1024
            )
        except (*_GONE, asyncpg.PostgresError, RuntimeError) as error:
            raise Unavailable(f"the database cannot be opened: {error}") from error
        self = cls(pool, url)
        listening = asyncio.Event()
        self._ear = asyncio.create_task(self._listen(listening), name="posthouse-listen")
        await listening.wait()
        return self

    async def write(self, unit: Unit[T], *, heavy: bool = False) -> T:
        for attempt in range(_TRIES):
            if self._closing:
                break
            try:
                async with self._pool.acquire(timeout=10) as connection, connection.transaction():
                    tx = _Tx(connection)
                    result = await unit(tx)
                    if tx.wakes:
                        await connection.execute(
                            "SELECT pg_notify($1, topic) FROM unnest($2::text[]) AS topic", _CHANNEL, tx.wakes
                        )
                    return result
            except _AGAIN as error:
                if attempt == _TRIES - 1 and isinstance(error, asyncpg.UniqueViolationError):
                    raise  # found taken every time: the unit's own doing, and no try will change it
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
            except PosthouseError:
                raise
            except _GONE as error:
                raise Unavailable("the store cannot write just now", retry_after_s=5) from error
        raise Unavailable("the store is too busy just now", retry_after_s=1)

    async def read(self, unit: Unit[T]) -> T:
        if self._closing:
            raise Unavailable("the server is shutting down", retry_after_s=5)
        try:
            async with (
                self._pool.acquire(timeout=10) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await unit(_Tx(connection))
        except PosthouseError:
            raise
        except _GONE as error:
            raise Unavailable("the store cannot read just now", retry_after_s=5) from error

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self._topics.listen(topic, listener)

    async def _listen(self, listening: asyncio.Event) -> None:
        """Keep one connection listening; when it breaks, make a new one."""
        while not self._closing:
            connection = None
            try:
                connection = await asyncpg.connect(self._url)
                lost = asyncio.Event()
                connection.add_termination_listener(lambda *_, lost=lost: lost.set())
                await connection.add_listener(_CHANNEL, lambda _c, _p, _ch, topic: self._topics.call(topic))
                listening.set()
                await lost.wait()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                _log.warning("listening failed", error=str(error))
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(1)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if self._ear is not None:
            self._ear.cancel()
            await asyncio.gather(self._ear, return_exceptions=True)
        try:
            await asyncio.wait_for(self._pool.close(), 10)
        except TimeoutError:
            self._pool.terminate()


async def _migrate(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number BIGINT PRIMARY KEY, name TEXT)")
            done = await connection.fetchval("SELECT coalesce(max(number), 0) FROM schema_version")
            known = migrations.load("postgres")
            if known and done > known[-1].number:
                raise RuntimeError(f"its schema is number {done}, this version knows {known[-1].number}")
            for migration in known:
                if migration.number <= done:
                    continue
                for statement in migration.statements:
                    await connection.execute(statement)
                await connection.execute("INSERT INTO schema_version VALUES ($1, $2)", migration.number, migration.name)
    finally:
        await connection.close()
