"""Reading multipart/report (RFC 6522), the wrapping of bounces (`dsn.py`) and complaints (`feedback.py`).

Only what a report needs of MIME is here, on octets, so that no broken report is refused for what nobody
reads. Real reports miss blank lines, closing delimiters and parameters; all of that is borne.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import quopri
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from posthouse.kit.errors import Malformed
from posthouse.wire import raw_headers
from posthouse.wire.raw_headers import RawField

_MAX_PARTS = 20  # a report has three (RFC 6522 §3); some carry a disclaimer or two
_PARAMETER = re.compile(r';\s*([A-Za-z0-9*_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;]*))')
_COMMENT = re.compile(r"\([^()]*\)")
_MAX_PARAMETERS = 998  # RFC 5322 §2.1.1: the longest line; no Content-Type comes near it
_MAX_RETURNED_HEADER = 65_536
_MAX_STEPS = 10_000  # a mail goes to some hundred recipients at once (RFC 5321 §4.5.3.1.8)
_RETURNED = frozenset(  # RFC 6522 §3, RFC 6533 §4; the third is a common slip
    {
        "message/rfc822",
        "text/rfc822-headers",
        "message/rfc822-headers",
        "message/global",
        "message/global-headers",
    }
)
_MESSAGE_ID = re.compile(r"<([^<>\s]+)>")
# An unclosed quote runs to the end: were it tried again from every quote within, time would be quadratic.
_QUOTED = re.compile(r'"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)(@?)')
_ANGLE_ADDRESS = re.compile(r"<([^<>\s]*)>")
_NOT_ADDRESS = re.compile(r'[\s<>(),;:"]+')


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a report.

    Attributes:
        content_type: type and subtype, lower case; `text/plain` where none is given (RFC 2045 §5.2).
        body: the octets, transfer encoding undone, at most the reader's limit.
    """

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Report:
    """A multipart/report taken apart.

    Attributes:
        report_type: the parameter, lower case; "" where it is missing.
        fields: the header of the whole message.
        parts: in order, first level only.
    """

    report_type: str
    fields: list[RawField]
    parts: tuple[Part, ...]


def read(raw: bytes, limit_bytes: int) -> Report:
    """Take a report apart.

    Args:
        raw: the whole message, any line ending.
        limit_bytes: longest part read; the rest of a longer one is not looked at.

    Raises:
        Malformed: not multipart/report, or no boundary.

    Source: RFC 6522 §3, RFC 2046 §5.1.1.
    """
    fields, body_offset = raw_headers.split(raw)
    content_type, parameters = _content_type(fields)
    if content_type != "multipart/report":
        raise Malformed(f"Expected multipart/report, got {content_type}.")
    boundary = parameters.get("boundary", "")
    if not boundary:
        raise Malformed("A multipart/report needs a boundary.")
    parts = []
    for start, end in _spans(raw, body_offset, boundary.encode("latin-1", "replace")):
        part = raw[start : min(end, start + 2 * limit_bytes)]  # base64 takes a third more
        parts.append(_part(part, limit_bytes))
    return Report(parameters.get("report-type", "").lower(), fields, tuple(parts))


def groups(body: bytes) -> list[list[tuple[str, str]]]:
    """The fields of a report body, in the groups that empty lines make (RFC 3464 §2.1, RFC 5965 §3).

    Empty groups are left out, and so is what is no field. Names are lower case, values unfolded. A report has a group
    for each recipient; behind `_MAX_STEPS` fields, and lines that are none, the rest is not looked at.
    """
    found = []
    offset = 0
    left = _MAX_STEPS
    while offset < len(body) and left > 0:
        fields, used = raw_headers.split(body, offset)
        if fields:
            names = (raw_headers.name_of(field).decode("ascii") for field in fields)
            found.append(list(zip(names, (text(field[1]) for field in fields), strict=True)))
        else:
            # An empty line, a line of spaces, or a line that is no field: step over it.
            used = body.find(b"\n", offset) + 1 or len(body)
        left -= 1 + len(fields)
        offset = used
    return found


def text(value: bytes) -> str:
    """A field's value as one line of text: UTF-8, else Latin-1; control characters become spaces."""
    octets = raw_headers.unfold(value)
    try:
        decoded = octets.decode()
    except UnicodeDecodeError:
        decoded = octets.decode("latin-1")
    return "".join(" " if c < " " or "\x7f" <= c <= "\x9f" else c for c in decoded).strip()


def instant_ms(value: str) -> int | None:
    """A date of RFC 5322 §3.3 in milliseconds since 1970 UTC; None where it cannot be read."""
    try:
        date = parsedate_to_datetime(value[:100])
        if date.tzinfo is None:  # "-0000": UTC, zone unknown
            date = date.replace(tzinfo=UTC)
        return int(date.timestamp() * 1000)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def without_comments(value: str) -> str:
    """The value with its comments in parentheses taken out (RFC 5322 §3.2.2), nested ones too."""
    for _ in range(5):
        value, count = _COMMENT.subn(" ", value)
        if not count:
            break
    return value.strip()


def returned_header(report: Report) -> bytes:
    """The header of the mail the report is about, octets as they came, at most 64 KB; b"" where none is."""
    for part in report.parts:
        if part.content_type in _RETURNED:
            body = part.body.lstrip(b"\r\n")
            return body[: min(raw_headers.split(body)[1], _MAX_RETURNED_HEADER)]
    return b""


def message_id(fields: list[RawField]) -> str | None:
    """The Message-ID without its angle brackets; None where there is none."""
    value = first_text(fields, b"message-id") or ""
    match = _MESSAGE_ID.search(value)
    return match[1] if match else value.strip("<> ") or None


def addresses(fields: list[RawField], name: bytes) -> list[str]:
    """The addresses of every field of that (lower-case) name, bare; display names are dropped."""
    found: list[str] = []
    for value in raw_headers.values(fields, name):
        plain = without_comments(_QUOTED.sub(lambda match: match[0] if match[1] else " ", text(value)))
        for piece in plain.split(","):
            angle = [address for address in _ANGLE_ADDRESS.findall(piece) if "@" in address]
            found += angle[-1:] or [word for word in _NOT_ADDRESS.split(piece) if "@" in word][:1]
    return found


def first_text(fields: list[RawField], name: bytes) -> str | None:
    """The first field of that (lower-case) name, as `text` reads it; None where there is none."""
    found = raw_headers.values(fields, name)
    return text(found[0]) if found else None


def _part(octets: bytes, limit_bytes: int) -> Part:
    fields, offset = raw_headers.split(octets)
    content_type, _ = _content_type(fields)
    encodings = raw_headers.values(fields, b"content-transfer-encoding")
    body = octets[offset:]
    if content_type.startswith("message/") or content_type in _RETURNED:
        # Only Content-* means anything in the header of a part (RFC 2046 §5.1). Where the empty line is
        # missing, the first other field is where the report begins.
        names = [raw_headers.name_of(field).startswith(b"content-") for field in fields]
        inner = fields[names.index(False) :] if False in names else []
        if inner:
            body = b"".join(name + b":" + value + b"\r\n" for name, value in inner) + b"\r\n" + body
    return Part(content_type, _decoded(body, encodings[0].lower() if encodings else b"")[:limit_bytes])


def _content_type(fields: list[RawField]) -> tuple[str, dict[str, str]]:
    found = raw_headers.values(fields, b"content-type")
    if not found:
        return "text/plain", {}
    value = found[0][:_MAX_PARAMETERS].decode("latin-1")
    kind = without_comments(value.partition(";")[0]).replace(" ", "").lower() or "text/plain"
    parameters: dict[str, str] = {}
    for match in _PARAMETER.finditer(value):
        quoted = re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        parameters.setdefault(match[1].lower(), quoted)
    return kind, parameters


def _spans(raw: bytes, offset: int, boundary: bytes) -> list[tuple[int, int]]:
    """Where the parts lie. A missing closing delimiter, as of a cut-off report, ends at the end."""
    delimiter = re.compile(rb"--" + re.escape(boundary) + rb"(--)?[ \t]*\r?(?=\n|\Z)")
    spans: list[tuple[int, int]] = []
    start = None
    for match in delimiter.finditer(raw, offset):
        before = match.start() - 1
        if before >= 0 and raw[before] != 10:
            continue
        if start is not None:
            # The line end before a delimiter belongs to it (RFC 2046 §5.1.1).
            end = before - raw.endswith(b"\r", start, before)
            spans.append((start, max(end, start)))
        if match[1] or len(spans) >= _MAX_PARTS:
            return spans
        start = match.end() + 1
    if start is not None:
        spans.append((min(start, len(raw)), len(raw)))
    return spans


def _decoded(body: bytes, encoding: bytes) -> bytes:
    if encoding == b"quoted-printable":
        return quopri.decodestring(body)
    if encoding == b"base64":
        octets = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
        octets = octets[: len(octets) - (len(octets) % 4 == 1)]
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(octets + b"=" * (-len(octets) % 4))
    return body
