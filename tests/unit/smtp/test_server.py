"""The server on real loopback sockets: messages taken, replies in order."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from dataclasses import replace

import aiosmtplib

from posthouse.kit import errors
from posthouse.smtp.errors import error_reply
from posthouse.wire.smtp_replies import RECIPIENT_OK
from unit.smtp.serving import (
    CONFIG,
    DELIVERED,
    MESSAGE,
    WITHIN_S,
    FakeDoor,
    connected,
    on_both_loops,
    serving,
)


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
        assert replies[0] == b"250 CHUNK"


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
