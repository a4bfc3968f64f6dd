"""The server that published clients are pointed at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.server import Server, free_port


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server all clients share, on HTTP and, with a certificate of its own, on HTTPS."""
    server = Server(https_port=str(free_port()))
    try:
        yield server.start()
    finally:
        server.remove()
