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
