"""A server for a check, and the owner's commands on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.server import Server


@contextmanager
def running(**settings: str) -> Iterator[Server]:
    """A server with a folder of its own, which goes with it."""
    server = Server(**settings)
    try:
        yield server.start()
    finally:
        server.remove()


def made(server: Server, *arguments: str) -> dict[str, Any]:
    """What a command with `--json` answered."""
    done = server.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
