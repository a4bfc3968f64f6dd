"""Connections that break, fall silent or talk nonsense, at every step."""

from __future__ import annotations

import asyncio
import socket

import pytest

from unit.smtp.hosts import (
    CLOSE,
    GARBAGE,
    HANG,
    PARCEL,
    TINY,
    TWO,
    Courierly,
    Host,
    Reply,
    Start,
    Zone,
    brief,
)


@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("how", [CLOSE, HANG, GARBAGE])
async def test_whatever_breaks_off_or_falls_silent_is_deferred(
    start: Start, mx: Courierly, verb: str, how: str
) -> None:
    host = await start(Host(**{verb: how}))
    (result,) = await mx(host, timeouts=TINY).deliver(PARCEL)
    assert result.outcome == "deferred"
    assert result.status == ("4.5.0" if how == GARBAGE else "4.4.2")
    assert result.diagnostic.startswith("mx.example.com: ")


async def test_after_the_last_dot_no_other_host_is_tried(start: Start, mx: Courierly) -> None:
    first = await start(Host(dot=CLOSE), "127.0.0.1")
    second = await start(Host(), "127.0.0.2", first.port)
    courier = mx(first, Zone(addresses={"mx.example.com": ["127.0.0.1", "127.0.0.2"]}))
    assert brief(await courier.deliver(PARCEL)) == [("deferred", "4.4.2")]
    assert second.connections == 0


@pytest.mark.parametrize(
    "script",
    [
        {"greeting": "421 4.3.2 busy"},
        {"greeting": "554 5.7.1 go away"},
        {"EHLO": CLOSE},
        {"MAIL": "421 4.7.0 slow down"},
        {"RCPT": CLOSE},
        {"DATA": "421 closing"},
        {"DATA": "250 what?"},
        {"MAIL": "354 what?"},
    ],
)
async def test_trouble_before_the_message_was_handed_over_leads_to_the_next_host(
    start: Start, mx: Courierly, script: dict[str, Reply]
) -> None:
    first = await start(Host(**script), "127.0.0.1")
    second = await start(Host(), "127.0.0.2", first.port)
    zone = Zone(
        {"example.com": [(20, "two.example.com"), (10, "one.example.com")]},
        {"one.example.com": ["127.0.0.1"], "two.example.com": ["127.0.0.2"]},
    )
    (result,) = await mx(first, zone).deliver(PARCEL)
    assert (result.outcome, result.remote_mta) == ("delivered", "two.example.com")
    assert (first.connections, len(second.messages)) == (1, 1)


async def test_a_refused_recipient_stays_refused_when_the_connection_is_lost_later(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 who?", CLOSE]))
    assert brief(await mx(host).deliver(TWO)) == [("failed", "5.1.1"), ("deferred", "4.4.2")]


async def test_the_greetings_own_refusal_is_final_when_no_host_gives_hope(start: Start, mx: Courierly) -> None:
    first = await start(Host(greeting="554 5.7.1 blocked"), "127.0.0.1")
    zone = Zone(addresses={"mx.example.com": ["127.0.0.1", "127.0.0.2"]})
    (result,) = await mx(first, Zone()).deliver(PARCEL)
    assert (result.outcome, result.status, result.smtp_code) == ("failed", "5.7.1", 554)
    (result,) = await mx(first, zone).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.4.1")  # the other one may answer later


async def test_a_host_that_takes_no_mail_says_so_for_good(start: Start, mx: Courierly) -> None:
    host = await start(Host(greeting="521 no mail here"))
    assert brief(await mx(host).deliver(PARCEL)) == [("failed", "5.3.2")]


async def test_a_connection_refused_is_deferred(mx: Courierly) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (result,) = await mx(unused.getsockname()[1]).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.4.1")
    assert result.diagnostic == "mx.example.com[127.0.0.1]: connection refused"
    assert result.remote_mta is None


async def test_helo_is_said_to_servers_older_than_extensions(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO="502 what?"))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs()[:2] == ["EHLO", "HELO"]


async def test_cancelling_closes_the_connection(start: Start, mx: Courierly) -> None:
    host = await start(Host(MAIL=HANG))
    task = asyncio.create_task(mx(host).deliver(PARCEL))
    await host.until(lambda: "MAIL" in host.verbs())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await host.until(lambda: host.open_now == 0)


async def test_a_server_that_answers_without_end_is_not_listened_to(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT="250 ok\r\n" * 5_000 + "250 ok"))
    (result,) = await mx(host).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.5.0")
    assert host.messages == []
