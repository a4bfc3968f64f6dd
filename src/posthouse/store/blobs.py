"""Blobs in the database, named by the SHA-256 of their bytes. Larger ones lie elsewhere (`blobfiles.py`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from posthouse.store.database import Tx


def digest(*pieces: bytes) -> str:
    """The name of a blob, which may lie in pieces."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


async def put(tx: Tx, hash_: str, size_bytes: int, data: bytes | None, at: int) -> None:
    """Remember a blob; `data` None when its bytes lie outside. One already there is touched, which keeps
    the sweeper away from it for another day."""
    await tx.run(
        """INSERT INTO blob (hash, size_bytes, data, touched_at) VALUES (:hash, :size_bytes, :data, :at)
           ON CONFLICT (hash) DO UPDATE SET touched_at = excluded.touched_at""",
        hash=hash_, size_bytes=size_bytes, data=data, at=at,
    )  # fmt: skip


async def get(tx: Tx, hash_: str) -> tuple[int, bytes | None] | None:
    """(size, bytes or None when they lie outside), or None when there is no such blob.

    A hash is no key: callers come here with the hash of a row that belongs to the asking account.
    """
    row = await tx.one("SELECT size_bytes, data FROM blob WHERE hash = :hash", hash=hash_)
    if row is None:
        return None
    return row["size_bytes"], None if row["data"] is None else bytes(row["data"])


async def known(tx: Tx, hashes: Sequence[str]) -> set[str]:
    """Which of the blobs there are."""
    rows = await tx.all("SELECT hash FROM blob WHERE hash IN (:hashes...)", hashes=list(hashes))
    return {row["hash"] for row in rows}


# What keeps a blob alive. A table that gains a blob_hash column is added here; a test compares with the schema.
HOLDERS = ("message", "spool", "submission", "graveyard", "upload")


_UNHELD = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {table} WHERE {table}.blob_hash = blob.hash)" for table in HOLDERS)


async def orphans(tx: Tx, before: int, limit: int) -> list[str]:
    """Blobs nobody names and nobody touched since `before`."""
    rows = await tx.all(
        f"SELECT hash FROM blob WHERE touched_at < :before AND {_UNHELD} ORDER BY touched_at LIMIT :limit",
        before=before, limit=limit,
    )  # fmt: skip
    return [row["hash"] for row in rows]


async def delete_orphans(tx: Tx, hashes: Sequence[str], before: int) -> list[tuple[str, bool]]:
    """Delete those of `hashes` that are orphans still; answers (hash, its bytes lie outside) of each."""
    rows = await tx.all(
        f"""DELETE FROM blob WHERE hash IN (:hashes...) AND touched_at < :before AND {_UNHELD}
            RETURNING hash, data IS NULL AS outside""",
        hashes=list(hashes), before=before,
    )  # fmt: skip
    return [(row["hash"], bool(row["outside"])) for row in rows]
