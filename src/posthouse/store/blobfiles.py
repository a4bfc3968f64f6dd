"""Where a message's bytes lie: small blobs in the database, larger ones in files named by their hash.

A small blob shares the unit's commit. A larger one is written and synced before the unit, so that a committed
row never names bytes that are not there; an orphan left by a crash is swept a day later.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from posthouse.kit.errors import NotFound, Unavailable
from posthouse.store import blobs
from posthouse.store.database import Database, Tx

# Up to here a row in the commit is cheaper than a file of its own with two fsyncs.
INLINE_BYTES = 128 * 1024
_HALF = ".new-"


class BlobFiles(Protocol):
    """Bytes outside the database, by hash."""

    async def put(self, hash_: str, *pieces: bytes) -> None:
        """Store durably, one piece behind the other; storing the same again is no error. Raises `Unavailable`."""
        ...

    async def get(self, hash_: str) -> bytes:
        """Raises `NotFound`, `Unavailable`."""
        ...

    async def delete(self, hash_: str, before: int) -> None:
        """Delete unless put again since the instant `before`; deleting what is not there is no error."""
        ...

    async def older(self, before: int) -> list[str]:
        """The hashes of all that was last put before an instant."""
        ...


class LocalBlobFiles:
    """Files below a folder, two levels deep. The folder belongs to one process."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Between a sweeper's look at a file's age and its deletion nobody may rely on the file anew.
        self._lock = threading.Lock()

    def _path(self, hash_: str) -> Path:
        return self._root / hash_[:2] / hash_

    async def put(self, hash_: str, *pieces: bytes) -> None:
        try:
            await asyncio.to_thread(self._write, self._path(hash_), pieces)
        except OSError as error:
            raise Unavailable("the blob store cannot write just now", retry_after_s=5) from error

    def _write(self, path: Path, pieces: Sequence[bytes]) -> None:
        with self._lock:
            if path.exists() and path.stat().st_size == sum(map(len, pieces)):
                os.utime(path)  # tells a sweeper that has already chosen it to leave it
                return
        for folder in (self._root, path.parent):  # parents made on the way would not have the mode
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_HALF)
        try:
            with os.fdopen(handle, "wb") as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:
                os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        for folder in (path.parent, self._root):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    async def get(self, hash_: str) -> bytes:
        try:
            return await asyncio.to_thread(self._path(hash_).read_bytes)
        except FileNotFoundError as error:
            raise NotFound("the bytes are not there") from error
        except OSError as error:
            raise Unavailable("the blob store cannot read just now", retry_after_s=5) from error

    async def delete(self, hash_: str, before: int) -> None:
        await asyncio.to_thread(self._unlink, self._path(hash_), before)

    def _unlink(self, path: Path, before: int) -> None:
        with self._lock:
            try:
                if path.stat().st_mtime * 1000 < before:
                    path.unlink()
            except FileNotFoundError:
                pass

    async def older(self, before: int) -> list[str]:
        return await asyncio.to_thread(self._older, before)

    def _older(self, before: int) -> list[str]:
        found = []
        for path in self._root.glob("??/*"):
            try:
                if path.stat().st_mtime * 1000 >= before:
                    continue
            except FileNotFoundError:
                continue
            if path.name.startswith(_HALF):
                path.unlink(missing_ok=True)  # what a crash left half written
            else:
                found.append(path.name)
        return found


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes ready for a unit: `await blob.store(tx, at)` there.

    Attributes:
        data: None when the bytes lie outside already.
        is_held: a row that this unit ends, such as the spool's, holds the blob: nothing is to be remembered.
    """

    hash: str
    size_bytes: int
    data: bytes | None
    is_held: bool = False

    async def store(self, tx: Tx, at: int) -> None:
        """Remember the blob in this unit."""
        if self.is_held:
            return
        await blobs.put(tx, self.hash, self.size_bytes, self.data, at)


class Blobs:
    """The blob store in two places."""

    def __init__(self, db: Database, files: BlobFiles) -> None:
        self._db = db
        self._files = files

    async def prepare(self, *pieces: bytes) -> Blob:
        """Make bytes ready for a unit; large ones are durable when this returns. Raises `Unavailable`.

        Args:
            pieces: one behind the other. Large ones are never put together: that would keep the loop waiting.
        """
        size = sum(map(len, pieces))
        if size <= INLINE_BYTES:
            data = b"".join(pieces)
            return Blob(blobs.digest(data), size, data)
        hash_ = await asyncio.to_thread(blobs.digest, *pieces)
        await self._files.put(hash_, *pieces)
        return Blob(hash_, size, None)

    async def read(self, hash_: str) -> bytes:
        """The bytes of a blob named by a row the caller has looked up. Raises `NotFound`, `Unavailable`."""
        found = await self._db.read(lambda tx: blobs.get(tx, hash_))
        if found is None:
            raise NotFound("the bytes are not there")
        return found[1] if found[1] is not None else await self._files.get(hash_)

    async def sweep(self, before: int, limit: int = 500) -> int:
        """Delete blobs that nobody names and nobody touched since `before`; answers how many.

        When the database has none left, the files are looked through for those a crash left without a row.
        """
        candidates = await self._db.read(lambda tx: blobs.orphans(tx, before, limit))
        if not candidates:
            return await self._sweep_files(before, limit)
        gone = await self._db.write(lambda tx: blobs.delete_orphans(tx, candidates, before))
        for hash_, outside in gone:
            if outside:
                await self._files.delete(hash_, before)
        return len(gone) or await self._sweep_files(before, limit)

    async def _sweep_files(self, before: int, limit: int) -> int:
        older = await self._files.older(before)
        gone: list[str] = []
        for start in range(0, len(older), limit):
            gone += await self._without_row(older[start : start + limit])
        for hash_ in gone:
            await self._files.delete(hash_, before)
        return len(gone)

    async def _without_row(self, hashes: list[str]) -> list[str]:
        known = await self._db.read(lambda tx: blobs.known(tx, hashes))
        return [hash_ for hash_ in hashes if hash_ not in known]
