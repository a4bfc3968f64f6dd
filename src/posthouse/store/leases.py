"""Leases left behind. A worker claims a row by moving its `due_at` into the future and marking it leased."""

from __future__ import annotations

from posthouse.store.database import Tx

_LEASED = ("spool", "delivery", "webhook_delivery", "job", "draft_plan")


async def release_all(tx: Tx, now: int) -> int:
    """Make everything claimed due again: for the only process of a database, at its start, since whoever
    held a lease is dead."""
    total = 0
    for table in _LEASED:
        total += await tx.run(f"UPDATE {table} SET due_at = :now, leased = FALSE WHERE leased", now=now)
    return total
