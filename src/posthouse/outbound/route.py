"""Where mail for a domain goes: to ourselves, into the catch, to a smarthost or to the domain's own hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from posthouse.outbound.courier import Courier, DeliveryResult, Parcel
from posthouse.store.database import Tx

# The end of a delivery at home: run in the unit that settles it, so that both are true or neither.
Deposit = Callable[[Tx], Awaitable[Sequence[DeliveryResult]]]


class LocalPost(Protocol):
    """Carries mail to accounts of this installation; `inbound` has it, `app.py` hands it over."""

    async def serves(self, domain: str) -> bool:
        """Whether mail for the domain stays here."""
        ...

    async def prepare(self, parcel: Parcel, *, caught: bool) -> Deposit:
        """Make a parcel ready to be deposited.

        Args:
            caught: it is addressed outside and goes to the owner's catch account instead.

        Raises:
            Unavailable: it cannot be stored now.
        """
        ...

    async def deposit(self, tx: Tx, parcel: Parcel, at: int) -> Sequence[DeliveryResult]:
        """Deposit a small parcel made inside a unit, such as a report."""
        ...


class Router:
    """Chooses between the local post, the catch and a courier."""

    def __init__(self, local: LocalPost, outside: Courier | None) -> None:
        """`outside` None: nothing leaves this machine; outside mail is caught."""
        self.local = local
        self.outside = outside

    async def is_local(self, domain: str) -> bool:
        """Whether mail for the domain is deposited here rather than carried out."""
        return self.outside is None or await self.local.serves(domain)

    async def is_caught(self, domain: str) -> bool:
        """Whether outside mail for the domain ends in the catch."""
        return self.outside is None and not await self.local.serves(domain)
