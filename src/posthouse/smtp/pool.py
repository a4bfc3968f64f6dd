"""Connections kept for the next parcel, and how many parcels may be under way to one destination."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from posthouse.smtp.dialogue import Dialogue

MAX_IDLE: Final = 100  # connections kept open over all destinations


class Pool:
    """Idle connections by destination.

    Args:
        per_destination: parcels under way at a time.
        idle_s: how long a connection waits for its next parcel.
    """

    def __init__(self, per_destination: int, idle_s: float) -> None:
        self._per_destination = per_destination
        self._idle_s = idle_s
        self._slots: dict[str, tuple[asyncio.Semaphore, int]] = {}
        self._idle: OrderedDict[Dialogue, str] = OrderedDict()  # oldest first
        self._expiries: dict[Dialogue, asyncio.TimerHandle] = {}
        self._partings: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def slot(self, destination: str) -> AsyncIterator[None]:
        """Wait for a place; a destination nobody waits for is forgotten."""
        semaphore, users = self._slots.get(destination) or (asyncio.Semaphore(self._per_destination), 0)
        self._slots[destination] = semaphore, users + 1
        try:
            async with semaphore:
                yield
        finally:
            semaphore, users = self._slots.pop(destination)
            if users > 1:
                self._slots[destination] = semaphore, users - 1

    def take(self, destination: str) -> Dialogue | None:
        """The connection used last, which is the least likely to have been closed by the other side."""
        for dialogue in reversed([kept for kept, key in self._idle.items() if key == destination]):
            self._remove(dialogue)
            if dialogue.usable:
                return dialogue
            dialogue.close()
        return None

    def keep(self, destination: str, dialogue: Dialogue) -> None:
        """Lay a connection by."""
        loop = asyncio.get_running_loop()
        dialogue.idle_since = loop.time()
        self._idle[dialogue] = destination
        self._expiries[dialogue] = loop.call_later(self._idle_s, self._retire, dialogue)
        if len(self._idle) > MAX_IDLE:
            self._retire(next(iter(self._idle)))

    def part(self, dialogue: Dialogue) -> None:
        """QUIT in the background: nobody waits for a goodbye."""
        if not dialogue.usable:
            dialogue.close()
            return
        task = asyncio.create_task(dialogue.quit(), name=f"smtp quit {dialogue.hop.host}")
        self._partings.add(task)
        task.add_done_callback(self._partings.discard)

    def _retire(self, dialogue: Dialogue) -> None:
        self._remove(dialogue)
        self.part(dialogue)

    def _remove(self, dialogue: Dialogue) -> None:
        del self._idle[dialogue]
        self._expiries.pop(dialogue).cancel()

    async def aclose(self) -> None:
        """Part with all that are idle, and wait for the goodbyes."""
        for dialogue in list(self._idle):
            self._retire(dialogue)
        await asyncio.gather(*self._partings, return_exceptions=True)
