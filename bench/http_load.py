"""An HTTP/1.1 client over kept-alive connections: `python -m bench.http_load --port N --requests FILE …`.

The file is JSON: a list of `[method, path, body]`, taken in turn. Each connection has one request under way at a
time. Anything but a 2xx ends the run. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httptools
import uvloop


@dataclass(slots=True)
class Run:
    """What all connections share; instants are monotonic seconds."""

    port: int
    requests: itertools.cycle[bytes]
    stop_at: float
    answered_at: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    body_bytes: int = 0


class Connection(asyncio.Protocol):
    """One kept-alive connection; also what its parser calls."""

    def __init__(self, run: Run, ended: asyncio.Future[None]) -> None:
        self._run = run
        self._ended = ended
        self._parser = httptools.HttpResponseParser(self)
        self._sent_at = 0.0
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._run.body_bytes += len(body)
        self._body = body

    def on_message_complete(self) -> None:
        now, run = time.monotonic(), self._run
        status = self._parser.get_status_code()
        if not 200 <= status < 300:
            if not self._ended.done():
                self._ended.set_exception(RuntimeError(f"the server answered {status}: {self._body[:500]!r}"))
            self._transport.close()
            return
        run.answered_at.append(now)
        run.latencies.append(now - self._sent_at)
        if now >= run.stop_at:
            if not self._ended.done():
                self._ended.set_result(None)
            self._transport.close()
        else:
            # A parser is for one message: the next answer gets a new one.
            self._parser = httptools.HttpResponseParser(self)
            self._ask()

    def _ask(self) -> None:
        self._sent_at = time.monotonic()
        self._transport.write(next(self._run.requests))  # type: ignore[attr-defined]


async def drive(run: Run, connections: int, warm_up_s: float) -> dict[str, float | int]:
    """Ask over so many connections at once until `run.stop_at`; what is answered in the warm-up does not count."""
    since = time.monotonic() + warm_up_s
    loop = asyncio.get_running_loop()

    async def one() -> None:
        ended: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(lambda: Connection(run, ended), "127.0.0.1", run.port)
        await ended

    await asyncio.gather(*(one() for _ in range(connections)))
    pairs = zip(run.answered_at, run.latencies, strict=True)
    counted = sorted(latency for at, latency in pairs if since < at <= run.stop_at)
    return {
        "answered": len(run.answered_at),
        "rate": len(counted) / (run.stop_at - since),
        "p50_ms": 1000 * counted[len(counted) // 2] if counted else 0.0,
        "p99_ms": 1000 * counted[len(counted) * 99 // 100] if counted else 0.0,
        "body_bytes": run.body_bytes / max(len(run.answered_at), 1),
    }


def main() -> None:
    """Read the arguments, drive, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.http_load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--key", default="", help="sent as a bearer token")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--warm-up", type=float, default=0.5)
    given = parser.parse_args()
    requests = [_encoded(given.key, *request) for request in json.loads(given.requests.read_text())]
    run = Run(given.port, itertools.cycle(requests), time.monotonic() + given.warm_up + given.seconds)
    try:
        result = uvloop.run(drive(run, given.connections, given.warm_up))
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
    print(json.dumps(result))


def _encoded(key: str, method: str, path: str, body: object) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


if __name__ == "__main__":
    main()
