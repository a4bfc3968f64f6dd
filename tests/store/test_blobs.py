"""Blobs: kept while a row names them or somebody touched them, swept otherwise, wherever their bytes lie."""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from pathlib import Path

import pytest

from posthouse.kit.errors import NotFound, Unavailable
from posthouse.store import blobs, graveyard, migrations, spool, submissions
from posthouse.store.blobfiles import INLINE_BYTES, Blobs, LocalBlobFiles
from posthouse.store.database import Database, Tx
from store.builders import AT, blob_of, destroy, house, mail, receive, rows, spooled, submission

LARGE = b"x" * (INLINE_BYTES + 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def store(db: Database, folder: Path) -> Blobs:
    return Blobs(db, LocalBlobFiles(folder))


async def _keep(db: Database, store: Blobs, data: bytes, at: int = AT) -> str:
    blob = await store.prepare(data)
    await db.write(lambda tx: blob.store(tx, at))
    return blob.hash


def _age(path: Path, at: int) -> None:
    os.utime(path, (at / 1000, at / 1000))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "data", [b"", b"\x00\xff bytes", b"y" * INLINE_BYTES, LARGE], ids=["empty", "small", "limit", "large"]
)
async def test_bytes_come_back_as_they_were(db: Database, store: Blobs, folder: Path, data: bytes) -> None:
    hash_ = await _keep(db, store, data)
    assert hash_ == blobs.digest(data)
    assert await store.read(hash_) == data
    found = await db.read(lambda tx: blobs.get(tx, hash_))
    assert found is not None
    assert found[0] == len(data)
    # Only what is large lies in a file, and only once.
    assert [path.name for path in _files(folder)] == ([hash_] if len(data) > INLINE_BYTES else [])
    await _keep(db, store, data, AT + 5)
    assert len(await rows(db, "SELECT hash FROM blob")) == 1


async def test_what_is_not_there_is_not_found(db: Database, store: Blobs, folder: Path) -> None:
    with pytest.raises(NotFound):
        await store.read("0" * 64)
    hash_ = await _keep(db, store, LARGE)
    _files(folder)[0].unlink()
    with pytest.raises(NotFound):
        await store.read(hash_)


async def test_a_folder_that_cannot_be_written_is_unavailable_and_leaves_no_row(db: Database, tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    store = Blobs(db, LocalBlobFiles(tmp_path / "blobs"))
    with pytest.raises(Unavailable):
        await store.prepare(LARGE)
    with pytest.raises(Unavailable):
        await LocalBlobFiles(tmp_path / "blobs").get("0" * 64)


async def test_only_what_nobody_names_and_nobody_touched_since_is_swept(
    db: Database, store: Blobs, folder: Path
) -> None:
    await house(db, "ann")
    held = await receive(db, "ann", mail("held"))
    buried = await receive(db, "ann", mail("buried"))
    await destroy(db, buried)
    taken, queued = blob_of(b"spooled"), blob_of(b"queued")

    async def unit(tx: Tx) -> None:
        for blob in (taken, queued):
            await blob.store(tx, AT)
        await spool.add(tx, [spooled("s", blob_hash=taken.hash)])
        await submissions.add(tx, submission(blob_hash=queued.hash))

    await db.write(unit)
    old = [await _keep(db, store, data) for data in (b"old", LARGE)]
    fresh = await _keep(db, store, b"fresh", AT + 10)
    _age(_files(folder)[0], AT)
    assert await store.sweep(AT + 10) == 2
    kept = {row["hash"] for row in await rows(db, "SELECT hash FROM blob")}
    assert kept == {held.blob_hash, buried.blob_hash, taken.hash, queued.hash, fresh}
    assert not kept & set(old)
    assert _files(folder) == []
    # The grave's time is over.
    await db.write(lambda tx: graveyard.prune(tx, AT + 10**12))
    assert await store.sweep(AT + 10) == 1
    with pytest.raises(NotFound):
        await store.read(buried.blob_hash)


async def test_sweeping_goes_on_where_it_stopped(db: Database, store: Blobs) -> None:
    for n in range(5):
        await _keep(db, store, f"{n}".encode(), AT + n)
    assert [await store.sweep(AT + 10, limit=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_a_blob_touched_after_it_was_chosen_is_left(db: Database, store: Blobs) -> None:
    chosen = [await _keep(db, store, data) for data in (b"touched", b"named", b"gone")]
    assert sorted(await db.read(lambda tx: blobs.orphans(tx, AT + 10, 9))) == sorted(chosen)
    await _keep(db, store, b"touched", AT + 11)
    await db.write(lambda tx: spool.add(tx, [spooled("s", blob_hash=chosen[1])]))
    gone = await db.write(lambda tx: blobs.delete_orphans(tx, chosen, AT + 10))
    assert gone == [(chosen[2], False)]


async def test_touching_and_sweeping_at_once_never_leaves_a_row_without_its_bytes(db: Database, store: Blobs) -> None:
    for turn in range(10):
        data = f"wanted {turn}".encode()
        hash_ = await _keep(db, store, data)

        async def take_in(turn: int = turn, data: bytes = data) -> None:
            blob = await store.prepare(data)

            async def unit(tx: Tx) -> None:
                await blob.store(tx, AT + 20)
                await spool.add(tx, [spooled(f"s{turn}", blob_hash=blob.hash)])

            await db.write(unit)

        await asyncio.gather(take_in(), store.sweep(AT + 10), store.sweep(AT + 10))
        assert await store.read(hash_) == data


async def test_a_file_put_again_after_its_row_was_swept_stays(db: Database, folder: Path) -> None:
    files = LocalBlobFiles(folder)
    hash_ = blobs.digest(LARGE)
    await files.put(hash_, LARGE)
    [path] = _files(folder)
    _age(path, AT)
    await files.put(hash_, LARGE)  # taken in once more, between the sweeper's unit and its deletion
    await files.delete(hash_, AT + 10)
    assert await files.get(hash_) == LARGE
    _age(path, AT)
    await files.delete(hash_, AT + 10)
    await files.delete(hash_, AT + 10)
    assert _files(folder) == []


async def test_putting_and_deleting_a_file_at_once_never_loses_what_was_put(folder: Path) -> None:
    files = LocalBlobFiles(folder)
    hash_ = blobs.digest(LARGE)
    await files.put(hash_, LARGE)
    [path] = _files(folder)
    before = time.time_ns() // 1_000_000 - 60_000
    for _ in range(100):
        _age(path, AT)
        start = threading.Barrier(2)

        def at_once(action: object, start: threading.Barrier = start) -> None:
            start.wait()
            action()  # type: ignore[operator]

        await asyncio.gather(
            asyncio.to_thread(at_once, lambda: files._write(path, [LARGE])),
            asyncio.to_thread(at_once, lambda: files._unlink(path, before)),
        )
        assert path.read_bytes() == LARGE


async def test_a_file_of_the_wrong_size_is_written_anew(folder: Path) -> None:
    files = LocalBlobFiles(folder)
    hash_ = blobs.digest(LARGE)
    await files.put(hash_, LARGE)
    _files(folder)[0].write_bytes(b"cut short")
    await files.put(hash_, LARGE)
    assert await files.get(hash_) == LARGE


async def test_files_a_crash_left_without_a_row_are_swept_a_day_later(db: Database, store: Blobs, folder: Path) -> None:
    await store.prepare(LARGE)  # and then the unit never came
    kept = await _keep(db, store, LARGE + b"kept")
    half = folder / "ab" / ".new-half"
    half.parent.mkdir(exist_ok=True)
    half.write_bytes(b"half")
    for path in _files(folder):
        _age(path, AT)
    await db.write(lambda tx: spool.add(tx, [spooled("s", blob_hash=kept)]))
    await store.prepare(LARGE + b"new")
    assert await store.sweep(AT + 10) == 1
    assert {path.name for path in _files(folder)} == {kept, blobs.digest(LARGE + b"new")}
    assert await store.sweep(AT + 10) == 0
    assert await store.read(kept) == LARGE + b"kept"


def test_every_table_that_names_a_blob_keeps_it_alive() -> None:
    for engine in ("sqlite", "postgres"):
        text = "\n".join(statement for migration in migrations.load(engine) for statement in migration.statements)
        tables = re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", text, re.DOTALL)
        assert {name for name, columns in tables if re.search(r"\bblob_hash\b", columns)} == set(blobs.HOLDERS)


async def test_every_table_of_the_schema_that_names_a_blob_keeps_it_alive(db: Database) -> None:
    sql = (
        "SELECT m.name AS name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE c.name = 'blob_hash' AND m.type = 'table'"
        if db.engine == "sqlite"
        else "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.columns WHERE column_name = 'blob_hash'"
    )
    assert {row["name"] for row in await rows(db, sql)} == set(blobs.HOLDERS)
