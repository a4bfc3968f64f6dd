"""Leases left behind. A worker claims a row by moving its `due_at` into the future and marking it leased."""

from __future__ import annotations

from collections.abc import Iterable

from posthouse.store.database import Tx


async def release_all(tx: Tx, tables: Iterable[str], now: int) -> int:
    """Make everything claimed in these tables due again: for the only process of a database, at its start, since
    whoever held a lease is dead."""
    total = 0
    for table in tables:
        total += await tx.run(f"UPDATE {table} SET due_at = :now, leased = FALSE WHERE leased", now=now)
    return total
