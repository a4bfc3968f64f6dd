from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Malformed
from posthouse.wire.feedback import parse_feedback


def report(fields: bytes) -> bytes:
    return (
        b"From: <abusedesk@example.com>\nDate: Thu, 8 Mar 2005 17:40:36 EDT\nSubject: FW: Earn money\n"
        b"To: <abuse@example.net>\nMIME-Version: 1.0\n"
        b"Content-Type: multipart/report; report-type=feedback-report;\n"
        b'     boundary="part1_13d.2e68ed54_boundary"\n\n'
        b'--part1_13d.2e68ed54_boundary\nContent-Type: text/plain; charset="US-ASCII"\n'
        b"Content-Transfer-Encoding: 7bit\n\nThis is an email abuse report.\n\n"
        b"--part1_13d.2e68ed54_boundary\nContent-Type: message/feedback-report\n\n"
        + fields
        + b"\n--part1_13d.2e68ed54_boundary\nContent-Type: message/rfc822\nContent-Disposition: inline\n\n"
        b"Received: from mailserver.example.net (mailserver.example.net [192.0.2.1])\n"
        b"        by example.com with ESMTP id M63d4137594e46;\n        Thu, 08 Mar 2005 14:00:00 -0400\n"
        b"From: <somespammer@example.net>\nTo: <Undisclosed Recipients>\nSubject: Earn money\n"
        b"MIME-Version: 1.0\nContent-type: text/plain\nMessage-ID: 8787KJKJ3K4J3K4J3K4J3.mail@example.net\n"
        b"Date: Thu, 02 Sep 2004 12:31:03 -0500\n\nSpam Spam Spam\n"
        b"--part1_13d.2e68ed54_boundary--\n"
    )


# RFC 5965 appendix B.1
MINIMAL = b"Feedback-Type: abuse\nUser-Agent: SomeGenerator/1.0\nVersion: 1\n"

# RFC 5965 appendix B.2
FULL = (
    b"Feedback-Type: abuse\nUser-Agent: SomeGenerator/1.0\nVersion: 1\n"
    b"Original-Mail-From: <somespammer@example.net>\nOriginal-Rcpt-To: <user@example.com>\n"
    b"Arrival-Date: Thu, 8 Mar 2005 14:00:00 EDT\nReporting-MTA: dns; mail.example.com\n"
    b"Source-IP: 192.0.2.1\nAuthentication-Results: mail.example.com;\n"
    b"               spf=fail smtp.mail=somespammer@example.com\n"
    b"Reported-Domain: example.net\nReported-Uri: http://example.net/earn_money.html\n"
    b"Reported-Uri: mailto:user@example.com\nRemoval-Recipient: user@example.com\n"
)


def test_minimal_complaint_names_the_mail():
    feedback = parse_feedback(report(MINIMAL))
    assert feedback.feedback_type == "abuse"
    assert feedback.original_message_id == "8787KJKJ3K4J3K4J3K4J3.mail@example.net"
    assert feedback.original_from == "somespammer@example.net"
    assert feedback.original_to == ()
    assert feedback.original_recipients == ()
    assert feedback.incidents == 1


def test_full_complaint_is_read():
    feedback = parse_feedback(report(FULL))
    assert feedback.user_agent == "SomeGenerator/1.0"
    assert feedback.original_mail_from == "somespammer@example.net"
    assert feedback.original_recipients == ("user@example.com",)
    assert feedback.source_ip == "192.0.2.1"
    assert feedback.arrival_at == 1110304800000
    assert feedback.reporting_mta == "mail.example.com"
    assert feedback.reported_domains == ("example.net",)


def test_complaint_of_a_big_provider_without_bracketed_addresses_is_read():
    feedback = parse_feedback(
        report(
            b"Feedback-Type: Abuse (spam)\r\nOriginal-Rcpt-To: rfc822; a@example.com\r\n"
            b"Original-Rcpt-To: b@example.com\r\nReceived-Date: Mon, 6 Jan 2025 10:00:00 +0000\r\n"
            b"Source-IP: [IPv6:2001:db8::1]\r\nIncidents: 4\r\nOriginal-Envelope-Id: env\r\n"
            b"Original-Mail-From: <>\r\n"
        )
    )
    assert feedback.feedback_type == "abuse"
    assert feedback.original_recipients == ("a@example.com", "b@example.com")
    assert feedback.source_ip == "2001:db8::1"
    assert feedback.arrival_at == 1736157600000
    assert feedback.incidents == 4
    assert feedback.original_envelope_id == "env"
    assert feedback.original_mail_from == ""


def test_several_readers_of_the_mail_are_named():
    raw = report(MINIMAL).replace(b"<Undisclosed Recipients>", b'"x@y, z" <a@example.com>, b@example.com (B)')
    assert parse_feedback(raw).original_to == ("a@example.com", "b@example.com")


def test_kinds_that_are_no_complaint_keep_their_word():
    assert parse_feedback(report(MINIMAL.replace(b"abuse", b"not-spam"))).feedback_type == "not-spam"
    assert parse_feedback(report(MINIMAL.replace(b"abuse", b"auth-failure"))).feedback_type == "auth-failure"


def test_nonsense_in_a_field_is_left_out():
    feedback = parse_feedback(report(MINIMAL + b"Source-IP: unknown\nIncidents: many\nArrival-Date: yesterday\n"))
    assert feedback.source_ip is None
    assert feedback.incidents == 1
    assert feedback.arrival_at is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        report(b""),
        report(MINIMAL.replace(b"Feedback-Type: abuse\n", b"")),
        report(MINIMAL).replace(b"multipart/report", b"multipart/mixed"),
        report(MINIMAL).replace(b"feedback-report", b"delivery-status"),
    ],
)
def test_what_is_no_complaint_is_refused(raw):
    with pytest.raises(Malformed):
        parse_feedback(raw)


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(octets):
    for raw in (octets, report(octets), report(MINIMAL + octets)):
        try:
            parse_feedback(raw)
        except Malformed:
            pass
