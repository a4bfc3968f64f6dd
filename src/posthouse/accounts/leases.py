"""A key held by what stays open: a WebSocket, an event source, a session of the submission port.

A key is checked when a connection begins. From then on the connection holds a lease on it, which says what the
key may do now and ends with the key. Leases are read again when keys change, at once in the process that changed
them and as soon as the word is there in the others; now and then in any case, since words can be lost; and when the
first of them runs out.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from weakref import WeakSet

from posthouse.kit import log
from posthouse.kit.clock import SECOND, Clock
from posthouse.kit.errors import PosthouseError, Unauthenticated
from posthouse.kit.principal import Principal
from posthouse.store import keys
from posthouse.store.database import Database, Tx

_log = log.get("leases")

_LOOK_S = 3.0
# Between two looks at the keys, however often they change.
_REST_S = 0.05


class Lease:
    """What one connection may do as long as it is open. Whoever holds it keeps it; there is nothing to give back."""

    def __init__(self, leases: Leases, principal: Principal) -> None:
        self._leases = leases
        self._principal = principal
        self._ended = asyncio.Event()
        self._expires_at: int | None = None

    @property
    def key_id(self) -> str | None:
        """The key; None for the owner, whose lease never ends."""
        return self._principal.key_id

    async def check(self) -> Principal:
        """Who asks, with what the key may do now.

        Raises:
            Unauthenticated: the key was revoked, or its time is over.
        """
        await self._leases.settle()
        if self._ended.is_set() or self._leases.has_come(self._expires_at):
            self.end()
            raise Unauthenticated("the API key was revoked or has expired", reason="unknown_key")
        return self._principal

    async def ended(self) -> None:
        """Wait until the key is worth nothing any more."""
        await self._ended.wait()

    def end(self) -> None:
        """It is over."""
        self._ended.set()

    def renew(self, rights: list[str] | None, level: str | None, expires_at: int | None) -> None:
        """What was read of the key. Which account or pod it opens never changes."""
        self._expires_at = expires_at
        wanted = None if rights is None else frozenset(rights)
        self._principal = replace(self._principal, rights=wanted, level=level)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, as far as is known without asking."""
        return self._ended.is_set()

    @property
    def expires_at(self) -> int | None:
        """When the key's time is over."""
        return self._expires_at


class Leases:
    """All leases of this process. One reader looks at the keys for all of them, while there are any."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._held: WeakSet[Lease] = WeakSet()
        self._wake = asyncio.Event()
        self._is_stale = False
        self._looking: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        db.listen(keys.KEYS, self._on_change)

    def take(self, principal: Principal) -> Lease:
        """A lease on the key that was just checked."""
        lease = Lease(self, principal)
        if principal.key_id is not None:
            self._held.add(lease)
            self._on_change("")  # the key may have changed since it was checked
            if self._task is None:
                self._task = asyncio.create_task(self._loop(), name="posthouse-leases")
        return lease

    def has_come(self, expires_at: int | None) -> bool:
        """Whether an instant has come."""
        return expires_at is not None and expires_at <= self._clock()

    async def settle(self) -> None:
        """Have every change read that this process knows of.

        Raises:
            Unavailable: the keys cannot be read.
        """
        while self._is_stale:
            if self._looking is None:
                self._looking = asyncio.create_task(self._look())
            await asyncio.shield(self._looking)

    async def aclose(self) -> None:
        """Look no more."""
        tasks = [task for task in (self._task, self._looking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_change(self, _topic: str) -> None:
        self._is_stale = True
        self._wake.set()

    async def _look(self) -> None:
        try:
            self._is_stale = False
            held = {lease for lease in self._held if lease.key_id is not None}
            ids = {lease.key_id for lease in held if lease.key_id is not None}

            async def unit(tx: Tx) -> dict[str, keys.ApiKey]:
                return await keys.get_many(tx, ids)

            found = await self._db.read(unit) if ids else {}
            for lease in held:
                key = found.get(lease.key_id or "")
                if key is None or self.has_come(key.expires_at):
                    lease.end()
                    self._held.discard(lease)
                else:
                    lease.renew(key.rights, key.level, key.expires_at)
        except BaseException:
            self._is_stale = True
            raise
        finally:
            self._looking = None

    async def _loop(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), self._wait_s())
            except TimeoutError:
                self._is_stale = True
            self._wake.clear()
            try:
                await self.settle()
            except PosthouseError as error:
                _log.error("keys could not be read", error=str(error))
                self._wake.set()
                await asyncio.sleep(1)
            await asyncio.sleep(_REST_S)

    def _wait_s(self) -> float:
        now = self._clock()
        ends = [lease.expires_at for lease in self._held if lease.expires_at is not None]
        return min([_LOOK_S, *(max(0.0, (at - now) / SECOND) for at in ends)])
