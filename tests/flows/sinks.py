"""What the server talks to: a mail host and a webhook receiver that keep what they get and answer as told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default

from aiohttp import web

from flows.server import free_port


@dataclass(frozen=True)
class Mail:
    """A mail as it came over SMTP."""

    mail_from: str
    rcpt_to: list[str]
    raw: bytes
    parameters: list[str]

    @property
    def parsed(self) -> Message:
        """Its headers and parts."""
        return message_from_bytes(self.raw, policy=default)


@dataclass
class MailHost:
    """Takes any mail, unless `answer` says otherwise.

    Attributes:
        answer: the reply to a command line or, for `.`, to a whole mail; None takes it.
    """

    port: int
    mails: list[Mail] = field(default_factory=list)
    answer: Callable[[str], str | None] = lambda line: None

    @property
    def url(self) -> str:
        """For the setting OUTBOUND."""
        return f"smtp://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session."""
        sender, recipients, parameters = "", list[str](), list[str]()
        writer.write(b"220 sink.example ESMTP\r\n")
        try:
            while line := (await reader.readline()).decode().rstrip("\r\n"):
                verb = line.upper()
                told = self.answer(line)
                reply = told or "250 2.0.0 Ok"
                if verb.startswith("EHLO"):
                    reply = "250-sink.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES"
                elif verb.startswith("MAIL FROM:"):
                    sender, recipients, parameters = _path(line), [], [line]
                elif verb.startswith("RCPT TO:") and told is None:
                    recipients.append(_path(line))
                    parameters.append(line)
                elif verb == "DATA" and told is None:
                    writer.write(b"354 Go on\r\n")
                    raw = await _data(reader)
                    told = self.answer(".")
                    if told is None:
                        self.mails.append(Mail(sender, recipients, raw, parameters))
                    reply = told or "250 2.0.0 Ok"
                elif verb == "QUIT":
                    break
                writer.write(reply.encode() + b"\r\n")
                await writer.drain()
            writer.write(b"221 2.0.0 Bye\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass  # the server was killed in the middle
        finally:
            writer.close()


def _path(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


async def _data(reader: asyncio.StreamReader) -> bytes:
    lines = []
    while (line := await reader.readline()) != b".\r\n":
        if not line.endswith(b"\n"):
            raise asyncio.IncompleteReadError(line, None)
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)


@asynccontextmanager
async def mail_host(port: int | None = None) -> AsyncIterator[MailHost]:
    """A mail host on a port of its own."""
    host = MailHost(port or free_port())
    server = await asyncio.start_server(host.serve, "127.0.0.1", host.port, limit=1 << 22)
    try:
        yield host
    finally:
        server.close()


@dataclass(frozen=True)
class Call:
    """A request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The id that stays the same over retries."""
        return self.headers["svix-id"]


@dataclass
class WebhookReceiver:
    """Keeps each call and answers with the next of `statuses`, then with 204."""

    url: str
    calls: list[Call] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    """A receiver on a port of its own."""
    port = free_port()
    receiver = WebhookReceiver(f"http://127.0.0.1:{port}/hook")

    async def take(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        receiver.calls.append(Call(headers, await request.read()))
        return web.Response(status=receiver.statuses.pop(0) if receiver.statuses else 204)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield receiver
    finally:
        await runner.cleanup()
