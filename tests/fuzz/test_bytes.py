"""Bytes nobody would send on purpose, at every port: the server answers or hangs up, at once, and goes on."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import aiohttp
import pytest

from flows.server import Agent, Server, unique
from fuzz.mutation import cases

# How long a server may take to answer or to hang up; a hang, not a busy machine.
_PATIENCE_S = 20.0
# How long an answer may be in coming before the other side says that nothing more will follow.
_MORE_S = 0.4
_AT_ONCE = 16
_STATUS = re.compile(rb"(?:\A|\r\n\r\n[^\r\n]*?)HTTP/1\.[01] (\d{3})")
_INSIDE = (b"Traceback", b'File "', b"site-packages", b"posthouse.", b"sqlite", b"asyncpg", b"/tmp/")


@dataclass(frozen=True)
class Target:
    """A server, one of its agents, and that agent's key for JMAP."""

    server: Server
    agent: Agent
    jmap_key: str
    message: str


@pytest.fixture
async def target(server: Server) -> AsyncIterator[Target]:
    """A server that has something to lose; afterwards it is whole."""
    agent = await server.agent()
    jmap = await server.command("key_create", surface="atomicmail", inbox=agent.address)
    server.send("ann@elsewhere.example", agent.address, "Kept")
    message = await agent.received("Kept")
    yield Target(server, agent, jmap["key"], message["message_id"])
    assert server.is_running
    assert "Traceback" not in server.log, server.log[server.log.index("Traceback") - 1_000 :][:6_000]
    assert (await agent.message(message["message_id"]))["subject"] == "Kept"
    subject = unique("After")
    server.send("ann@elsewhere.example", agent.address, subject)
    await agent.received(subject)


async def _spoken(port: int, data: bytes, greeting: bytes = b"") -> bytes:
    """What a port says to these bytes until it hangs up.

    Args:
        port: on loopback.
        data: sent in one piece.
        greeting: sent before, and answered before anything else is sent.

    Raises:
        TimeoutError: it does neither.
    """
    async with asyncio.timeout(_PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        said = b""
        try:
            if greeting:
                writer.write(greeting)
                said = await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            try:
                async with asyncio.timeout(_MORE_S):
                    while piece := await reader.read(65_536):
                        said += piece
            except TimeoutError:
                writer.write_eof()
            while piece := await reader.read(65_536):
                said += piece
        except (ConnectionError, asyncio.IncompleteReadError, OSError):
            pass  # hung up while we spoke
        finally:
            writer.close()
        return said


async def _each(
    inputs: Iterable[tuple[str, bytes]],
    port: int,
    check: Callable[[bytes], None],
    *,
    greeting: bytes = b"",
    at_once: int = _AT_ONCE,
) -> None:
    gate = asyncio.Semaphore(at_once)

    async def one(name: str, data: bytes) -> None:
        async with gate:
            try:
                said = await _spoken(port, data, greeting)
            except TimeoutError:
                raise AssertionError(
                    f"neither an answer nor the end within {_PATIENCE_S:g} s: {name}, {data!r}"
                ) from None
            try:
                check(said)
                assert not any(word in said for word in _INSIDE), "it tells of the inside"
            except AssertionError as error:
                raise AssertionError(f"{error}\n{name}\n{data!r}\n{said[:2_000]!r}") from None

    async with asyncio.TaskGroup() as tasks:
        for name, data in inputs:
            tasks.create_task(one(name, data))


def _request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _http_requests(target: Target) -> list[bytes]:
    key, jmap = {"Authorization": f"Bearer {target.agent.key}"}, {"Authorization": f"Bearer {target.jmap_key}"}
    typed = {"Content-Type": "application/json"}
    inbox = f"/v0/inboxes/{target.agent.address}"
    written = {
        "to": ["a@far.example"],
        "subject": "s",
        "text": "t",
        "attachments": [{"content": "aGk=", "filename": "a"}],
    }
    call = {"using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"], "methodCalls": [
        ["Email/query", {"filter": {"text": "kept"}, "sort": [{"property": "receivedAt"}], "limit": 3}, "q"],
        ["Email/get", {"#ids": {"resultOf": "q", "name": "Email/query", "path": "/ids"}}, "g"],
    ]}  # fmt: skip
    sent, called = json.dumps(written).encode(), json.dumps(call).encode()
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (sent[:20], sent[20:])) + b"0\r\n\r\n"
    upgrade = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    return [
        _request("GET", f"{inbox}/messages?limit=3&labels=%5B%22unread%22%5D&before=2030-01-01T00:00:00Z", key),
        _request("GET", f"{inbox}/messages/{target.message}", key),
        _request("GET", f"{inbox}/messages/%3Cabc+d%2Fe@elsewhere.example%3E/raw", key),
        _request("POST", f"{inbox}/messages/send", key | typed | {"Idempotency-Key": "once"}, sent),
        _request("POST", f"{inbox}/messages", key | typed | {"Transfer-Encoding": "chunked"}) + chunked,
        _request("PATCH", f"{inbox}/messages/{target.message}", key | typed, b'{"add_labels": ["x"], "remove_labels": "y"}'),
        _request("GET", "*", key),
        _request("PROPFIND", "http://127.0.0.1/v0/inboxes?limit=1", key),
        _request("GET", "/v0/threads/search?q=%22kept%22%20OR%20from:ann", key),
        _request("GET", "/.well-known/jmap", jmap),
        _request("POST", "/jmap/", jmap | typed, called),
        _request("GET", "/jmap/eventsource/?types=Email,Mailbox&closeafter=state&ping=1", jmap),
        _request("POST", "/api/v1/session", typed, b'{"powHex": "00", "nonce": "1", "username": "somebody"}'),
        _request("GET", "/v0", key | upgrade).replace(b"Connection: close", b"Connection: Upgrade"),
        _request("OPTIONS", "/v0/inboxes", {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}),
        _request("GET", "/openapi.json?surface=agentmail", {}),
        _request("POST", "/nowhere", {"Expect": "100-continue"} | typed, b"{}"),
    ]  # fmt: skip


async def test_http_answers_broken_requests_without_breaking(target: Target) -> None:
    seen: Counter[int] = Counter()

    def check(said: bytes) -> None:
        statuses = [int(code) for code in _STATUS.findall(said)]
        seen.update(statuses)
        assert not said or said.startswith(b"HTTP/1."), "what came is no HTTP"
        assert all(status < 500 or status in (501, 505) for status in statuses), statuses

    await _each(cases(_http_requests(target), 900), target.server.http, check)
    assert seen[200] > 10 and seen[400] > 10, f"few of them got past the door: {seen}"


@pytest.mark.parametrize("path", ["/v0", "/jmap/ws"])
async def test_websockets_survive_broken_frames(target: Target, path: str) -> None:
    jmap = path != "/v0"
    key = target.jmap_key if jmap else target.agent.key
    headers = {"Authorization": f"Bearer {key}", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}  # fmt: skip
    if jmap:
        headers["Sec-WebSocket-Protocol"] = "jmap"
    greeting = _request("GET", path, headers).replace(b"Connection: close", b"Connection: Upgrade")
    texts = [_FRAMES[path], b'{"type": "subscribe"}', b"[]", b"{}", b"x" * 200]
    frames = [_frame(text) for text in texts] + [_frame(texts[0], 0x2), _frame(b"", 0x9), _frame(b"\x03\xe8bye", 0x8)]

    upgraded = 0

    def check(said: bytes) -> None:
        nonlocal upgraded
        # Of streams an account has a handful, and the server may learn late that one of them is gone.
        assert said.startswith((b"HTTP/1.1 101", b"HTTP/1.1 429")), "no upgrade"
        upgraded += said.startswith(b"HTTP/1.1 101")
        # 1011: the server met something it did not expect (RFC 6455 §7.4.1).
        assert b"\x03\xf3" not in said[said.index(b"\r\n\r\n") :], "closed with 1011"

    await _each(cases(frames, 150), target.server.http, check, greeting=greeting, at_once=3)
    assert upgraded > 100, f"only {upgraded} upgrades"


_FRAMES = {
    "/v0": b'{"type": "subscribe", "inbox_ids": [], "event_types": ["message.received"]}',
    "/jmap/ws": b'{"@type": "Request", "id": "1", "using": ["urn:ietf:params:jmap:core"], '
    b'"methodCalls": [["Core/echo", {"a": 1}, "c"]]}',
}


def _frame(payload: bytes, opcode: int = 0x1) -> bytes:
    """One masked frame (RFC 6455 §5.2)."""
    mask = b"\x01\x02\x03\x04"
    length = struct.pack("!B", 0x80 | len(payload)) if len(payload) < 126 else struct.pack("!BH", 0xFE, len(payload))
    return bytes([0x80 | opcode]) + length + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@pytest.mark.parametrize("path", ["/v0", "/jmap/ws"])
async def test_websockets_answer_every_text_that_is_no_request(target: Target, path: str) -> None:
    key = target.agent.key if path == "/v0" else target.jmap_key
    headers = {"Authorization": f"Bearer {key}"}
    protocols = ("jmap",) if path != "/v0" else ()
    async with (
        aiohttp.ClientSession(target.server.url, headers=headers) as session,
        session.ws_connect(path, protocols=protocols) as socket,
    ):
        for name, data in cases([_FRAMES[path]], 120):
            text = data.decode("utf-8", "replace")
            await socket.send_str(text)
            answer = await socket.receive(_PATIENCE_S)
            assert answer.type is aiohttp.WSMsgType.TEXT, (name, text, answer)
            assert not any(word.decode() in answer.data for word in _INSIDE), (name, text, answer.data)


def _smtp_sessions(target: Target, signed_in: bool) -> list[bytes]:
    to = target.agent.address.encode()
    plain = base64.b64encode(b"\0" + to + b"\0" + target.agent.key.encode())
    start = b"EHLO client.example\r\n" + (b"AUTH PLAIN " + plain + b"\r\n" if signed_in else b"")
    sender = to if signed_in else b"ann@elsewhere.example"
    envelope = b"MAIL FROM:<" + sender + b"> SIZE=200 BODY=8BITMIME\r\nRCPT TO:<" + to + b">\r\n"
    mail = (
        b"From: " + sender + b"\r\nTo: " + to + b"\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>Gr=C3=BC=C3=9Fe</p>\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b"From: x@y.example\r\nReceived: from a by b; Mon, 6 Jan 2025 10:00:00 +0000\r\n\r\nInner.\r\n--b--\r\n"
    )
    return [
        start + envelope + b"DATA\r\n" + mail + b".\r\nQUIT\r\n",
        start + envelope + b"BDAT %d\r\n" % len(mail) + mail + b"BDAT 0 LAST\r\nQUIT\r\n",
        start + b"AUTH LOGIN\r\n" + base64.b64encode(to) + b"\r\n" + base64.b64encode(b"wrong") + b"\r\nQUIT\r\n",
        start + b"NOOP\r\nVRFY x\r\nHELP\r\nRSET\r\nEXPN y\r\nQUIT\r\n",
        start + b"MAIL FROM:<> SMTPUTF8\r\nRCPT TO:<postmaster>\r\nRSET\r\nQUIT\r\n",
        b"EHLO client.example\r\nSTARTTLS\r\n\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(150),
    ]  # fmt: skip


@pytest.mark.parametrize("port", ["smtp", "submission"])
async def test_smtp_answers_broken_sessions_without_breaking(target: Target, port: str) -> None:
    signed_in = port == "submission"
    seen: Counter[int] = Counter()

    def check(said: bytes) -> None:
        # After STARTTLS it speaks TLS.
        lines = said.split(b"ready for TLS", 1)[0].split(b"\x15\x03", 1)[0].split(b"\r\n")[:-1]
        assert all(re.match(rb"[2345]\d\d[ -]", line) for line in lines), "a line is no reply"
        codes = [int(line[:3]) for line in lines]
        seen.update(codes)
        # 451 is how it says that something of its own went wrong.
        assert 451 not in codes, "a fault of the server's"

    sessions = _smtp_sessions(target, signed_in)
    await _each(cases(sessions, 250), target.server.smtp if not signed_in else target.server.submission, check)
    assert seen[250] > 10 and seen[500] > 10, f"few of them got past the greeting: {seen}"
