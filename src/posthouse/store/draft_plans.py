"""When drafts are to be sent, and with whose rights; leased by moving `due_at`."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class DraftPlan:
    """A draft's sending at a given time, with the rights of who wrote it last.

    Attributes:
        id: the draft's.
        key_id: the key of whoever planned it or has written it since; None for the owner.
        level: the strictest level of all who wrote it.
    """

    id: str
    account_id: str
    key_id: str | None
    surface: str
    level: str | None
    attempts: int
    leased: bool
    due_at: int


async def put(tx: Tx, plan: DraftPlan) -> None:
    """Plan a draft's sending, in place of an earlier plan."""
    await tx.run(
        """INSERT INTO draft_plan (id, account_id, key_id, surface, level, due_at)
           VALUES (:id, :account_id, :key_id, :surface, :level, :due_at)
           ON CONFLICT (id) DO UPDATE SET key_id = excluded.key_id, surface = excluded.surface,
             level = excluded.level, attempts = 0, leased = FALSE, due_at = excluded.due_at""",
        id=plan.id, account_id=plan.account_id, key_id=plan.key_id, surface=plan.surface, level=plan.level,
        due_at=plan.due_at,
    )  # fmt: skip
    tx.wake("draft_plans")


async def delete(tx: Tx, draft_id: str) -> None:
    """Nothing is planned any more."""
    await tx.run("DELETE FROM draft_plan WHERE id = :id", id=draft_id)


async def claim(tx: Tx, now: int, lease_until: int, limit: int) -> list[DraftPlan]:
    """Take up to `limit` plans that are due; nobody else gets them before `lease_until`."""
    rows = await tx.all(
        f"""WITH due AS MATERIALIZED (
              SELECT id FROM draft_plan WHERE due_at <= :now ORDER BY due_at, id LIMIT :limit {tx.lock})
            UPDATE draft_plan SET due_at = :lease_until, leased = TRUE, attempts = attempts + 1
            WHERE id IN (SELECT id FROM due) RETURNING *""",
        now=now, lease_until=lease_until, limit=limit,
    )  # fmt: skip
    return [load(DraftPlan, row, flags=("leased",)) for row in rows]


async def postpone(tx: Tx, draft_id: str, due_at: int) -> None:
    """It could not be done just now; again at `due_at`."""
    await tx.run("UPDATE draft_plan SET due_at = :due_at, leased = FALSE WHERE id = :id", id=draft_id, due_at=due_at)


async def next_due(tx: Tx) -> int | None:
    """When the next plan is due."""
    row = await tx.one("SELECT min(due_at) AS due_at FROM draft_plan")
    return row["due_at"] if row else None
