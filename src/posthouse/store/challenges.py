"""Puzzles that have been used: each counts once."""

from __future__ import annotations

from posthouse.store.database import Tx


async def spend(tx: Tx, jti: str, expires_at: int) -> bool:
    """Use up a challenge; False when it was used before."""
    return bool(
        await tx.run(
            "INSERT INTO spent_challenge (jti, expires_at) VALUES (:jti, :expires_at) ON CONFLICT (jti) DO NOTHING",
            jti=jti, expires_at=expires_at,
        )
    )  # fmt: skip


async def prune(tx: Tx, at: int) -> int:
    """Forget what could no longer be presented anyway."""
    return await tx.run("DELETE FROM spent_challenge WHERE expires_at <= :at", at=at)
