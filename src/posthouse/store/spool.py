"""The spool: mail taken in and not filed yet. A row is also the job to file it: leased by moving `due_at`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.store.database import Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Spooled:
    """A message for one account. `recipients` are the envelope's addresses that led there."""

    id: str
    account_id: str
    blob_hash: str
    mail_from: str
    recipients: list[str]
    handed_in: dict[str, Any]
    size_bytes: int
    received_at: int
    attempts: int
    due_at: int
    leased: bool
    last_error: str | None


async def add(tx: Tx, rows: Sequence[Spooled]) -> None:
    """Insert rows of one message, one for each account."""
    await tx.many(
        """INSERT INTO spool (id, account_id, blob_hash, mail_from, recipients, handed_in, size_bytes,
                              received_at, due_at)
           VALUES (:id, :account_id, :blob_hash, :mail_from, :recipients, :handed_in, :size_bytes,
                   :received_at, :received_at)""",
        [
            {
                "id": row.id, "account_id": row.account_id, "blob_hash": row.blob_hash,
                "mail_from": row.mail_from, "recipients": dump(row.recipients),
                "handed_in": dump(row.handed_in), "size_bytes": row.size_bytes, "received_at": row.received_at,
            }
            for row in rows
        ],
    )  # fmt: skip


async def claim(tx: Tx, now: int, lease_until: int, limit: int) -> list[Spooled]:
    """Take up to `limit` rows that are due; nobody else gets them before `lease_until`."""
    rows = await tx.all(
        f"""WITH due AS MATERIALIZED (
              SELECT id FROM spool WHERE due_at <= :now ORDER BY due_at, id LIMIT :limit {tx.lock})
            UPDATE spool SET due_at = :lease_until, leased = TRUE, attempts = attempts + 1
            WHERE id IN (SELECT id FROM due) RETURNING *""",
        now=now, lease_until=lease_until, limit=limit,
    )  # fmt: skip
    found = [load(Spooled, row, json=("recipients", "handed_in"), flags=("leased",)) for row in rows]
    return sorted(found, key=lambda row: (row.received_at, row.id))


async def remove(tx: Tx, spool_id: str) -> bool:
    """It has been filed; False when somebody else had done so."""
    return bool(await tx.run("DELETE FROM spool WHERE id = :id", id=spool_id))


async def postpone(tx: Tx, spool_id: str, due_at: int, error: str) -> None:
    """Try again at `due_at`."""
    await tx.run(
        "UPDATE spool SET due_at = :due_at, leased = FALSE, last_error = :error WHERE id = :id",
        id=spool_id, due_at=due_at, error=error,
    )  # fmt: skip


async def next_due(tx: Tx) -> int | None:
    """When the next row is due."""
    row = await tx.one("SELECT min(due_at) AS due_at FROM spool")
    return row["due_at"] if row else None


async def waiting_bytes(tx: Tx, account_id: str) -> int:
    """How much waits to be filed for an account."""
    row = await tx.one(
        "SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) AS total FROM spool WHERE account_id = :account_id",
        account_id=account_id,
    )
    return int(row["total"]) if row else 0


async def count(tx: Tx) -> int:
    """How many rows wait."""
    row = await tx.one("SELECT count(*) AS total FROM spool")
    return int(row["total"]) if row else 0
