"""Building messages to send.

Obeys RFC 5322 §3.6 (fields), RFC 2045, RFC 2046 §5.1 (multiparts), RFC 2387 (related), RFC 2183 (disposition),
RFC 6532 (UTF-8 addresses). Fields are written by `header_encode.py`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape

from posthouse.kit.errors import Invalid, TooLarge
from posthouse.wire import content_ids, raw_headers
from posthouse.wire.address import Address, format_address, split, to_ascii
from posthouse.wire.header_encode import (
    address_list,
    encode_content,
    encode_message,
    encode_text,
    format_date,
    message_ids,
    parameterized,
    safe,
    unstructured,
)
from posthouse.wire.headers import parse_message_ids, parse_parameters
from posthouse.wire.message import ParsedMessage
from posthouse.wire.mime import clean_filename
from posthouse.wire.thread_subject import forward_subject, reply_subject

__all__ = [
    "Attachment",
    "Outgoing",
    "check_custom_header",
    "compose",
    "forward_subject",
    "needs_utf8",
    "new_message_id",
    "quote_forward",
    "reply_references",
    "reply_subject",
]

MAX_REFERENCES = 50
MAX_CUSTOM_HEADERS = 100
MAX_CUSTOM_HEADER_CHARS = 8_192


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a message.

    Attributes:
        filename: shown to the reader; folders in front of it are dropped. Empty for none.
        content_type: `type/subtype`, perhaps with parameters; unreadable becomes application/octet-stream.
        data: the content itself.
        disposition: "attachment" or "inline".
        content_id: what `cid:` in the HTML refers to; brackets or not. One that cannot be written is replaced,
            in the HTML as well.
    """

    filename: str
    content_type: str
    data: bytes
    disposition: str = "attachment"
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be built.

    Attributes:
        from_: the author.
        to: may be empty together with `cc`, for a message with blind recipients only.
        cc: likewise.
        bcc: belongs to the envelope; never written into the message.
        reply_to: empty for none.
        subject: may be empty; the field is then left out.
        text: the plain body; None for none. With neither body the message has an empty text.
        html: the HTML body; None for none.
        attachments: in this order.
        in_reply_to: the id of the message answered, brackets or not.
        references: ids, oldest first, brackets or not.
        headers: (name, value) of further fields; see `check_custom_header`.
        message_id: brackets or not; None makes a new one in the domain of `from_`.
        sent_at: the Date, ms UTC.
        sender: who sent it on behalf of `from_`; None when that is the author.
    """

    from_: Address
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    message_id: str | None = None
    sent_at: int = 0
    sender: Address | None = None


def compose(outgoing: Outgoing) -> bytes:
    """The message as it goes out: CRLF line ends, no line over 998 octets, no Bcc.

    text and html become multipart/alternative; inline attachments with a content id become multipart/related
    with the HTML; other attachments make it multipart/mixed.

    Raises:
        Invalid: a value cannot stand in a header field; `field` names it.
        TooLarge: the header is longer than any may be that is handed in (reason `header`).
    """
    header = b"".join(_header(outgoing))
    if len(header) > raw_headers.MAX_OCTETS:
        raise TooLarge(f"the header of a message has at most {raw_headers.MAX_OCTETS} octets", reason="header")
    return b"".join([header, b"MIME-Version: 1.0\r\n", *_body(outgoing)])


def _header(outgoing: Outgoing) -> Iterator[bytes]:
    yield f"Date: {format_date(outgoing.sent_at)}\r\n".encode("ascii")
    yield address_list("From", (outgoing.from_,), field="from")
    if outgoing.sender is not None:
        yield address_list("Sender", (outgoing.sender,), field="sender")
    for name, addresses in (("Reply-To", outgoing.reply_to), ("To", outgoing.to), ("Cc", outgoing.cc)):
        if addresses:
            yield address_list(name, addresses, field=name.lower().replace("-", "_"))
    if not outgoing.to and not outgoing.cc:
        yield b"To: undisclosed-recipients:;\r\n"  # RFC 5322 §3.4, an empty group; some servers ask for a To
    if outgoing.subject:
        yield unstructured("Subject", outgoing.subject, field="subject")
    message_id = outgoing.message_id or new_message_id(split(outgoing.from_.email)[1])
    yield message_ids("Message-ID", (message_id,), field="message_id")
    if outgoing.in_reply_to:
        yield message_ids("In-Reply-To", (outgoing.in_reply_to,), field="in_reply_to")
    if outgoing.references:
        yield message_ids("References", outgoing.references, field="references")
    if outgoing.headers:
        yield from _custom(outgoing)


# --- Further fields ---------------------------------------------------------------------------------

_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 §2.2, and short enough for a line
# Written from the message's own fields, or by those who sign and carry it (RFC 5321 §4.4, RFC 8601 §5).
_RESERVED = frozenset(
    ["from", "sender", "reply-to", "to", "cc", "bcc", "date", "message-id", "subject", "mime-version",
     "return-path", "received", "received-spf", "dkim-signature", "domainkey-signature", "delivered-to",
     "authentication-results", "x-original-to", "envelope-to", "x-envelope-from", "x-envelope-to"]
)  # fmt: skip
_RESERVED_PREFIXES = ("content-", "arc-", "resent-", "x-posthouse-")
_ID_FIELDS = frozenset(["in-reply-to", "references"])


def check_custom_header(name: str, value: str) -> None:
    """Refuse a header field that a caller may not set.

    Raises:
        Invalid: the name is no field name, or belongs to the server; the value has more than one line or is
            too long.
    """
    key = name.lower()
    if not _FIELD_NAME.fullmatch(name):
        raise Invalid("The name of a header holds a character it must not, or is too long.", field="headers")
    if key in _RESERVED or key.startswith(_RESERVED_PREFIXES):
        raise Invalid(f"The header {name} is set by the server and cannot be given.", field=f"headers.{name}")
    if len(value) > MAX_CUSTOM_HEADER_CHARS:
        raise Invalid(
            f"The header {name} is longer than {MAX_CUSTOM_HEADER_CHARS} characters.", field=f"headers.{name}"
        )
    if "\r" in value or "\n" in value or "\0" in value:
        raise Invalid(f"The header {name} must be one line.", field=f"headers.{name}")


def _custom(outgoing: Outgoing) -> Iterator[bytes]:
    if len(outgoing.headers) > MAX_CUSTOM_HEADERS:
        raise Invalid(f"There are more than {MAX_CUSTOM_HEADERS} headers.", field="headers")
    for name, value in outgoing.headers:
        check_custom_header(name, value)
        key = name.lower()
        if key not in _ID_FIELDS:
            yield unstructured(name, value.strip(), field=f"headers.{name}")
            continue
        if outgoing.in_reply_to if key == "in-reply-to" else outgoing.references:
            continue  # the message's own field says it already
        ids = parse_message_ids(value)
        if ids:
            yield message_ids(name, ids, field=f"headers.{name}")


# --- Bodies -----------------------------------------------------------------------------------------


def _body(outgoing: Outgoing) -> list[bytes]:
    related = [each for each in outgoing.attachments if _is_related(each, outgoing.html)]
    mixed = [each for each in outgoing.attachments if not _is_related(each, outgoing.html)]
    entity: list[bytes] | None = None
    if outgoing.html is not None:
        named = [each.content_id for each in outgoing.attachments if each.content_id]
        entity = _text_entity("text/html", content_ids.renamed(outgoing.html, named))
        if related:
            # RFC 2387 §3.1 asks for the type of the root.
            entity = _multipart("related", [entity, *map(_attached, related)], (("type", "text/html"),))
    if outgoing.text is not None or entity is None:
        plain = _text_entity("text/plain", outgoing.text or "")
        entity = plain if entity is None else _multipart("alternative", [plain, entity])
    if mixed:
        entity = _multipart("mixed", [entity, *map(_attached, mixed)])
    return entity


def _is_related(attachment: Attachment, html: str | None) -> bool:
    return attachment.disposition == "inline" and bool(attachment.content_id) and html is not None


def _text_entity(content_type: str, text: str) -> list[bytes]:
    encoding, data = encode_text(text if not text or text.endswith("\n") else text + "\n")
    if encoding == "base64":
        data += b"\r\n"
    return [
        f"Content-Type: {content_type}; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode(),
        data,
    ]


def _multipart(
    subtype: str, entities: Iterable[list[bytes]], parameters: tuple[tuple[str, str], ...] = ()
) -> list[bytes]:
    # `=_` never occurs in base64 or quoted-printable, and nobody can guess the rest to put it into a text.
    boundary = f"=_{secrets.token_hex(15)}"
    out = [
        parameterized(
            "Content-Type", f"multipart/{subtype}", (*parameters, ("boundary", boundary)), field="content_type"
        ),
        b"\r\n",
    ]
    delimiter = f"--{boundary}\r\n".encode("ascii")
    for entity in entities:
        out.append(delimiter)
        out.extend(entity)
        out.append(b"\r\n")  # belongs to the delimiter (RFC 2046 §5.1.1)
    out.append(f"--{boundary}--\r\n".encode("ascii"))
    return out


_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,80}")


def _attached(attachment: Attachment) -> list[bytes]:
    safe(attachment.content_type, "attachments.content_type")
    safe(attachment.filename, "attachments.filename")
    content_type, parameters = parse_parameters(attachment.content_type)
    if not _TYPE.fullmatch(content_type) or content_type.startswith("multipart/"):
        content_type, parameters = "application/octet-stream", {}
    if content_type == "message/rfc822":
        content_type, encoding, encoded = encode_message(attachment.data)
    else:
        encoding, encoded = encode_content(attachment.data, is_text=False)
    keep = [(key, value) for key, value in parameters.items() if _keeps_parameter(key)]
    filename = clean_filename(attachment.filename)
    disposition = "inline" if attachment.disposition == "inline" else "attachment"
    out = [
        parameterized("Content-Type", content_type, keep, field="attachments.content_type"),
        parameterized(
            "Content-Disposition",
            disposition,
            [("filename", filename)] if filename else [],
            field="attachments.filename",
        ),
        f"Content-Transfer-Encoding: {encoding}\r\n".encode("ascii"),
    ]
    if attachment.content_id:
        safe(attachment.content_id, "attachments.content_id")
        written = content_ids.plain(attachment.content_id)
        out.append(message_ids("Content-ID", (written,), field="attachments.content_id"))
    return [*out, b"\r\n", encoded]


def _keeps_parameter(key: str) -> bool:
    return key not in ("name", "boundary") and re.fullmatch(r"[a-z0-9-]{1,30}", key) is not None


# --- Identity and threading -------------------------------------------------------------------------


def new_message_id(domain: str) -> str:
    """A new id in a domain, without brackets: unique for all time (RFC 5322 §3.6.4)."""
    try:
        domain = to_ascii(domain)
    except Invalid:
        domain = "localhost"
    return f"{secrets.token_hex(16)}@{domain}"


def reply_references(parent_message_id: str | None, parent_references: tuple[str, ...]) -> tuple[str, ...]:
    """The References of an answer: those of its parent, and the parent (RFC 5322 §3.6.4).

    Of a very long conversation the first id and the last ones are kept: the first names the thread, the last
    ones place the message in it.
    """
    ids = [each for each in parent_references if each != parent_message_id]
    if parent_message_id:
        ids.append(parent_message_id)
    if len(ids) > MAX_REFERENCES:
        ids = [ids[0], *ids[-(MAX_REFERENCES - 1) :]]
    return tuple(ids)


def needs_utf8(raw: bytes) -> bool:
    """Whether the header has UTF-8 in it, so that only a server with SMTPUTF8 may get it (RFC 6531 §3.4)."""
    if raw.isascii():
        return False
    return not raw[: raw_headers.scan(raw).end].isascii()


def quote_forward(original: ParsedMessage, text: str | None, html: str | None) -> tuple[str, str | None]:
    """The bodies of a message that forwards another.

    Args:
        original: the message forwarded; its attachments are for the caller to add.
        text: what the forwarder writes above it.
        html: the same in HTML; None makes it out of `text`.

    Returns:
        The plain text, and the HTML when either side has any.
    """
    fields = [
        (name, value)
        for name, value in (
            ("From", ", ".join(map(format_address, original.from_))),
            ("Date", format_date(original.sent_at) if original.sent_at is not None else ""),
            ("Subject", original.subject),
            ("To", ", ".join(map(format_address, original.to))),
            ("Cc", ", ".join(map(format_address, original.cc))),
        )
        if value
    ]
    head = "---------- Forwarded message ----------"
    above = (text or "").rstrip()
    lines = [*([above, ""] if above else []), head, *(f"{name}: {value}" for name, value in fields), ""]
    plain = "\n".join([*lines, original.plain])
    if html is None and original.html is None:
        return plain, None
    if html is None:
        html = f'<div style="white-space: pre-wrap">{escape(above)}</div>' if above else ""
    if original.html is not None:
        quoted = original.html
    else:
        quoted = f'<div style="white-space: pre-wrap">{escape(original.plain)}</div>'
    rows = "".join(f"<div><b>{name}:</b> {escape(value)}</div>" for name, value in fields)
    return plain, f'{html}<br><div class="gmail_quote"><div class="gmail_attr">{head}{rows}</div><br>{quoted}</div>'
