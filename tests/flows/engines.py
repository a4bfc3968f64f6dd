"""Databases that live as long as a module's server."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


async def _run(url: str, sql: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@contextmanager
def empty_database(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The setting for an empty database: "" is SQLite in the data folder."""
    if engine == "sqlite":
        yield ""
        return
    server = str(request.getfixturevalue("postgres_server"))
    name = "f" + uuid.uuid4().hex
    _do(server, f"CREATE DATABASE {name}")
    yield server.replace("/postgres?", f"/{name}?", 1)
    _do(server, f"DROP DATABASE {name} WITH (FORCE)")


def _do(url: str, sql: str) -> None:
    # In a thread of its own: the caller's may have a loop that runs.
    thread = threading.Thread(target=lambda: asyncio.run(_run(url, sql)))
    thread.start()
    thread.join()
