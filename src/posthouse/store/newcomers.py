"""To whom elsewhere an organisation that registered itself has written while it was new."""

from __future__ import annotations

from collections.abc import Iterable

from posthouse.store.database import Tx


async def recipients(tx: Tx, organization_id: str) -> set[str]:
    """The addresses, in the form used as key; they stay when the inbox that wrote to them goes."""
    rows = await tx.tuples(
        "SELECT address FROM newcomer_recipient WHERE organization_id = :organization_id",
        organization_id=organization_id,
    )
    return {row[0] for row in rows}


async def add_recipients(tx: Tx, organization_id: str, addresses: Iterable[str], at: int) -> None:
    """Remember addresses."""
    await tx.many(
        """INSERT INTO newcomer_recipient (organization_id, address, first_at) VALUES (:organization_id, :address, :at)
           ON CONFLICT (organization_id, address) DO NOTHING""",
        [{"organization_id": organization_id, "address": address, "at": at} for address in sorted(addresses)],
    )


async def prune(tx: Tx, before: int) -> int:
    """Forget those from before, whose organisation is no newcomer any more."""
    return await tx.run("DELETE FROM newcomer_recipient WHERE first_at < :before", before=before)
