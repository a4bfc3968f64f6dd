"""Changes for open connections: the event source (RFC 8620 §7.3), and what JMAP's WebSocket shares with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from posthouse.api.jmap import states
from posthouse.api.jmap.calls import Caller
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid
from posthouse.store.database import Tx

# RFC 8620 §7.3: a server may raise the interval; more often than this is only noise.
_MIN_PING_S = 10
_MAX_PING_S = 3_600
# A wake-up can be lost: the log is looked at this often all the same.
_LOOK_S = 30.0
# Of one key, and of one account: the holder of one key does not take all there are from the others.
MAX_STREAMS = 5
MAX_ACCOUNT_STREAMS = 20


def room(services: Services, caller: Caller) -> AbstractContextManager[None]:
    """Hold one more stream open: an event source or a WebSocket.

    These are hard limits, whether or not request rates are limited.

    Raises:
        TooMany: on entering: the key, or the account, has as many as it may.
    """
    return services.open_streams.one_more(
        {f"a key:{caller.principal.key_id}": MAX_STREAMS, f"an account:{caller.account_id}": MAX_ACCOUNT_STREAMS}
    )


class Watch:
    """Waits for changes of an account, from a change number on."""

    def __init__(self, services: Services, account_id: str, types: frozenset[str] | None, since: int | None) -> None:
        self._services = services
        self._account_id = account_id
        self._types = types
        self._since = since
        self._woken = asyncio.Event()
        self._stop = services.db.listen(f"account:{account_id}", lambda _topic: self._woken.set())

    async def start(self) -> None:
        """Wait for changes from now on, unless a change number was given."""
        if self._since is None:
            self._since, _ = await self._look(2**62)

    def close(self) -> None:
        """Wait no more."""
        self._stop()

    async def _look(self, since: int) -> tuple[int, dict[str, str]]:
        async def unit(tx: Tx) -> dict[str, int]:
            return await states.all_current(tx, self._account_id)

        found = await self._services.db.read(unit)
        changed = {
            kind: str(modseq)
            for kind, modseq in found.items()
            if modseq > since and (self._types is None or kind in self._types)
        }
        return max(found.values()), changed

    async def changed(self, timeout_s: float | None) -> tuple[int, dict[str, str]] | None:
        """Wait for the next change; return its change number and the types' new states, or None when time is up."""
        loop = asyncio.get_running_loop()
        end = None if timeout_s is None else loop.time() + timeout_s
        while True:
            self._woken.clear()
            assert self._since is not None
            reached, found = await self._look(self._since)
            self._since = max(self._since, reached)
            if found:
                return reached, found
            wait_s = _LOOK_S if end is None else min(_LOOK_S, end - loop.time())
            if wait_s <= 0:
                return None
            try:
                await asyncio.wait_for(self._woken.wait(), wait_s)
            except TimeoutError:
                if end is not None and loop.time() >= end:
                    return None


def state_change(account_id: str, changed: dict[str, str]) -> dict[str, Any]:
    """A `StateChange` object (RFC 8620 §7.1)."""
    return {"@type": "StateChange", "changed": {account_id: changed}}


class Asked:
    """What the query of an event source's URL asks for (RFC 8620 §7.3)."""

    def __init__(self, query: dict[str, str], last_event_id: str | None) -> None:
        """Raises `Invalid` when a parameter is not acceptable."""
        types = query.get("types", "*")
        self.types = None if types in ("", "*") else frozenset(types.split(","))
        closes = query.get("closeafter", "no")
        if closes not in ("state", "no"):
            raise Invalid("closeafter is state or no", field="closeafter")
        self.closes = closes == "state"
        ping = query.get("ping", "0") or "0"
        if not (ping.isascii() and ping.isdecimal()):
            raise Invalid("ping is a number of seconds", field="ping")
        seconds = min(int(ping[:9]), _MAX_PING_S)
        self.ping_s = 0 if seconds == 0 else max(_MIN_PING_S, seconds)
        self.since = (
            int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdecimal() else None
        )


async def events(services: Services, caller: Caller, asked: Asked) -> AsyncGenerator[bytes, None]:
    """The text of an event stream, piece by piece. An event's id is the change number its states stand for."""
    watch = Watch(services, caller.account_id, asked.types, asked.since)
    try:
        await watch.start()
        yield b": open\r\n\r\n"
        while True:
            found = await watch.changed(asked.ping_s or None)
            if found is None:
                yield b"event: ping\r\ndata: " + msgspec.json.encode({"interval": asked.ping_s}) + b"\r\n\r\n"
                continue
            reached, changed = found
            data = msgspec.json.encode(state_change(caller.account_id, changed))
            yield f"event: state\r\nid: {reached}\r\n".encode() + b"data: " + data + b"\r\n\r\n"
            if asked.closes:
                return
    finally:
        watch.close()
