"""Bounces in prose, each written as one kind of mail system writes them."""

from __future__ import annotations

import time

import pytest

from posthouse.outbound.suppressions import is_hard, is_transient
from posthouse.wire import bounce_text, failure_words
from posthouse.wire.dsn import Dsn, parse_dsn
from posthouse.wire.message import parse

ORIGINAL = "From: agent@house.example\nTo: vera@far.example\nSubject: Rates\nMessage-ID: <m1@house.example>\n\nHello.\n"


def read(text: str, mail_from: str = "") -> Dsn | None:
    raw = text.replace("\n", "\r\n").encode()
    return bounce_text.read(raw, parse(raw), mail_from)


def mail(sender: str, subject: str, body: str, *more: str) -> str:
    head = [f"From: {sender}", "To: agent@house.example", f"Subject: {subject}", *more]
    return "\n".join(head) + "\n\n" + body


EXIM = mail(
    "Mail Delivery System <Mailer-Daemon@mx.far.example>",
    "Mail delivery failed: returning message to sender",
    "This message was created automatically by mail delivery software.\n\nA message that you sent could not be "
    "delivered to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\n"
    "  vera@far.example\n    host mx.far.example [192.0.2.9]\n    SMTP error from remote mail server after RCPT "
    "TO:<vera@far.example>:\n    550 Unrouteable address\n\n------ This is a copy of the message, including all the "
    "headers. ------\n\n" + ORIGINAL,
    "X-Failed-Recipients: vera@far.example",
)
QMAIL = mail(
    "MAILER-DAEMON@far.example",
    "failure notice",
    "Hi. This is the qmail-send program at far.example.\nI'm afraid I wasn't able to deliver your message to the "
    "following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.\n\n<vera@far.example>:\n"
    "Sorry, no mailbox here by that name. (#5.1.1)\n\n--- Below this line is a copy of the message.\n\n"
    "Return-Path: <agent@house.example>\n" + ORIGINAL,
)
POSTFIX = mail(
    "MAILER-DAEMON@mx.far.example (Mail Delivery System)",
    "Undelivered Mail Returned to Sender",
    "This is the Postfix program at host mx.far.example.\n\nI'm sorry to have to inform you that the message returned\n"
    "below could not be delivered to one or more destinations.\n\n<vera@far.example>: host mx2.far.example said: 552 "
    "mailbox\n    full (in reply to RCPT TO command)\n\n" + ORIGINAL,
)
EXCHANGE = mail(
    "System Administrator <postmaster@far.example>",
    "Undeliverable: Rates",
    "Your message\n\n  To:      vera@far.example\n  Subject: Rates\n  Sent:    Mon, 1 Jun 2026 10:00:00 +0200\n\n"
    "did not reach the following recipient(s):\n\nvera@far.example on Mon, 1 Jun 2026 10:00:05 +0200\n"
    "    The recipient name is not recognized\n    MSEXCH:IMS:FAR:HQ:MAIL1 0 (000C05A6) Unknown Recipient\n",
)
OPENSMTPD = mail(
    "Mailer Daemon <MAILER-DAEMON@far.example>",
    "Delivery status notification: error",
    "    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this e-mail.\n\n    An error has occurred while "
    "attempting to deliver a message.\n\nvera@far.example: 552 5.3.4 Message size exceeds fixed limit\n\n    Below is a "
    "copy of the original message:\n\n" + ORIGINAL,
)
BARE = mail(
    '"Postmaster" <postmaster@far.example>', "Undeliverable Mail", "Unknown host: vera@far.example\n\n" + ORIGINAL
)
JAPANESE = mail(
    "Mail System <postmaster@far.example>",
    "配信エラー",
    "次の宛先へのメールは配信できませんでした。\n\n<vera@far.example>\n550 user unknown\n",
    "Content-Type: text/plain; charset=utf-8",
)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (EXIM, "5.1.1"),
        (QMAIL, "5.1.1"),
        (POSTFIX, "5.2.2"),
        (EXCHANGE, "5.1.1"),
        (OPENSMTPD, "5.3.4"),
        (BARE, "5.1.2"),
        (JAPANESE, "5.1.1"),
    ],
)
def test_a_bounce_in_prose_tells_whom_it_is_about_and_why(text: str, status: str) -> None:
    found = read(text)
    assert found is not None
    assert [(one.final_recipient, one.action, one.status) for one in found.recipients] == [
        ("vera@far.example", "failed", status)
    ]


def test_the_mail_that_came_back_is_found_behind_the_prose() -> None:
    for text in (EXIM, QMAIL):
        found = read(text)
        assert found is not None
        assert found.original_message_id == "m1@house.example"


def test_each_address_has_the_words_that_follow_it() -> None:
    text = QMAIL.replace(
        "\n--- Below",
        "\n<paul@far.example>:\nUser and password not set, continuing without authentication.\n"
        "192.0.2.4 does not like recipient.\nRemote host said: 452 4.2.2 Mailbox full\n\n--- Below",
    ).replace("To: vera@far.example", "To: vera@far.example, paul@far.example")
    found = read(text)
    assert found is not None
    assert [(one.final_recipient, one.status) for one in found.recipients] == [
        ("vera@far.example", "5.1.1"),
        ("paul@far.example", "4.2.2"),
    ]


def test_a_warning_is_a_delay() -> None:
    text = EXIM.replace("Mail delivery failed: returning message to sender", "Warning: message delayed 24 hours")
    text = text.replace(
        "could not be delivered to one or more of its\nrecipients. This is a permanent error.",
        "has not yet been delivered.",
    )
    text = text.replace("550 Unrouteable address", "451 try later").replace(
        "X-Failed-Recipients: vera@far.example\n", ""
    )
    found = read(text)
    assert found is not None
    assert found.recipients[0].action == "delayed"


def test_status_fields_in_an_odd_wrapping_are_read() -> None:
    fields = "Reporting-MTA: dns; mx.far.example\n\nFinal-Recipient: rfc822; vera@far.example\nAction: failed\nStatus: 5.2.1\n"
    in_text = mail("Mailer-Daemon <mailer-daemon@far.example>", "Delivery failure", "It failed.\n\n" + fields)
    mixed = mail(
        "Mailer-Daemon <mailer-daemon@far.example>",
        "Delivery failure",
        f"--b\nContent-Type: text/plain\n\nSorry.\n--b\nContent-Type: message/delivery-status\n\n{fields}\n--b--\n",
        "MIME-Version: 1.0",
        "Content-Type: multipart/mixed; boundary=b",
    )
    for text in (in_text, mixed):
        found = read(text)
        assert found is not None
        assert (found.recipients[0].final_recipient, found.recipients[0].status) == ("vera@far.example", "5.2.1")


@pytest.mark.parametrize(
    ("text", "mail_from"),
    [
        (mail("Vera <vera@far.example>", "Re: Rates", "Our server was down, your mail could not be delivered."), ""),
        (mail("Vera <vera@far.example>", "Out of office", "I am away until Monday.", "Auto-Submitted: auto-replied"), ""),
        (mail("Vera <vera@far.example>", "Undeliverable goods", "The parcel was returned to sender."), "vera@far.example"),
        (mail("Shop <noreply@shop.example>", "Your delivery", "Delivery on Monday between 10 and 12."), "b@shop.example"),
        (mail("Shop <noreply@shop.example>", "Delivery status", "Your order 5501 is on its way."), "b@shop.example"),
        (mail("Lists <listserv@l.example>", "Digest 550", "1. user accounts\n2. mail delivery"), "owner@l.example"),
        (mail("Postmaster <postmaster@far.example>", "Maintenance on Sunday", "Mail will be slow."), ""),
    ],
)  # fmt: skip
def test_ordinary_mail_is_no_bounce(text: str, mail_from: str) -> None:
    assert read(text, mail_from) is None


@pytest.mark.parametrize(
    ("said", "given", "code"),
    [
        ("550 5.1.1 no such user", "5.0.0", "5.1.1"),
        ("452 4.2.2 mailbox full", "4.0.0", "4.2.2"),
        ("smtp; 550 5.7.1 rejected", "5.5.0", "5.7.1"),
        ("550 user unknown", "5.0.0", "5.1.1"),
        ("552 over quota", "", "5.2.2"),
        ("452 mailbox full", "5.0.0", "5.2.2"),
        ("552 message too large", "", "5.3.4"),
        ("550 5.2.2 over quota", "5.1.1", "5.1.1"),
        ("host 192.0.2.1 said: 554 blocked by spamhaus", "", "5.7.1"),
        ("the mail of 512 KB went to 4.1.1.1", "", ""),
        ("", "5.1.2", "5.1.2"),
    ],
)
def test_a_code_that_leaves_it_open_gives_way_to_what_the_server_said(said: str, given: str, code: str) -> None:
    assert failure_words.code_of(said, given) == code


def test_a_report_whose_status_says_nothing_is_read_from_its_prose() -> None:
    report = (
        "MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"
        "Content-Type: text/plain\n\nvera@far.example: 550 5.1.1 <vera@far.example> User unknown\n\n--b\n"
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; vera@far.example\n"
        "Action: failed\nStatus: 5.0.0\n\n--b--\n"
    )
    assert parse_dsn(report.encode()).recipients[0].status == "5.1.1"


def test_hard_and_transient_are_told_by_the_code() -> None:
    assert [is_transient(code) for code in ("4.4.1", "5.2.2", "5.3.4", "5.1.1", "5.7.1", "")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert is_hard("5.1.1")
    assert not is_hard("4.1.1")


def test_reading_takes_linear_time() -> None:
    def cost(times: int) -> float:
        start = time.process_time()
        read(mail("mailer-daemon@x.example", "failure notice", ("user " * 20 + "a@b.example failed to\n") * times))
        return time.process_time() - start

    cost(10)
    small, large = max(cost(250), 0.002), cost(1_000)
    assert large / small < 12
