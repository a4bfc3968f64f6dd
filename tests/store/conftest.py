"""One PostgreSQL database for many small tests: it is emptied before each, which is much faster than a new one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from databases import named, run


@pytest.fixture
async def postgres_url(emptied_postgres_url: str) -> str:
    """A migrated database without any row."""
    return emptied_postgres_url


@pytest.fixture
async def new_postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """A database without any table, of the test's own."""
    name = "new" + uuid.uuid4().hex
    await run(postgres_server, f"CREATE DATABASE {name}")
    yield named(postgres_server, name)
    await run(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")
