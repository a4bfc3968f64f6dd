"""Which outcomes keep an account from writing to an address again."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.store import suppressions
from posthouse.store.database import Tx
from posthouse.store.suppressions import Suppression
from posthouse.wire.address import normalize

# RFC 3463 §3: what says that the address itself is no good, today and tomorrow. Policy, size and content
# refusals (5.7.x, 5.3.4, 5.6.x) speak of one mail; a full mailbox (x.2.2) empties again.
_HARD = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")


def is_hard(status: str) -> bool:
    """Whether a status code says that the address does not exist or is closed."""
    return status in _HARD


async def after_failure(tx: Tx, account_id: str, address: str, status: str, diagnostic: str | None, at: int) -> bool:
    """Suppress an address whose failure is final; True when it was."""
    if not is_hard(status):
        return False
    await suppressions.add(tx, account_id, normalize(address), "bounce", (diagnostic or status)[:500], at)
    return True


async def after_complaint(tx: Tx, account_id: str, address: str, feedback_type: str, at: int) -> None:
    """Suppress an address whose owner complained."""
    await suppressions.add(tx, account_id, normalize(address), "complaint", feedback_type, at)


async def among(tx: Tx, account_id: str, addresses: Sequence[str], at: int) -> dict[str, Suppression]:
    """Which of the addresses the account may not write to, by normalised address."""
    return await suppressions.among(tx, account_id, [normalize(address) for address in addresses], at)
