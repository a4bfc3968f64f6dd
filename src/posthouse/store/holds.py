"""Holds: submissions that wait for the owner's decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Hold:
    """A question to the owner. `digest` binds the answer to the very bytes and envelope that were held."""

    id: str
    organization_id: str
    account_id: str
    submission_id: str
    digest: str
    findings: list[dict[str, Any]]
    state: str
    reason: str | None
    decided_by: str | None
    decided_at: int | None
    created_at: int


def _hold(row: Row) -> Hold:
    return load(Hold, row, json=("findings",))


async def add(tx: Tx, hold: Hold) -> None:
    """Insert a pending hold."""
    await tx.run(
        """INSERT INTO hold (id, organization_id, account_id, submission_id, digest, findings, state, created_at)
           VALUES (:id, :organization_id, :account_id, :submission_id, :digest, :findings, 'pending', :created_at)""",
        id=hold.id, organization_id=hold.organization_id, account_id=hold.account_id,
        submission_id=hold.submission_id, digest=hold.digest, findings=dump(hold.findings),
        created_at=hold.created_at,
    )  # fmt: skip


async def get(tx: Tx, organization_id: str, hold_id: str) -> Hold | None:
    """The hold, or None."""
    row = await tx.one(
        "SELECT * FROM hold WHERE organization_id = :organization_id AND id = :id",
        organization_id=organization_id, id=hold_id,
    )  # fmt: skip
    return _hold(row) if row else None


async def pending(tx: Tx, organization_id: str, limit: int = 50) -> list[Hold]:
    """What waits for a decision, newest first."""
    rows = await tx.all(
        """SELECT * FROM hold WHERE organization_id = :organization_id AND state = 'pending'
           ORDER BY created_at DESC, id DESC LIMIT :limit""",
        organization_id=organization_id, limit=limit,
    )  # fmt: skip
    return [_hold(row) for row in rows]


async def decide(tx: Tx, hold_id: str, state: str, decided_by: str, reason: str | None, at: int) -> bool:
    """Write down the decision; False when it had been decided before."""
    return bool(
        await tx.run(
            """UPDATE hold SET state = :state, decided_by = :decided_by, reason = :reason, decided_at = :at
               WHERE id = :id AND state = 'pending'""",
            id=hold_id, state=state, decided_by=decided_by, reason=reason, at=at,
        )
    )  # fmt: skip


async def withdraw(tx: Tx, submission_id: str, at: int) -> None:
    """The sender took the submission back: there is nothing left to decide."""
    await tx.run(
        """UPDATE hold SET state = 'withdrawn', decided_by = 'sender', decided_at = :at
           WHERE submission_id = :submission_id AND state = 'pending'""",
        submission_id=submission_id, at=at,
    )  # fmt: skip
