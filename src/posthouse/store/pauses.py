"""What is paused: an account, an organisation, or the whole installation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load

# The scope that is everything.
ALL = "*"


def running(account_id: str) -> str:
    """The SQL condition that no pause holds an account, named by SQL. The table is nearly always empty."""
    return f"""(NOT EXISTS (SELECT 1 FROM pause)
      OR NOT EXISTS (SELECT 1 FROM account
                     JOIN pause ON pause.scope_id IN ('{ALL}', account.organization_id, account.id)
                     WHERE account.id = {account_id}))"""


@dataclass(frozen=True, slots=True)
class Pause:
    """A stop, and who may lift it.

    Attributes:
        scope_id: of an account or an organisation; `ALL`.
        paused_by: a key's id; None is the owner.
        width: of whoever paused: `owner`, `organization`, `pod` or `account`.
    """

    scope_id: str
    paused_by: str | None
    width: str
    reason: str | None
    paused_at: int


async def put(tx: Tx, pause: Pause) -> None:
    """Pause, in place of an earlier pause of the same."""
    await tx.run(
        """INSERT INTO pause (scope_id, paused_by, width, reason, paused_at)
           VALUES (:scope_id, :paused_by, :width, :reason, :paused_at)
           ON CONFLICT (scope_id) DO UPDATE SET paused_by = excluded.paused_by, width = excluded.width,
             reason = excluded.reason, paused_at = excluded.paused_at""",
        scope_id=pause.scope_id, paused_by=pause.paused_by, width=pause.width, reason=pause.reason,
        paused_at=pause.paused_at,
    )  # fmt: skip


async def delete(tx: Tx, scope_id: str) -> bool:
    """Go on; False when it was not paused."""
    return bool(await tx.run("DELETE FROM pause WHERE scope_id = :scope_id", scope_id=scope_id))


async def among(tx: Tx, scope_ids: Sequence[str]) -> dict[str, Pause]:
    """The pauses of some scopes, by scope."""
    rows = await tx.all("SELECT * FROM pause WHERE scope_id IN (:scope_ids...)", scope_ids=list(scope_ids))
    return {row["scope_id"]: load(Pause, row) for row in rows}


async def is_running(tx: Tx, account_id: str) -> bool:
    """Whether no pause holds an account."""
    row = await tx.one(f"SELECT {running(':account_id')} AS running", account_id=account_id)
    return row is not None and bool(row["running"])


async def all_of(tx: Tx) -> list[Pause]:
    """Everything that is paused, the oldest first."""
    return [load(Pause, row) for row in await tx.all("SELECT * FROM pause ORDER BY paused_at, scope_id")]
