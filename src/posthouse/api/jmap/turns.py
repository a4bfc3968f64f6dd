"""Long work beside the event loop: parsing, composing, rendering, writing JSON by the megabyte.

One request of an account at a time, once it has become heavy: what a request may use is bounded (`budget.py`), and
eight side by side would use eight times that. The others wait for their turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from posthouse.kit.aside import INLINE_BYTES, beside

T = TypeVar("T")

# A request that has looked at or made more than this in all is heavy.
HEAVY_OCTETS = 2 * 1024 * 1024
# After so long, many small things in a row let others in between.
_SPELL_S = 0.01


class Work:
    """The long work of one request."""

    def __init__(self, turn: asyncio.Lock) -> None:
        self._turn = turn
        self._octets = 0
        self._has_turn = False
        self._since = perf_counter()  # the loop has come to others

    async def run(self, octets: int, function: Callable[..., T], *args: Any, above: int = INLINE_BYTES) -> T:
        """What the function returns; on a thread when it has more than a few octets to look at.

        Args:
            octets: how much it looks at or makes.
            above: up to here it is called at once.
        """
        await self.hold(octets)
        if octets <= above:
            if perf_counter() - self._since > _SPELL_S:
                await asyncio.sleep(0)
                self._since = perf_counter()
            return function(*args)
        return await beside(function, *args)

    async def hold(self, octets: int) -> None:
        """Count what will be held or looked at; wait for the account's turn when it is much by now."""
        self._octets += octets
        if self._octets > HEAVY_OCTETS and not self._has_turn:
            await self._turn.acquire()
            self._has_turn = True

    def end(self) -> None:
        """Let the next one have the turn."""
        if self._has_turn:
            self._turn.release()
            self._has_turn = False


class Aside:
    """Whose turn it is. One for the application."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def request(self, account_id: str) -> AsyncIterator[Work]:
        """The long work of one request of an account, until its answer has been taken."""
        turn = self._turns.get(account_id)
        if turn is None:
            turn = self._turns[account_id] = asyncio.Lock()
        work = Work(turn)
        try:
            yield work
        finally:
            work.end()


def alone() -> Work:
    """For a call that belongs to no request."""
    return Work(asyncio.Lock())
