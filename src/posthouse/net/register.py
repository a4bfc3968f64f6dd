"""Who is connected to a door, and how many may be: in all, and from one address.

When a door is full, whoever has waited longest with nothing under way makes room: silent connections keep
nobody out.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Protocol

# Guests asked to give way for one newcomer. Those who did not are asked last the next time.
_ASKED = 64


class Guest(Protocol):
    """A connection, as far as the register has to do with it."""

    def say_goodbye(self) -> None:
        """Tell the peer that the server is stopping, and end when nothing is under way."""
        ...

    def give_way(self) -> bool:
        """End at once when nothing is under way; whether that is so."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...


class Refusal(Enum):
    """Why a connection may not stay: the door closes, is full, or has enough guests from this address."""

    STOPPING = "stopping"
    FULL = "full"
    CROWDED = "crowded"


class Register:
    """The connections that are open and the work they have begun, counted and bounded.

    Args:
        most: open at once, in all; None for no limit.
        most_per_network: open at once from one network of `network_of`; None for no limit.

    Attributes:
        is_stopping: nobody new is taken, and everybody is told.
    """

    def __init__(self, most: int | None, most_per_network: int | None) -> None:
        self.is_stopping = False
        self._most = most
        self._most_per_network = most_per_network
        self._guests: dict[Guest, str] = {}  # whoever came, or was asked to give way, first
        self._per_network: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_gone: asyncio.Event | None = None

    @property
    def guests(self) -> frozenset[Guest]:
        """Who is connected now."""
        return frozenset(self._guests)

    def admit(self, guest: Guest, network: str) -> Refusal | None:
        """Count a connection in, a refused one too while it lasts. `network` is that of `network_of`."""
        refusal = None
        if self.is_stopping:
            refusal = Refusal.STOPPING
        elif network and self._most_per_network is not None and self._per_network[network] >= self._most_per_network:
            refusal = Refusal.CROWDED
        elif self._most is not None and len(self._guests) >= self._most and not self._makes_room():
            refusal = Refusal.FULL
        self._guests[guest] = network
        self._per_network[network] += 1
        return refusal

    def _makes_room(self) -> bool:
        for guest in list(self._guests)[:_ASKED]:
            if guest.give_way():
                self.dismiss(guest)
                return True
            self._guests[guest] = self._guests.pop(guest)
        return False

    def dismiss(self, guest: Guest) -> None:
        """Count a connection out; once is enough."""
        network = self._guests.pop(guest, None)
        if network is None:
            return
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


def network_of(address: str, *, counts_loopback: bool = False) -> str:
    """What connections are counted by: an IPv4 address, or an IPv6 /64, which is one customer; "" is not counted."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if parsed.is_loopback and not counts_loopback:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def is_among(given: str) -> Callable[[str], bool]:
    """Whether an address is one of a list of addresses and networks, by commas; `*` is every address."""
    names = [name.strip() for name in given.split(",") if name.strip()]
    if "*" in names:
        return lambda address: True
    networks = []
    for name in names:
        try:
            networks.append(ipaddress.ip_network(name, strict=False))
        except ValueError:
            continue  # a name, such as that of a Unix socket's peer, is no address

    def found(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in networks)

    return found
