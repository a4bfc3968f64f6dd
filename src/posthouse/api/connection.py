"""One HTTP connection: counted in, bounded in its head, its body and its time; then uvicorn's protocol.

What comes is counted before it is parsed. A head, a body or an answer that does not get on is cut off, as is
a WebSocket whose peer reads nothing. What is refused here belongs to no surface yet and is answered in a line.

Source: RFC 9112 §3.2 (the forms of a target), RFC 9110 §15.5.9 (408), §15.5.15 (414), RFC 6585 §5 (431).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from posthouse.net.register import Register, network_of
from posthouse.net.room import Room

# Given to the parser at a time: a head is counted no finer than this once a body stood before it.
_PIECE: Final = 16_384
_TLS_CLOSE_S: Final = 5.0
_ABSOLUTE: Final = (b"http://", b"https://")


@dataclass(frozen=True, slots=True)
class Limits:
    """What is put up with from one connection.

    Attributes:
        head_octets: request line and fields together.
        fields: in one head.
        target_octets: path and query.
        head_s: from the first octet of a head, or from the connection, to the head's end.
        idle_s: between an answer and the next head.
        progress_s, progress_octets: within a body, and while an answer is read, each span of so many seconds has to
            bring so many octets.
        body_s: from the head's end to the body's.
        handshake_s: for TLS.
        linger_s: for the peer to read the last words.
        counts_loopback: whether peers on this machine are counted per address as well.
    """

    head_octets: int = 65_536
    fields: int = 128
    target_octets: int = 16_384
    head_s: float = 15.0
    idle_s: float = 75.0
    progress_s: float = 20.0
    progress_octets: int = 20_000
    body_s: float = 600.0
    handshake_s: float = 15.0
    linger_s: float = 5.0
    counts_loopback: bool = False


@dataclass(frozen=True, slots=True)
class House:
    """What holds for every connection of all HTTP ports.

    Attributes:
        room: for bodies of requests that are not answered yet.
        frame_octets: the longest WebSocket message at a path.
        is_proxy: whether an address is a proxy of ours, and so many callers.
    """

    register: Register
    room: Room
    limits: Limits
    frame_octets: Callable[[str], int]
    is_proxy: Callable[[str], bool]

    def network(self, address: str) -> str:
        """What connections from an address are counted by."""
        return "" if self.is_proxy(address) else network_of(address, counts_loopback=self.limits.counts_loopback)


class HttpConnection(HttpToolsProtocol):
    """One client, from its first octet to its last, also when it has become a WebSocket."""

    def __init__(self, *arguments: Any, house: House, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._house = house
        self._limits = house.limits
        self.ws_protocol_class: Any = self._socket
        self.network = ""
        self.heard_at = 0.0
        self._raw: asyncio.Transport | None = None  # as accepted, below TLS
        self._fault: int | None = None  # why the parser was stopped
        self._in_head = True
        self._head = 0  # octets of it
        self._head_since: float | None = None  # None between an answer and the next head
        self._in_body = False
        self._body = 0  # octets held of requests that are not answered yet
        self._body_since = 0.0
        self._received = 0
        self._span = (0.0, 0)  # when it began, and how many octets had come
        self._sent_span = (0.0, 0)
        self._is_socket = False
        self._ending_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- coming and going

    def enter(self, transport: asyncio.Transport) -> bool:
        """Count the connection in; False when it may not stay."""
        self._raw = transport
        peer = transport.get_extra_info("peername")
        self.network = self._house.network(str(peer[0])) if isinstance(peer, tuple) else ""
        self._head_since = self.heard_at = self.loop.time()
        return self._house.register.admit(self, self.network) is None

    def leave(self) -> None:
        """Count it out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._house.room.leave(self)
        self._house.register.dismiss(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection was opened, and its TLS handshake is done."""
        is_welcome = self._raw is not None or self.enter(transport)
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]
        self._look_at_clock()
        if not is_welcome:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self.leave()
        super().connection_lost(exc)

    def say_goodbye(self) -> None:
        """The server is stopping: uvicorn tells its connections itself."""

    def give_way(self) -> bool:
        """Cut the connection when no request is under way on it."""
        if self._is_socket or self._in_body or not (self.cycle is None or self.cycle.response_complete):
            return False
        self.abort()
        return True

    def abort(self) -> None:
        """Cut the connection."""
        if self._raw is not None:
            self._raw.abort()

    def shed(self) -> None:
        """There is no room for a body of which nothing comes any more."""
        self._refuse(503)

    # -- what comes

    def data_received(self, data: bytes) -> None:
        """Count, then parse."""
        self._unset_keepalive_if_required()
        self._received += len(data)
        self.heard_at = self.loop.time()
        if self._head_since is None and self._in_head:
            self._head_since = self.heard_at
        if len(data) <= _PIECE and self._head + len(data) <= self._limits.head_octets:
            self._parse(data)
            return
        at, view = 0, memoryview(data)
        while at < len(data) and not self._is_socket and self._ending_since is None:
            left = self._limits.head_octets - self._head
            size = min(_PIECE, left) if self._in_head else _PIECE
            self._parse(view[at : at + size])
            at += size

    def _parse(self, data: bytes | memoryview) -> None:
        if self._ending_since is not None:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade() and self._fault is None:
                self._is_socket = True
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self._fault = self._fault or 400
        if self._fault is None and self._in_head:
            self._head += len(data)
            if self._head >= self._limits.head_octets:
                self._fault = 431
        if self._fault is not None:
            self._refuse(self._fault)

    def on_message_begin(self) -> None:
        """The first octet of a head, which may have come with the end of the request before."""
        if self._head_since is None:
            self._head_since = self.heard_at
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        super().on_url(url)
        if len(self.url) > self._limits.target_octets:
            self._stop(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field."""
        if len(self.headers) >= self._limits.fields:
            self._stop(431)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: its target is brought to the form that all but proxies are sent."""
        self._in_head = False
        if not self.url.startswith(b"/"):
            self.url = self._origin_form()
        self._in_body = True
        self._body_since = self.loop.time()
        self._span = (self._body_since, self._received)
        super().on_headers_complete()

    def _origin_form(self) -> bytes:
        method, url = self.parser.get_method(), self.url
        if method == b"CONNECT":
            self._stop(405)
        if method == b"OPTIONS" and url == b"*":  # RFC 9112 §3.2.4: about the server as a whole
            return b"/"
        if not url.lower().startswith(_ABSOLUTE):
            self._stop(400)
        # RFC 9112 §3.2.2: a server takes the absolute form, though only proxies are sent it.
        rest = url.partition(b"://")[2]
        starts = [at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0]
        path = rest[min(starts) :] if starts else b""
        return path if path.startswith(b"/") else b"/" + path

    def _stop(self, status: int) -> None:
        """Have the parser stop: what it has of this request is refused."""
        self._fault = status
        raise ValueError(status)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        if self.cycle is None or self.cycle.response_complete:
            return  # answered already: what still comes is for nobody
        self._body += len(body)
        if not self._house.room.grow(self, self._body, self.heard_at):
            self._stop(503)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._in_body = False
        self._in_head, self._head, self._head_since = True, 0, None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request is answered, and its body forgotten."""
        if self._body:
            self._body = 0
            self._house.room.leave(self)
        super().on_response_complete()

    # -- the last words

    def _refuse(self, status: int) -> None:
        """Answer what no surface is asked about, and close; whoever works on the request hears that it is gone."""
        if self._ending_since is not None:
            return
        self._ending_since = self.loop.time()
        cycle, transport = self.cycle, self.transport
        if self._is_socket or (cycle is not None and cycle.response_started and not cycle.response_complete):
            self.abort()
            return
        if cycle is not None and cycle.response_complete and self._in_body:
            transport.close()
            return
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        transport.write(_said(status, self.server_state.default_headers))
        transport.close()

    # -- time

    def _look_at_clock(self) -> None:
        """One timer a connection, looking now and then: one for each request costs more than it tells."""
        limits = self._limits
        self._timer = self.loop.call_later(min(limits.head_s, limits.progress_s) / 3, self._look)

    def _look(self) -> None:
        now, limits = self.loop.time(), self._limits
        if self._ending_since is None and self.transport.is_closing():
            self._ending_since = now
        if self._ending_since is not None:
            if now - self._ending_since >= limits.linger_s:
                self.abort()  # he does not read them
        elif self._reads_too_slowly(now):
            self.abort()
        elif self._is_late(now):
            self._refuse(408)
        self._look_at_clock()

    def _is_late(self, now: float) -> bool:
        if self._is_socket:
            return False  # uvicorn's pings tell who lives
        limits = self._limits
        if self._in_body:
            since, received = self._span
            if self.flow.read_paused:
                self._span = (now, self._received)  # our time, not the caller's
            elif now - since >= limits.progress_s:
                self._span = (now, self._received)
                if self._received - received < limits.progress_octets:
                    return True
            return now - self._body_since >= limits.body_s
        is_answering = self.cycle is not None and not self.cycle.response_complete
        return self._head_since is not None and not is_answering and now - self._head_since >= limits.head_s

    def _reads_too_slowly(self, now: float) -> bool:
        joined: Any = self.transport
        waiting = joined.get_write_buffer_size()
        since, sent = self._sent_span
        if not waiting:
            self._sent_span = (now, joined.written)
        elif now - since >= self._limits.progress_s:
            self._sent_span = (now, joined.written - waiting)
            return bool(joined.written - waiting - sent < self._limits.progress_octets)
        return False

    # -- WebSockets

    def _socket(self, *, config: Any, server_state: Any, app_state: Any) -> WebSocketsSansIOProtocol:
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        sized = _Sized(config, self._house.frame_octets(path))
        return _Socket(self, self._house.room, config=sized, server_state=server_state, app_state=app_state)


class _Sized:
    """uvicorn's settings with another size for WebSocket messages."""

    def __init__(self, config: Any, ws_max_size: int) -> None:
        self._config = config
        self.ws_max_size = ws_max_size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


class _Socket(WebSocketsSansIOProtocol):
    """A connection that has become a WebSocket; it stays counted as the one it was."""

    def __init__(self, connection: HttpConnection, room: Room, **named: Any) -> None:
        super().__init__(**named)
        self._connection = connection
        self._room = room
        self._message = 0  # octets since the last whole one

    def data_received(self, data: bytes) -> None:
        """Count what is not a whole message yet."""
        self._connection.heard_at = self.loop.time()
        self._message += len(data)
        if self._room.grow(self._connection, self._message, self._connection.heard_at):
            super().data_received(data)
        else:
            self.transport.abort()

    def handle_parser_exception(self) -> None:
        """What came is no WebSocket."""
        if self.conn.close_sent is not None:
            super().handle_parser_exception()
            return
        self.transport.abort()  # the handshake is not answered yet: there is nothing to close in its own way

    def send_receive_event_to_app(self) -> None:
        """A message is whole."""
        self._message = 0
        self._room.leave(self._connection)
        super().send_receive_event_to_app()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._connection.leave()
        super().connection_lost(exc)


class TlsDoor(asyncio.Protocol):
    """Counts a connection in before its TLS handshake, which else nobody would know of, and hands it on after it."""

    def __init__(self, connection: HttpConnection, context: ssl.SSLContext, limits: Limits) -> None:
        self._connection = connection
        self._context = context
        self._limits = limits
        self._hello = b""  # input that comes before the handshake has begun
        self._early: list[bytes] = []  # and with its end, before we hear of it
        self._raw: Any = None
        self._has_begun = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection was opened."""
        self._raw = transport
        if self._connection.enter(transport):  # type: ignore[arg-type]
            self._task = asyncio.get_running_loop().create_task(self._shake_hands())
        else:
            self._connection.abort()

    def data_received(self, data: bytes) -> None:
        """The client's hello, before the loop has come to us; the first request, when we have not come to it."""
        if self._has_begun:
            self._early.append(data)
        else:
            self._hello += data
            self._raw.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended before it began."""
        self._connection.leave()

    async def _start_tls(self) -> asyncio.Transport | None:
        self._has_begun = True
        return await asyncio.get_running_loop().start_tls(
            self._raw, self, self._context, server_side=True,
            ssl_handshake_timeout=self._limits.handshake_s, ssl_shutdown_timeout=_TLS_CLOSE_S,
        )  # fmt: skip

    def _pass_hello_on(self) -> None:
        if self._hello and not self._raw.is_closing():
            layer = self._raw.get_protocol()
            layer.get_buffer(len(self._hello))[: len(self._hello)] = self._hello
            layer.buffer_updated(len(self._hello))

    async def _shake_hands(self) -> None:
        loop = asyncio.get_running_loop()
        starting = loop.create_task(self._start_tls())
        # Behind what `start_tls` puts in the queue in its first step, which begins the layer and has it read on.
        loop.call_soon(loop.call_soon, self._pass_hello_on)
        try:
            encrypted = await starting
        except (OSError, EOFError):  # ssl.SSLError and the timeout are OSErrors
            encrypted = None
        if encrypted is None or self._raw.is_closing():  # to uvloop, a connection cut by us is a success
            self._connection.abort()
            self._connection.leave()  # of a failed handshake the TLS layer tells nobody
            return
        self._connection.connection_made(encrypted)
        encrypted.set_protocol(self._connection)
        for data in self._early:
            self._connection.data_received(data)


class Joined:
    """A transport that joins writes, an answer's head and body in one packet; everything else is the transport's own.

    Attributes:
        written: octets in all.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.written = 0
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send with what comes next, a body after its head, or with the next turn when nothing does."""
        self._pieces.append(data)
        if len(self._pieces) > 1:
            self._flush()
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.written += len(data)
            self._transport.write(data)

    def close(self) -> None:
        """Send what was written, and close."""
        self._flush()
        self._transport.close()


_SENTENCES: Final = {
    400: "the request cannot be read",
    405: "this server is no proxy",
    408: "the request did not come to its end in time",
    414: "the target is too long",
    431: "the request's head is too large",
    503: "the server has too much to do just now, try again later",
}


def _said(status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    body = msgspec.json.encode({"error": _SENTENCES[status]})
    lines = [
        *headers,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([(b"retry-after", b"5")] if status == 503 else []),
    ]
    return STATUS_LINE[status] + b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n" + body
