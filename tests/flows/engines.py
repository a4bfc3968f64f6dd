"""Databases that live as long as a module's server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    # In a thread of its own: the caller's may have a loop that runs.
    with ThreadPoolExecutor(1) as thread:
        name = thread.submit(asyncio.run, databases.copy(server)).result()
        yield databases.named(server, name)
        thread.submit(asyncio.run, databases.drop(server, name)).result()
