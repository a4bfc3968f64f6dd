"""What goes over the wire: paths, parameters, dots, line ends."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unit.smtp.hosts import (
    PARCEL,
    TWO,
    Courierly,
    Host,
    Start,
    brief,
    ehlo,
)


async def test_dots_are_doubled_and_bare_line_ends_can_not_end_the_message(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    await mx(host).deliver(replace(PARCEL, raw=b".a\r\n..b\r\nc\n.\nMAIL FROM:<x>\r.\rend"))
    assert host.messages == [b"..a\r\n...b\r\nc\r\n..\r\nMAIL FROM:<x>\r\n..\r\nend\r\n.\r\n"]
    assert host.verbs() == ["EHLO", "MAIL", "RCPT", "DATA"]


async def test_size_is_announced_and_a_message_too_large_is_not_sent(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("SIZE 100")))
    courier = mx(host)
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.lines[1] == f"MAIL FROM:<a@sender.example> SIZE={len(PARCEL.raw)}"
    results = await courier.deliver(replace(TWO, raw=b"x" * 200))
    assert brief(results) == [("failed", "5.3.4")] * 2
    assert len(host.messages) == 1


@pytest.mark.parametrize("size", ["SIZE", "SIZE 0", "SIZE what", "SIZE ١٢"])
async def test_a_size_without_a_limit_limits_nothing(start: Start, mx: Courierly, size: str) -> None:
    host = await start(Host(EHLO=ehlo(size)))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]


async def test_eight_bit_is_asked_for_where_offered_and_sent_anyway_where_not(start: Start, mx: Courierly) -> None:
    parcel = replace(PARCEL, raw="Grüße\r\n".encode(), requires_8bit=True)
    modern, old = await start(Host()), await start(Host(EHLO=ehlo()))
    await mx(modern).deliver(parcel)
    assert modern.lines[1].endswith(" BODY=8BITMIME")
    assert brief(await mx(old).deliver(parcel)) == [("delivered", "2.0.0")]
    assert old.lines[1] == "MAIL FROM:<a@sender.example>"
    assert old.messages[0].startswith("Grüße".encode())


async def test_internationalised_mail_goes_only_where_it_is_offered(start: Start, mx: Courierly) -> None:
    parcel = replace(PARCEL, recipients=("jürgen@bücher.example",), requires_utf8=True)
    modern, old = await start(Host(EHLO=ehlo("8BITMIME", "SMTPUTF8"))), await start(Host())
    assert brief(await mx(modern).deliver(parcel)) == [("delivered", "2.0.0")]
    assert modern.lines[1] == "MAIL FROM:<a@sender.example> BODY=8BITMIME SMTPUTF8"
    assert modern.lines[2] == "RCPT TO:<jürgen@xn--bcher-kva.example>"
    assert brief(await mx(old).deliver(parcel)) == [("failed", "5.6.7")]
    assert old.verbs() == ["EHLO"]


async def test_what_a_sender_asked_of_reports_is_passed_on_as_asked(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("DSN")))
    parcel = replace(
        TWO,
        envelope_id="id+1",
        dsn_return="FULL",
        notify={"b@example.com": "DELAY,SUCCESS", "c@example.com": "NEVER"},
        original_recipients={"b@example.com": "rfc822;list+x=y@far.example"},
    )
    results = await mx(host).deliver(parcel)
    assert host.lines[1:4] == [
        "MAIL FROM:<a@sender.example> RET=FULL ENVID=id+2B1",
        "RCPT TO:<b@example.com> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;list+2Bx+3Dy@far.example",
        "RCPT TO:<c@example.com> NOTIFY=NEVER ORCPT=rfc822;c@example.com",
    ]
    assert all(result.reports_success for result in results)


async def test_nothing_is_asked_of_reports_that_the_sender_did_not_ask(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("DSN", "SMTPUTF8")))
    courier = mx(host)
    await courier.deliver(replace(PARCEL, recipients=("b+c=d@example.com",)))
    assert host.lines[1:3] == [
        "MAIL FROM:<a@sender.example>",
        "RCPT TO:<b+c=d@example.com> ORCPT=rfc822;b+2Bc+3Dd@example.com",
    ]
    await courier.deliver(replace(PARCEL, recipients=("ü@example.com",), requires_utf8=True))
    assert host.lines[-2] == r"RCPT TO:<ü@example.com> ORCPT=utf-8;\x{FC}@example.com"


async def test_about_a_report_there_is_no_report(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("DSN")))
    await mx(host).deliver(replace(PARCEL, mail_from="", dsn_return="FULL", notify={"b@example.com": "SUCCESS"}))
    assert host.lines[1:3] == ["MAIL FROM:<>", "RCPT TO:<b@example.com> NOTIFY=NEVER ORCPT=rfc822;b@example.com"]


async def test_a_server_without_dsn_hears_nothing_of_reports_and_sends_none(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    parcel = replace(PARCEL, envelope_id="id", dsn_return="FULL", notify={"b@example.com": "SUCCESS"})
    (result,) = await mx(host).deliver(parcel)
    assert host.lines[1:3] == ["MAIL FROM:<a@sender.example>", "RCPT TO:<b@example.com>"]
    assert not result.reports_success


@pytest.mark.parametrize("envelope_id", ["ü", "a\r\nDATA", "x" * 101, "+" * 34])
@pytest.mark.parametrize(
    "original", ["b@example.com", "rfc822;", "r c;x", "rfc822;ü", "rfc822;a\nb", "rfc822;" + "x" * 500]
)
async def test_what_the_parameters_can_not_carry_is_left_out(
    start: Start, mx: Courierly, envelope_id: str, original: str
) -> None:
    host = await start(Host(EHLO=ehlo("DSN")))
    await mx(host).deliver(replace(PARCEL, envelope_id=envelope_id, original_recipients={"b@example.com": original}))
    assert host.lines[1:] == [
        "MAIL FROM:<a@sender.example>",
        "RCPT TO:<b@example.com> ORCPT=rfc822;b@example.com",
        "DATA",
    ]


@pytest.mark.parametrize(
    "address",
    ["b", "@example.com", "b@", "b> c@example.com", "b@example.com>\r\nDATA", "a b@example.com", "b@exa mple.com",
     "<b@example.com>", 'b"c@example.com', '"b\r\n"@example.com', "b@[1.2.3.4", "ü@example.com", "b@a@example.com",
     "b\x00@example.com", "b@example.com\n", "\ud800@example.com", "b@" + "ü" * 70 + ".de"],
)  # fmt: skip
async def test_an_address_that_can_not_be_said_in_smtp_fails_alone(start: Start, mx: Courierly, address: str) -> None:
    host = await start(Host())
    results = await mx(host).deliver(replace(PARCEL, recipients=(address, "b@example.com")))
    assert brief(results) == [("failed", "5.1.3"), ("delivered", "2.0.0")]
    assert host.verbs() == ["EHLO", "MAIL", "RCPT", "DATA"]


async def test_a_malformed_sender_or_no_speakable_recipient_sends_nothing(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    courier = mx(host)
    assert brief(await courier.deliver(replace(PARCEL, mail_from="a\r\nDATA"))) == [("failed", "5.1.7")]
    assert brief(await courier.deliver(replace(PARCEL, recipients=("b",)))) == [("failed", "5.1.3")]
    assert host.verbs() == ["EHLO"]


async def test_a_quoted_local_part_and_an_address_literal_are_sent_as_they_are(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    recipients = ('"a b>\\"c"@example.com', "b@[IPv6:2001:db8::1]")
    assert brief(await mx(host).deliver(replace(PARCEL, recipients=recipients))) == [("delivered", "2.0.0")] * 2
    assert host.lines[2:4] == [f"RCPT TO:<{recipient}>" for recipient in recipients]
