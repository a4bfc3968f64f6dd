"""Idempotency keys: the first answer to a key, given again to whoever repeats the same request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posthouse.store.database import Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Remembered:
    """`digest` is of the request; `answer` None while the first attempt runs."""

    organization_id: str
    key: str
    scope: str
    digest: str
    answer: dict[str, Any] | None
    created_at: int
    expires_at: int


async def get(tx: Tx, organization_id: str, key: str, at: int) -> Remembered | None:
    """What is remembered of a key, unless it has expired."""
    row = await tx.one(
        """SELECT * FROM idempotency WHERE organization_id = :organization_id AND key = :key
             AND expires_at > :at""",
        organization_id=organization_id, key=key, at=at,
    )  # fmt: skip
    return load(Remembered, row, json=("answer",)) if row else None


async def put(
    tx: Tx, organization_id: str, key: str, scope: str, digest: str, answer: dict[str, Any], at: int, expires_at: int
) -> bool:
    """Remember an answer; False when the key is taken by a live one."""
    return bool(
        await tx.run(
            """INSERT INTO idempotency (organization_id, key, scope, digest, answer, created_at, expires_at)
               VALUES (:organization_id, :key, :scope, :digest, :answer, :at, :expires_at)
               ON CONFLICT (organization_id, key) DO UPDATE SET scope = excluded.scope,
                 digest = excluded.digest, answer = excluded.answer, created_at = excluded.created_at,
                 expires_at = excluded.expires_at
                 WHERE idempotency.expires_at <= :at""",
            organization_id=organization_id, key=key, scope=scope, digest=digest, answer=dump(answer), at=at,
            expires_at=expires_at,
        )
    )  # fmt: skip


async def prune(tx: Tx, at: int) -> int:
    """Forget what has expired."""
    return await tx.run("DELETE FROM idempotency WHERE expires_at <= :at", at=at)
