"""One PostgreSQL database for many small tests: it is emptied before each, which is much faster than a new one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from posthouse.store.postgres import PostgresDatabase


def _named(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?", 1)


async def _run(url: str, sql: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def shared_postgres_name(postgres_server: str) -> Iterator[str]:
    """The name of the session's database."""
    name = "shared" + uuid.uuid4().hex

    async def make() -> None:
        await _run(postgres_server, f"CREATE DATABASE {name}")
        await (await PostgresDatabase.open(_named(postgres_server, name))).close()

    asyncio.run(make())
    yield name
    asyncio.run(_run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


# Rows only: the tables are many and small, and nothing counts up but what lies in the rows.
_EMPTY = """
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


@pytest.fixture
async def postgres_url(postgres_server: str, shared_postgres_name: str) -> str:
    """A migrated database without any row."""
    url = _named(postgres_server, shared_postgres_name)
    await _run(url, _EMPTY)
    return url


@pytest.fixture
async def new_postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """A database without any table, of the test's own."""
    name = "new" + uuid.uuid4().hex
    await _run(postgres_server, f"CREATE DATABASE {name}")
    yield _named(postgres_server, name)
    await _run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")
