"""The server that is tried."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.engines import empty_database
from flows.server import Server


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server all of a folder's tests share, on each engine; strangers may register."""
    with empty_database(str(request.param), request) as url:
        server = Server(database_url=url, signup="open", max_message_size="1MB")
        try:
            yield server.start()
        finally:
            server.remove()
