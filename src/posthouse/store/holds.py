"""Holds: submissions that wait for the owner's decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.store import pages
from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Hold:
    """A question to the owner. `digest` binds the answer to the very bytes and envelope that were held.

    Attributes:
        asked_id: the Message-ID of the question by mail, with a secret in it that an answer must name; None: it was
            not asked so.
        expires_at: when nobody having answered is a no.
    """

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
    key_id: str | None = None
    asked_id: str | None = None
    expires_at: int | None = None


def _hold(row: Row) -> Hold:
    return load(Hold, row, json=("findings",))


async def add(tx: Tx, hold: Hold) -> None:
    """Insert a pending hold."""
    await tx.run(
        """INSERT INTO hold (id, organization_id, account_id, submission_id, digest, findings, state, created_at,
             key_id, expires_at)
           VALUES (:id, :organization_id, :account_id, :submission_id, :digest, :findings, 'pending', :created_at,
             :key_id, :expires_at)""",
        id=hold.id, organization_id=hold.organization_id, account_id=hold.account_id,
        submission_id=hold.submission_id, digest=hold.digest, findings=dump(hold.findings),
        created_at=hold.created_at, key_id=hold.key_id, expires_at=hold.expires_at,
    )  # fmt: skip


async def get(tx: Tx, organization_id: str, hold_id: str) -> Hold | None:
    """The hold, or None."""
    row = await tx.one(
        "SELECT * FROM hold WHERE organization_id = :organization_id AND id = :id",
        organization_id=organization_id, id=hold_id,
    )  # fmt: skip
    return _hold(row) if row else None


async def set_asked(tx: Tx, hold_id: str, asked_id: str) -> None:
    """The owner has been asked by a mail with this Message-ID."""
    await tx.run("UPDATE hold SET asked_id = :asked_id WHERE id = :id", id=hold_id, asked_id=asked_id)


async def by_asked_id(tx: Tx, asked_ids: Sequence[str]) -> Hold | None:
    """The hold that one of these mails asked about. Unscoped: the Message-ID of a question is a secret."""
    row = await tx.one(
        "SELECT * FROM hold WHERE asked_id IN (:asked_ids...) ORDER BY created_at DESC LIMIT 1",
        asked_ids=list(asked_ids),
    )
    return _hold(row) if row else None


async def pending(tx: Tx, organization_id: str, *, after: tuple[int, str] | None = None, limit: int = 50) -> list[Hold]:
    """What waits for a decision, what waits longest first, after a keyset position (created_at, id)."""
    scope = {"organization_id": organization_id}
    rows = await pages.in_order_of_creation(
        tx, "hold", scope, after=after, ascending=True, limit=limit, also="state = 'pending'"
    )
    return [_hold(row) for row in rows]


async def count(
    tx: Tx, *, organization_id: str | None = None, account_id: str | None = None, key_id: str | None = None
) -> int:
    """How much waits for a decision: of an organisation, of an account or of a key."""
    named = {"organization_id": organization_id, "account_id": account_id, "key_id": key_id}
    given = {name: value for name, value in named.items() if value is not None}
    where = " AND ".join(f"{name} = :{name}" for name in given)
    row = await tx.one(f"SELECT count(*) AS total FROM hold WHERE state = 'pending' AND {where}", **given)
    return int(row["total"]) if row else 0


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
