"""JMAP requests over kept-alive connections, like `http_load` but for any `Authorization` and the paths of JMAP.

`python -m bench.jmap_load --port N --authorization TEXT --bodies FILE …`; the file is a JSON list of request bodies,
taken in turn. Prints one JSON object: the latencies in the middle and at the 99th percentile.

What comes in is acknowledged at once: a server that gives its answer in several writes would otherwise wait 40 ms for
our acknowledgement of the first, and the clock would show the two kernels' timers instead of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import socket
import sys
import time
from pathlib import Path

import uvloop

from bench.http_load import Connection, Run


class _Prompt(Connection):
    """A connection that delays no acknowledgement."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = transport.get_extra_info("socket")
        self._acknowledge()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._acknowledge()  # the kernel forgets it again and again
        super().data_received(data)

    def _acknowledge(self) -> None:
        if hasattr(socket, "TCP_QUICKACK"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


async def _drive(run: Run, connections: int, since: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()

    async def one() -> None:
        ended: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(lambda: _Prompt(run, ended), "127.0.0.1", run.port)
        await ended

    await asyncio.gather(*(one() for _ in range(connections)))
    pairs = zip(run.answered_at, run.latencies, strict=True)
    counted = sorted(latency for at, latency in pairs if since < at <= run.stop_at)
    if not counted:
        raise RuntimeError("nothing was answered in time")
    return {"p50_ms": 1000 * counted[len(counted) // 2], "p99_ms": 1000 * counted[len(counted) * 99 // 100]}


def main() -> None:
    """Read the arguments, drive, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.jmap_load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--authorization", required=True)
    parser.add_argument("--bodies", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--warm-up", type=float, default=0.5)
    given = parser.parse_args()
    requests = []
    for body in json.loads(given.bodies.read_text()):
        content = json.dumps(body).encode()
        lines = [
            "POST /jmap/ HTTP/1.1",
            "Host: 127.0.0.1",
            f"Authorization: {given.authorization}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
        ]
        requests.append("\r\n".join([*lines, "", ""]).encode() + content)
    since = time.monotonic() + given.warm_up
    run = Run(given.port, itertools.cycle(requests), since + given.seconds)
    try:
        result = uvloop.run(_drive(run, given.connections, since))
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
