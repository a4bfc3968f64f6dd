"""Vacation responses (RFC 8621 §8), and who has been given one lately."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Vacation:
    """What an account answers while it is away. `from_at` ≤ now < `to_at`; None is no bound.

    Attributes:
        key_id: the key of whoever wrote it last; None for the owner, and for what was written before this was kept.
        level: the strictest level of the keys that wrote what it says.
    """

    account_id: str
    is_enabled: bool = False
    from_at: int | None = None
    to_at: int | None = None
    subject: str | None = None
    text_body: str | None = None
    html_body: str | None = None
    key_id: str | None = None
    surface: str = ""
    level: str | None = None


async def get(tx: Tx, account_id: str) -> Vacation:
    """The account's response; the disabled default when it never set one."""
    row = await tx.one("SELECT * FROM vacation WHERE account_id = :account_id", account_id=account_id)
    return load(Vacation, row, flags=("is_enabled",)) if row else Vacation(account_id)


async def put(tx: Tx, vacation: Vacation) -> None:
    """Replace the account's response."""
    await tx.run(
        """INSERT INTO vacation (account_id, is_enabled, from_at, to_at, subject, text_body, html_body, key_id,
             surface, level)
           VALUES (:account_id, :is_enabled, :from_at, :to_at, :subject, :text_body, :html_body, :key_id, :surface,
             :level)
           ON CONFLICT (account_id) DO UPDATE SET is_enabled = excluded.is_enabled, from_at = excluded.from_at,
             to_at = excluded.to_at, subject = excluded.subject, text_body = excluded.text_body,
             html_body = excluded.html_body, key_id = excluded.key_id, surface = excluded.surface,
             level = excluded.level""",
        account_id=vacation.account_id, is_enabled=vacation.is_enabled, from_at=vacation.from_at,
        to_at=vacation.to_at, subject=vacation.subject, text_body=vacation.text_body, html_body=vacation.html_body,
        key_id=vacation.key_id, surface=vacation.surface, level=vacation.level,
    )  # fmt: skip


async def claim_answer(tx: Tx, account_id: str, address: str, since: int, at: int) -> bool:
    """Note that an address is answered now; False when it was answered at or after `since` already."""
    row = await tx.one(
        """INSERT INTO vacation_answer (account_id, address, answered_at) VALUES (:account_id, :address, :at)
           ON CONFLICT (account_id, address) DO UPDATE SET answered_at = excluded.answered_at
             WHERE vacation_answer.answered_at < :since
           RETURNING address""",
        account_id=account_id, address=address, since=since, at=at,
    )  # fmt: skip
    return row is not None


async def answered_since(tx: Tx, account_id: str, since: int, limit: int) -> list[str]:
    """Addresses the account answered after an instant, at most `limit`."""
    rows = await tx.all(
        """SELECT address FROM vacation_answer WHERE account_id = :account_id AND answered_at > :since
           LIMIT :limit""",
        account_id=account_id, since=since, limit=limit,
    )  # fmt: skip
    return [row["address"] for row in rows]


async def forget_answers(tx: Tx, account_id: str) -> None:
    """A new response is news to everyone again."""
    await tx.run("DELETE FROM vacation_answer WHERE account_id = :account_id", account_id=account_id)


async def prune(tx: Tx, before: int) -> int:
    """Forget answers given before an instant."""
    return await tx.run("DELETE FROM vacation_answer WHERE answered_at < :before", before=before)
