"""What a database is: units of work run inside one transaction, on either engine.

A unit is a coroutine function of a `Tx`. It awaits nothing but `tx` and has no effect but through `tx`, since
it may be run again (deadlock, serialisation) or run on another thread. Its effects are there, all or none,
when `write` returns.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")
Row = Mapping[str, Any]
Unit = Callable[["Tx"], Awaitable[T]]
Engine = Literal["sqlite", "postgres"]
Listener = Callable[[str], None]


class Tx(Protocol):
    """An open transaction.

    SQL is one text for both engines with named `:values`. `:name...` stands for a list of texts inside
    `IN (…)`, `:name...int` for a list of integers.

    Attributes:
        engine: for `store/search.py`, `store/index_query.py` and `store/walking.py`, the only modules that read an
            index in another way on each engine.
        lock: the row-lock clause a claim ends its inner SELECT with. That SELECT is a materialised CTE: a plain
            subquery may be run once for each row of the outer one, and then takes more rows than its limit.
    """

    engine: Engine
    lock: str

    async def one(self, sql: str, **values: Any) -> Row | None:
        """The first row, or None."""
        ...

    async def all(self, sql: str, **values: Any) -> list[Row]:
        """All rows, in order."""
        ...

    async def tuples(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """All rows, in order, each as its values in the order of the SELECT: for what is read by the hundred."""
        ...

    async def run(self, sql: str, **values: Any) -> int:
        """Execute; the number of rows it changed."""
        ...

    async def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute once for each mapping of values."""
        ...

    def wake(self, topic: str) -> None:
        """Call the listeners of `topic`, in this and every other process, once this unit has committed."""
        ...


class Database(Protocol):
    """A database with its migrations applied.

    Both verbs raise what the unit raises, `Unavailable` when the engine cannot answer (disk full, gone,
    closing), and then nothing was written.
    """

    engine: Engine

    async def write(self, unit: Unit[T], *, heavy: bool = False) -> T:
        """Run a unit and return its result after the commit that makes it durable.

        Args:
            heavy: it is known to take long (it writes the text index, or very many rows).
        """
        ...

    async def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads, on one snapshot."""
        ...

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Have `listener` called on the event loop after each `wake(topic)`; returns what ends it.

        A topic ending in `*` hears every topic with that beginning. A wake-up is a hint, never the truth:
        it can be lost when a connection breaks, so whoever listens also looks now and then.
        """
        ...

    async def close(self) -> None:
        """Finish what was taken on, refuse the rest, close."""
        ...


class Topics:
    """Listeners by topic. Used by both engines; not thread-safe, lives on the event loop."""

    def __init__(self) -> None:
        self._exact: dict[str, list[Listener]] = {}
        self._prefix: list[tuple[str, Listener]] = []

    def listen(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Add a listener; the answer removes it."""
        if topic.endswith("*"):
            entry = (topic[:-1], listener)
            self._prefix.append(entry)
            return lambda: self._prefix.remove(entry) if entry in self._prefix else None
        self._exact.setdefault(topic, []).append(listener)

        def stop() -> None:
            listeners = self._exact.get(topic, [])
            if listener in listeners:
                listeners.remove(listener)
            if not listeners:
                self._exact.pop(topic, None)

        return stop

    def call(self, topic: str) -> None:
        """Call every listener of `topic`."""
        for listener in tuple(self._exact.get(topic, ())):
            listener(topic)
        for prefix, listener in tuple(self._prefix):
            if topic.startswith(prefix):
                listener(topic)
