"""Complaints in the Abuse Reporting Format (RFC 5965, RFC 6650): what mailbox providers send when a reader
pressed "this is spam".
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from posthouse.kit.errors import Malformed
from posthouse.wire import multipart_report, raw_headers

_MAX_VALUES = 1000


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """A complaint about mail that was sent.

    Attributes:
        feedback_type: lower case. `abuse` (unwanted), `fraud`, `virus`, `other`, `not-spam` (RFC 5965
            §7.3) and `auth-failure` (RFC 6591), or a word of the reporter's own. Only the first three say
            that the recipient wants no more; `not-spam` says the contrary.
        user_agent: what made the report; "" where not told.
        original_message_id: of the mail, without angle brackets; None where nothing of it came back.
        original_from: the address of its From; None likewise.
        original_to: the addresses of its To, as far as they were not blacked out (RFC 6590).
        original_recipients: Original-Rcpt-To: the envelope's recipients; often blacked out or missing.
        original_mail_from: the envelope's sender, "" where not told or null.
        original_envelope_id: ENVID of the mail, "" where not told.
        source_ip: the address the mail came from, None where not told or not an address.
        arrival_at: when the reporter took the mail in; None where not told.
        reporting_mta: "" where not told.
        reported_domains: domains the reporter holds to be at the root of it.
        incidents: how many complaints this one stands for.
        returned: the header of the mail, octets as they came; b"" for none.
    """

    feedback_type: str
    user_agent: str
    original_message_id: str | None
    original_from: str | None
    original_to: tuple[str, ...]
    original_recipients: tuple[str, ...]
    original_mail_from: str
    original_envelope_id: str
    source_ip: str | None
    arrival_at: int | None
    reporting_mta: str
    reported_domains: tuple[str, ...]
    incidents: int
    returned: bytes


def parse_feedback(raw: bytes, *, limit_bytes: int = 1_048_576) -> FeedbackReport:
    """Read a complaint.

    User-Agent and Version are required by the standard and not by us: nothing depends on them.

    Args:
        raw: the whole message, any line ending.
        limit_bytes: longest part read; the rest is not looked at.

    Raises:
        Malformed: not multipart/report, no message/feedback-report part, or no Feedback-Type in it.

    Source: RFC 5965 §2-3, RFC 6650 §4.
    """
    report = multipart_report.read(raw, limit_bytes)
    parts = [part for part in report.parts if part.content_type == "message/feedback-report"]
    if not parts and report.report_type == "feedback-report":
        parts = [part for part in report.parts[1:2] if part.content_type.startswith(("text/", "message/"))]
    if not parts:
        raise Malformed("A feedback report needs a message/feedback-report part.")
    # Empty lines do not part anything here: there is one group (RFC 5965 §3).
    fields: dict[str, list[str]] = {}
    for group in multipart_report.groups(parts[0].body):
        for name, value in group:
            fields.setdefault(name, []).append(value)

    def first(*names: str) -> str:
        return next((fields[name][0] for name in names if name in fields), "")

    feedback_type = multipart_report.without_comments(first("feedback-type")).lower()
    if not feedback_type:
        raise Malformed("A feedback report needs a Feedback-Type.")
    returned = multipart_report.returned_header(report)
    original, _ = raw_headers.split(returned)
    senders = multipart_report.addresses(original, b"from")
    incidents = first("incidents")
    return FeedbackReport(
        feedback_type=feedback_type,
        user_agent=first("user-agent"),
        original_message_id=multipart_report.message_id(original),
        original_from=senders[0] if senders else None,
        original_to=tuple(multipart_report.addresses(original, b"to"))[:_MAX_VALUES],
        original_recipients=tuple(
            address for value in fields.get("original-rcpt-to", [])[:_MAX_VALUES] if (address := _bare(value))
        ),
        original_mail_from=_bare(first("original-mail-from")),
        original_envelope_id=first("original-envelope-id"),
        source_ip=_ip(first("source-ip")),
        # RFC 5965 §3.2 has Arrival-Date; Received-Date is its older name, still seen.
        arrival_at=multipart_report.instant_ms(first("arrival-date", "received-date")),
        reporting_mta=first("reporting-mta").partition(";")[2].strip() or first("reporting-mta"),
        reported_domains=tuple(
            multipart_report.without_comments(value).rstrip(".").lower()
            for value in fields.get("reported-domain", [])[:_MAX_VALUES]
        ),
        incidents=int(incidents) if incidents.isdecimal() and len(incidents) < 10 else 1,
        returned=returned,
    )


def _bare(value: str) -> str:
    value = multipart_report.without_comments(value)
    kind, semicolon, rest = value.partition(";")
    if semicolon and kind.strip().lower() in ("rfc822", "utf-8"):
        value = rest
    return value.strip().removeprefix("<").removesuffix(">").strip()


def _ip(value: str) -> str | None:
    value = multipart_report.without_comments(value).strip("[]").removeprefix("IPv6:")
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return None
