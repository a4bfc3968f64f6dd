"""SQLite: one writer thread with group commit, read-only connections beside it (WAL).

`write` queues the unit. The writer takes whatever is waiting, runs each unit in a savepoint of its own by
stepping its coroutine (on this engine no `tx` method ever suspends, so a unit costs no thread hop), commits
them together with one fsync, and only then answers.

`read` first runs on the loop's own connection with a bound on the engine's work: most reads are done in
microseconds and a thread hop costs more than they do. One that would take longer is interrupted and run
again on a reader thread.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import apsw

from posthouse.kit import log
from posthouse.kit.errors import Unavailable
from posthouse.store import migrations, planner
from posthouse.store.database import Listener, Row, Topics, Unit
from posthouse.store.statement import for_sqlite

T = TypeVar("T")
_log = log.get("store")

# Units committed together at most. More would make the first wait for the last.
_BATCH = 256
# Virtual machine steps (about 2 ms) a read may take on the event loop before it is moved to a thread.
_INLINE_STEPS = 40_000
_READERS = 2

# What the engine raises when the disk or the file fails, rather than the statement.
_BROKEN = (
    apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.BusyError, apsw.ReadOnlyError, apsw.NoMemError,
    apsw.ProtocolError, apsw.ConnectionClosedError,
)  # fmt: skip


class _Tx:
    """`Tx` over one connection. Its methods are coroutines that never suspend."""

    engine: Literal["sqlite", "postgres"] = "sqlite"
    lock = ""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._many = connection.executemany
        self._changes = connection.changes
        self._names: dict[str, tuple[str, ...]] = {}
        self.wakes: list[str] = []

    def _cursor(self, sql: str, values: dict[str, Any]) -> apsw.Cursor:
        statement = for_sqlite(sql)
        for name in statement.lists:
            values[name] = json.dumps(list(values[name]))
        return self._execute(statement.sql, values)

    def _columns(self, sql: str, cursor: apsw.Cursor) -> tuple[str, ...]:
        names = self._names.get(sql)
        if names is None:
            names = self._names[sql] = tuple(column[0] for column in cursor.get_description())
        return names

    async def one(self, sql: str, **values: Any) -> Row | None:
        cursor = self._cursor(sql, values)
        row = next(cursor, None)
        if row is None:
            return None
        found = dict(zip(self._columns(sql, cursor), row, strict=True))
        # RETURNING is computed before the first row is handed out, yet the statement ends only when it
        # is stepped to its end.
        cursor.close(True)
        return found

    async def all(self, sql: str, **values: Any) -> list[Row]:
        cursor = self._cursor(sql, values)
        first = next(cursor, None)
        if first is None:
            return []
        names = self._columns(sql, cursor)
        rows: list[Row] = [dict(zip(names, first, strict=True))]
        rows.extend(dict(zip(names, row, strict=True)) for row in cursor)
        return rows

    async def run(self, sql: str, **values: Any) -> int:
        for _ in self._cursor(sql, values):
            pass
        return self._changes()

    async def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            for _ in self._many(for_sqlite(sql).sql, rows):
                pass

    def wake(self, topic: str) -> None:
        if topic not in self.wakes:
            self.wakes.append(topic)


def _step(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast(T, stop.value)
    coroutine.close()
    raise RuntimeError("a unit awaited something other than its tx")


class _Write:
    __slots__ = ("error", "future", "result", "unit", "wakes")

    def __init__(self, unit: Unit[Any], future: asyncio.Future[Any]) -> None:
        self.unit = unit
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self.wakes: list[str] = []


class SqliteDatabase:
    """A `Database` in one file. Open it with `await SqliteDatabase.open(path)`."""

    engine: Literal["sqlite", "postgres"] = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._topics = Topics()
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closing = False
        self._writer: threading.Thread | None = None
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="posthouse-read")
        self._local = threading.local()
        self._opened: list[apsw.Connection] = []
        self._inline: _Tx | None = None
        self._inline_connection: apsw.Connection | None = None

    @classmethod
    async def open(cls, path: Path) -> SqliteDatabase:
        """Open or create the file and bring its schema up to date.

        Raises:
            Unavailable: the file cannot be opened, or its schema is newer than this version knows.
        """
        self = cls(path)
        ready: asyncio.Future[None] = self._loop.create_future()
        self._writer = threading.Thread(target=self._write_loop, args=(ready,), name="posthouse-write")
        self._writer.daemon = True
        self._writer.start()
        await ready
        self._inline_connection = self._connect(read_only=True)
        self._inline = _Tx(self._inline_connection)
        return self

    def _connect(self, *, read_only: bool) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), statementcachesize=512)
        connection.set_busy_timeout(10_000)
        connection.pragma("foreign_keys", True)
        connection.pragma("cache_size", -32_768)
        connection.pragma("temp_store", 2)
        connection.pragma("mmap_size", 1 << 30)
        if read_only:
            connection.pragma("query_only", True)
        else:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", 2)  # FULL: a commit is on the disk when it returns
            # 64 MB of log before it is folded into the file: fewer, longer pauses cost less in all.
            connection.pragma("wal_autocheckpoint", 16_384)
            connection.pragma("journal_size_limit", 128 << 20)
        self._opened.append(connection)
        return connection

    # -- writing

    async def write(self, unit: Unit[T]) -> T:
        if self._closing:
            raise Unavailable("the server is shutting down", retry_after_s=5)
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(_Write(unit, future))
        return await future

    def _write_loop(self, ready: asyncio.Future[None]) -> None:
        try:
            connection = self._connect(read_only=False)
            _migrate(connection)
        except Exception as error:
            failure = Unavailable(f"the database cannot be opened: {error}")
            failure.__cause__ = error
            self._loop.call_soon_threadsafe(ready.set_exception, failure)
            return
        self._loop.call_soon_threadsafe(ready.set_result, None)
        tx = _Tx(connection)
        while True:
            first = self._queue.get()
            if first is None:
                break
            batch = [first]
            last = False
            try:
                while len(batch) < _BATCH:
                    item = self._queue.get_nowait()
                    if item is None:
                        last = True
                        break
                    batch.append(item)
            except queue.Empty:
                pass
            self._commit(connection, tx, batch)
            try:
                self._loop.call_soon_threadsafe(self._answer, batch)
            except RuntimeError:  # the loop is gone; what was committed is committed
                break
            if last:
                break

    def _commit(self, connection: apsw.Connection, tx: _Tx, batch: list[_Write]) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for item in batch:
                tx.wakes = item.wakes
                connection.execute("SAVEPOINT unit")
                try:
                    item.result = _step(cast("Coroutine[Any, Any, Any]", item.unit(tx)))
                except _BROKEN:
                    raise
                except BaseException as error:
                    item.error = error
                    item.wakes.clear()
                    connection.execute("ROLLBACK TO unit")
                connection.execute("RELEASE unit")
            connection.execute("COMMIT")
        except Exception as error:
            _log.error("commit failed", error=str(error), units=len(batch))
            if connection.in_transaction:
                try:
                    connection.execute("ROLLBACK")
                except apsw.Error as second:
                    _log.error("rollback failed", error=str(second))
            failure = Unavailable("the store cannot write just now", retry_after_s=5)
            failure.__cause__ = error
            for item in batch:
                item.error, item.result = failure, None
                item.wakes.clear()

    def _answer(self, batch: list[_Write]) -> None:
        topics: dict[str, None] = {}
        for item in batch:
            if not item.future.done():
                if item.error is not None:
                    item.future.set_exception(item.error)
                else:
                    item.future.set_result(item.result)
            topics.update(dict.fromkeys(item.wakes))
        for topic in topics:
            self._topics.call(topic)

    # -- reading

    async def read(self, unit: Unit[T]) -> T:
        if self._closing or self._inline is None or self._inline_connection is None:
            raise Unavailable("the server is shutting down", retry_after_s=5)
        connection = self._inline_connection
        if connection.in_transaction:  # never nested: a unit awaits nothing, so this cannot be; be safe
            return await self._loop.run_in_executor(self._readers, self._read_on_thread, unit)
        connection.set_progress_handler(_stop, _INLINE_STEPS)
        try:
            return _read(connection, self._inline, unit)
        except apsw.InterruptError:
            pass
        return await self._loop.run_in_executor(self._readers, self._read_on_thread, unit)

    def _read_on_thread(self, unit: Unit[T]) -> T:
        pair = getattr(self._local, "pair", None)
        if pair is None:
            connection = self._connect(read_only=True)
            pair = self._local.pair = (connection, _Tx(connection))
        return _read(pair[0], pair[1], unit)

    # -- the rest

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        return self._topics.listen(topic, listener)

    async def backup(self, target: Path) -> None:
        """Copy the database, as of one instant, into a new file while it is in use."""

        def copy() -> None:
            source = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            destination = apsw.Connection(str(target))
            try:
                with destination.backup("main", source, "main") as job:
                    while not job.done:
                        job.step(2_000)
            finally:
                destination.close()
                source.close()

        await self._loop.run_in_executor(self._readers, copy)

    async def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        self._queue.put(None)
        if self._writer is not None:
            await self._loop.run_in_executor(None, self._writer.join)
        self._readers.shutdown(wait=True)
        for connection in self._opened:
            connection.close(True)
        # What was queued after the last batch is answered, never left waiting.
        while not self._queue.empty():
            item = self._queue.get_nowait()
            if item is not None and not item.future.done():
                item.future.set_exception(Unavailable("the server is shutting down", retry_after_s=5))


def _stop() -> bool:
    return True


def _read(connection: apsw.Connection, tx: _Tx, unit: Unit[T]) -> T:
    try:
        connection.execute("BEGIN")
        try:
            return _step(cast("Coroutine[Any, Any, T]", unit(tx)))
        finally:
            if connection.in_transaction:
                connection.set_progress_handler(None)
                connection.execute("COMMIT")
    except _BROKEN as error:
        raise Unavailable("the store cannot read just now", retry_after_s=5) from error


def _migrate(connection: apsw.Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY, name TEXT)")
    row = next(connection.execute("SELECT coalesce(max(number), 0) FROM schema_version"))
    done = cast(int, row[0])
    known = migrations.load("sqlite")
    if known and done > known[-1].number:
        raise RuntimeError(f"its schema is number {done}, this version knows {known[-1].number}")
    wanted = [migration for migration in known if migration.number > done]
    for migration in wanted:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migration.statements:
                connection.execute(statement)
            connection.execute(
                "INSERT INTO schema_version VALUES (:number, :name)",
                {"number": migration.number, "name": migration.name},
            )
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    if wanted:
        planner.advise(connection)
