from __future__ import annotations

import base64
import email
import email.policy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Invalid, Malformed
from posthouse.wire.dsn import DsnRecipient, build_dsn, parse_dsn

RETURNED = (
    b"Received: from a\r\nFrom: Ann <ann@example.com>\r\nTo: bob@example.org\r\n"
    b"Subject: =?utf-8?q?gr=C3=BCn?=\r\nMessage-ID: <m1@example.com>\r\n\r\nbody\r\n"
)


def report(status: bytes, returned: bytes = RETURNED, kind: bytes = b"message/rfc822") -> bytes:
    return (
        b"From: <MAILER-DAEMON@mx.example.org>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="B=1/x"\r\n\r\n'
        b"preamble\r\n--B=1/x\r\n\r\nSorry.\r\n--B=1/x\r\nContent-Type: message/delivery-status\r\n\r\n"
        + status
        + b"\r\n--B=1/x\r\nContent-Type: "
        + kind
        + b"\r\n\r\n"
        + returned
        + b"\r\n--B=1/x--\r\n"
    )


FAILED = (
    b"Reporting-MTA: dns; mx.example.org\r\n\r\n"
    b"Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n"
)
WHOLE = report(FAILED)


def one(status: bytes) -> DsnRecipient:
    (recipient,) = parse_dsn(report(status)).recipients
    return recipient


# RFC 3464 appendix E.1
def test_simple_report_of_rfc_3464_e_1():
    dsn = parse_dsn(
        b"Date: Thu, 7 Jul 1994 17:16:05 -0400\n"
        b"From: Mail Delivery Subsystem <MAILER-DAEMON@CS.UTK.EDU>\n"
        b"To: <owner-info-mime@cs.utk.edu>\nMIME-Version: 1.0\n"
        b"Content-Type: multipart/report; report-type=delivery-status;\n"
        b'      boundary="RAA14128.773615765/CS.UTK.EDU"\n\n'
        b"--RAA14128.773615765/CS.UTK.EDU\n\n"
        b"The original message was received at Sat, 2 Jul 1994 17:10:28 -0400\n\n"
        b"--RAA14128.773615765/CS.UTK.EDU\ncontent-type: message/delivery-status\n\n"
        b"Reporting-MTA: dns; cs.utk.edu\n\n"
        b"Original-Recipient: rfc822;louisl@larry.slip.umd.edu\n"
        b"Final-Recipient: rfc822;louisl@larry.slip.umd.edu\n"
        b"Action: failed\nStatus: 4.0.0\nDiagnostic-Code: smtp; 426 connection timed out\n"
        b"Last-Attempt-Date: Thu, 7 Jul 1994 17:15:49 -0400\n\n"
        b"--RAA14128.773615765/CS.UTK.EDU\ncontent-type: message/rfc822\n\n"
        b"[original message goes here]\n\n--RAA14128.773615765/CS.UTK.EDU--\n"
    )
    assert dsn.reporting_mta == "cs.utk.edu"
    assert dsn.recipients == (
        DsnRecipient(
            final_recipient="louisl@larry.slip.umd.edu",
            action="failed",
            status="4.4.1",
            original_recipient="louisl@larry.slip.umd.edu",
            diagnostic="426 connection timed out",
            diagnostic_type="smtp",
            last_attempt_at=773615749000,
        ),
    )
    assert dsn.original_message_id is None
    assert dsn.returned == b""


# RFC 3464 appendix E.2
def test_report_on_several_recipients_of_rfc_3464_e_2():
    dsn = parse_dsn(
        report(
            b"Reporting-MTA: dns; cs.utk.edu\r\n\r\n"
            b"Original-Recipient: rfc822;arathib@vnet.ibm.com\r\n"
            b"Final-Recipient: rfc822;arathib@vnet.ibm.com\r\nAction: failed\r\n"
            b"Status: 5.0.0 (permanent failure)\r\nDiagnostic-Code: smtp;\r\n"
            b" 550 'arathib@vnet.IBM.COM' is not a registered gateway user\r\n"
            b"Remote-MTA: dns; vnet.ibm.com\r\n\r\n"
            b"Original-Recipient: rfc822;johnh@hpnjld.njd.hp.com\r\n"
            b"Final-Recipient: rfc822;johnh@hpnjld.njd.hp.com\r\nAction: delayed\r\n"
            b"Status: 4.0.0 (hpnjld.njd.jp.com: host name lookup failure)\r\n\r\n"
            b"Original-Recipient: rfc822;wsnell@sdcc13.ucsd.edu\r\n"
            b"Final-Recipient: rfc822;wsnell@sdcc13.ucsd.edu\r\nAction: failed\r\nStatus: 5.0.0\r\n"
            b"Diagnostic-Code: smtp; 550 user unknown\r\nRemote-MTA: dns; sdcc13.ucsd.edu\r\n"
        )
    )
    assert [(r.final_recipient, r.action, r.status, r.remote_mta) for r in dsn.recipients] == [
        ("arathib@vnet.ibm.com", "failed", "5.0.0", "vnet.ibm.com"),
        ("johnh@hpnjld.njd.hp.com", "delayed", "4.0.0", ""),
        ("wsnell@sdcc13.ucsd.edu", "failed", "5.1.1", "sdcc13.ucsd.edu"),
    ]
    assert dsn.recipients[0].diagnostic == "550 'arathib@vnet.IBM.COM' is not a registered gateway user"


# RFC 3464 appendix E.3
def test_report_from_a_gateway_of_rfc_3464_e_3():
    dsn = parse_dsn(
        report(
            b"Reporting-MTA: mailbus; SYS30\r\n\r\nFinal-Recipient: unknown; nair_s\r\n"
            b"Status: 5.0.0 (unknown permanent failure)\r\nAction: failed\r\n"
        )
    )
    assert dsn.reporting_mta == "SYS30"
    assert dsn.recipients == (DsnRecipient("nair_s", "failed", "5.0.0"),)


# RFC 3464 appendix E.4
def test_report_of_delay_of_rfc_3464_e_4():
    recipient = one(
        b"Reporting-MTA: dns; sun2.nsfnet-relay.ac.uk\r\n\r\n"
        b"Final-Recipient: rfc822;thomas@de-montfort.ac.uk\r\n"
        b"Status: 4.0.0 (unknown temporary failure)\r\nAction: delayed\r\n"
        b"Will-Retry-Until: Fri, 8 Jul 1994 17:16:05 -0400\r\n"
    )
    assert recipient.action == "delayed"
    assert recipient.will_retry_until_at == 773702165000


def test_returned_mail_says_which_mail_it_was():
    dsn = parse_dsn(report(FAILED))
    assert dsn.original_message_id == "m1@example.com"
    assert dsn.original_from == "ann@example.com"
    assert dsn.original_subject == "=?utf-8?q?gr=C3=BCn?="
    assert dsn.returned.endswith(b"Message-ID: <m1@example.com>\r\n\r\n")


@pytest.mark.parametrize(
    "kind", [b"text/rfc822-headers", b"TEXT/RFC822-Headers; charset=us-ascii", b"message/global-headers"]
)
def test_returned_header_alone_is_enough(kind):
    header = RETURNED.partition(b"\r\n\r\n")[0]
    assert parse_dsn(report(FAILED, header, kind)).original_message_id == "m1@example.com"


def test_fields_of_the_message_are_read():
    dsn = parse_dsn(
        report(b"Original-Envelope-Id: QQ314159\r\nArrival-Date: Mon, 6 Jan 2025 10:00:00 +0000\r\n" + FAILED)
    )
    assert dsn.original_envelope_id == "QQ314159"
    assert dsn.arrival_at == 1736157600000


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (report(FAILED).replace(b"\r\n", b"\n"), "bare LF"),
        (report(FAILED.replace(b"\r\n\r\n", b"\r\n")), "no empty line before the recipient"),
        (report(FAILED.replace(b"\r\nAction", b"\r\n\r\nAction")), "empty line within the recipient"),
        (report(FAILED.replace(b"\r\n\r\n", b"\r\n \t\r\n\r\n\r\n")), "more empty lines"),
        (WHOLE.replace(b"delivery-status\r\n\r\n", b"delivery-status\r\n"), "no empty line in the part"),
        (WHOLE.replace(b"delivery-status", b"Delivery-STATUS"), "case of the part"),
        (WHOLE.replace(b"multipart/report", b"Multipart/REPORT"), "case of the whole"),
        (report(FAILED.upper().replace(b"BOB@EXAMPLE.ORG", b"<bob@example.org>")), "upper case, brackets"),
        (report(FAILED).replace(b" report-type=delivery-status;", b""), "no report-type"),
        (report(FAILED).replace(b"message/delivery-status", b"text/plain"), "relabelled part"),
        (report(FAILED).removesuffix(b"\r\n--B=1/x--\r\n"), "no closing delimiter"),
        (report(FAILED.replace(b"Status:", b"Diagnostic-Code: smtp; 550")), "status in the diagnostic"),
        (report(FAILED.replace(b"Action: failed\r\n", b"")), "no action"),
        (report(FAILED.replace(b"Final-", b"Original-")), "only the original recipient"),
        (report(FAILED.replace(b"Action", b"this line is none\r\nAction")), "a line that is no field"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_sloppy_reports_are_understood(raw, why):
    dsn = parse_dsn(raw)
    (recipient,) = dsn.recipients
    assert (recipient.final_recipient, recipient.action, recipient.status) == (
        "bob@example.org",
        "failed",
        "5.1.1",
    )
    assert dsn.original_message_id == "m1@example.com"


def test_missing_empty_line_between_recipients_does_not_mix_them():
    dsn = parse_dsn(
        report(
            b"Reporting-MTA: dns; a\r\n\r\n"
            b"Original-Recipient: rfc822; o1@x\r\n"
            b"Final-Recipient: rfc822; f1@x\r\nAction: failed\r\nStatus: 5.1.1\r\n"
            b"Original-Recipient: rfc822; o2@x\r\n"
            b"Final-Recipient: rfc822; f2@x\r\nAction: delivered\r\nStatus: 2.0.0\r\n"
            b"Final-Recipient: rfc822; f3@x\r\nAction: failed\r\nStatus: 5.1.1\r\n"
            b"Original-Recipient: rfc822; o4@x\r\n"
            b"Final-Recipient: rfc822; f4@x\r\nAction: relayed\r\nStatus: 2.0.0\r\n"
        )
    )
    assert [(r.original_recipient, r.final_recipient, r.action) for r in dsn.recipients] == [
        ("o1@x", "f1@x", "failed"),
        ("o2@x", "f2@x", "delivered"),
        ("", "f3@x", "failed"),
        ("o4@x", "f4@x", "relayed"),
    ]


def test_encoded_parts_are_decoded():
    raw = report(FAILED)
    coded = base64.encodebytes(FAILED).replace(b"\n", b"\r\n")
    raw = raw.replace(FAILED, coded).replace(
        b"delivery-status\r\n\r\n", b"delivery-status\r\nContent-Transfer-Encoding: BASE64\r\n\r\n"
    )
    assert parse_dsn(raw).recipients[0].status == "5.1.1"


# RFC 6533 §3
def test_internationalised_addresses_are_decoded():
    coded = one(FAILED.replace(b"rfc822; bob@", rb"utf-8; b\x{FC}b\x{110000}@"))
    assert coded.final_recipient == "büb\\x{110000}@example.org"
    plain = one(FAILED.replace(b"rfc822; bob@", "utf-8; büb@".encode()))
    assert plain.final_recipient == "büb@example.org"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"From: a@b\r\nSubject: failure notice\r\n\r\nHi. This is the qmail-send program.\r\n",
        report(b""),
        report(b"Reporting-MTA: dns; a\r\n"),
        report(b"Reporting-MTA: dns; a\r\n\r\nFinal-Recipient: rfc822; bob@x\r\n"),
        report(FAILED.replace(b" rfc822; bob@example.org", b"")),
        report(FAILED).replace(b"multipart/report", b"multipart/mixed"),
        report(FAILED).replace(b'; boundary="B=1/x"', b""),
    ],
)
def test_what_names_no_recipient_and_outcome_is_refused(raw):
    with pytest.raises(Malformed):
        parse_dsn(raw)


def test_only_the_limit_is_read():
    padding = b"X-Padding: " + b"x" * 2000 + b"\r\n"
    assert one(padding * 10 + FAILED).status == "5.1.1"
    with pytest.raises(Malformed):
        parse_dsn(report(padding * 10 + FAILED), limit_bytes=5000)


@pytest.mark.parametrize(
    "status",
    [b"\r\n" * 400_000, b"x\r\n" * 300_000, b"Action: failed\r\n\r\n" * 40_000, b"(" * 900_000,
     b"Final-Recipient: " + b"<a" * 400_000, FAILED.replace(b"bob", b"a@" * 300_000)],
)  # fmt: skip
def test_hostile_reports_take_linear_time(status):
    try:
        parse_dsn(report(status, b"From: " + b'"\\' * 250_000 + b'"@x\r\nMessage-ID: ' + b"<" * 500_000))
    except Malformed:
        pass


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_refused(octets):
    for raw in (octets, report(octets), report(FAILED, octets)):
        try:
            parse_dsn(raw)
        except Malformed:
            pass


# Writing

ORIGINAL = (
    b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: hello\r\n"
    b"Message-ID: <m1@example.com>\r\n\r\nsecret body\r\n"
)
FAILURE = DsnRecipient(
    "bob@example.org",
    "failed",
    "5.1.1",
    original_recipient="robert@example.org",
    diagnostic="550 5.1.1 <bob@example.org>: no such user here",
    diagnostic_type="smtp",
    remote_mta="mx.example.org",
    last_attempt_at=1736157600000,
)
DELAY = DsnRecipient(
    "eve@example.net", "delayed", "4.4.1", diagnostic="connection refused", diagnostic_type="x-posthouse",
    will_retry_until_at=1736589600000,
)  # fmt: skip


def build(*recipients, original=ORIGINAL, **changes):
    arguments: dict[str, Any] = {
        "to": "ann@example.com",
        "postmaster": "postmaster@example.com",
        "reporting_mta": "post.example.com",
        "message_id": "d1@example.com",
        "at": 1736244000000,
        "arrival_at": 1736157600000,
        "envelope_id": "env-1",
    }
    return build_dsn(recipients=recipients, original=original, **(arguments | changes))


def parts_of(raw):
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects
    return message, list(message.iter_parts())


def test_our_report_is_read_back_as_it_was_meant():
    dsn = parse_dsn(build(FAILURE, DELAY))
    assert dsn.recipients == (FAILURE, DELAY)
    assert dsn.reporting_mta == "post.example.com"
    assert dsn.original_envelope_id == "env-1"
    assert dsn.arrival_at == 1736157600000
    assert dsn.original_message_id == "m1@example.com"
    assert dsn.original_from == "ann@example.com"


def test_report_has_the_three_parts_and_the_header_it_owes():
    raw = build(FAILURE)
    message, parts = parts_of(raw)
    assert message.get_content_type() == "multipart/report"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == "<m1@example.com>"
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "Your mail to robert@example.org could not be delivered"
    assert [part.get_content_type() for part in parts] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers"
    ]  # fmt: skip
    assert raw.count(b"\n") == raw.count(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"secret body" not in raw


def test_human_part_says_who_why_and_what_was_said():
    _, (human, _, _) = parts_of(build(FAILURE, DELAY))
    text = human.get_content()
    for words in (
        "robert@example.org",
        "could not be delivered",
        "forwarded to <bob@example.org>",
        "The server mx.example.org said:",
        "550 5.1.1 <bob@example.org>: no such user here",
        "has not been delivered yet",
        "tried again until Sat, 11 Jan 2025 10:00:00 +0000",
    ):
        assert words in text


def test_whole_mail_comes_back_only_on_request_after_a_failure_and_when_small():
    whole = build(FAILURE, return_full=True)
    assert b"secret body" in whole
    assert parts_of(whole)[1][2].get_content_type() == "message/rfc822"
    assert b"secret body" not in build(DELAY, return_full=True)  # RFC 3461 §4.3
    assert b"secret body" not in build(FAILURE, return_full=True, limit_bytes=80)


def test_long_header_is_cut_at_a_line():
    original = b"X: y\r\n" * 1000 + ORIGINAL
    raw = build(FAILURE, original=original, limit_bytes=100)
    assert len(parse_dsn(raw).returned.rstrip(b"\r\n").split(b"\r\n")) == 16


@pytest.mark.parametrize(
    ("action", "status", "words"),
    [
        ("delivered", "2.0.0", "was delivered to the mailbox"),
        ("relayed", "2.0.0", "sends no receipts"),
        ("expanded", "2.0.0", "list of recipients"),
    ],
)
def test_success_is_reported_in_its_own_words(action, status, words):
    raw = build(DsnRecipient("bob@example.org", action, status))
    assert parse_dsn(raw).recipients[0].action == action
    assert words in parts_of(raw)[1][0].get_content()
    assert parts_of(raw)[0]["Subject"] == "Your mail to bob@example.org was delivered"


def test_remote_words_cannot_add_fields_or_parts():
    evil = DsnRecipient(
        "bob@example.org", "failed", "5.1.1",
        diagnostic="550 no\r\n\r\nFinal-Recipient: rfc822; eve@x\r\nAction: delivered\u2028x",
        remote_mta="mx\r\nAction: delivered", diagnostic_type="smtp",
    )  # fmt: skip
    raw = build(evil, to="ann@example.com\r\nBcc: eve@x")
    assert [r.action for r in parse_dsn(raw).recipients] == ["failed"]
    assert parts_of(raw)[0]["Bcc"] is None


def test_addresses_outside_ascii_make_an_internationalised_report():
    recipient = DsnRecipient("büb@example.org", "failed", "5.6.7", diagnostic="kein Büro", diagnostic_type="smtp")
    raw = build(recipient, original=ORIGINAL.replace(b"Subject: hello", "Subject: grün".encode()))
    assert parse_dsn(raw).recipients == (recipient,)
    _, parts = parts_of(raw)
    assert [part.get_content_type() for part in parts][1:] == [
        "message/global-delivery-status", "message/global-headers"
    ]  # fmt: skip
    raw.partition(b"\r\n\r\n")[0].decode("ascii")


def test_eight_bit_body_is_returned_as_it_is():
    original = ORIGINAL.replace(b"secret", b"gr\xfcn \xff")
    raw = build(FAILURE, original=original, return_full=True)
    assert original in raw
    assert b"Content-Transfer-Encoding: 8bit" in raw.partition(b"\r\n\r\n")[0]


def test_same_report_is_built_alike_and_its_boundary_is_not_in_the_mail():
    assert build(FAILURE) == build(FAILURE)
    inner = build(FAILURE)
    outer = build(FAILURE, original=inner, return_full=True)
    assert len(parts_of(outer)[1]) == 3


def test_report_on_nobody_is_refused():
    with pytest.raises(Invalid):
        build()


@pytest.mark.parametrize("junk", [b"a:\r\n", b"a\r\n", b"a: b\r\n\r\n", b"\r\n", b"--x", b" \r\n"])
def test_a_report_without_end_is_read_with_bounded_work(junk: bytes) -> None:
    head = (
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n--x\r\n"
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; a\r\n\r\n"
        b"Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"
    )
    taken = []
    for size in (2**19, 2**22):
        raw = (
            head
            + junk * (size // len(junk))
            + b"\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n"
            + junk * (size // len(junk))
        )
        begun = time.process_time()
        assert parse_dsn(raw).recipients[0].final_recipient == "a@b.example"
        taken.append(time.process_time() - begun)
    assert taken[1] < 12 * taken[0] + 0.1
