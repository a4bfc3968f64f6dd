"""Databases for many small tests: on PostgreSQL each is a copy of one that has its migrations already."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from posthouse.store.postgres import PostgresDatabase


def _named(server: str, name: str) -> str:
    return server.replace("/postgres?", f"/{name}?", 1)


@pytest.fixture(scope="session")
def templates() -> dict[str, str]:
    """The database that is copied, by server; made by the first test that needs it."""
    return {}


@pytest.fixture
async def empty_postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """A database without any table."""
    import asyncpg

    name = "e" + uuid.uuid4().hex
    admin = await asyncpg.connect(postgres_server)
    await admin.execute(f"CREATE DATABASE {name}")
    yield _named(postgres_server, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def postgres_url(postgres_server: str, templates: dict[str, str]) -> AsyncIterator[str]:
    """A database of the test's own, migrated and without any row."""
    import asyncpg

    admin = await asyncpg.connect(postgres_server)
    if postgres_server not in templates:
        template = "template_" + uuid.uuid4().hex
        await admin.execute(f"CREATE DATABASE {template}")
        await (await PostgresDatabase.open(_named(postgres_server, template))).close()
        templates[postgres_server] = template
    name = "t" + uuid.uuid4().hex
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {templates[postgres_server]}")
    yield _named(postgres_server, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
