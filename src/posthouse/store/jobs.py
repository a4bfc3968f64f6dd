"""Work to be done later: a row with a kind and a payload, leased by moving `due_at`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.kit.ids import new_id
from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Job:
    """`state` is `ready` or `dead`; what is done is deleted. `attempts` counts the claims."""

    id: str
    kind: str
    account_id: str | None
    payload: dict[str, Any]
    dedup_key: str | None
    state: str
    attempts: int
    due_at: int
    leased: bool
    last_error: str | None
    created_at: int


def _job(row: Row) -> Job:
    return load(Job, row, json=("payload",), flags=("leased",))


async def add(
    tx: Tx,
    kind: str,
    *,
    payload: dict[str, Any] | None = None,
    account_id: str | None = None,
    dedup_key: str | None = None,
    due_at: int,
    at: int,
) -> None:
    """Ask for work. While one with the same kind and dedup key waits, a second is not added."""
    await tx.run(
        """INSERT INTO job (id, kind, account_id, payload, dedup_key, state, due_at, created_at)
           VALUES (:id, :kind, :account_id, :payload, :dedup_key, 'ready', :due_at, :at)
           ON CONFLICT (kind, dedup_key) WHERE dedup_key IS NOT NULL AND state = 'ready' DO NOTHING""",
        id=new_id(), kind=kind, account_id=account_id, payload=dump(payload or {}), dedup_key=dedup_key,
        due_at=due_at, at=at,
    )  # fmt: skip
    tx.wake(f"job:{kind}")


async def claim(tx: Tx, kind: str, now: int, lease_until: int, limit: int) -> list[Job]:
    """Take up to `limit` jobs that are due.

    A claimed job gives up its dedup key, so that work asked for while it runs is done once more after it.
    """
    rows = await tx.all(
        f"""WITH due AS MATERIALIZED (
              SELECT id FROM job WHERE kind = :kind AND state = 'ready' AND due_at <= :now
              ORDER BY due_at, id LIMIT :limit {tx.lock})
            UPDATE job SET due_at = :lease_until, leased = TRUE, attempts = attempts + 1, dedup_key = NULL
            WHERE id IN (SELECT id FROM due) RETURNING *""",
        kind=kind, now=now, lease_until=lease_until, limit=limit,
    )  # fmt: skip
    return [_job(row) for row in rows]


async def done(tx: Tx, job_ids: Sequence[str]) -> None:
    """They have been done."""
    await tx.run("DELETE FROM job WHERE id IN (:ids...)", ids=list(job_ids))


async def retry(tx: Tx, job_id: str, due_at: int, error: str) -> None:
    """It failed; again at `due_at`."""
    await tx.run(
        "UPDATE job SET due_at = :due_at, leased = FALSE, last_error = :error WHERE id = :id",
        id=job_id,
        due_at=due_at,
        error=error,
    )


async def bury(tx: Tx, job_id: str, error: str) -> None:
    """It failed too often: kept, visible, not tried again by itself."""
    await tx.run(
        "UPDATE job SET state = 'dead', leased = FALSE, last_error = :error WHERE id = :id", id=job_id, error=error
    )


async def revive(tx: Tx, job_ids: Sequence[str] | None, at: int) -> list[str]:
    """Make dead jobs due again, with all their tries; None is all of them. Returns the ids of those that were dead.

    Where the same work is waiting already (its dedup key was given up when the job was first claimed), it is
    done twice, which jobs do not mind.
    """
    named = "" if job_ids is None else "AND id IN (:ids...)"
    rows = await tx.all(
        f"""UPDATE job SET state = 'ready', attempts = 0, due_at = :at, last_error = NULL
            WHERE state = 'dead' {named} RETURNING id, kind""",
        at=at, ids=list(job_ids or ()),
    )  # fmt: skip
    for kind in {row["kind"] for row in rows}:
        tx.wake(f"job:{kind}")
    return [row["id"] for row in rows]


async def troubled(tx: Tx, limit: int = 100) -> list[Job]:
    """Jobs that are dead or failed when they were last tried, the dead first, oldest first."""
    rows = await tx.all(
        """SELECT * FROM job WHERE state = 'dead' OR last_error IS NOT NULL
           ORDER BY state, created_at, id LIMIT :limit""",
        limit=limit,
    )
    return [_job(row) for row in rows]


async def prune(tx: Tx, before: int) -> int:
    """Forget dead jobs asked for before an instant."""
    return await tx.run("DELETE FROM job WHERE state = 'dead' AND created_at < :before", before=before)


async def next_due(tx: Tx, kind: str) -> int | None:
    """When the next job of a kind is due."""
    row = await tx.one("SELECT min(due_at) AS due_at FROM job WHERE kind = :kind AND state = 'ready'", kind=kind)
    return row["due_at"] if row else None
