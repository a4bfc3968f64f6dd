"""What a server puts up with, and the register of who is connected to it."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from posthouse.wire.smtp_replies import SHUTTING_DOWN, Reply


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server puts up with. A count of None means no limit.

    Attributes:
        connections: open at once, in all.
        connections_per_address: open at once from one IPv4 address or one IPv6 /64, which is one customer.
        limits_loopback: whether peers on this machine are counted per address as well.
        idle_s: from one command to the end of the next; RFC 5321 §4.5.3.2.7 asks for five minutes at least.
            Bytes that complete no command do not count.
        progress_s, progress_bytes: within a message, each span of so many seconds has to bring so many bytes:
            nobody holds a connection with a byte now and then.
        message_s: from the go-ahead to the end of a message, or of a chunk.
        handshake_s: for TLS.
        linger_s: after the last word to someone who is still talking, so that he gets to read it.
    """

    connections: int | None = 1_000
    connections_per_address: int | None = 50
    limits_loopback: bool = False
    idle_s: float = 300.0
    progress_s: float = 60.0
    progress_bytes: int = 1_024
    message_s: float = 3_600.0
    handshake_s: float = 30.0
    linger_s: float = 2.0


class Guest(Protocol):
    """A connection, as far as the register has to do with it."""

    def say_goodbye(self) -> None:
        """Tell the peer that the server is stopping, and end when nothing is under way."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


class Register:
    """The connections that are open and the work they have begun, counted and bounded.

    Attributes:
        is_stopping: nobody new is taken, and everybody is told.
    """

    def __init__(self, limits: Limits) -> None:
        self.is_stopping = False
        self._limits = limits
        self._guests: set[Guest] = set()
        self._per_network: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_gone: asyncio.Event | None = None

    @property
    def guests(self) -> frozenset[Guest]:
        """Who is connected now."""
        return frozenset(self._guests)

    def admit(self, guest: Guest, network: str) -> Reply | None:
        """Count a connection in; a reply says why it may not stay. `network` is that of `network_of`."""
        limits = self._limits
        refusal = None
        if self.is_stopping:
            refusal = SHUTTING_DOWN
        elif limits.connections is not None and len(self._guests) >= limits.connections:
            refusal = Reply(421, "4.3.2", "Too many connections, try again later")
        elif (
            network
            and limits.connections_per_address is not None
            and self._per_network[network] >= limits.connections_per_address
        ):
            refusal = Reply(421, "4.7.0", "Too many connections from your address")
        self._guests.add(guest)
        self._per_network[network] += 1
        return refusal

    def dismiss(self, guest: Guest, network: str) -> None:
        """Count a connection out."""
        self._guests.discard(guest)
        self._per_network[network] -= 1
        if self._per_network[network] <= 0:
            del self._per_network[network]
        self._note_gone()

    def watch(self, task: asyncio.Task[None]) -> None:
        """Hold a connection's task, which may outlive the connection."""
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    async def close(self, grace_s: float) -> None:
        """Tell everyone, wait for what is under way, and cut what is left after `grace_s`."""
        self.is_stopping = True
        for guest in self.guests:
            guest.say_goodbye()
        if not self._guests and not self._tasks:
            return
        self._all_gone = asyncio.Event()
        try:
            await asyncio.wait_for(self._all_gone.wait(), grace_s)
        except TimeoutError:
            for guest in self.guests:
                guest.abort()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._note_gone()

    def _note_gone(self) -> None:
        if self._all_gone is not None and not self._guests and not self._tasks:
            self._all_gone.set()


def network_of(address: str, *, counts_loopback: bool) -> str:
    """What connections are counted by; "" is not counted."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if parsed.is_loopback and not counts_loopback:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
