"""Whom an account has written to, and since when."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from posthouse.store.database import Tx

# Domains compared with a new one; more than this an agent hardly writes to.
_MOST_DOMAINS = 2_000


async def add(tx: Tx, account_id: str, addresses: Sequence[tuple[str, str]], at: int) -> None:
    """Remember (address, domain), normalised, as written to; what is known stays as it is."""
    for address, domain in addresses:
        await tx.run(
            """INSERT INTO correspondent (account_id, address, domain, written_at)
               VALUES (:account_id, :address, :domain, :at) ON CONFLICT (account_id, address) DO NOTHING""",
            account_id=account_id, address=address, domain=domain, at=at,
        )  # fmt: skip


async def among(tx: Tx, account_id: str, addresses: Collection[str]) -> set[str]:
    """Which of the addresses, normalised, an account has written to."""
    rows = await tx.all(
        "SELECT address FROM correspondent WHERE account_id = :account_id AND address IN (:addresses...)",
        account_id=account_id, addresses=sorted(addresses),
    )  # fmt: skip
    return {row["address"] for row in rows}


async def domains(tx: Tx, account_id: str) -> set[str]:
    """The domains an account has written to, those written to most lately first where there are too many."""
    rows = await tx.all(
        """SELECT domain, max(written_at) AS at FROM correspondent WHERE account_id = :account_id
           GROUP BY domain ORDER BY at DESC, domain LIMIT :most""",
        account_id=account_id, most=_MOST_DOMAINS,
    )  # fmt: skip
    return {row["domain"] for row in rows}
