"""The couriers against this package's own server, on each kind of loop: both sides of every extension."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace

from posthouse.outbound.courier import Parcel
from posthouse.smtp.client import SmarthostCourier
from posthouse.wire.smtp_replies import MESSAGE_OK, RECIPIENT_OK, SENDER_OK, Reply
from unit.smtp.serving import CONFIG, FakeDoor, on_both_loops, serving

PARCEL = Parcel("a@sender.example", ("b@here.example",), b"Subject: x\r\n\r\n.\r\n..body\r\n", "here.example")
ANSWERS = [
    RECIPIENT_OK,
    Reply(550, "5.1.1", "who?"),
    Reply(450, "4.2.1", "busy\nvery busy"),
    Reply(452, "4.5.3", "enough"),
]


@contextlib.asynccontextmanager
async def relaying(
    port: int, scheme: str = "smtp", user: str = "", **options: object
) -> AsyncIterator[SmarthostCourier]:
    courier = SmarthostCourier(f"{scheme}://{user}127.0.0.1:{port}", hostname="out.example", **options)  # type: ignore[arg-type]
    try:
        yield courier
    finally:
        await courier.aclose()


@contextlib.asynccontextmanager
async def without_pipelining(port: int) -> AsyncIterator[int]:
    """The same server behind a wall that keeps one line back."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data.replace(b"250-PIPELINING\r\n", b""))
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    wall = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield wall.sockets[0].getsockname()[1]
    finally:
        wall.close()


@contextlib.asynccontextmanager
async def as_it_is(port: int) -> AsyncIterator[int]:
    yield port


@on_both_loops
async def test_pipelined_and_step_by_step_come_to_the_same() -> None:
    """Every answer to the sender, and random ones to five recipients: same results, same mail."""
    chance = random.Random(2920)
    cases = [
        (sender, [chance.choice(ANSWERS) for _ in range(5)], end)
        for sender in (SENDER_OK, Reply(550, "5.7.1", "no"), Reply(451, "4.7.1", "later"))
        for end in (MESSAGE_OK, Reply(554, "5.6.0", "no"))
        for _ in range(5)
    ]
    cases += [(SENDER_OK, [ANSWERS[1]] * 5, MESSAGE_OK)]
    outcomes = []
    for way in (as_it_is, without_pipelining):
        door = FakeDoor()
        found = []
        async with serving(door) as (_, inner), way(inner) as port, relaying(port) as courier:
            for sender, answers, end in cases:
                turns = itertools.cycle(answers)

                async def receive(raw: bytes, end: Reply = end) -> Reply:
                    return end

                door.sender = lambda address, sender=sender: sender
                door.recipient = lambda address, turns=turns: next(turns)
                door.received = receive
                parcel = replace(PARCEL, recipients=tuple(f"{name}@here.example" for name in "bcdef"))
                found.append(await courier.deliver(parcel))
        outcomes.append((found, [([r.address for r in e.rcpt_to], raw) for e, raw in door.messages]))
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][1], "some of it arrived"
    assert all(raw == PARCEL.raw for _, raw in outcomes[0][1])


@on_both_loops
async def test_what_is_asked_arrives_as_it_was_asked() -> None:
    door = FakeDoor()
    parcel = replace(
        PARCEL,
        recipients=("b@here.example", "jürgen@here.example"),
        requires_utf8=True,
        requires_8bit=True,
        envelope_id="a+b=c d",
        dsn_return="HDRS",
        notify={"b@here.example": "NEVER"},
        original_recipients={"b@here.example": "utf-8;ü\\+=@far.example"},
    )
    config = replace(CONFIG, submission=True, auth_needs_tls=False)
    async with serving(door, config) as (_, port), relaying(port, user="ann:secret@") as courier:
        assert {result.outcome for result in await courier.deliver(parcel)} == {"delivered"}
    ((envelope, raw),) = door.messages
    assert raw == parcel.raw
    assert envelope.identity == "ann"
    asked = envelope.parameters
    assert (asked.ret, asked.envid, asked.body, asked.smtputf8) == ("HDRS", "a+b=c d", "8BITMIME", True)
    assert asked.size_bytes == len(raw)
    b, ju = envelope.rcpt_to
    assert (b.parameters.notify, b.parameters.orcpt) == (frozenset({"NEVER"}), "utf-8;ü\\+=@far.example")
    assert (ju.address, ju.parameters.notify, ju.parameters.orcpt) == (
        "jürgen@here.example",
        frozenset(),
        "utf-8;jürgen@here.example",
    )


@on_both_loops
async def test_a_large_message_goes_over_tls_and_the_connection_is_used_again(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    door = FakeDoor()
    raw = b"Subject: large\r\n\r\n" + b".line of text\r\n" * 60_000
    config = replace(CONFIG, max_size_bytes=2_000_000)
    for scheme, implicit in (("smtp", False), ("smtps", True)):
        async with (
            serving(door, config, server_tls, implicit_tls=implicit) as (server, port),
            relaying(port, scheme, ssl_context=client_tls) as courier,
        ):
            for _ in range(3):
                (result,) = await courier.deliver(replace(PARCEL, raw=raw))
                assert result.outcome == "delivered"
            assert server.connections == 1
        assert {envelope.protocol for envelope, _ in door.messages} == {"ESMTPS"}
        assert all(got == raw for _, got in door.messages)
        door.messages.clear()


@on_both_loops
async def test_all_of_a_thousand_recipients_are_answered_for_in_one_group() -> None:
    door = FakeDoor()
    door.recipient = lambda address: Reply(550, "5.1.1", "who?") if address[:1] in "13579" else RECIPIENT_OK
    config = replace(CONFIG, max_refused_recipients=1_000)
    parcel = replace(PARCEL, recipients=tuple(f"{number}@here.example" for number in range(1_000)))
    async with serving(door, config) as (_, port), relaying(port) as courier:
        results = await courier.deliver(parcel)
    refused = {result.recipient for result in results if result.outcome == "failed"}
    assert refused == {address for address in parcel.recipients if address[0] in "13579"}
    assert len(door.messages[0][0].rcpt_to) == 1_000 - len(refused)


@on_both_loops
async def test_a_server_that_stops_is_left_and_found_again() -> None:
    door = FakeDoor()
    async with serving(door) as (first, port), relaying(port) as courier:
        assert (await courier.deliver(PARCEL))[0].outcome == "delivered"
        await first.stop(grace_s=0.2)
        assert (await courier.deliver(PARCEL))[0].outcome == "deferred"
        await first.start("127.0.0.1", port)
        assert (await courier.deliver(PARCEL))[0].smtp_code == 421, "a stopped server stays stopped"
