"""A connection to a server: commands out, replies in. What is said on it is in `dialogue.py`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, cast

from posthouse.kit.errors import Malformed
from posthouse.wire.smtp_answers import Answer, AnswerReader

_SLICE: Final = 262_144  # octets handed to the transport at a time: TLS encrypts them at once, on the loop


class Channel(asyncio.Protocol):
    """One connection. Made by `loop.create_connection`; after any error only `close` is of use."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = AnswerReader()
        self._due = 1  # answers to come: the greeting, and one for each command
        self._failure: Exception | None = None
        self._heard: asyncio.Future[None] | None = None  # there while an answer is waited for
        self._writable: asyncio.Future[None] | None = None  # there while the peer does not read

    @property
    def is_open(self) -> bool:
        """Whether a command may be written: connected, and the server has said nothing unasked."""
        transport = self._transport
        return (
            transport is not None and not transport.is_closing() and self._failure is None and not self._reader.answers
        )

    async def write(self, data: bytes, answers: int) -> None:
        """Write, as fast as the peer reads.

        Args:
            answers: how many it is to have.

        Raises:
            ConnectionError: the connection is gone.
        """
        self._due += answers
        for at in range(0, len(data), _SLICE):
            if self._transport is None or self._transport.is_closing():
                raise ConnectionResetError("the connection is gone")
            self._transport.write(data[at : at + _SLICE] if len(data) > _SLICE else data)
            if self._writable is not None:
                await self._writable

    async def command(self, lines: Sequence[bytes]) -> None:
        """Write one command or a group of them (RFC 2920); their answers come in order.

        Raises:
            ConnectionError: the connection is gone.
            Malformed: the server has said something nobody asked for: its next answer would be taken for another's.
        """
        if self._reader.answers:
            # RFC 5321 §3.8: the one thing to be said unasked is that the server is going.
            if self._reader.answers[0].code == 421:
                return
            raise Malformed("a reply to nothing")
        await self.write(b"\r\n".join([*lines, b""]), len(lines))

    async def answer(self) -> Answer:
        """The next reply.

        Raises:
            ConnectionError: the connection ended before it.
            Malformed: something came that is no reply.
        """
        while not self._reader.answers:
            if self._failure is not None:
                raise self._failure
            self._heard = self._loop.create_future()
            try:
                await self._heard
            finally:
                self._heard = None
        self._due -= 1
        return self._reader.answers.popleft()

    async def start_tls(self, context: ssl.SSLContext, host: str, timeout_s: float) -> None:
        """Shake hands, after a 220 to STARTTLS.

        Raises:
            OSError: it failed; `ssl.SSLError` is one.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is gone")
        # RFC 3207 §4.2, §5: what was slipped in behind the 220 is no answer to anything said under TLS.
        self._reader = AnswerReader()
        self._failure = None
        transport = await self._loop.start_tls(
            self._transport, self, context, server_hostname=host, ssl_handshake_timeout=timeout_s
        )
        if transport is None:  # uvloop's answer when the peer has gone meanwhile
            raise ConnectionResetError("the connection is gone")
        self._transport = transport

    def close(self) -> None:
        """Close; what is not written yet is given up."""
        transport = self._transport
        if self._failure is None:
            self._failure = ConnectionAbortedError("closed by us")
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size():
            transport.abort()  # closing would wait for a peer that may never read
        else:
            transport.close()

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._failure is not None:
            return
        try:
            self._reader.feed(data)
            if len(self._reader.answers) > self._due + 1:  # one more may be a 421, RFC 5321 §3.8
                raise Malformed("more replies than commands")  # nobody fills our memory with them
        except Malformed as error:
            self._failure = error
        self._wake()

    def eof_received(self) -> bool:
        self._fail(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(exc)
        self.resume_writing()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _fail(self, cause: Exception | None) -> None:
        if self._failure is None:
            self._failure = ConnectionResetError("the connection was closed")
            self._failure.__cause__ = cause
        self._wake()

    def _wake(self) -> None:
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)
