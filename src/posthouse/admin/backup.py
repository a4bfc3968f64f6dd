"""A copy of everything."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

from posthouse.app import House
from posthouse.kit import private
from posthouse.kit.errors import Invalid
from posthouse.store.sqlite import SqliteDatabase


async def backup(house: House, *, path: str) -> dict[str, Any]:
    """Copy database, blobs and keys, as of one instant, into a new folder.

    Blobs never change and are copied after the database, so that whatever it names is there.
    """
    target = Path(path)
    if target.exists() and any(target.iterdir()):
        raise Invalid(f"{target} is not empty", field="path")
    if not isinstance(house.db, SqliteDatabase):
        raise Invalid("this database is on a server: back it up with pg_dump, and copy the folder blobs")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    await house.db.backup(target / "posthouse.db")
    source = house.settings.data_dir

    def copy() -> int:
        total = 0
        for name in ("tls-cert.pem", "tls-key.pem", "owner.key", "posthouse.toml"):
            if (source / name).exists():
                private.create(target / name)
                shutil.copyfile(source / name, target / name)
        if (source / "blobs").exists():
            shutil.copytree(source / "blobs", target / "blobs", ignore=shutil.ignore_patterns(".new-*"))
            total = sum(1 for file in (target / "blobs").rglob("*") if file.is_file())
        return total

    return {"path": str(target), "blob_files": await asyncio.to_thread(copy)}
