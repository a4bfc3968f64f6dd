"""Stopping: the idle are told, hand-overs come to their end."""

from __future__ import annotations

import asyncio

import pytest

from posthouse.smtp.server import SmtpServer
from posthouse.wire.smtp_replies import MESSAGE_OK, Reply
from unit.smtp.serving import (
    CONFIG,
    WITHIN_S,
    FakeDoor,
    connected,
    on_both_loops,
)


@on_both_loops
async def test_stopping_tells_the_idle_and_lets_hand_overs_finish() -> None:
    door = FakeDoor()
    started, may_finish = door.hold()
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
