"""Suppressions: addresses an account's mail is not sent to, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Suppression:
    """`reason` is `bounce`, `complaint`, `manual` or `unsubscribe`; without `expires_at` it stays.

    Without an account it is the owner's, for every inbox of the house.
    """

    account_id: str | None
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


# Both kinds in one shape; the house's come first where an address has both.
_HOUSE = "SELECT NULL AS account_id, address, reason, diagnostic, created_at, NULL AS expires_at FROM house_suppression"


async def among(tx: Tx, account_id: str, addresses: Sequence[str], at: int) -> dict[str, Suppression]:
    """Which of the normalised addresses are suppressed now."""
    rows = await tx.all(
        f"""SELECT * FROM suppression WHERE account_id = :account_id AND address IN (:addresses...)
              AND (expires_at IS NULL OR expires_at > :at)
            UNION ALL {_HOUSE} WHERE address IN (:addresses...)""",
        account_id=account_id, addresses=list(addresses), at=at,
    )  # fmt: skip
    return {row["address"]: load(Suppression, row) for row in rows}


async def listed(tx: Tx, account_id: str | None, at: int, limit: int) -> list[Suppression]:
    """What an account may not write to now, newest first; without one, of all accounts and of the house."""
    own = "" if account_id is None else "account_id = :account_id AND"
    rows = await tx.all(
        f"""SELECT * FROM (SELECT * FROM suppression WHERE {own} (expires_at IS NULL OR expires_at > :at)
                           UNION ALL {_HOUSE}) AS found
            ORDER BY created_at DESC, address, account_id LIMIT :limit""",
        at=at, limit=limit, **({} if account_id is None else {"account_id": account_id}),
    )  # fmt: skip
    return [load(Suppression, row) for row in rows]


async def add_for_house(tx: Tx, address: str, reason: str, diagnostic: str | None, at: int) -> None:
    """Suppress a normalised address for every account there is or will be."""
    await tx.run(
        """INSERT INTO house_suppression (address, reason, diagnostic, created_at)
           VALUES (:address, :reason, :diagnostic, :at)
           ON CONFLICT (address) DO UPDATE SET reason = excluded.reason, diagnostic = excluded.diagnostic""",
        address=address, reason=reason, diagnostic=diagnostic, at=at,
    )  # fmt: skip


async def remove(tx: Tx, account_id: str, address: str) -> bool:
    """Allow an account the address again, as far as it is the account's own; False when it was not suppressed."""
    return bool(
        await tx.run(
            "DELETE FROM suppression WHERE account_id = :account_id AND address = :address",
            account_id=account_id, address=address,
        )
    )  # fmt: skip


async def is_for_house(tx: Tx, address: str) -> bool:
    """Whether no account may write to the address, as the owner has said."""
    return await tx.one("SELECT 1 AS one FROM house_suppression WHERE address = :address", address=address) is not None


async def remove_everywhere(tx: Tx, address: str) -> int:
    """Allow the address again to everybody; answers how many suppressions there were."""
    total = await tx.run("DELETE FROM house_suppression WHERE address = :address", address=address)
    return total + await tx.run("DELETE FROM suppression WHERE address = :address", address=address)
