"""Room in memory for what is still coming in: mails before their last dot, bodies of requests.

One room serves all connections of a door. Small things pass without asking. When the room is used up, whoever has
brought nothing for a while gives back what it holds; if nobody has, the newcomer is told to come again later.
"""

from __future__ import annotations

from typing import Protocol

# What one connection may hold without asking: nearly every mail and request is smaller.
FREE_OCTETS = 65_536
# Taken at a time, so that not every packet is a question.
_STEP = 65_536
# Who has brought nothing for so long makes way for who does.
_STALLED_S = 5.0


class Holder(Protocol):
    """A connection with something large on its way.

    Attributes:
        heard_at: when it last brought an octet, by the clock of the event loop.
        network: whom it belongs to, as `net.register.network_of` says; "" for nobody in particular.
    """

    heard_at: float
    network: str

    def shed(self) -> None:
        """Throw away what has come of it; its peer is told to send it again later."""
        ...


class Room:
    """Octets for many holders.

    Args:
        octets: in all. One network gets half of it.
    """

    def __init__(self, octets: int) -> None:
        self._octets = octets
        self._held: dict[Holder, int] = {}
        self.taken = 0

    def grow(self, holder: Holder, octets: int, now: float) -> bool:
        """Have room for `octets` that a holder has by now; False when there is none, and it has what it had."""
        before = self._held.get(holder, 0)
        if octets - FREE_OCTETS <= before:
            return True
        wanted = octets - FREE_OCTETS + _STEP - before
        if holder.network and self._of(holder.network) + wanted > self._octets // 2:
            return False
        if self.taken + wanted > self._octets and not self._cleared(holder, wanted, now):
            return False
        self._held[holder] = before + wanted
        self.taken += wanted
        return True

    def leave(self, holder: Holder) -> None:
        """Give back all that a holder has."""
        self.taken -= self._held.pop(holder, 0)

    def _of(self, network: str) -> int:
        return sum(octets for holder, octets in self._held.items() if holder.network == network)

    def _cleared(self, asker: Holder, wanted: int, now: float) -> bool:
        stalled = sorted(
            (each for each in self._held if each is not asker and now - each.heard_at >= _STALLED_S),
            key=lambda each: each.heard_at,
        )
        for holder in stalled:
            if self.taken + wanted <= self._octets:
                break
            self.leave(holder)
            holder.shed()
        return self.taken + wanted <= self._octets
