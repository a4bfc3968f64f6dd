"""Connections that are used again, and how they end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from unit.smtp.hosts import (
    CLOSE,
    HANG,
    PARCEL,
    QUICK,
    Courierly,
    Host,
    Start,
    Zone,
    brief,
)


async def test_a_connection_is_used_again(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    courier = mx(host)
    for _ in range(3):
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert (host.connections, len(host.messages)) == (1, 3)
    assert "RSET" not in host.verbs()


async def test_after_a_transaction_that_stayed_open_comes_a_reset(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 who?", "250 ok"]))
    courier = mx(host)
    await courier.deliver(PARCEL)
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs() == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"]


async def test_a_connection_that_was_idle_is_asked_whether_it_lives(start: Start, mx: Courierly) -> None:
    host = await start(Host(RSET=[HANG, "250 ok"]))
    courier = mx(host, timeouts=replace(QUICK, command_s=0.05, fresh_s=0))
    for _ in range(2):
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.connections == 2


@pytest.mark.parametrize("stale", [CLOSE, "421 4.4.2 idle for too long"])
async def test_a_stale_connection_is_replaced_without_a_word(start: Start, mx: Courierly, stale: str) -> None:
    host = await start(Host(MAIL=["250 ok", stale, "250 ok"]))
    courier = mx(host)
    for _ in range(2):
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert (host.connections, len(host.messages)) == (2, 2)


async def test_a_connection_the_server_has_closed_is_not_taken(start: Start, mx: Courierly) -> None:
    host = await start(Host(dot=["250 ok\r\n421 bye", "250 ok"]))
    courier = mx(host)
    for _ in range(2):
        assert brief(await courier.deliver(PARCEL))[0][0] == "delivered"


async def test_a_connection_ends_after_so_many_messages(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    courier = mx(host, max_messages=2)
    for _ in range(3):
        await courier.deliver(PARCEL)
    assert host.connections == 2
    await host.until(lambda: host.verbs().count("QUIT") == 1)


async def test_an_idle_connection_says_goodbye(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    await mx(host, idle_s=0.01).deliver(PARCEL)
    await host.until(lambda: host.open_now == 0)
    assert host.verbs()[-1] == "QUIT"


async def test_closing_says_goodbye_and_does_not_wait_for_the_answer(start: Start, mx: Courierly) -> None:
    host = await start(Host(QUIT=HANG))
    courier = mx(host, timeouts=replace(QUICK, quit_s=0.02))
    await courier.deliver(PARCEL)
    await courier.aclose()
    assert host.verbs()[-1] == "QUIT"


async def test_destinations_do_not_share_connections(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    zone = Zone({}, {"one.example": ["127.0.0.1"], "two.example": ["127.0.0.1"]})
    courier = mx(host, zone)
    for domain in ("one.example", "two.example", "one.example"):
        await courier.deliver(replace(PARCEL, domain=domain))
    assert host.connections == 2


async def test_only_so_many_transactions_run_to_one_destination(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    host.gate = asyncio.Event()
    courier = mx(host, per_destination=3)
    tasks = [asyncio.create_task(courier.deliver(PARCEL)) for _ in range(10)]
    await host.until(lambda: len(host.messages) == 3)
    host.gate.set()
    assert [brief(results) for results in await asyncio.gather(*tasks)] == [[("delivered", "2.0.0")]] * 10
    assert host.most_open == 3
    assert courier._pool._slots == {}
