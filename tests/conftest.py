"""Fixtures every test can ask for: both database engines, and the PostgreSQL server one of them needs."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import databases
from posthouse.store.database import Database
from posthouse.store.postgres import PostgresDatabase
from posthouse.store.sqlite import SqliteDatabase

ENGINES = ("sqlite", "postgres")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first, so that no process is left with it when the others have nothing to do."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server's `postgres` database; `TEST_POSTGRES_URL` names one already there."""
    given = os.environ.get("TEST_POSTGRES_URL")
    if given:
        databases.now(databases.prepare(given, is_own=False))
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgserver

        # A short path, since the socket lies in it and socket paths end at 107 octets; and not below pytest's
        # own folder, which each new session closes to others: as root the server runs as another user.
        server = pgserver.get_server(tempfile.mkdtemp(prefix="pg-"), cleanup_mode="delete")
    databases.now(databases.prepare(server.get_uri(), is_own=True))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture
async def postgres_url(postgres_server: str) -> AsyncIterator[str]:
    """An empty database of the test's own, migrated."""
    name = await databases.copy(postgres_server)
    yield databases.named(postgres_server, name)
    await databases.drop(postgres_server, name)


@pytest.fixture(scope="session")
def shared_postgres_name(postgres_server: str) -> Iterator[str]:
    """The name of the session's database."""
    name = databases.now(databases.copy(postgres_server))
    yield name
    databases.now(databases.drop(postgres_server, name))


@pytest.fixture
async def emptied_postgres_url(postgres_server: str, shared_postgres_name: str) -> str:
    """A migrated database without any row, which the next test has too."""
    url = databases.named(postgres_server, shared_postgres_name)
    await databases.run(url, databases.EMPTY)
    return url


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each test that asks for this runs once on each engine."""
    return str(request.param)


@pytest.fixture
def database_url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The setting that selects the engine under test: "" is SQLite in the data folder."""
    if engine == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return ""


@pytest.fixture
async def db(engine: str, database_url: str, tmp_path: Path) -> AsyncIterator[Database]:
    """An open, empty database."""
    database: Database
    if engine == "postgres":
        database = await PostgresDatabase.open(database_url)
    else:
        databases.lay(tmp_path / "posthouse.db")
        database = await SqliteDatabase.open(tmp_path / "posthouse.db")
    yield database
    await database.close()
