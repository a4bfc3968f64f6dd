"""An SMTP client that is faster than the servers it drives: `python -m bench.smtp_load --port N …`.

It keeps the dialogue of RFC 5321 and nothing else, knows no errors but the end of the run, and prints one JSON
object. Every message is 4,096 octets with its own Message-ID and subject. A message counts from the moment the
250 for its data is read.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from dataclasses import dataclass, field

import uvloop

MESSAGE_BYTES = 4_096
_LINE = b"The quick brown fox jumps over the lazy dog and reads its mail at once\r\n"


@dataclass(slots=True)
class Run:
    """What all sessions share.

    Attributes:
        count: messages to send in all; None: until `stop_at`.
        stop_at: monotonic seconds after which no message is begun.
        accepted_at, latencies: of each message, in monotonic seconds and seconds, in the order of the 250s.
    """

    port: int
    recipient: str
    tag: str
    pipelined: bool
    per_connection: int
    count: int | None
    stop_at: float = float("inf")
    begun: int = 0
    accepted_at: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    sender: str = "ann@sender.invalid"

    def next_message(self) -> bytes | None:
        """The next message with the final dot, None when enough are under way."""
        if self.count is not None and self.begun >= self.count:
            return None
        if time.monotonic() >= self.stop_at:
            return None
        self.begun += 1
        head = (
            f"From: Ann <{self.sender}>\r\nTo: <{self.recipient}>\r\nSubject: {self.tag} {self.begun}\r\n"
            f"Date: Tue, 14 Jan 2025 10:00:00 +0000\r\nMessage-ID: <{self.tag}.{self.begun}@sender.invalid>\r\n"
            "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
        ).encode()
        room = MESSAGE_BYTES - len(head)
        lines, rest = divmod(room - 2, len(_LINE))
        return head + _LINE * lines + b"x" * rest + b"\r\n.\r\n"


class Session(asyncio.Protocol):
    """One connection: EHLO, then one message after the other, QUIT after `per_connection` of them."""

    def __init__(self, run: Run, ended: asyncio.Future[None]) -> None:
        self._run = run
        self._ended = ended
        self._transport: asyncio.Transport
        self._buffer = b""
        self._step = "greeting"
        self._left = run.per_connection
        self._begun_at = 0.0
        self._mail = f"MAIL FROM:<{run.sender}>\r\n".encode()
        self._recipient = f"RCPT TO:<{run.recipient}>\r\n".encode()
        self._group = self._mail + self._recipient + b"DATA\r\n"
        self._message = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_exception(exc or ConnectionError(f"the server closed the connection at {self._step}"))

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\r\n")
        for line in lines:
            if line[3:4] != b"-":
                self._reply(line)

    def _reply(self, line: bytes) -> None:
        step = self._step
        expected = b"3" if step == "data" else b"2"
        if line[:1] != expected:
            if not self._ended.done():
                self._ended.set_exception(RuntimeError(f"at {step} the server said {line.decode('latin-1')}"))
            self._transport.abort()
            return
        if step == "mail":
            self._step = "recipient"
            if not self._run.pipelined:
                self._transport.write(self._recipient)
        elif step == "recipient":
            self._step = "data"
            if not self._run.pipelined:
                self._transport.write(b"DATA\r\n")
        elif step == "data":
            self._step = "message"
            self._transport.write(self._message)
        elif step == "message":
            now = time.monotonic()
            self._run.accepted_at.append(now)
            self._run.latencies.append(now - self._begun_at)
            self._left -= 1
            self._begin()
        elif step == "greeting":
            self._step = "hello"
            self._transport.write(b"EHLO client.invalid\r\n")
        elif step == "hello":
            self._begin()
        else:
            if not self._ended.done():
                self._ended.set_result(None)
            self._transport.close()

    def _begin(self) -> None:
        message = self._run.next_message() if self._left else None
        if message is None:
            self._step = "quit"
            self._transport.write(b"QUIT\r\n")
            return
        self._message = message
        self._step = "mail"
        self._begun_at = time.monotonic()
        self._transport.write(self._group if self._run.pipelined else self._mail)


async def _sessions(run: Run) -> None:
    """One after the other over one of the parallel lanes, until the run is over."""
    loop = asyncio.get_running_loop()
    while True:
        ended: asyncio.Future[None] = loop.create_future()
        before = run.begun
        await loop.create_connection(lambda ended=ended: Session(run, ended), "127.0.0.1", run.port)  # type: ignore[misc]
        await ended
        done = run.count is not None and run.begun >= run.count
        if done or time.monotonic() >= run.stop_at or run.begun == before:
            return


async def drive(run: Run, sessions: int, warm_up_s: float, seconds: float) -> dict[str, float | int]:
    """Send over so many sessions at once.

    With a count, the time is from the first connection to the last 250. Without one, only what was accepted
    within `seconds` after `warm_up_s` counts, so that neither the beginning nor the end of the run does.
    """
    start = time.monotonic()
    if run.count is None:
        run.stop_at = start + warm_up_s + seconds
    await asyncio.gather(*(_sessions(run) for _ in range(sessions)))
    end = time.monotonic()
    if run.count is None:
        since, until = start + warm_up_s, run.stop_at
    else:
        since, until = start, end
    pairs = zip(run.accepted_at, run.latencies, strict=True)
    counted = sorted(latency for at, latency in pairs if since < at <= until)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "accepted": len(run.accepted_at),
        "rate": len(counted) / (until - since),
        "p50_ms": 1000 * counted[len(counted) // 2] if counted else 0.0,
        "p99_ms": 1000 * counted[len(counted) * 99 // 100] if counted else 0.0,
        "started_at": start,
        "ended_at": end,
        "client_cpu_s": used.ru_utime + used.ru_stime,
    }


def main() -> None:
    """Read the arguments, drive, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.smtp_load", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--recipient", required=True)
    parser.add_argument("--tag", default="bench", help="in every subject and Message-ID")
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--pipelined", action="store_true", help="MAIL, RCPT and DATA in one write (RFC 2920)")
    parser.add_argument("--per-connection", type=int, default=500, help="messages, then QUIT and a new connection")
    parser.add_argument("--count", type=int, help="messages in all; without it, as many as the time allows")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    given = parser.parse_args()
    run = Run(given.port, given.recipient, given.tag, given.pipelined, given.per_connection, given.count)
    try:
        result = uvloop.run(drive(run, given.sessions, given.warm_up, given.seconds))
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
