"""The server on real loopback sockets, with a door of our own making."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import ipaddress
import smtplib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from posthouse.kit import errors
from posthouse.smtp.errors import ERROR_REPLIES, STAGE_REPLIES, error_reply
from posthouse.smtp.server import Limits, Peer, Session, SmtpServer
from posthouse.wire.smtp_events import (
    MESSAGE_OK,
    RECIPIENT_OK,
    SENDER_OK,
    Envelope,
    SmtpConfig,
)
from posthouse.wire.smtp_syntax import MailParameters, RecipientParameters, Reply

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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture(scope="module")
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))


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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0)


MESSAGE = "Subject: hi\r\n\r\nHello\r\n..\r\nBye\r\n"
DELIVERED = b"Subject: hi\r\n\r\nHello\r\n.\r\nBye\r\n"


# Plain sailing


@on_both_loops
async def test_a_message_is_handed_over_and_then_acknowledged() -> None:
    door = FakeDoor()
    async with serving(door) as (_, port), connected(port) as client:
        await client.begin()
        assert (await client.say("DATA")).startswith("354 ")
        assert (await client.say(MESSAGE + ".")).startswith("250 2.0.0")
        assert (await client.say("QUIT")).startswith("221 ")
        assert await client.rest() == ""
    ((envelope, raw),) = door.messages
    assert raw == DELIVERED
    assert envelope.client_address == "127.0.0.1"
    assert envelope.protocol == "ESMTP"
    assert door.peers[0].address == "127.0.0.1" and door.peers[0].port > 0


@on_both_loops
async def test_replies_to_one_packet_come_in_one_packet_in_order() -> None:
    door = FakeDoor()
    door.recipient = lambda address: (
        RECIPIENT_OK if address.startswith("b") else error_reply(errors.NotFound("nobody"), "recipient")
    )
    async with serving(door) as (_, port), connected(port) as client:
        await client.reply()
        client.write(
            "EHLO x.example\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<x@here.example>\r\n"
            "RCPT TO:<b@here.example>\r\nDATA\r\n"
        )
        packet = await asyncio.wait_for(client.reader.read(65_536), WITHIN_S)
        replies = [line[:9] for line in packet.split(b"\r\n")[:-1] if line[3:4] == b" "]
        assert replies[1:] == [b"250 2.1.0", b"550 5.1.1", b"250 2.1.5", b"354 Send "]
        assert replies[0] == b"250 DSN"


@on_both_loops
async def test_smtplib_sends() -> None:
    door = FakeDoor()
    async with serving(door) as (_, port):

        def send() -> dict[str, tuple[int, bytes]]:
            with smtplib.SMTP("127.0.0.1", port, timeout=WITHIN_S) as client:
                return client.sendmail("a@example.com", ["b@here.example", "c@here.example"], MESSAGE)

        assert await asyncio.to_thread(send) == {}
    assert len(door.messages) == 1
    assert len(door.messages[0][0].rcpt_to) == 2


@on_both_loops
async def test_aiosmtplib_sends_over_starttls_with_authentication(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    door = FakeDoor()
    config = replace(CONFIG, submission=True, trusts_loopback=False)
    async with serving(door, config, server_tls) as (_, port):
        client = aiosmtplib.SMTP(
            hostname="localhost", port=port, start_tls=True, tls_context=client_tls, timeout=WITHIN_S
        )
        async with client:
            await client.login("ann@here.example", "secret")
            await client.sendmail("ann@here.example", ["b@here.example"], MESSAGE)
    ((envelope, _),) = door.messages
    assert envelope.protocol == "ESMTPSA"
    assert envelope.identity == "ann@here.example"
    assert envelope.tls is not None and envelope.tls.version.startswith("TLSv1.")
    assert door.sessions[-1].principal == "ann"


@on_both_loops
async def test_tls_from_the_first_byte(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    door = FakeDoor()
    async with (
        serving(door, tls=server_tls, implicit_tls=True) as (_, port),
        connected(port, ssl=client_tls, server_hostname="localhost") as client,
    ):
        await client.reply()
        assert "STARTTLS" not in await client.say("EHLO x.example")
        for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@here.example>", "DATA"):
            await client.say(line)
        assert (await client.say("x\r\n.")).startswith("250")
    assert door.messages[0][0].protocol == "ESMTPS"


@on_both_loops
async def test_a_client_that_closes_its_half_still_gets_its_replies() -> None:
    door = FakeDoor()
    async with serving(door) as (_, port), connected(port) as client:
        await client.begin()
        await client.say("DATA")
        client.write("x\r\n.\r\nNOOP\r\n")
        client.writer.write_eof()
        replies = await client.rest()
        assert [line[:9] for line in replies.splitlines()] == ["250 2.0.0", "250 2.0.0"]
    assert len(door.messages) == 1


# STARTTLS


@on_both_loops
async def test_starttls_starts_anew(server_tls: ssl.SSLContext, client_tls: ssl.SSLContext) -> None:
    door = FakeDoor()
    async with serving(door, tls=server_tls) as (server, port), connected(port) as client:
        await client.begin()
        assert (await client.say("STARTTLS")).startswith("220 ")
        await client.writer.start_tls(client_tls, server_hostname="localhost")
        assert (await client.say("DATA")).startswith("503 ")
        assert "STARTTLS" not in await client.say("EHLO x.example")
        for line in ("MAIL FROM:<a@example.com>", "RCPT TO:<b@here.example>", "DATA"):
            await client.say(line)
        assert (await client.say("x\r\n.")).startswith("250")
        assert (await client.say("QUIT")).startswith("221")
        assert await client.rest() == ""
        await until(lambda: server.connections == 0)
    assert door.messages[0][0].tls is not None


@on_both_loops
async def test_commands_written_before_the_handshake_are_never_run(server_tls: ssl.SSLContext) -> None:
    door = FakeDoor()
    async with serving(door, tls=server_tls) as (_, port), connected(port) as client:
        await client.hello()
        client.write("STARTTLS\r\nMAIL FROM:<eve@example.com>\r\n")
        assert (await client.rest()).startswith("503 5.5.1")
    assert door.sessions == []


@on_both_loops
async def test_a_failed_handshake_leaves_nothing_behind(server_tls: ssl.SSLContext) -> None:
    async with serving(FakeDoor(), tls=server_tls) as (server, port):
        async with connected(port) as client:
            await client.hello()
            assert (await client.say("STARTTLS")).startswith("220 ")
            client.write("MAIL FROM:<eve@example.com>\r\n" * 10)
            try:
                await client.rest()
            except ConnectionError:
                pass
        async with connected(port) as client:
            await client.hello()
            assert (await client.say("STARTTLS")).startswith("220 ")
        await until(lambda: server.connections == 0)


@on_both_loops
async def test_a_silent_handshake_times_out(server_tls: ssl.SSLContext) -> None:
    limits = Limits(handshake_s=0.05)
    async with serving(FakeDoor(), tls=server_tls, limits=limits) as (server, port), connected(port) as client:
        await client.hello()
        assert (await client.say("STARTTLS")).startswith("220 ")
        await until(lambda: server.connections == 0)


# Doors that fail


@pytest.mark.parametrize("error", errors.ALL)
@on_both_loops
async def test_every_error_of_receive_has_its_reply_and_the_session_goes_on(
    error: type[errors.PosthouseError],
) -> None:
    door = FakeDoor()

    async def fail(raw: bytes) -> Reply:
        raise error("The reason")

    door.received = fail
    async with serving(door) as (_, port), connected(port) as client:
        await client.begin()
        await client.say("DATA")
        code, status = ERROR_REPLIES[error]
        assert await client.say("x\r\n.") == f"{code} {status} The reason\r\n"
        assert (await client.say("NOOP")).startswith("250 ")
    assert door.messages == []


def test_the_table_of_errors_is_total_and_tells_temporary_from_final() -> None:
    assert set(ERROR_REPLIES) == set(errors.ALL)
    for error, (code, status) in ERROR_REPLIES.items():
        assert str(code)[0] == status[0]
        assert (code < 500) == (error.temporary or error is errors.OverQuota)
    for (_, error), (code, status) in STAGE_REPLIES.items():
        assert str(code)[0] == status[0]
        assert (code < 500) == error.temporary

    class FullDisk(errors.Unavailable):
        pass

    assert error_reply(FullDisk("full"), "message").code == 451
    assert error_reply(errors.PosthouseError("?"), "message").code == 451


@on_both_loops
async def test_an_unexpected_exception_is_451_and_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    door = FakeDoor()

    def burst(*_: object) -> Reply:
        raise RuntimeError("password=hunter2")

    async def burst_later(raw: bytes) -> Reply:
        return burst()

    config = replace(CONFIG, submission=True, auth_needs_tls=False)
    async with serving(door, config) as (_, port), connected(port) as client:
        await client.hello()
        door.password = burst
        assert (await client.say("AUTH PLAIN AGFubgBzZWNyZXQ=")).startswith("454 4.7.0 ")
        door.password = lambda secret: "ann"
        assert (await client.say("AUTH PLAIN AGFubgBzZWNyZXQ=")).startswith("235 ")
        good, door.sender = door.sender, burst
        assert (await client.say("MAIL FROM:<a@here.example>")).startswith("451 4.3.0 ")
        door.sender = good
        await client.say("MAIL FROM:<a@here.example>")
        good, door.recipient = door.recipient, burst
        assert (await client.say("RCPT TO:<b@here.example>")).startswith("451 4.3.0 ")
        door.recipient = good
        await client.say("RCPT TO:<b@here.example>")
        await client.say("DATA")
        door.received = burst_later
        reply = await client.say("x\r\n.")
        assert reply.startswith("451 4.3.0 ") and "hunter2" not in reply
        assert (await client.say("NOOP")).startswith("250 ")
    assert "the door failed" in capsys.readouterr().out


@on_both_loops
async def test_a_refused_connection_is_told_why() -> None:
    door = FakeDoor()
    door.opened = lambda: Reply(554, "5.7.1", "Listed")
    async with serving(door) as (server, port):
        async with connected(port) as client:
            assert await client.rest() == "554 5.7.1 Listed\r\n"

        def busy() -> Reply:
            raise errors.TooMany("Slow down")

        door.opened = busy
        async with connected(port) as client:
            assert await client.rest() == "421 4.7.0 Slow down\r\n"
        await until(lambda: server.connections == 0)


@on_both_loops
async def test_a_wrong_password_is_535_and_one_too_many_ends_the_session() -> None:
    config = replace(CONFIG, submission=True, auth_needs_tls=False, max_auth_failures=2)
    async with serving(FakeDoor(), config) as (_, port), connected(port) as client:
        await client.hello()
        assert (await client.say("AUTH PLAIN AGFubgBndWVzcw==")).startswith("535 5.7.8")
        client.write("AUTH PLAIN AGFubgBndWVzcw==\r\n")
        assert (await client.rest()).startswith("421 4.7.0")


# Clients that misbehave


@pytest.mark.parametrize("end", ["\n.\n", "\r.\r", "\r\n.\n", "\n.\r\n", "\r\n.\r"])
@on_both_loops
async def test_smuggled_mail_never_arrives(end: str) -> None:
    door = FakeDoor()
    async with serving(door) as (_, port), connected(port) as client:
        await client.begin()
        await client.say("DATA")
        smuggled = "MAIL FROM:<admin@here.example>\r\nRCPT TO:<bob@here.example>\r\nDATA\r\nforged"
        assert (await client.say(f"real{end}{smuggled}\r\n.")).startswith("554 5.6.0")
        assert (await client.say("NOOP")).startswith("250 ")
    assert door.messages == []


@on_both_loops
async def test_a_client_that_vanishes_within_its_message_leaves_nothing() -> None:
    door = FakeDoor()
    async with serving(door) as (server, port):
        async with connected(port) as client:
            await client.begin()
            await client.say("DATA")
            client.write("half a mess")
        await until(lambda: server.connections == 0)
    assert door.messages == []


@on_both_loops
async def test_a_client_that_vanishes_during_the_hand_over_does_not_undo_it() -> None:
    door = FakeDoor()
    may_finish = asyncio.Event()
    started = asyncio.Event()

    async def slow(raw: bytes) -> Reply:
        started.set()
        await may_finish.wait()
        return MESSAGE_OK

    door.received = slow
    async with serving(door) as (server, port):
        async with connected(port) as client:
            await client.begin()
            await client.say("DATA")
            client.write("x\r\n.\r\n")
            await started.wait()
            client.writer.transport.abort()
        may_finish.set()
        await until(lambda: len(door.messages) == 1 and server.connections == 0)


@on_both_loops
async def test_what_is_sent_during_a_hand_over_is_read_only_so_far() -> None:
    door = FakeDoor()
    may_finish, started = asyncio.Event(), asyncio.Event()

    async def slow(raw: bytes) -> Reply:
        started.set()
        await may_finish.wait()
        return MESSAGE_OK

    door.received = slow
    async with serving(door, replace(CONFIG, max_commands=10_000_000)) as (server, port), connected(port) as client:
        await client.begin()
        await client.say("DATA")
        client.write("x\r\n.\r\n")
        await started.wait()
        (connection,) = server._open
        flood = b"NOOP " + b"x" * 1_000 + b"\r\n"
        client.writer.write(flood * 20_000)
        await until(lambda: connection._is_paused)
        assert connection._machine.buffered_bytes < 1_000_000
        may_finish.set()
        replies = 0
        while replies < 20_001:
            assert (await client.reply()).startswith("250 ")
            replies += 1


@on_both_loops
async def test_a_client_that_does_not_read_its_replies_is_not_read_either() -> None:
    config = replace(CONFIG, max_commands=10_000_000)
    limits = Limits(idle_s=0.3)
    async with serving(FakeDoor(), config, limits=limits) as (server, port), connected(port) as client:
        await client.hello()
        client.writer.transport.pause_reading()
        (connection,) = server._open
        client.writer.write(b"HELP\r\n" * 2_000_000)
        await until(lambda: connection._writable is not None)
        assert connection._transport.get_write_buffer_size() < 32_000_000
        await until(lambda: server.connections == 0)  # and cut off in the end


@on_both_loops
async def test_an_oversized_message_is_refused_at_its_end_and_the_session_goes_on() -> None:
    door = FakeDoor()
    async with serving(door) as (server, port), connected(port) as client:
        await client.begin()
        assert "552 5.3.4" in await client.say("RSET") + await client.say("MAIL FROM:<a@b> SIZE=1000001")
        await client.say("MAIL FROM:<a@b>")
        await client.say("RCPT TO:<c@d>")
        await client.say("DATA")
        client.write("x" * 3_000_000)
        assert (await client.say("\r\n.")).startswith("552 5.3.4")
        (connection,) = server._open
        assert connection._machine.buffered_bytes == 0
        assert (await client.say("NOOP")).startswith("250 ")
    assert door.messages == []


@on_both_loops
async def test_a_browser_reads_one_line_and_is_gone() -> None:
    async with serving(FakeDoor()) as (_, port), connected(port) as client:
        client.write("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n")
        lines = (await client.rest()).splitlines()
        assert [line[:3] for line in lines] == ["220", "554"]


# Limits and time


@on_both_loops
async def test_too_many_connections_are_turned_away() -> None:
    async with serving(FakeDoor(), limits=Limits(connections=1)) as (server, port), connected(port) as first:
        await first.hello()
        async with connected(port) as second:
            assert (await second.rest()).startswith("421 4.3.2")
        await until(lambda: server.connections == 1)
        assert (await first.say("QUIT")).startswith("221")


@on_both_loops
async def test_too_many_connections_from_one_address_are_turned_away() -> None:
    limits = Limits(connections_per_address=1, limits_loopback=True)
    async with serving(FakeDoor(), limits=limits) as (server, port):
        async with connected(port) as first:
            await first.hello()
            async with connected(port) as second:
                assert (await second.rest()).startswith("421 4.7.0")
        await until(lambda: server.connections == 0)
        async with connected(port) as third:
            await third.hello()


@on_both_loops
async def test_a_silent_client_is_told_and_cut_off() -> None:
    async with serving(FakeDoor(), limits=Limits(idle_s=0.05)) as (server, port), connected(port) as client:
        await client.hello()
        client.write("NOO")  # no command: it does not count
        assert (await client.rest()).startswith("421 4.4.2")
        await client.close()
        await until(lambda: server.connections == 0)


@on_both_loops
async def test_a_message_that_does_not_get_on_is_cut_off() -> None:
    limits = Limits(progress_s=0.05, progress_bytes=1_000)
    door = FakeDoor()
    async with serving(door, limits=limits) as (_, port), connected(port) as client:
        await client.begin()
        await client.say("DATA")
        client.write("Subject: slow")
        assert (await client.rest()).startswith("421 4.4.2")
    assert door.messages == []


@on_both_loops
async def test_a_message_that_takes_too_long_in_all_is_cut_off() -> None:
    limits = Limits(progress_s=10, progress_bytes=0, message_s=0.05)
    async with serving(FakeDoor(), limits=limits) as (_, port), connected(port) as client:
        await client.begin()
        client.write("BDAT 1000\r\nSubject: slow")
        assert (await client.rest()).startswith("421 4.4.2")


# Shutting down


@on_both_loops
async def test_stopping_tells_the_idle_and_lets_hand_overs_finish() -> None:
    door = FakeDoor()
    may_finish, started = asyncio.Event(), asyncio.Event()

    async def slow(raw: bytes) -> Reply:
        started.set()
        await may_finish.wait()
        return MESSAGE_OK

    door.received = slow
    server = SmtpServer(door, CONFIG)
    port = await server.start("127.0.0.1", 0)
    async with connected(port) as idle, connected(port) as writing, connected(port) as busy:
        await idle.hello()
        await writing.begin()
        await writing.say("DATA")
        await busy.begin()
        await busy.say("DATA")
        busy.write("x\r\n.\r\n")
        await started.wait()
        stopping = asyncio.create_task(server.stop(WITHIN_S))
        assert (await idle.rest()).startswith("421 4.3.2")
        await idle.close()
        assert (await writing.rest()).startswith("421 4.3.2")
        await writing.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert not stopping.done()
        may_finish.set()
        assert [line[:9] for line in (await busy.rest()).splitlines()] == ["250 2.0.0", "421 4.3.2"]
        await busy.close()
        await asyncio.wait_for(stopping, WITHIN_S)
    assert len(door.messages) == 1
    assert server.connections == 0


@on_both_loops
async def test_stopping_does_not_wait_for_ever() -> None:
    door = FakeDoor()
    started = asyncio.Event()

    async def stuck(raw: bytes) -> Reply:
        started.set()
        await asyncio.get_running_loop().create_future()
        return MESSAGE_OK

    door.received = stuck
    server = SmtpServer(door, CONFIG)
    port = await server.start("127.0.0.1", 0)
    async with connected(port) as client:
        await client.begin()
        await client.say("DATA")
        client.write("x\r\n.\r\n")
        await started.wait()
        await asyncio.wait_for(server.stop(grace_s=0.05), WITHIN_S)
        assert "250" not in await client.rest()
    assert door.messages == []
