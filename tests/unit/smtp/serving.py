"""A server on loopback with a door of our own making, and a client that says exactly what it is told."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from posthouse.smtp.connection import Connection
from posthouse.smtp.server import Limits, SmtpServer
from posthouse.smtp.session import Peer, Session
from posthouse.wire.smtp_events import Envelope, SmtpConfig
from posthouse.wire.smtp_parameters import MailParameters, RecipientParameters
from posthouse.wire.smtp_replies import MESSAGE_OK, RECIPIENT_OK, SENDER_OK, Reply

CONFIG = SmtpConfig("mx.here.example", max_size_bytes=1_000_000)
WITHIN_S = 5.0  # a test that waits longer has failed


class FakeDoor:
    """Takes everything, unless told otherwise by the hooks."""

    def __init__(self) -> None:
        self.messages: list[tuple[Envelope, bytes]] = []
        self.peers: list[Peer] = []
        self.sessions: list[Session] = []
        self.opened: Callable[[], Reply | None] = lambda: None
        self.sender: Callable[[str], Reply] = lambda address: SENDER_OK
        self.recipient: Callable[[str], Reply] = lambda address: RECIPIENT_OK
        self.received: Callable[[bytes], Awaitable[Reply]] | None = None
        self.password: Callable[[str], object | None] = lambda secret: "ann" if secret == "secret" else None

    def hold(self) -> tuple[asyncio.Event, asyncio.Event]:
        """Have hand-overs wait; the events say that one has begun, and let them finish."""
        started, may_finish = asyncio.Event(), asyncio.Event()

        async def received(raw: bytes) -> Reply:
            started.set()
            await may_finish.wait()
            return MESSAGE_OK

        self.received = received
        return started, may_finish

    async def connection_opened(self, peer: Peer) -> Reply | None:
        self.peers.append(peer)
        return self.opened()

    async def check_sender(self, session: Session, mail_from: str, params: MailParameters) -> Reply:
        self.sessions.append(session)
        return self.sender(mail_from)

    async def check_recipient(self, session: Session, address: str, params: RecipientParameters) -> Reply:
        return self.recipient(address)

    async def authenticate(self, session: Session, identity: str, secret: str) -> object | None:
        return self.password(secret)

    async def receive(self, session: Session, envelope: Envelope, raw: bytes) -> Reply:
        if self.received is not None:
            reply = await self.received(raw)
            if not reply.is_positive:
                return reply
        self.messages.append((envelope, raw))
        return MESSAGE_OK


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def on_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test once on each kind of loop: their transports differ where it matters here."""

    def run(loop: str, **arguments: object) -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            runner.run(test(**arguments))

    signature = inspect.signature(test)
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[loop, *signature.parameters.values()], return_annotation=None
    )
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return pytest.mark.parametrize("loop", LOOPS)(run)


class Client:
    """A client that says exactly what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, text: str) -> None:
        self.writer.write(text.encode("latin-1"))

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), WITHIN_S)).decode()
            lines.append(line)
            if line[3:4] != "-":
                return "".join(lines)

    async def say(self, text: str) -> str:
        self.write(text + "\r\n")
        return await self.reply()

    async def rest(self) -> str:
        """All there is until the server closes."""
        return (await asyncio.wait_for(self.reader.read(), WITHIN_S)).decode()

    async def hello(self) -> None:
        assert (await self.reply()).startswith("220 ")
        assert (await self.say("EHLO client.example")).startswith("250-")

    async def begin(self) -> None:
        await self.hello()
        for command in ("MAIL FROM:<ann@example.com>", "RCPT TO:<bob@here.example>"):
            assert (await self.say(command)).startswith("250 ")

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (OSError, ssl.SSLError):
            pass


@asynccontextmanager
async def connected(port: int, **options: object) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)  # type: ignore[arg-type]
    client = Client(reader, writer)
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def serving(
    door: FakeDoor,
    config: SmtpConfig = CONFIG,
    tls: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    *,
    implicit_tls: bool = False,
) -> AsyncIterator[tuple[SmtpServer, int]]:
    server = SmtpServer(door, config, tls, limits, implicit_tls=implicit_tls)
    port = await server.start("127.0.0.1", 0)
    try:
        yield server, port
    finally:
        await server.stop(grace_s=0.2)


def only_guest(server: SmtpServer) -> Connection:
    """The one connection there is."""
    (guest,) = server._register.guests
    assert isinstance(guest, Connection)
    return guest


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0)


MESSAGE = "Subject: hi\r\n\r\nHello\r\n..\r\nBye\r\n"
DELIVERED = b"Subject: hi\r\n\r\nHello\r\n.\r\nBye\r\n"
