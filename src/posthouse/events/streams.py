"""Open streams: events for whoever holds a connection open, read from the event log in the log's order.

One reader serves all the streams of an organisation. A wake-up names an account; the reader then passes on what
`events.of_account` returns after the position it had reached in that account. Wake-ups can be lost, so all accounts
are looked at now and then. Events are read account by account, never from a sequence over all accounts: on PostgreSQL
the rows of such a sequence become visible out of order, and some would be missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from posthouse.kit import log
from posthouse.store import accounts, events, organizations
from posthouse.store.database import Database, Tx
from posthouse.store.events import Event

_log = log.get("streams")

# Events a slow reader may be behind before it is let go.
_BACKLOG = 10_000
_BATCH = 500
_LOOK_S = 15.0
# Sorts after every event id: all of a change number's events have been told.
_LAST = "~"


class Told:
    """An event on its way to many streams; what is made of it is made once for all of them."""

    __slots__ = ("_made", "event")

    def __init__(self, event: Event) -> None:
        self.event = event
        self._made: dict[str, asyncio.Task[Any]] = {}

    async def once(self, kind: str, make: Callable[[Event], Awaitable[Any]]) -> Any:
        """What `make` makes of the event, made by the first who asks."""
        task = self._made.get(kind)
        if task is None:
            task = self._made[kind] = asyncio.ensure_future(make(self.event))
        return await asyncio.shield(task)


class Subscription:
    """One stream's queue of events. `next` returns them in order; None says that the stream fell too far behind."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Told | None] = asyncio.Queue()
        self._lost = False

    def put(self, told: Told) -> None:
        """Add an event; where the stream is too far behind, end it instead."""
        if self._lost:
            return
        if self._queue.qsize() >= _BACKLOG:
            self._lost = True
            self._queue.put_nowait(None)
            return
        self._queue.put_nowait(told)

    async def next(self) -> Told | None:
        """The next event."""
        return await self._queue.get()


class Streams:
    """All open streams of this process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._feeds: dict[str, _Feed] = {}

    async def subscribe(self, organization_id: str) -> Subscription:
        """From now on the organisation's events come to the answer; end it with `unsubscribe`."""
        feed = self._feeds.get(organization_id)
        if feed is None:
            feed = self._feeds[organization_id] = _Feed(self._db, organization_id)
        subscription = Subscription()
        feed.subscriptions.add(subscription)
        try:
            await feed.ready()
        except BaseException:
            await self.unsubscribe(organization_id, subscription)
            raise
        return subscription

    async def unsubscribe(self, organization_id: str, subscription: Subscription) -> None:
        """End a stream; the last one of an organisation ends its reader."""
        feed = self._feeds.get(organization_id)
        if feed is None:
            return
        feed.subscriptions.discard(subscription)
        if not feed.subscriptions:
            del self._feeds[organization_id]
            await feed.stop()

    async def aclose(self) -> None:
        """End all readers."""
        feeds, self._feeds = list(self._feeds.values()), {}
        for feed in feeds:
            await feed.stop()


class _Feed:
    """Reads one organisation's events, as far as anybody listens."""

    def __init__(self, db: Database, organization_id: str) -> None:
        self.subscriptions: set[Subscription] = set()
        self._db = db
        self._organization_id = organization_id
        self._positions: dict[str, tuple[int, str]] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        # The ear first, the snapshot second: what happens in between is heard, and told from the position.
        self._unlisten = db.listen(f"events:{organization_id}:*", self._on_wake)
        self._start: asyncio.Task[None] = asyncio.create_task(self._snapshot())
        self._task = asyncio.create_task(self._loop(), name="posthouse-streams")

    async def ready(self) -> None:
        """Wait until events are being followed."""
        await asyncio.shield(self._start)

    async def stop(self) -> None:
        """End."""
        self._unlisten()
        for task in (self._task, self._start):
            task.cancel()
        await asyncio.gather(self._task, self._start, return_exceptions=True)

    def _on_wake(self, topic: str) -> None:
        self._dirty.add(topic.rsplit(":", 1)[1])
        self._wake.set()

    async def _now(self) -> dict[str, int]:
        async def unit(tx: Tx) -> dict[str, int]:
            organization = await organizations.get(tx, self._organization_id)
            found = await accounts.modseqs(tx, self._organization_id)
            return found | {"": organization.modseq if organization else 0}

        return await self._db.read(unit)

    async def _snapshot(self) -> None:
        self._positions = {account_id: (modseq, _LAST) for account_id, modseq in (await self._now()).items()}

    async def _loop(self) -> None:
        await self._start
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), _LOOK_S)
            except TimeoutError:
                pass
            try:
                if not self._wake.is_set():
                    self._dirty |= await self._lagging()
                self._wake.clear()
                while self._dirty:
                    await self._tell(self._dirty.pop())
            except Exception as error:  # a worker's outer loop
                _log.error("following events failed", organization_id=self._organization_id, error=str(error))
                await asyncio.sleep(1)
                self._dirty |= set(self._positions)
                self._wake.set()

    async def _lagging(self) -> set[str]:
        now = await self._now()
        for account_id in self._positions.keys() - now.keys():
            del self._positions[account_id]
        return {each for each, modseq in now.items() if self._positions.get(each, (0, ""))[0] < modseq}

    async def _tell(self, account_id: str) -> None:
        while True:
            position = self._positions.get(account_id, (0, ""))

            async def unit(tx: Tx, position: tuple[int, str] = position) -> list[Event]:
                if account_id:
                    return await events.of_account(tx, account_id, position, _BATCH)
                return await events.of_organization(tx, self._organization_id, position, _BATCH)

            found = await self._db.read(unit)
            for event in found:
                told = Told(event)
                for subscription in tuple(self.subscriptions):
                    subscription.put(told)
            if found:
                self._positions[account_id] = (found[-1].modseq, found[-1].id)
            if len(found) < _BATCH:
                return
