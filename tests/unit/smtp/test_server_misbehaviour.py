"""Clients that smuggle, vanish, flood or do not read."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from posthouse.smtp.server import Limits
from unit.smtp.serving import (
    CONFIG,
    FakeDoor,
    connected,
    on_both_loops,
    only_guest,
    serving,
    until,
)


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
    started, may_finish = door.hold()
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
    started, may_finish = door.hold()
    async with serving(door, replace(CONFIG, max_commands=10_000_000)) as (server, port), connected(port) as client:
        await client.begin()
        await client.say("DATA")
        client.write("x\r\n.\r\n")
        await started.wait()
        connection = only_guest(server)
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
        cast(asyncio.Transport, client.writer.transport).pause_reading()
        connection = only_guest(server)
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
        connection = only_guest(server)
        assert connection._machine.buffered_bytes == 0
        assert (await client.say("NOOP")).startswith("250 ")
    assert door.messages == []


@on_both_loops
async def test_a_browser_reads_one_line_and_is_gone() -> None:
    async with serving(FakeDoor()) as (_, port), connected(port) as client:
        client.write("POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n")
        lines = (await client.rest()).splitlines()
        assert [line[:3] for line in lines] == ["220", "554"]
