"""Suppressions: addresses an account's mail is not sent to, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Suppression:
    """`reason` is `bounce`, `complaint`, `manual` or `unsubscribe`; without `expires_at` it stays."""

    account_id: str
    address: str
    reason: str
    diagnostic: str | None
    created_at: int
    expires_at: int | None


async def add(
    tx: Tx, account_id: str, address: str, reason: str, diagnostic: str | None, at: int, expires_at: int | None = None
) -> None:
    """Suppress a normalised address; a suppression is never shortened, least of all one that stays."""
    await tx.run(
        """INSERT INTO suppression (account_id, address, reason, diagnostic, created_at, expires_at)
           VALUES (:account_id, :address, :reason, :diagnostic, :at, :expires_at)
           ON CONFLICT (account_id, address) DO UPDATE
             SET reason = excluded.reason, diagnostic = excluded.diagnostic, expires_at = excluded.expires_at
             WHERE suppression.expires_at < coalesce(excluded.expires_at, 9223372036854775807)""",
        account_id=account_id, address=address, reason=reason, diagnostic=diagnostic, at=at, expires_at=expires_at,
    )  # fmt: skip


async def among(tx: Tx, account_id: str, addresses: Sequence[str], at: int) -> dict[str, Suppression]:
    """Which of the normalised addresses are suppressed now."""
    rows = await tx.all(
        """SELECT * FROM suppression WHERE account_id = :account_id AND address IN (:addresses...)
             AND (expires_at IS NULL OR expires_at > :at)""",
        account_id=account_id, addresses=list(addresses), at=at,
    )  # fmt: skip
    return {row["address"]: load(Suppression, row) for row in rows}


async def remove(tx: Tx, account_id: str, address: str) -> bool:
    """Allow the address again; False when it was not suppressed."""
    return bool(
        await tx.run(
            "DELETE FROM suppression WHERE account_id = :account_id AND address = :address",
            account_id=account_id, address=address,
        )
    )  # fmt: skip
