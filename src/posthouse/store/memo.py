"""Remembering what is read at every call and hardly ever changes, without ever answering with what it was before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from posthouse.store.database import Database

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memo(Generic[K, V]):
    """Values by key, all forgotten when a unit that woke `topic` has committed.

    Only where this process alone writes the database (SQLite, whose folder it has locked): its wake-ups come
    before the writer gets its answer. From a server they come when they come, so there nothing is remembered.
    """

    def __init__(self, db: Database, topic: str, *, size: int) -> None:
        self._known: dict[K, V] = {}
        self._size = size if db.engine == "sqlite" else 0
        self._generation = 0
        db.listen(topic, self._forget)

    async def get(self, key: K, read: Callable[[], Awaitable[V | None]]) -> V | None:
        """The value remembered, else what `read` answers; that there is none is not remembered."""
        known = self._known.get(key)
        if known is not None:
            return known
        generation = self._generation
        found = await read()
        # What was read while it changed may be what it was before.
        if found is not None and self._size and generation == self._generation:
            if len(self._known) >= self._size:
                self._known.clear()
            self._known[key] = found
        return found

    def __len__(self) -> int:
        """How many values are remembered."""
        return len(self._known)

    def _forget(self, _topic: str) -> None:
        self._generation += 1
        self._known.clear()
