"""What one HTTP connection may ask of the server before any surface is asked: head, body, time, memory, number."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from posthouse.api.connection import House, Limits
from posthouse.api.http import HttpServer
from posthouse.net import tls
from posthouse.net.register import Register
from posthouse.net.room import Room
from unit.smtp.serving import on_both_loops

_WITHIN_S = 5.0


class App:
    """Reads the whole body, says how long it was and which target it came to; sockets are echoes."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.gone = asyncio.Event()
        self.answer = b""

    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] != "websocket.disconnect":
                await send({"type": "websocket.send", "text": str(len(message.get("text") or ""))})
            return
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            size += len(message["body"])
            more = message["more_body"]
        await self.may_answer.wait()
        body = self.answer or f"{scope['method']} {scope['path']}?{scope['query_string'].decode()} {size}".encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
        )
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving(
    app: App,
    *,
    most: int | None = None,
    per_network: int | None = None,
    room: int = 1 << 20,
    context: ssl.SSLContext | None = None,
    **limits: Any,
) -> AsyncIterator[tuple[Register, int]]:
    register = Register(most, per_network)
    house = House(register, Room(room), Limits(**limits), lambda path: 1_000, lambda address: False)
    server = HttpServer(app, house, grace_s=1)
    port = await server.start("127.0.0.1", 0, context)
    try:
        yield register, port
    finally:
        await server.stop()


@asynccontextmanager
async def connected(port: int, **options: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    try:
        yield reader, writer
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except OSError:
            pass


async def rest(reader: asyncio.StreamReader) -> bytes:
    """All there is until the server hangs up."""
    got = b""
    async with asyncio.timeout(_WITHIN_S):
        try:
            while piece := await reader.read(65_536):
                got += piece
        except ConnectionError:
            pass
    return got


async def said(port: int, *pieces: bytes) -> bytes:
    """What the server says to these bytes until it hangs up."""
    async with connected(port) as (reader, writer):
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass
        return await rest(reader)


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WITHIN_S):
        while not condition():
            await asyncio.sleep(0)


CLOSE = b"Host: a\r\nConnection: close\r\n"


@on_both_loops
async def test_a_head_without_an_end_is_answered_and_cut_off() -> None:
    async with serving(App(), head_octets=20_000, target_octets=5_000, fields=50) as (register, port):
        for head, wanted in (
            ([b"GET / HTTP/1.1\r\nX: " + b"v" * 15_000] + [b"v" * 15_000] * 40, 431),
            ([b"GET / HTTP/1.1\r\n"] + [b"n" * 15_000] * 40, 431),
            ([b"GET / HTTP/1.1\r\n"] + [b"A: b\r\n" * 20] * 400, 431),
            ([b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 60 + b"\r\n"], 431),
            ([b"GET /" + b"a" * 15_000] * 40, 414),
            ([b"GET /?" + b"a" * 6_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n"], 414),
            ([b"\r\n" * 7_000] * 40, 431),
        ):  # fmt: skip
            answer = await said(port, *head)
            # Who goes on talking may lose the answer to a reset, but not his connection's end.
            assert not answer or status(answer) == wanted, (head[0][:40], answer)
        await until(lambda: not register.guests)


@on_both_loops
async def test_a_long_body_or_many_requests_on_a_connection_are_not_taken_for_a_head() -> None:
    async with serving(App(), head_octets=20_000) as (_, port):
        body = b"b" * 300_000
        request = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n" + body
        last = b"GET /b HTTP/1.1\r\n" + CLOSE + b"Cookie: " + b"c" * 3_000 + b"\r\n\r\n"
        answer = await said(port, request * 3 + last)
        assert answer.count(b"POST /a? 300000") == 3
        assert answer.endswith(b"GET /b? 0")


@on_both_loops
async def test_every_form_of_a_target_is_answered() -> None:
    async with serving(App()) as (_, port):
        for line, wanted in (
            (b"GET *", 400), (b"POST *", 400), (b"PROPFIND *", 400), (b"GET a:80", 400), (b"GET a", 400),
            (b"CONNECT a.example:443", 405), (b"GET ftp://a.example/x", 400),
            (b"OPTIONS *", b"OPTIONS /? 0"), (b"GET http://a.example/x?y=1", b"GET /x?y=1 0"),
            (b"GET http://a.example", b"GET /? 0"), (b"GET HTTPS://a.example?y", b"GET /?y 0"),
            (b"GET http://a.example//x", b"GET //x? 0"), (b"PURGE /x", b"PURGE /x? 0"),
        ):  # fmt: skip
            answer = await said(port, line + b" HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert answer.endswith(wanted) if isinstance(wanted, bytes) else status(answer) == wanted, (line, answer)
        for other in (b"NO / HTTP/1.1", b"GET", b"PRI * HTTP/2.0\r\n\r\nSM", b"\x16\x03\x01\x02"):
            assert status(await said(port, other + b"\r\n\r\n")) == 400


@on_both_loops
async def test_a_silent_or_dribbling_head_is_cut_off_and_an_answered_connection_may_rest() -> None:
    async with serving(App(), head_s=0.15) as (register, port):
        assert status(await said(port)) == 408
        assert status(await said(port, b"GET / HT")) == 408
        async with connected(port) as (reader, writer):
            writer.write(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"GET /a? 0")
            async with connected(port) as (other, _):
                await rest(other)  # longer than a head may take
            writer.write(b"GET /b HTTP/1.1\r\n" + CLOSE + b"\r\n")
            assert (await rest(reader)).endswith(b"GET /b? 0")
        async with connected(port) as (reader, writer):
            writer.write(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nG")
            assert b" 408 " in await rest(reader)
        await until(lambda: not register.guests)


@on_both_loops
async def test_a_body_that_does_not_get_on_is_cut_off_and_the_app_hears_of_it() -> None:
    cases: tuple[dict[str, Any], ...] = ({"progress_s": 0.1}, {"body_s": 0.1, "progress_s": 0.2, "progress_octets": 0})
    for limits in cases:
        app = App()
        async with serving(app, **limits) as (register, port):
            answer = await said(port, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc")
            assert status(answer) == 408
            async with asyncio.timeout(_WITHIN_S):
                await app.gone.wait()
            await until(lambda: not register.guests)


@on_both_loops
async def test_an_app_that_takes_its_time_is_nobodys_fault() -> None:
    app = App()
    app.may_answer.clear()
    async with (
        serving(app, head_s=0.06, progress_s=0.06, body_s=0.06) as (_, port),
        connected(port) as (reader, writer),
    ):
        writer.write(b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 3\r\n\r\nabc")
        async with connected(port) as (other, _):
            await rest(other)
        app.may_answer.set()
        assert (await rest(reader)).endswith(b"POST /? 3")


@on_both_loops
async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    app = App()
    app.answer = b"a" * 30_000_000
    async with serving(app, progress_s=0.15) as (register, port), connected(port, limit=1_000) as (_, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await until(lambda: bool(register.guests))
        await until(lambda: not register.guests)


@on_both_loops
async def test_silent_connections_keep_nobody_out_and_busy_ones_stay() -> None:
    app = App()
    app.may_answer.clear()
    async with serving(app, most=3) as (register, port), connected(port) as (busy, asking):
        asking.write(b"GET /busy HTTP/1.1\r\n" + CLOSE + b"\r\n")
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
        await until(lambda: len(register.guests) == 3)
        app.may_answer.set()
        assert status(await said(port, b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")) == 200
        assert (await rest(busy)).endswith(b"GET /busy? 0")
        for _, writer in silent:
            writer.close()


@on_both_loops
async def test_a_full_server_says_so() -> None:
    app = App()
    app.may_answer.clear()
    async with serving(app, most=1) as (_, port), connected(port) as (reader, writer):
        writer.write(b"POST /busy HTTP/1.1\r\n" + CLOSE + b"Content-Length: 70000\r\n\r\n" + b"b" * 70_000)
        async with connected(port) as (other, _):
            answer = await rest(other)
            while not answer:  # the first had not begun when this one came, and made room
                async with connected(port) as (other, _):
                    answer = await rest(other)
        assert status(answer) == 503
        assert b"retry-after: 5" in answer
        app.may_answer.set()
        await rest(reader)


@on_both_loops
async def test_connections_of_one_address_are_bounded() -> None:
    async with serving(App(), per_network=1, counts_loopback=True) as (register, port), connected(port):
        await until(lambda: len(register.guests) == 1)
        assert status(await said(port)) == 503


@on_both_loops
async def test_bodies_under_way_have_a_room_and_give_it_back() -> None:
    app = App()
    app.may_answer.clear()
    head = b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 400000\r\n\r\n"
    async with serving(app, room=600_000) as (_, port):
        async with connected(port) as (first, writer):
            writer.write(head + b"b" * 400_000)
            await writer.drain()
            while status(await said(port, head, b"b" * 300_000)) != 503:
                pass
            small = asyncio.create_task(said(port, b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 3\r\n\r\nabc"))
            app.may_answer.set()
            assert (await small).endswith(b" 3")
            assert (await rest(first)).endswith(b" 400000")
        assert (await said(port, head + b"b" * 400_000)).endswith(b" 400000")


@on_both_loops
async def test_a_web_socket_stays_counted_and_its_messages_are_bounded() -> None:
    async with serving(App()) as (register, port), aiohttp.ClientSession() as session:
        async with session.ws_connect(f"http://127.0.0.1:{port}/") as socket:
            await socket.send_str("x" * 900)
            assert await socket.receive_str(timeout=_WITHIN_S) == "900"
            assert len(register.guests) == 1
            await socket.send_str("x" * 1_100)
            assert (await socket.receive(timeout=_WITHIN_S)).data == 1009
        await until(lambda: not register.guests)


@on_both_loops
async def test_frames_before_the_handshake_is_answered_end_the_connection_and_no_more() -> None:
    is_asked, heard, faults = asyncio.Event(), list[str](), list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        is_asked.set()
        while not heard or heard[-1] != "websocket.disconnect":
            heard.append((await receive())["type"])

    hand = (
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with serving(app) as (register, port):  # type: ignore[arg-type]
        for junk in (b"\x83\x80abcd", b"\xff\xff" * 9, b"\x81\x05words", b"\x88\xfe\x00\x09abcd"):
            is_asked.clear()
            heard.clear()
            async with connected(port) as (reader, writer):
                writer.write(hand)
                async with asyncio.timeout(_WITHIN_S):
                    await is_asked.wait()
                writer.write(junk + bytes(200))
                await rest(reader)
            await until(lambda: heard == ["websocket.connect", "websocket.disconnect"])
        await until(lambda: not register.guests)
    assert faults == []


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For the server and for those who trust it."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    tls.make_self_signed(["localhost"], key, cert)
    return tls.server_context(cert, key), ssl.create_default_context(cafile=str(cert))


@on_both_loops
async def test_a_silent_tls_connection_is_counted_and_makes_room(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server_side, client_side = contexts
    async with serving(App(), most=1, context=server_side, handshake_s=0.2) as (register, port):
        async with connected(port) as (silent, _):
            await until(lambda: len(register.guests) == 1)
            async with connected(port, ssl=client_side) as (reader, writer):
                writer.write(b"GET /a HTTP/1.1\r\n" + CLOSE + b"\r\n")
                assert (await rest(reader)).endswith(b"GET /a? 0")
            assert await rest(silent) == b""
        assert await said(port) == b""
        assert await said(port, b"GET / HTTP/1.1\r\n\r\n") == b""
        await until(lambda: not register.guests)
