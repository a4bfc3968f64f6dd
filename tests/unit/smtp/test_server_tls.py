"""STARTTLS on real sockets, and everything that may go wrong in it."""

from __future__ import annotations

import ssl

from posthouse.smtp.server import Limits
from unit.smtp.serving import (
    FakeDoor,
    connected,
    on_both_loops,
    serving,
    until,
)


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
