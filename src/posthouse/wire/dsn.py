"""Delivery status notifications: reading those that come back, writing our own.

RFC 3464 (the report), RFC 6522 (its wrapping), RFC 3461 §6 (what is said of each recipient), RFC 6533
(addresses outside ASCII). Bounces in other forms (qmail's prose, Exchange's) are read by `bounce_text.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal, cast

from posthouse.kit.errors import Invalid, Malformed
from posthouse.wire import failure_words, multipart_report, raw_headers

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

ACTIONS: dict[str, str] = {
    "failed": "could not be delivered, and will not be tried again",
    "delayed": "has not been delivered yet",
    "delivered": "was delivered to the mailbox",
    "relayed": "was handed to a server that sends no receipts",
    "expanded": "was handed to a list of recipients",
}

_MAX_RECIPIENTS = 1000
_MAX_DIAGNOSTIC = 2000
_MAX_PROSE = 16_384
_MAX_SAID = 300

_MESSAGE_FIELDS = frozenset(  # RFC 3464 §2.2
    {"original-envelope-id", "reporting-mta", "dsn-gateway", "received-from-mta", "arrival-date"}
)
_STATUS_PARTS = frozenset({"message/delivery-status", "message/global-delivery-status"})
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")  # RFC 3463 §2
_UNICODE_POINT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533 §3, EmbeddedUnicodeChar


@dataclass(frozen=True, slots=True)
class DsnRecipient:
    """What became of one recipient (RFC 3464 §2.3).

    Attributes:
        final_recipient: the address the reporting server knew, without its type.
        action: `failed` is final; `delayed` is still being tried; `relayed` and `expanded` left the
            reach of reports; `delivered` is in the mailbox.
        status: RFC 3463 code, such as 5.1.1; made from action or diagnostic where the report has none.
        original_recipient: the address the sender gave (ORCPT), "" where not told.
        diagnostic: what the last server said, without its type; "" where not told.
        diagnostic_type: `smtp` for an SMTP reply; else the reporter's own word, or "".
        remote_mta: the server that said it; "" where not told.
        will_retry_until_at: when a delayed one is given up; None where not told.
        last_attempt_at: of the last try; None where not told.
    """

    final_recipient: str
    action: Action
    status: str
    original_recipient: str = ""
    diagnostic: str = ""
    diagnostic_type: str = ""
    remote_mta: str = ""
    will_retry_until_at: int | None = None
    last_attempt_at: int | None = None


@dataclass(frozen=True, slots=True)
class Dsn:
    """A delivery status notification.

    Attributes:
        reporting_mta: who reports; "" where not told.
        original_envelope_id: ENVID of the submission (RFC 3461 §4.4), decoded; "" where not told.
        arrival_at: when the mail reached the reporter; None where not told.
        recipients: at least one, in the report's order.
        original_message_id: of the returned mail, without angle brackets; None where nothing of it
            came back.
        original_from: the address of its From; None likewise.
        original_subject: as written, encoded words included; None likewise.
        returned: the header of the returned mail, octets as they came, at most 64 KB; b"" for none.
    """

    reporting_mta: str
    original_envelope_id: str
    arrival_at: int | None
    recipients: tuple[DsnRecipient, ...]
    original_message_id: str | None
    original_from: str | None
    original_subject: str | None
    returned: bytes


def parse_dsn(raw: bytes, *, limit_bytes: int = 1_048_576) -> Dsn:
    """Read a delivery status notification.

    The report part decides; the human-readable text tells why where the report does not. A group of fields is
    told by its names, so missing, doubled and misplaced empty lines do no harm. What is missing is made up where
    the rest implies it: the status from the action or the diagnostic, the action from the status, the final
    recipient from the original one.

    Args:
        raw: the whole message, any line ending.
        limit_bytes: longest report part read; the rest is not looked at.

    Returns:
        One `DsnRecipient` per recipient named, in the order of the report, at most 1,000.

    Raises:
        Malformed: not multipart/report, no delivery-status part in it, or it names no recipient and
            outcome, so that no delivery could be matched to it.

    Source: RFC 3464 §2.1-2.3, RFC 6522 §3, RFC 6533 §3.
    """
    report = multipart_report.read(raw, limit_bytes)
    status_parts = [part for part in report.parts if part.content_type in _STATUS_PARTS]
    if not status_parts and report.report_type == "delivery-status":
        # Some gateways relabel the part; by RFC 6522 §3 it is the second.
        status_parts = [part for part in report.parts[1:2] if part.content_type.startswith(("text/", "message/"))]
    if not status_parts:
        raise Malformed("A delivery status notification needs a message/delivery-status part.")
    prose = report.parts[0].body if report.parts and report.parts[0].content_type.startswith("text/") else b""
    return of_status_part(status_parts[0].body, multipart_report.returned_header(report), prose)


def of_status_part(body: bytes, returned: bytes, prose: bytes = b"") -> Dsn:
    """Read the fields of a delivery-status part, wherever it was found.

    Args:
        returned: the header of the mail that came back with it; b"" for none.
        prose: the text beside it, which tells why where the fields leave it open.

    Raises:
        Malformed: it names no recipient and outcome.
    """
    about, groups = _grouped(body)
    told = " ".join(prose[:_MAX_PROSE].decode("utf-8", "replace").split())
    recipients = tuple(
        recipient for group in groups[:_MAX_RECIPIENTS] if (recipient := _recipient(group, told)) is not None
    )
    if not recipients:
        raise Malformed("The delivery status notification names no recipient and outcome.")
    return about_mail(
        recipients,
        returned,
        reporting_mta=_typed(about.get("reporting-mta", ""))[1],
        original_envelope_id=about.get("original-envelope-id", ""),
        arrival_at=multipart_report.instant_ms(about.get("arrival-date", "")),
    )


def about_mail(
    recipients: tuple[DsnRecipient, ...],
    returned: bytes,
    *,
    reporting_mta: str = "",
    original_envelope_id: str = "",
    arrival_at: int | None = None,
) -> Dsn:
    """A report of these outcomes, with what the returned header says of the mail."""
    fields, _ = raw_headers.split(returned)
    senders = multipart_report.addresses(fields, b"from")
    return Dsn(
        reporting_mta=reporting_mta,
        original_envelope_id=original_envelope_id,
        arrival_at=arrival_at,
        recipients=recipients,
        original_message_id=multipart_report.message_id(fields),
        original_from=senders[0] if senders else None,
        original_subject=multipart_report.first_text(fields, b"subject"),
        returned=returned,
    )


def _grouped(body: bytes) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The fields about the message, and those about each recipient."""
    about: dict[str, str] = {}
    recipients: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for group in multipart_report.groups(body):
        # A group that names nobody goes on about the recipient before it: a stray empty line or word.
        if current and any(name in ("original-recipient", "final-recipient") for name, _ in group):
            recipients.append(current)
            current = {}
        previous = ""
        for name, value in group:
            if name in _MESSAGE_FIELDS:  # wherever it stands
                about.setdefault(name, value)
            elif name == "final-recipient" and name in current:
                # A missing empty line. An Original-Recipient just before is the new recipient's.
                following = {}
                if previous == "original-recipient":
                    following[previous] = current.pop(previous)
                recipients.append(current)
                current = following
                current[name] = value
            elif name == "original-recipient" and name in current:
                recipients.append(current)
                current = {name: value}
            else:
                current.setdefault(name, value)
            previous = name
    if current:
        recipients.append(current)
    return about, recipients


def _recipient(fields: dict[str, str], told: str) -> DsnRecipient | None:
    final = _address(fields.get("final-recipient", ""))
    original = _address(fields.get("original-recipient", ""))
    if not final and not original:
        return None
    diagnostic_type, diagnostic = _typed(fields.get("diagnostic-code", ""))
    if not diagnostic and told:
        place = told.find(final or original)
        diagnostic = told[place : place + _MAX_SAID] if place >= 0 else ""
    action = multipart_report.without_comments(fields.get("action", "")).lower()
    status = _status(fields.get("status", ""), action, diagnostic)
    if action not in ACTIONS:
        if not status:
            return None
        action = {"2": "delivered", "4": "delayed", "5": "failed"}[status[0]]
    return DsnRecipient(
        final_recipient=final or original,
        action=cast(Action, action),
        status=status,
        original_recipient=original,
        diagnostic=diagnostic[:_MAX_DIAGNOSTIC],
        diagnostic_type=diagnostic_type,
        remote_mta=_typed(fields.get("remote-mta", ""))[1],
        will_retry_until_at=multipart_report.instant_ms(fields.get("will-retry-until", "")),
        last_attempt_at=multipart_report.instant_ms(fields.get("last-attempt-date", "")),
    )


def _status(given: str, action: str, diagnostic: str) -> str:
    match = _STATUS.search(multipart_report.without_comments(given))
    stated = match[1] if match else {"failed": "5.0.0", "delayed": "4.0.0"}.get(action, "")
    if stated.startswith("2") or (not stated and action in ACTIONS):
        return stated or "2.0.0"
    # A code that leaves open what is wrong gives way to the server's own (RFC 3463 §3.1, "Other").
    return failure_words.code_of(diagnostic, stated)


def _typed(value: str) -> tuple[str, str]:
    """Split `type; text`. A value that has no type is text as a whole."""
    kind, semicolon, rest = value.partition(";")
    kind = kind.strip().lower()
    if semicolon and kind and " " not in kind and len(kind) <= 32:
        return kind, rest.strip()
    return "", value.strip()


def _address(value: str) -> str:
    kind, text = _typed(value)
    # The brackets are not part of the syntax; several servers write them all the same.
    text = text.strip().removeprefix("<").removesuffix(">").strip()
    if kind == "utf-8":
        text = _UNICODE_POINT.sub(_from_point, text)
    return text


def _from_point(match: re.Match[str]) -> str:
    point = int(match[1], 16)
    if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF or point < 0x20:
        return match[0]
    return chr(point)


def build_dsn(
    *,
    recipients: Sequence[DsnRecipient],
    original: bytes,
    to: str,
    postmaster: str,
    reporting_mta: str,
    message_id: str,
    at: int,
    arrival_at: int | None = None,
    envelope_id: str = "",
    return_full: bool = False,
    limit_bytes: int = 65_536,
) -> bytes:
    """Write a report to the sender of a mail. Its reverse-path is null, which is the caller's part.

    The whole mail comes back only when the sender asked for it (RET=FULL), a recipient failed and it is no
    longer than `limit_bytes`; else its header (RFC 3461 §4.3, §6.2).

    Args:
        recipients: at least one; their actions may differ.
        original: the mail as it was to be sent.
        to: the reverse-path of the mail, where the report goes.
        postmaster: the address of From, such as `postmaster@example.org`.
        reporting_mta: our host name.
        message_id: of the report, without angle brackets.
        at: the report's date, milliseconds since 1970 UTC.
        arrival_at: when we took the mail in.
        envelope_id: ENVID as given, decoded from xtext.
        return_full: RET=FULL.
        limit_bytes: longest mail returned whole; a longer header is cut at a line.

    Returns:
        A whole message, CRLF line ends. Octets with the high bit set occur only where the original or an
        address has them; header fields are ASCII unless `to` or `postmaster` is not.

    Raises:
        Invalid: no recipient.

    Source: RFC 3464 §2, RFC 3461 §6, RFC 6533 §6, RFC 3834 §3.1 (loops, threading).
    """
    if not recipients:
        raise Invalid("A delivery status notification names at least one recipient.", field="recipients")
    original = raw_headers.with_crlf(original)
    fields, body_offset = raw_headers.split(original)
    has_failure = any(recipient.action == "failed" for recipient in recipients)
    whole = return_full and has_failure and len(original) <= limit_bytes
    returned = original if whole else _cut(original[:body_offset].rstrip(b"\r\n") + b"\r\n", limit_bytes)
    is_utf8 = not all(text.isascii() for r in recipients for text in (r.final_recipient, r.original_recipient))
    returned_header = returned[:body_offset]

    human = _human_part(recipients, reporting_mta, whole).encode("utf-8", "replace")
    status = _status_part(recipients, reporting_mta, envelope_id, arrival_at, is_utf8)
    # RFC 6533 §4.3: a returned header outside ASCII is message/global, whole or header alone.
    is_global = not returned_header.isascii()
    kinds = {(True, False): "message/rfc822", (True, True): "message/global",
             (False, False): "text/rfc822-headers", (False, True): "message/global-headers"}  # fmt: skip
    parts = [
        (f"text/plain; charset={'us-ascii' if human.isascii() else 'utf-8'}", "Notification", human),
        (
            "message/global-delivery-status" if is_utf8 else "message/delivery-status",
            "Delivery report",
            status,
        ),
        (kinds[whole, is_global], "Undelivered mail" if whole else "Header of the mail", returned),
    ]
    is_8bit = not all(body.isascii() for _, _, body in parts)
    # Made of the content, so the same report always reads the same, and the content cannot hold it.
    boundary = "=_" + hashlib.sha256(message_id.encode() + human + status + returned).hexdigest()[:32]

    lines = [
        f"From: Mail Delivery System <{_one_line(postmaster)}>",
        f"To: <{_one_line(to)}>",
        f"Subject: {_subject(recipients)}",
        f"Date: {_date(at)}",
        f"Message-ID: <{_one_line(message_id)}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        *_threading(fields),
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{boundary}"',
        f"Content-Transfer-Encoding: {'8bit' if is_8bit else '7bit'}",
    ]
    chunks = ["\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\nThis is a report about mail you sent.\r\n"]
    for content_type, description, body in parts:
        chunks.append(
            f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Description: {description}\r\n"
            f"Content-Transfer-Encoding: {'7bit' if body.isascii() else '8bit'}\r\n\r\n".encode()
        )
        chunks.append(body if body.endswith(b"\r\n") else body + b"\r\n")
    chunks.append(f"--{boundary}--\r\n".encode())
    return b"".join(chunks)


def _subject(recipients: Sequence[DsnRecipient]) -> str:
    order = {"failed": "could not be delivered", "delayed": "is delayed"}
    worst = next((action for action in order if any(r.action == action for r in recipients)), "")
    concerned = [r for r in recipients if not worst or r.action == worst]
    address = concerned[0].original_recipient or concerned[0].final_recipient
    whom = f"{len(concerned)} recipients" if len(concerned) > 1 else _one_line(address)
    if not whom.isascii() or len(whom) > 60:
        whom = "one recipient"
    return f"Your mail to {whom} {order.get(worst, 'was delivered')}"


def _human_part(recipients: Sequence[DsnRecipient], reporting_mta: str, whole: bool) -> str:
    lines = [f"This is the mail server at {_one_line(reporting_mta)}. It writes about a mail you sent.", ""]
    for r in recipients:
        address = _one_line(r.original_recipient or r.final_recipient)
        lines += [f"The mail to <{address}>", f"{ACTIONS[r.action]}."]
        if r.original_recipient and r.original_recipient != r.final_recipient:
            lines.append(f"It was forwarded to <{_one_line(r.final_recipient)}>.")
        if r.action == "delayed" and r.will_retry_until_at is not None:
            lines.append(f"It will be tried again until {_date(r.will_retry_until_at)}. There is no need to send")
            lines.append("it again.")
        if r.diagnostic:
            who = f"The server {_one_line(r.remote_mta)} said:" if r.remote_mta else "The reason:"
            lines += [who, *("    " + line for line in _wrapped(_one_line(r.diagnostic), 74))]
        lines += [f"Status code: {r.status}", ""]
    lines.append(f"{'The mail' if whole else 'The header of the mail'} follows below the report.")
    return "\r\n".join(lines) + "\r\n"


def _status_part(
    recipients: Sequence[DsnRecipient],
    reporting_mta: str,
    envelope_id: str,
    arrival_at: int | None,
    is_utf8: bool,
) -> bytes:
    about = []
    if envelope_id:
        about.append(("Original-Envelope-Id", envelope_id))
    about.append(("Reporting-MTA", f"dns; {reporting_mta}"))
    if arrival_at is not None:
        about.append(("Arrival-Date", _date(arrival_at)))
    groups = [about]
    for r in recipients:
        group = []
        if r.original_recipient:
            group.append(("Original-Recipient", _typed_address(r.original_recipient)))
        group += [
            ("Final-Recipient", _typed_address(r.final_recipient)),
            ("Action", r.action),
            ("Status", r.status),
        ]
        if r.remote_mta:
            group.append(("Remote-MTA", f"dns; {r.remote_mta}"))
        if r.diagnostic:
            group.append(("Diagnostic-Code", f"{r.diagnostic_type or 'smtp'}; {r.diagnostic[:_MAX_DIAGNOSTIC]}"))
        if r.last_attempt_at is not None:
            group.append(("Last-Attempt-Date", _date(r.last_attempt_at)))
        if r.will_retry_until_at is not None and r.action == "delayed":  # RFC 3464 §2.3.9
            group.append(("Will-Retry-Until", _date(r.will_retry_until_at)))
        groups.append(group)
    text = "\r\n".join(
        "".join("\r\n ".join(_wrapped(f"{n}: {_one_line(v)}", 76)) + "\r\n" for n, v in group) for group in groups
    )
    # RFC 3464 §2.1.1: ASCII; only message/global-delivery-status has UTF-8.
    return text.encode("utf-8" if is_utf8 else "ascii", "replace")


def _typed_address(address: str) -> str:
    return f"{'rfc822' if address.isascii() else 'utf-8'}; {address}"  # RFC 6533 §3


def _threading(fields: list[raw_headers.RawField]) -> list[str]:
    """In-Reply-To and References, which put the report beside the mail it is about (RFC 3834 §3.1.5)."""
    message_id = multipart_report.message_id(fields)
    if message_id is None or not message_id.isascii() or len(message_id) > 900:
        return []
    return [f"In-Reply-To: <{message_id}>", f"References: <{message_id}>"]


def _cut(header: bytes, limit_bytes: int) -> bytes:
    if len(header) <= limit_bytes:
        return header
    return header[: header.rfind(b"\r\n", 0, limit_bytes) + 2]


def _one_line(value: str) -> str:
    """No line end from outside makes a field of its own."""
    return "".join(" " if c < " " or "\x7f" <= c <= "\x9f" or c in "\u2028\u2029" else c for c in value).strip()


def _wrapped(value: str, width: int) -> list[str]:
    lines = [""]
    for word in value.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines


def _date(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at // 1000, UTC))
