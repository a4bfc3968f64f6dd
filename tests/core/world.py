"""The world around a house without doors: who takes its mail, and DNS."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.outbound.courier import DeliveryResult, Outcome, Parcel
from posthouse.wire.resolver import NameNotFound

BOB = "bob@elsewhere.example"

# Elsewhere's code and words for each outcome.
_SAID: dict[Outcome, int] = {"delivered": 250, "deferred": 451, "failed": 550}


class Elsewhere:
    """The rest of the world. It takes every mail, unless it is told to answer an address otherwise.

    Attributes:
        parcels: what came, in order.
        answers: outcome and status by recipient.
    """

    def __init__(self) -> None:
        self.parcels: list[Parcel] = []
        self.answers: dict[str, tuple[Outcome, str]] = {}

    async def deliver(self, parcel: Parcel) -> Sequence[DeliveryResult]:
        """Take a parcel, or not."""
        self.parcels.append(parcel)
        results = []
        for recipient in parcel.recipients:
            outcome, status = self.answers.get(recipient, ("delivered", "2.0.0"))
            words = f"said of {recipient}"
            results.append(
                DeliveryResult(recipient, outcome, status, words, "mx.elsewhere.example", smtp_code=_SAID[outcome])
            )
        return results

    async def aclose(self) -> None:
        """Nothing is open."""

    def got(self, recipient: str = BOB) -> list[Parcel]:
        """What came for an address."""
        return [parcel for parcel in self.parcels if recipient in parcel.recipients]


class Zone:
    """DNS out of dictionaries."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.hosts: dict[str, list[tuple[int, str]]] = {}

    async def txt(self, name: str) -> list[bytes]:
        """TXT records."""
        if name not in self.texts:
            raise NameNotFound(name, no_domain=True)
        return [text.encode() for text in self.texts[name]]

    async def mx(self, name: str) -> list[tuple[int, str]]:
        """MX records."""
        if name not in self.hosts:
            raise NameNotFound(name, no_domain=True)
        return self.hosts[name]

    async def addresses(self, name: str) -> list[str]:
        """No host has any."""
        raise NameNotFound(name, no_domain=True)

    async def ptr(self, address: str) -> list[str]:
        """No address points back."""
        raise NameNotFound(address, no_domain=True)
