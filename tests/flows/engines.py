"""Databases that live as long as a module's server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import databases


@contextmanager
def empty_database(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The setting for an empty database: "" is SQLite in the data folder."""
    if engine == "sqlite":
        yield ""
        return
    server = str(request.getfixturevalue("postgres_server"))
    name = databases.now(databases.copy(server))
    yield databases.named(server, name)
    databases.now(databases.drop(server, name))
