"""Push subscriptions (RFC 8620 §7.2), leased by moving `due_at`, each with how far it has been told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """Where to tell of an account's changes.

    Attributes:
        p256dh, auth: the keys to encrypt with (RFC 8291), base64url; None sends clear text.
        types: the types it wants; None for all.
        pushed_modseq: the account's change number it has been told of.
        verify_due: the verification has not been sent yet.
    """

    id: str
    account_id: str
    key_id: str | None
    device_client_id: str
    url: str
    p256dh: str | None
    auth: str | None
    verification_code: str
    is_verified: bool
    types: list[str] | None
    expires_at: int
    pushed_modseq: int
    verify_due: bool
    leased: bool
    due_at: int
    failures: int
    created_at: int


def _subscription(row: Row) -> PushSubscription:
    return load(PushSubscription, row, json=("types",), flags=("is_verified", "verify_due", "leased"))


async def add(tx: Tx, subscription: PushSubscription) -> None:
    """Insert a subscription; its verification is due."""
    await tx.run(
        """INSERT INTO push_subscription (id, account_id, key_id, device_client_id, url, p256dh, auth,
             verification_code, types, expires_at, pushed_modseq, due_at, created_at)
           VALUES (:id, :account_id, :key_id, :device_client_id, :url, :p256dh, :auth, :verification_code, :types,
             :expires_at, :pushed_modseq, :due_at, :created_at)""",
        id=subscription.id, account_id=subscription.account_id, key_id=subscription.key_id,
        device_client_id=subscription.device_client_id, url=subscription.url, p256dh=subscription.p256dh,
        auth=subscription.auth, verification_code=subscription.verification_code,
        types=None if subscription.types is None else dump(subscription.types), expires_at=subscription.expires_at,
        pushed_modseq=subscription.pushed_modseq, due_at=subscription.due_at, created_at=subscription.created_at,
    )  # fmt: skip
    tx.wake("push")


async def all_of(tx: Tx, account_id: str, at: int) -> list[PushSubscription]:
    """The account's live subscriptions, oldest first."""
    rows = await tx.all(
        """SELECT * FROM push_subscription WHERE account_id = :account_id AND expires_at > :at
           ORDER BY created_at, id""",
        account_id=account_id, at=at,
    )  # fmt: skip
    return [_subscription(row) for row in rows]


async def update(
    tx: Tx, subscription_id: str, *, types: Sequence[str] | None, expires_at: int, verified_at_modseq: int | None
) -> None:
    """Change what may be changed; `verified_at_modseq` marks it verified, told up to there."""
    await tx.run(
        """UPDATE push_subscription SET types = :types, expires_at = :expires_at,
             is_verified = CASE WHEN :verified THEN TRUE ELSE is_verified END,
             pushed_modseq = CASE WHEN :verified THEN :modseq ELSE pushed_modseq END
           WHERE id = :id""",
        id=subscription_id, types=None if types is None else dump(list(types)), expires_at=expires_at,
        verified=verified_at_modseq is not None, modseq=verified_at_modseq or 0,
    )  # fmt: skip


async def delete(tx: Tx, account_id: str, subscription_id: str) -> bool:
    """Delete one; False when there was none."""
    return bool(
        await tx.run(
            "DELETE FROM push_subscription WHERE account_id = :account_id AND id = :id",
            account_id=account_id, id=subscription_id,
        )
    )  # fmt: skip


_WAITING = """push_subscription.expires_at > :now AND (push_subscription.verify_due
  OR (push_subscription.is_verified AND EXISTS (SELECT 1 FROM account
        WHERE account.id = push_subscription.account_id AND account.modseq > push_subscription.pushed_modseq)))"""


async def claim(tx: Tx, now: int, lease_until: int, limit: int) -> list[PushSubscription]:
    """Take up to `limit` subscriptions that have something to be told and are due."""
    rows = await tx.all(
        f"""WITH due AS MATERIALIZED (
              SELECT id FROM push_subscription WHERE due_at <= :now AND {_WAITING}
              ORDER BY due_at, id LIMIT :limit {tx.lock})
            UPDATE push_subscription SET due_at = :lease_until, leased = TRUE
            WHERE id IN (SELECT id FROM due) RETURNING *""",
        now=now, lease_until=lease_until, limit=limit,
    )  # fmt: skip
    return [_subscription(row) for row in rows]


async def settle(
    tx: Tx, subscription_id: str, *, pushed_modseq: int, verify_due: bool, due_at: int, failures: int
) -> None:
    """Write down what became of a telling."""
    await tx.run(
        """UPDATE push_subscription SET leased = FALSE, due_at = :due_at, failures = :failures,
             verify_due = :verify_due,
             pushed_modseq = CASE WHEN pushed_modseq < :modseq THEN :modseq ELSE pushed_modseq END
           WHERE id = :id""",
        id=subscription_id, modseq=pushed_modseq, verify_due=verify_due, due_at=due_at, failures=failures,
    )  # fmt: skip


async def next_due(tx: Tx, now: int) -> int | None:
    """When the next telling is due."""
    row = await tx.one(f"SELECT min(due_at) AS due_at FROM push_subscription WHERE {_WAITING}", now=now)
    return row["due_at"] if row else None


async def prune(tx: Tx, at: int) -> int:
    """Delete what has expired."""
    return await tx.run("DELETE FROM push_subscription WHERE expires_at <= :at", at=at)
