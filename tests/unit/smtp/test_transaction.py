"""One transaction: whatever a remote answers, each recipient is told what became of it."""

from __future__ import annotations

import pytest

from posthouse.outbound.courier import DeliveryResult
from unit.smtp.hosts import (
    PARCEL,
    THREE,
    TWO,
    Courierly,
    Host,
    Start,
    brief,
)


async def test_a_message_is_handed_over_and_the_remotes_words_are_kept(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    assert await mx(host).deliver(PARCEL) == [
        DeliveryResult("b@example.com", "delivered", "2.0.0", "250 2.0.0 queued as 1", "mx.example.com", 250)
    ]
    assert host.lines == [
        "EHLO out.sender.example",
        "MAIL FROM:<a@sender.example>",
        "RCPT TO:<b@example.com>",
        "DATA",
    ]
    assert host.messages == [b"Subject: x\r\n\r\nbody\r\n.\r\n"]


async def test_each_recipient_is_told_what_became_of_it(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 no such user", "450 4.2.1 busy", "250 ok"]))
    results = await mx(host).deliver(THREE)
    assert brief(results) == [("failed", "5.1.1"), ("deferred", "4.2.1"), ("delivered", "2.0.0")]
    assert [result.recipient for result in results] == list(THREE.recipients)
    assert [result.smtp_code for result in results] == [550, 450, 250]


async def test_no_data_is_sent_when_every_recipient_is_refused(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT="550 5.7.1 no"))
    assert brief(await mx(host).deliver(TWO)) == [("failed", "5.7.1")] * 2
    assert "DATA" not in host.verbs()


@pytest.mark.parametrize(
    ("step", "reply", "expected"),
    [
        ("MAIL", "550 5.7.1 not you", ("failed", "5.7.1")),
        ("MAIL", "451 4.7.1 greylisted", ("deferred", "4.7.1")),
        ("DATA", "554 no valid recipients", ("failed", "5.0.0")),
        ("DATA", "451 4.3.0 later", ("deferred", "4.3.0")),
        ("dot", "554 5.6.0 spam", ("failed", "5.6.0")),
        ("dot", "452 4.3.1 disk full", ("deferred", "4.3.1")),
        ("dot", "421 4.3.2 shutting down", ("deferred", "4.3.2")),
        ("dot", "354 again?", ("deferred", "4.5.0")),
        ("RCPT", "552 mailbox full", ("failed", "5.2.2")),
        ("MAIL", "552 size exceeds the limit", ("failed", "5.3.4")),
        ("dot", "552 too much mail data", ("failed", "5.3.4")),
        ("dot", "552 5.2.2 mailbox full", ("failed", "5.2.2")),
        ("RCPT", "251 will forward", ("delivered", "2.0.0")),
        ("RCPT", "252 will try", ("delivered", "2.0.0")),
    ],
)
async def test_a_reply_decides_for_all_it_speaks_of(
    start: Start, mx: Courierly, step: str, reply: str, expected: tuple[str, str]
) -> None:
    host = await start(Host(**{step: reply}))
    assert brief(await mx(host).deliver(TWO)) == [expected] * 2


async def test_a_refusal_after_data_leaves_earlier_refusals_as_they_were(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 who?", "250 ok"], dot="451 4.7.0 later"))
    assert brief(await mx(host).deliver(TWO)) == [("failed", "5.1.1"), ("deferred", "4.7.0")]


async def test_552_after_an_accepted_recipient_means_enough_for_now(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["250 ok", "552 too many recipients", "552 5.2.2 mailbox full"]))
    results = await mx(host).deliver(THREE)
    assert brief(results) == [("delivered", "2.0.0"), ("deferred", "4.5.3"), ("failed", "5.2.2")]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("550 no such user", "5.0.0"),
        ("550 4.1.1 muddled", "5.0.0"),
        ("550 5.01.0001 padded", "5.0.0"),
        ("550 5.1.10 null mx", "5.1.10"),
        ("550 5.7.1: colon", "5.0.0"),
        ("553 bad name", "5.1.3"),
        ("450 busy", "4.2.0"),
        ("451 error", "4.3.0"),
        ("452 full", "4.3.1"),
        ("499 odd", "4.0.0"),
    ],
)
async def test_the_enhanced_status_is_read_or_derived(start: Start, mx: Courierly, reply: str, status: str) -> None:
    host = await start(Host(RCPT=reply))
    assert (await mx(host).deliver(PARCEL))[0].status == status


async def test_the_remotes_words_are_made_one_harmless_line(start: Start, mx: Courierly) -> None:
    reply = "550-5.7.1 first\x1b[31m\x07 line\r\n550-5.7.1 second\u202e\udcff\r\n550 5.7.1 " + "x" * 900
    host = await start(Host(RCPT=reply))
    (result,) = await mx(host).deliver(PARCEL)
    assert result.diagnostic.startswith("550 5.7.1 first [31m line second")
    assert result.diagnostic.isprintable() and len(result.diagnostic) == 500
