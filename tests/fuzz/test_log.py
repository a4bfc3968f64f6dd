"""What callers do wrong is answered and does not fill the log: anyone could do it all day."""

from __future__ import annotations

import asyncio

import pytest

from flows.server import Server

_UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n"
_NONCE = "dGhlIHNhbXBsZSBub25jZQ=="


async def _said_to(server: Server, *pieces: bytes) -> bytes:
    """The answer to bytes after which the caller says nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(20):
        said = await reader.read()
    writer.close()
    return said


@pytest.mark.parametrize("path", ["/v0/inboxes", "/jmap/", "/api/v1/session", "/nowhere"])
async def test_a_caller_who_hangs_up_within_a_body_leaves_no_trace(server: Server, path: str) -> None:
    key = (await server.command("key_create", surface="agentmail"))["key"]
    before = len(server.log)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    await _said_to(server, (head + "Content-Length: 100\r\n\r\n").encode() + b'{"a"')
    await _said_to(server, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert server.log[before:] == ""


async def test_bytes_that_are_no_http_are_400_and_leave_no_trace(server: Server) -> None:
    before = len(server.log)
    assert (await _said_to(server, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400")
    assert server.log[before:] == ""


@pytest.mark.parametrize("path", ["/v0", "/jmap/ws"])
async def test_a_websocket_refused_leaves_no_trace(server: Server, path: str) -> None:
    before = len(server.log)
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer wrong\r\n" + _UPGRADE.format(_NONCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http)
    writer.write(head.encode() + b"\r\n")
    async with asyncio.timeout(20):
        assert (await reader.readline()).startswith(b"HTTP/1.1 401")
        await reader.read()
    writer.close()
    assert server.log[before:] == ""


async def test_a_text_frame_that_is_no_text_ends_the_websocket_and_leaves_no_trace(server: Server) -> None:
    key = (await server.command("key_create", surface="agentmail"))["key"]
    before = len(server.log)
    head = f"GET /v0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n" + _UPGRADE.format(_NONCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http)
    writer.write(head.encode() + b"\r\n")
    async with asyncio.timeout(20):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
        # 1007: data that does not fit the type of the message (RFC 6455 §7.4.1).
        assert b"\x03\xef" in await reader.read(1_000)
    writer.close()
    assert server.log[before:] == ""
