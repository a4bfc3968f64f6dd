"""Both ends of the fan-out in one process: who sends the mails by SMTP, and who hears of them.

`python -m bench.fanout_ends --smtp PORT --recipients A,B --count N …` sends mails of `smtp_load` and waits until
each listener has heard of each of them: webhooks on `--sink PORT` (the URL's path names the listener) and as many
WebSockets as `--sockets` says. A mail counts from its 250, a telling from the moment its last octet was read. With
`--posts N` it sends nothing and only takes posts, from the bare sender. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import sys
import time
from dataclasses import dataclass, field

import uvloop

from bench.smtp_load import Run, Session

_SUBJECT = re.compile(rb'"subject":"([^"]*)"')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Ears:
    """What was heard: (listener, subject) → the instant of the first time, in monotonic seconds."""

    def __init__(self, wanted: int, tag: str) -> None:
        self.heard: dict[tuple[str, str], float] = {}
        self.repeats = 0
        self.octets = 0
        self.all_heard = asyncio.Event()
        self._wanted = wanted
        self._tag = f"{tag} ".encode()

    def take(self, listener: str, body: bytes) -> None:
        """Note one telling; only a mail of this run that came in counts."""
        at = time.monotonic()
        subject = _SUBJECT.search(body)
        if (
            subject is None
            or not subject[1].startswith(self._tag)
            or b'"event_type":"message.received"' not in body[:200]
        ):
            return
        key = (listener, subject[1].decode())
        self.octets += len(body)
        if key in self.heard:
            self.repeats += 1
            return
        self.heard[key] = at
        if len(self.heard) >= self._wanted:
            self.all_heard.set()


class Sink(asyncio.Protocol):
    """A webhook receiver: reads a POST, notes it, answers 200; connections are kept."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(buffer[: end + 2])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(buffer) < whole:
                return
            self._ears.take(head.split(b" ", 2)[1].decode(), bytes(buffer[end + 4 : whole]))
            del buffer[:whole]
            self._transport.write(_ANSWER)  # type: ignore[attr-defined]


class Socket(asyncio.Protocol):
    """A WebSocket that subscribes to everything and notes what it hears (RFC 6455, as much as that takes)."""

    def __init__(self, listener: str, ears: Ears, key: str, ready: asyncio.Future[None], *, deflate: bool) -> None:
        self._listener = listener
        self._ears = ears
        self._key = key
        self._ready = ready
        self._deflate = deflate
        self._buffer = bytearray()
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        lines = [
            "GET /v0 HTTP/1.1", "Host: 127.0.0.1", "Connection: Upgrade", "Upgrade: websocket",
            f"Authorization: Bearer {self._key}", "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        ]  # fmt: skip
        if self._deflate:
            lines.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        self._write("\r\n".join([*lines, "", ""]).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ready.done():
            self._ready.set_exception(exc or ConnectionError(f"no WebSocket: {bytes(self._buffer)[:300]!r}"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        if not self._open:
            end = buffer.find(b"\r\n\r\n")
            if end < 0 or not buffer.startswith(b"HTTP/1.1 101"):
                return
            del buffer[: end + 4]
            self._open = True
            self._send(1, b'{"type":"subscribe"}')
        while len(buffer) >= 2:
            length, start = buffer[1] & 0x7F, 2
            if length == 126:
                length, start = int.from_bytes(buffer[2:4], "big"), 4
            elif length == 127:
                length, start = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < start + length:
                return
            self._frame(buffer[0] & 0x0F, bytes(buffer[start : start + length]))
            del buffer[: start + length]

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self._send(10, payload)
        elif not self._ready.done():
            self._ready.set_result(None)
        elif opcode == 1 and not self._deflate:
            self._ears.take(self._listener, payload)

    def _send(self, opcode: int, payload: bytes) -> None:
        # A client's frame is masked; the mask 0 leaves it as it is.
        self._write(bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)  # type: ignore[attr-defined]


@dataclass(slots=True)
class Plan(Run):
    """A `Run` over several inboxes that notes each mail's 250.

    Attributes:
        every_s: a mail is begun so often, over all sessions; 0: as fast as they go.
        accepted: subject → the instant of its 250, in monotonic seconds.
    """

    every_s: float = 0.0
    next_at: float = 0.0
    accepted: dict[str, float] = field(default_factory=dict)


class Paced(Session):
    """A session that waits for its turn before each mail."""

    def __init__(self, plan: Plan, recipient: str, ended: asyncio.Future[None]) -> None:
        super().__init__(plan, ended)
        self._plan = plan
        self._recipient = f"RCPT TO:<{recipient}>\r\n".encode()
        self._group = self._mail + self._recipient + b"DATA\r\n"

    def _begin(self) -> None:
        plan = self._plan
        if self._message:
            subject = self._message.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0].decode()
            plan.accepted[subject] = plan.accepted_at[-1]
            self._message = b""
        if not plan.every_s or plan.begun >= (plan.count or 0):
            super()._begin()
            return
        plan.next_at = max(plan.next_at, time.monotonic())
        wait_s = plan.next_at - time.monotonic()
        plan.next_at += plan.every_s
        asyncio.get_running_loop().call_later(wait_s, super()._begin)


async def _send(plan: Plan, recipients: list[str], sessions: int) -> None:
    loop = asyncio.get_running_loop()
    ends = []
    for number in range(sessions):
        ended: asyncio.Future[None] = loop.create_future()
        recipient = recipients[number % len(recipients)]
        await loop.create_connection(lambda r=recipient, e=ended: Paced(plan, r, e), "127.0.0.1", plan.port)  # type: ignore[misc]
        ends.append(ended)
    await asyncio.gather(*ends)


async def open_sockets(port: int, key: str, count: int, ears: Ears, *, deflate: bool) -> None:
    """Open so many WebSockets and subscribe each; `key` is one or more, by commas, taken in turn."""
    keys = key.split(",")
    loop = asyncio.get_running_loop()
    for number in range(count):
        ready: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(
            lambda n=number, r=ready: Socket(f"ws{n}", ears, keys[n % len(keys)], r, deflate=deflate),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        await ready


async def run(given: argparse.Namespace) -> dict[str, float | int]:
    """Listen, send, wait until all is heard."""
    loop = asyncio.get_running_loop()
    if given.hold:
        await open_sockets(given.http, given.key, given.sockets, Ears(1, ""), deflate=given.deflate)
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        return {}
    ears = Ears(given.posts or given.count * (given.webhooks + given.sockets), given.tag)
    if given.sink:
        await loop.create_server(lambda: Sink(ears), "127.0.0.1", given.sink, backlog=1024)
    await open_sockets(given.http, given.key, given.sockets, ears, deflate=False)
    if given.posts:
        await asyncio.wait_for(ears.all_heard.wait(), given.timeout)
        instants = sorted(ears.heard.values())
        return {"rate": len(instants) / (instants[-1] - instants[0])}
    plan = Plan(given.smtp, "", given.tag, True, given.count, given.count)
    plan.every_s = 1 / given.rate if given.rate else 0.0
    await _send(plan, given.recipients.split(","), given.sessions)
    try:
        await asyncio.wait_for(ears.all_heard.wait(), given.timeout)
    except TimeoutError:
        raise RuntimeError(f"{len(ears.heard):,} of {given.count * (given.webhooks + given.sockets):,} heard") from None
    waits = sorted(at - plan.accepted[subject] for (_, subject), at in ears.heard.items())
    first, last = min(plan.accepted.values()), max(ears.heard.values())
    return {
        "accepted_rate": len(plan.accepted) / (max(plan.accepted.values()) - first),
        "rate": len(waits) / (last - first),
        "p50_ms": 1000 * waits[len(waits) // 2],
        "p95_ms": 1000 * waits[len(waits) * 95 // 100],
        "max_ms": 1000 * waits[-1],
        "repeats": ears.repeats,
        "octets": ears.octets / len(waits),
    }


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.fanout_ends", description=__doc__)
    parser.add_argument("--smtp", type=int, default=0, help="where mails are sent to")
    parser.add_argument("--recipients", default="", help="inboxes, taken in turn")
    parser.add_argument("--count", type=int, default=0, help="mails")
    parser.add_argument("--rate", type=float, default=0.0, help="mails a second; 0: as fast as they are taken")
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--tag", default="fan")
    parser.add_argument("--sink", type=int, default=0, help="where posts are taken")
    parser.add_argument("--webhooks", type=int, default=0, help="how many listeners post to the sink")
    parser.add_argument("--posts", type=int, default=0, help="send nothing; take so many posts")
    parser.add_argument("--http", type=int, default=0, help="where the WebSockets go")
    parser.add_argument("--key", default="")
    parser.add_argument("--sockets", type=int, default=0)
    parser.add_argument("--deflate", action="store_true", help="offer compression; what is heard is not looked at")
    parser.add_argument("--hold", action="store_true", help="keep the sockets open until standard input ends")
    parser.add_argument("--timeout", type=float, default=90.0)
    given = parser.parse_args()
    try:
        result = uvloop.run(run(given))
    except (OSError, RuntimeError, TimeoutError) as error:
        sys.exit(str(error) or repr(error))
    if result:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
