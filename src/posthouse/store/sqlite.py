"""SQLite: one writing connection with group commit, read-only connections beside it (WAL).

`write` queues the unit. Whatever is queued is run on the event loop, each unit in a savepoint of its own by
stepping its coroutine (on this engine no `tx` method ever suspends); then one commit for all of them is made
on the writer thread, and only after it they are answered. The loop goes on meanwhile, and what is queued then
is the next group. Statements stay on the loop because two threads that take turns at every statement spend
more time waiting for the interpreter's lock than working; the commit leaves it because it waits for the disk.

`read` runs on the loop's own read-only connection.

Both bound the engine's work on the loop: a unit that would take longer is interrupted, undone and run again
on a thread. Units may be run again by contract.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar, cast

import apsw

from posthouse.kit import log, private
from posthouse.kit.errors import Unavailable
from posthouse.store import migrations, planner
from posthouse.store.database import Listener, Row, Topics, Unit
from posthouse.store.statement import for_sqlite

T = TypeVar("T")
_log = log.get("store")

# Units committed together at most. More would make the first wait for the last.
_GROUP = 256
# What may run on the event loop: a statement of so many virtual machine steps (about 2 ms), a unit of so many
# seconds, an `executemany` of so many rows, and a group of so many seconds before its commit.
_INLINE_STEPS = 40_000
# How often the engine asks whether to go on. It counts the steps of all runs of a cached statement together, so
# one question says nothing: so many within one unit do.
_STEPS_A_QUESTION = 4_000
_INLINE_S = 0.01
_INLINE_ROWS = 500
_GROUP_S = 0.02
_READERS = 2

# What the engine raises when the disk or the file fails, rather than the statement.
_BROKEN = (
    apsw.FullError, apsw.IOError, apsw.CantOpenError, apsw.BusyError, apsw.ReadOnlyError, apsw.NoMemError,
    apsw.ProtocolError, apsw.ConnectionClosedError,
)  # fmt: skip


class _TooLong(Exception):
    """A unit takes longer than the event loop can give it."""


class _Tx:
    """`Tx` over one connection. Its methods are coroutines that never suspend.

    `deadline` is the instant (`time.perf_counter`) at which the unit has to leave the loop; None off the loop.
    """

    engine: Literal["sqlite", "postgres"] = "sqlite"
    lock = ""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute = connection.execute
        self._many = connection.executemany
        self._changes = connection.changes
        self._names: dict[str, tuple[str, ...]] = {}
        self.wakes: list[str] = []
        self.deadline: float | None = None

    def _cursor(self, sql: str, values: dict[str, Any]) -> apsw.Cursor:
        if self.deadline is not None and perf_counter() > self.deadline:
            raise _TooLong
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
        rows += [dict(zip(names, row)) for row in cursor]  # noqa: B905 - one statement's rows are equally long
        return rows

    async def tuples(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._cursor(sql, values).fetchall()
        return found

    async def run(self, sql: str, **values: Any) -> int:
        for _ in self._cursor(sql, values):
            pass
        return self._changes()

    async def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            if self.deadline is not None and len(rows) > _INLINE_ROWS:
                raise _TooLong
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
    __slots__ = ("error", "future", "heavy", "result", "unit", "wakes")

    def __init__(self, unit: Unit[Any], future: asyncio.Future[Any], *, heavy: bool) -> None:
        self.unit = unit
        self.heavy = heavy
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
        self._pending: deque[_Write] = deque()
        self._group: asyncio.Task[None] | None = None
        self._closing = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="posthouse-commit")
        self._write_connection: apsw.Connection
        self._write_tx: _Tx | None = None
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
        try:
            self._write_connection = await self._loop.run_in_executor(self._writer, self._open_for_writing)
        except Exception as error:
            self._writer.shutdown(wait=False)
            for connection in self._opened:
                connection.close(True)
            raise Unavailable(f"the database cannot be opened: {error}") from error
        self._write_tx = _Tx(self._write_connection)
        self._inline_connection = self._connect(read_only=True)
        self._inline = _Tx(self._inline_connection)
        return self

    def _open_for_writing(self) -> apsw.Connection:
        private.create(self._path)  # the engine gives its other files the mode of this one
        connection = self._connect(read_only=False)
        _migrate(connection)
        return connection

    def _connect(self, *, read_only: bool) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), statementcachesize=512)
        connection.set_busy_timeout(10_000)
        # One plan per statement, whatever its values: otherwise an engine built with STAT4 prepares a statement
        # anew each time another value is bound, which takes longer than most of ours run.
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        connection.pragma("foreign_keys", True)
        connection.pragma("cache_size", -65_536)
        connection.pragma("temp_store", 2)
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

    async def write(self, unit: Unit[T], *, heavy: bool = False) -> T:
        if self._closing:
            raise Unavailable("the server is shutting down", retry_after_s=5)
        future: asyncio.Future[T] = self._loop.create_future()
        self._pending.append(_Write(unit, future, heavy=heavy))
        if self._group is None:
            # After this turn of the loop: whoever else writes in it joins the group.
            self._group = self._loop.create_task(self._write_groups(), name="posthouse-write")
        return await future

    async def _write_groups(self) -> None:
        """Commit groups until nothing is queued."""
        try:
            while self._pending:
                await self._write_group()
        finally:
            self._group = None

    async def _write_group(self) -> None:
        assert self._write_tx is not None
        connection, tx = self._write_connection, self._write_tx
        group: list[_Write] = []
        # What is left for the thread: units that take long, and all units again when one of them lost the rest.
        slow: list[_Write] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            until = perf_counter() + _GROUP_S
            while self._pending and len(group) < _GROUP and not slow and perf_counter() < until:
                item = self._pending.popleft()
                group.append(item)
                if item.heavy:
                    slow = [item]
                elif not _run_in_savepoint(connection, tx, item, inline=True):
                    slow = [item] if connection.in_transaction else group
            await self._loop.run_in_executor(self._writer, _finish, connection, tx, slow)
        except BaseException as error:
            if not group:  # it could not even begin: all that wait are told, or this would go round for ever
                group.extend(self._pending)
                self._pending.clear()
            self._fail(connection, group, error)
            if not isinstance(error, Exception):
                self._answer(group)
                raise
        self._answer(group)

    def _fail(self, connection: apsw.Connection, group: list[_Write], error: BaseException) -> None:
        _log.error("commit failed", error=str(error), units=len(group))
        try:
            connection.set_progress_handler(None)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except apsw.Error as second:
            _log.error("rollback failed", error=str(second))
        failure = Unavailable("the store cannot write just now", retry_after_s=5)
        failure.__cause__ = error
        for item in group:
            item.error, item.result = failure, None
            item.wakes.clear()

    def _answer(self, group: list[_Write]) -> None:
        topics: dict[str, None] = {}
        for item in group:
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
        connection.set_progress_handler(_Budget(), _STEPS_A_QUESTION)
        self._inline.deadline = perf_counter() + _INLINE_S
        try:
            return _read(connection, self._inline, unit)
        except (apsw.InterruptError, _TooLong):
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
            private.create(target)
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
        if self._group is not None:
            await asyncio.gather(self._group, return_exceptions=True)
        self._writer.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        for connection in self._opened:
            connection.close(True)


class _Budget:
    """Answers the engine's question whether to stop: yes, when it has been asked too often within one unit."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _INLINE_STEPS // _STEPS_A_QUESTION

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def _run_in_savepoint(connection: apsw.Connection, tx: _Tx, item: _Write, *, inline: bool) -> bool:
    """Run a unit; False when it was interrupted for taking too long, and undone.

    Interrupting a statement that writes undoes the whole transaction: the caller looks whether there is one
    still. Raises what says that the disk or the file fails: then the whole group does.
    """
    tx.wakes = item.wakes
    item.error, item.result = None, None
    connection.execute("SAVEPOINT unit")
    finished = True
    # Set for the unit alone: opening and closing a savepoint may write out what the text index has gathered.
    if inline:
        connection.set_progress_handler(_Budget(), _STEPS_A_QUESTION)
        tx.deadline = perf_counter() + _INLINE_S
    try:
        item.result = _step(cast("Coroutine[Any, Any, Any]", item.unit(tx)))
    except _BROKEN:
        raise
    except (apsw.InterruptError, _TooLong):
        finished = False
    except BaseException as error:
        item.error = error
    finally:
        if inline:
            connection.set_progress_handler(None)
            tx.deadline = None
    if not finished or item.error is not None:
        item.wakes.clear()
        if not connection.in_transaction:
            return False
        connection.execute("ROLLBACK TO unit")
    connection.execute("RELEASE unit")
    return finished


def _finish(connection: apsw.Connection, tx: _Tx, slow: list[_Write]) -> None:
    """On the writer thread: run what takes longer, then commit."""
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
    for item in slow:
        _run_in_savepoint(connection, tx, item, inline=False)
    connection.execute("COMMIT")


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
