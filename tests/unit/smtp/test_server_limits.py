"""Who is turned away, and when patience ends."""

from __future__ import annotations

from posthouse.smtp.server import Limits
from unit.smtp.serving import (
    FakeDoor,
    connected,
    on_both_loops,
    serving,
    until,
)


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


@on_both_loops
async def test_in_a_full_server_a_silent_client_makes_room_for_one_who_speaks() -> None:
    async with (
        serving(FakeDoor(), limits=Limits(connections=1, patience_s=0)) as (server, port),
        connected(port) as silent,
    ):
        await silent.hello()
        async with connected(port) as second:
            await second.hello()
            assert (await silent.rest()).startswith("421 4.3.2")
            assert server.connections == 1


def _large(octets: int) -> str:
    return "Subject: large\r\n\r\n" + ("x" * 98 + "\r\n") * (octets // 100)


@on_both_loops
async def test_a_message_there_is_no_room_for_is_read_to_its_end_and_may_come_again() -> None:
    door = FakeDoor()
    async with (
        serving(door, limits=Limits(messages_octets=500_000)) as (_, port),
        connected(port) as first,
        connected(port) as second,
    ):
        await first.begin()
        await first.say("DATA")
        first.write(_large(400_000))
        await second.begin()
        await second.say("DATA")
        second.write(_large(400_000) + ".\r\n")
        assert (await second.reply()).startswith("452 4.3.1")
        assert (await second.say("NOOP")).startswith("250")
        first.write(".\r\n")
        assert (await first.reply()).startswith("250 ")
        for command in ("MAIL FROM:<ann@example.com>", "RCPT TO:<bob@here.example>"):
            assert (await second.say(command)).startswith("250 ")
        assert (await second.say("DATA")).startswith("354")
        second.write(_large(400_000) + ".\r\n")
        assert (await second.reply()).startswith("250 ")

    assert [len(raw) > 390_000 for _, raw in door.messages] == [True, True]


@on_both_loops
async def test_chunks_there_is_no_room_for_are_refused_until_the_sender_begins_anew() -> None:
    door = FakeDoor()
    async with serving(door, limits=Limits(messages_octets=200_000)) as (_, port), connected(port) as client:
        await client.begin()
        content = _large(700_000)
        client.write(f"BDAT {len(content)}\r\n{content}")
        assert (await client.reply()).startswith("452 4.3.1")
        client.write("BDAT 5 LAST\r\nhello")
        assert (await client.reply()).startswith("452 4.3.1")
        assert (await client.say("RSET")).startswith("250")
    assert door.messages == []


@on_both_loops
async def test_room_is_free_again_when_a_sender_goes_away_within_a_message() -> None:
    door = FakeDoor()
    async with serving(door, limits=Limits(messages_octets=500_000)) as (server, port):
        for _ in range(3):
            async with connected(port) as client:
                await client.begin()
                await client.say("DATA")
                client.write(_large(400_000))
                await client.writer.drain()
            await until(lambda: server.connections == 0)
        async with connected(port) as client:
            await client.begin()
            await client.say("DATA")
            client.write(_large(400_000) + ".\r\n")
            assert (await client.reply()).startswith("250 ")
