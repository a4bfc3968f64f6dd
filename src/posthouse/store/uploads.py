"""Uploads: bytes a caller handed in, kept for a while until a message names them (RFC 8620 §6.1)."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.store.database import Tx


async def add(tx: Tx, account_id: str, blob_hash: str, content_type: str, size_bytes: int, expires_at: int) -> None:
    """Remember an upload; the same bytes again live longer and take the new type."""
    await tx.run(
        """INSERT INTO upload (account_id, blob_hash, content_type, size_bytes, expires_at)
           VALUES (:account_id, :blob_hash, :content_type, :size_bytes, :expires_at)
           ON CONFLICT (account_id, blob_hash) DO UPDATE
             SET content_type = excluded.content_type, expires_at = excluded.expires_at""",
        account_id=account_id, blob_hash=blob_hash, content_type=content_type, size_bytes=size_bytes,
        expires_at=expires_at,
    )  # fmt: skip


async def reachable(tx: Tx, account_id: str, hashes: Sequence[str]) -> dict[str, int]:
    """Those of the blobs that the account may read, with their sizes: one of its messages or uploads names them."""
    rows = await tx.all(
        """SELECT blob_hash, size_bytes FROM message WHERE blob_hash IN (:hashes...) AND account_id = :account_id
           UNION SELECT blob_hash, size_bytes FROM upload
             WHERE account_id = :account_id AND blob_hash IN (:hashes...)""",
        account_id=account_id, hashes=list(hashes),
    )  # fmt: skip
    return {row["blob_hash"]: row["size_bytes"] for row in rows}


async def content_type(tx: Tx, account_id: str, blob_hash: str) -> str | None:
    """The type an upload was given."""
    row = await tx.one(
        "SELECT content_type FROM upload WHERE account_id = :account_id AND blob_hash = :blob_hash",
        account_id=account_id, blob_hash=blob_hash,
    )  # fmt: skip
    return row["content_type"] if row else None


async def pending_bytes(tx: Tx, account_id: str) -> int:
    """How much the account has uploaded that has not expired."""
    row = await tx.one(
        "SELECT coalesce(sum(size_bytes), 0) AS total FROM upload WHERE account_id = :account_id",
        account_id=account_id,
    )
    return int(row["total"]) if row else 0


async def prune(tx: Tx, at: int) -> int:
    """Forget what has expired; the bytes go with the next sweep unless a message names them."""
    return await tx.run("DELETE FROM upload WHERE expires_at <= :at", at=at)
