"""A loop that does what is due, sleeps till something is, and never dies of one failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from posthouse.kit import log
from posthouse.kit.clock import Clock

_log = log.get("worker")


class Work(NamedTuple):
    """One line of the table of what is to be done in the background.

    Attributes:
        run_once: does what is due; returns how many pieces of work it took up.
        next_due: the instant the next piece is due, None for none known.
        topics: what wakes it.
        table: where its leases are kept; a crash leaves some behind.
        drain: waits for what `run_once` has begun and not finished, so many seconds at most (None: to its end).
    """

    name: str
    run_once: Callable[[], Awaitable[int]]
    next_due: Callable[[], Awaitable[int | None]]
    topics: tuple[str, ...]
    table: str
    drain: Callable[[float | None], Awaitable[None]] | None = None


class Worker:
    """Does one kind of work again and again: at once after a wake-up or while there was some, else when due.

    Args:
        idle_s: looks at least so often, since a wake-up can be lost.
    """

    def __init__(self, work: Work, clock: Clock, *, idle_s: float = 15.0) -> None:
        self.name = work.name
        self._run_once = work.run_once
        self._next_due = work.next_due
        self._clock = clock
        self._idle_s = idle_s
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._loop(), name=f"posthouse-{self.name}")

    def wake(self, _topic: str = "") -> None:
        """There may be work."""
        self._wake.set()

    async def stop(self) -> None:
        """Finish the round under way and end."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task

    async def _loop(self) -> None:
        failures = 0
        while not self._stopping:
            self._wake.clear()
            try:
                if await self._run_once():
                    failures = 0
                    continue
                due_at = await self._next_due()
                failures = 0
                wait_s = self._idle_s
                if due_at is not None:
                    wait_s = min(wait_s, max(0.0, (due_at - self._clock()) / 1000))
            except Exception as error:
                failures += 1
                wait_s = min(30.0, 0.2 * 2**failures)
                _log.error("a round failed", worker=self.name, error=str(error), exc_info=failures == 1)
            try:
                await asyncio.wait_for(self._wake.wait(), wait_s)
            except TimeoutError:
                pass
