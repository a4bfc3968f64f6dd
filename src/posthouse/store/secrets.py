"""Secrets the installation made for itself. On PostgreSQL every process reads the same ones."""

from __future__ import annotations

from posthouse.store.database import Tx


async def get(tx: Tx, name: str) -> str | None:
    """The secret, or None."""
    row = await tx.one("SELECT value FROM secret WHERE name = :name", name=name)
    return row["value"] if row else None


async def get_or_add(tx: Tx, name: str, value: str, at: int) -> str:
    """The secret; `value` becomes it when there was none."""
    await tx.run(
        "INSERT INTO secret (name, value, created_at) VALUES (:name, :value, :at) ON CONFLICT (name) DO NOTHING",
        name=name, value=value, at=at,
    )  # fmt: skip
    found = await get(tx, name)
    assert found is not None
    return found
