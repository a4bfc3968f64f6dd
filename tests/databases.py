"""Databases for tests: copied from one that is migrated, which is made once; or one for many, emptied before each."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# A test's server outlives no crash of its machine: nothing waits for the disk.
CARELESS = ("fsync", "full_page_writes", "synchronous_commit")
TEMPLATE = "posthouse_migrated"

# Rows only: the tables are many and small, and nothing counts up but what lies in the rows.
EMPTY = """
DO $$
DECLARE
  name text;
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
  DELETE FROM organization;
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version' LOOP
    EXECUTE format('DELETE FROM %I', name);
  END LOOP;
END $$
"""


def now(work: Coroutine[Any, Any, T]) -> T:
    """Do something to its end, in a thread of its own: the caller's may have a loop that runs."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@cache
def _migrated_file() -> Path:
    """An SQLite file with all tables and no row, for this process."""
    from posthouse.store.sqlite import SqliteDatabase

    path = Path(tempfile.mkdtemp(prefix="migrated-")) / "posthouse.db"

    async def make() -> None:
        await (await SqliteDatabase.open(path)).close()

    now(make())
    return path


def lay(path: Path) -> None:
    """Put a migrated, empty SQLite database where a house will open it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(_migrated_file(), path)


async def prepare(server: str, *, is_own: bool) -> None:
    """Make the database that the others are copies of.

    Args:
        is_own: the server is this session's alone, so its settings may be changed.
    """
    from posthouse.store.postgres import PostgresDatabase

    if is_own:
        for setting in CARELESS:
            await run(server, f"ALTER SYSTEM SET {setting} = off")
        await run(server, "SELECT pg_reload_conf()")
    await run(server, f"DROP DATABASE IF EXISTS {TEMPLATE}")
    await run(server, f"CREATE DATABASE {TEMPLATE}")
    await (await PostgresDatabase.open(named(server, TEMPLATE))).close()


async def copy(server: str) -> str:
    """A migrated, empty database; its name."""
    name = "t" + uuid.uuid4().hex
    await run(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
    return name


async def drop(server: str, name: str) -> None:
    """Take a database away, whoever still uses it."""
    await run(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def named(server: str, name: str) -> str:
    """The address of a server's database."""
    return server.replace("/postgres?", f"/{name}?", 1)


async def run(url: str, sql: str) -> None:
    """Run a statement on a connection of its own."""
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()
