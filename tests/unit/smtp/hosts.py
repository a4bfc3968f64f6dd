"""Scripted mail hosts on loopback, a zone out of dictionaries, and what the tests of the couriers send."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from posthouse.outbound.courier import DeliveryResult, Parcel
from posthouse.smtp.client import MxCourier, SmarthostCourier
from posthouse.smtp.dialogue import Timeouts
from posthouse.wire.resolver import NameNotFound

CLOSE = "CLOSE"
HANG = "HANG"
GARBAGE = "GARBAGE"
Reply = str | Sequence[str]

QUICK = Timeouts(connect_s=2, greeting_s=2, command_s=2, data_s=2, done_s=2, quit_s=0.5)
TINY = Timeouts(connect_s=0.05, greeting_s=0.05, command_s=0.05, data_s=0.05, done_s=0.05, quit_s=0.05)
PARCEL = Parcel("a@sender.example", ("b@example.com",), b"Subject: x\r\n\r\nbody\r\n", "example.com")
TWO = replace(PARCEL, recipients=("b@example.com", "c@example.com"))
THREE = replace(PARCEL, recipients=("b@example.com", "c@example.com", "d@example.com"))


def ehlo(*extensions: str, name: str = "mx.example.com") -> str:
    lines = [name, *extensions]
    return "\r\n".join(f"250{'-' if line is not lines[-1] else ' '}{line}" for line in lines)


class Host:
    """A mail host that answers each verb out of its script: the replies in turn, the last one for ever.

    `greeting` is the first line, `dot` the answer to the message. CLOSE, HANG and GARBAGE do what they say.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, /, **script: Reply) -> None:
        self.tls = tls
        self.script: dict[str, list[str]] = {
            "greeting": ["220 mx.example.com ESMTP"],
            "EHLO": [ehlo("8BITMIME")],
            "HELO": ["250 mx.example.com"],
            "DATA": ["354 go on"],
            "dot": ["250 2.0.0 queued as 1"],
            "STARTTLS": ["220 go on"],
            "AUTH": ["235 2.7.0 welcome"],
            "QUIT": ["221 bye"],
        }
        for verb, replies in script.items():
            self.script[verb] = [replies] if isinstance(replies, str) else list(replies)
        self.lines: list[str] = []
        self.messages: list[bytes] = []
        self.connections = 0
        self.open_now = 0
        self.most_open = 0
        self.secured = 0
        self.gate: asyncio.Event | None = None
        self.changed = asyncio.Event()
        self.address = ""
        self.port = 0

    def next_reply(self, verb: str) -> str:
        replies = self.script.get(verb, ["250 2.1.0 ok"])
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def verbs(self) -> list[str]:
        return [line.split()[0] for line in self.lines]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 5)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open_now -= 1
            self.changed.set()
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb = "greeting"
        while True:
            reply = self.next_reply(verb)
            self.changed.set()
            if reply == CLOSE:
                return
            if reply == HANG:
                await reader.read()
                return
            if reply == GARBAGE:
                reply = "\x00\xff no SMTP"
            writer.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")
            await writer.drain()
            if verb == "QUIT":
                return
            if verb == "STARTTLS" and reply.startswith("220"):
                if self.tls is None:
                    writer.write(b"this is no handshake\r\n")
                    return
                await writer.start_tls(self.tls)
                self.secured += 1
            if verb == "DATA" and reply.startswith("3"):
                self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                if self.gate is not None:
                    self.changed.set()
                    await self.gate.wait()
                verb = "dot"
                continue
            line = (await reader.readuntil(b"\r\n")).decode()
            self.lines.append(line.rstrip("\r\n"))
            verb = line.split()[0].upper()


class Zone:
    """DNS out of dictionaries; `Exception` values are raised."""

    def __init__(
        self,
        mx: dict[str, list[tuple[int, str]] | Exception] | None = None,
        addresses: dict[str, list[str] | Exception] | None = None,
    ) -> None:
        self.records = mx if mx is not None else {"example.com": [(10, "mx.example.com")]}
        self.hosts = addresses if addresses is not None else {"mx.example.com": ["127.0.0.1"]}

    async def mx(self, name: str) -> list[tuple[int, str]]:
        found = self.records.get(name, NameNotFound(name))
        if isinstance(found, Exception):
            raise found
        return found

    async def addresses(self, name: str) -> list[str]:
        found = self.hosts.get(name, NameNotFound(name, no_domain=True))
        if isinstance(found, Exception):
            raise found
        return found

    async def txt(self, name: str) -> list[bytes]:
        raise NameNotFound(name)

    async def ptr(self, address: str) -> list[str]:
        raise NameNotFound(address)


NEAR = Zone({}, {"relay.example": ["127.0.0.1"], "mx.example.com": ["127.0.0.1"]})  # distant by name only

Start = Callable[..., Awaitable[Host]]
Courierly = Callable[..., MxCourier]
Relay = Callable[..., SmarthostCourier]


def brief(results: Sequence[DeliveryResult]) -> list[tuple[str, str]]:
    return [(result.outcome, result.status) for result in results]
