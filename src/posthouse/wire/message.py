"""A whole message: headers, addresses, structure and the bodies to show, out of any bytes.

`parse` never raises and takes time linear in the size. Open `mime.py` for the structure, `headers.py` for fields,
`charset.py` for what bytes mean, `reply.py` for what is new in a reply.

Obeys RFC 5322, RFC 2045–2047, RFC 8621 §4.1 (which bodies are shown, what counts as an attachment), RFC 3834
(automatic mail).
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from posthouse.wire.address import MAX_LIST_CHARS, Address, parse_address_list
from posthouse.wire.charset import decode_bytes, decode_html
from posthouse.wire.contents import Contents, decode_span
from posthouse.wire.dates import read_date
from posthouse.wire.flowed import flow_of, unflow
from posthouse.wire.headers import (
    Headers,
    decode_text,
    parse_message_ids,
    parse_parameters,
    read_section,
    unfold,
)
from posthouse.wire.html import MAX_HTML_CHARS, Page, preview, read, to_text
from posthouse.wire.mime import Limits, Part, Structure, decode_part, scan
from posthouse.wire.named import named_in
from posthouse.wire.opened import open_containers
from posthouse.wire.reply import MAX_TEXT_CHARS, answers, new_text, without_signature
from posthouse.wire.reply_html import NewPart, new_part

__all__ = [
    "Contents",
    "File",
    "Limits",
    "ParsedMessage",
    "Part",
    "body_lists",
    "decode_part",
    "decode_span",
    "find_part",
    "parse",
    "parse_headers_only",
    "part_text",
]


@dataclass(frozen=True, slots=True)
class File:
    """A part that is not shown as text.

    Attributes:
        in_text: the HTML names it (`cid:`, or its Content-Location): it is shown there.
    """

    part: Part
    in_text: bool


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """What a message says, read leniently. No field holds U+0000 or a lone surrogate.

    Attributes:
        headers: (name, raw value) in order; the value keeps folding and leading blank (RFC 8621 §4.1.2.1).
        message_id: without angle brackets; None when absent.
        in_reply_to: ids without brackets.
        references: ids without brackets, oldest first.
        subject: decoded, on one line; empty when absent.
        from_: RFC 5322 §3.6.2; more than one author is allowed, none is sloppy.
        sender: at most one, as a tuple like the others.
        reply_to: where answers go; empty means `from_`.
        to: groups flattened; several To fields, against RFC 5322 §3.6, are joined.
        cc: as `to`.
        bcc: as `to`; seen in drafts and in careless mail.
        sent_at: the Date field in ms UTC; None when absent or unreadable.
        sent_zone: minutes east of UTC of the zone it is written in (`dates.Moment`).
        structure: the message as a part, with all parts below it.
        text_body: the parts to show where plain text is preferred (RFC 8621 §4.1.4 `textBody`).
        html_body: the parts to show where HTML is preferred.
        attachments: the other parts, in order, as RFC 8621 §4.1.4 has it.
        files: every leaf that is not shown as text, in order, whatever its disposition: with the text, all that the
            mail holds. A text that is cut is among them, whole; a container that was opened is not.
        text: `text_body` decoded, flowed paragraphs put together, lines ending with LF; None unless a text/plain part
            is among them.
        html: `html_body` decoded, unsafe as it came; None unless a text/html part is among them.
        plain: `text`, or text made of the HTML: what search and preview read. Never None.
        extracted_text: the new text of a reply (`reply.new_text`), all of `plain` in what is none; None when nothing
            is new.
        extracted_html: likewise of the HTML.
        preview: of `extracted_text`, at most 200 characters on one line.
        has_attachment: one of `files` is not shown in the HTML (RFC 8621 §4.1.4 leaves that to us).
        is_auto_submitted: sent by a program, a list or in bulk: not to be answered automatically (RFC 3834 §2).
        defects: what was wrong or cut, as sentences, each once.
    """

    headers: Headers
    message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    subject: str
    from_: tuple[Address, ...]
    sender: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    sent_at: int | None
    sent_zone: int
    structure: Part
    text_body: tuple[Part, ...]
    html_body: tuple[Part, ...]
    attachments: tuple[Part, ...]
    files: tuple[File, ...]
    text: str | None
    html: str | None
    plain: str
    extracted_text: str | None
    extracted_html: str | None
    preview: str
    has_attachment: bool
    is_auto_submitted: bool
    defects: tuple[str, ...]


_LIMITS = Limits()
# RFC 5322 §3.6: at most one of each. The first counts; of recipients, all do.
_SINGLE = frozenset(
    ["from", "sender", "reply-to", "to", "cc", "bcc", "message-id", "in-reply-to", "references", "subject", "date"]
)
_RECIPIENTS = frozenset(["to", "cc", "bcc"])


def parse(raw: bytes, limits: Limits = _LIMITS) -> ParsedMessage:
    """Read a message. Never raises, whatever the bytes.

    Args:
        raw: the message as received, any line ending.
        limits: what is looked at; see `Limits`.
    """
    structure = open_containers(raw, scan(raw, limits), limits)
    defects = dict.fromkeys(structure.defects)
    headers = tuple(structure.section.fields)
    fields = _fields(headers, defects)

    text_body: list[Part] = []
    html_body: list[Part] = []
    attachments: list[Part] = []
    _body_structure([structure.root], "mixed", False, html_body, text_body, attachments)

    reader = _BodyReader(raw, structure, limits, defects)
    text = reader.text(text_body)
    html = reader.html(html_body)
    files = _files(structure.root, reader.shown, html)
    subject = decode_text(fields.get("subject", ""))
    in_reply_to = parse_message_ids(fields.get("in-reply-to", ""))
    references = parse_message_ids(fields.get("references", ""))
    plain = text if text is not None and not text.isspace() and text else None
    is_made = plain is None
    page = read(html or "") if plain is None else Page("", ())
    plain = page.text if plain is None else plain
    new = NewPart(html)
    extracted_html, extracted_text = html, plain.strip() or None
    if answers(subject, is_threaded=bool(in_reply_to or references)):
        new = new_part(html) if html is not None else new
        extracted_html = new.html
        if not is_made:
            extracted_text = new_text(plain)
            if len(plain) > MAX_TEXT_CHARS:
                defects[_LONG_TEXT] = None
        elif extracted_html is html:
            extracted_text = without_signature(plain)
        else:
            extracted_text = without_signature(new.text)
    if not (page.is_whole and new.is_whole):
        defects[_MANY_TAGS] = None
    if html is not None and len(html) > MAX_HTML_CHARS:
        defects[_LONG_HTML] = None

    sent = read_date(fields["date"]) if "date" in fields else None
    people = _People(fields, defects)
    ids = parse_message_ids(fields["message-id"]) if "message-id" in fields else ()
    return ParsedMessage(
        headers=headers,
        message_id=ids[0] if ids else None,
        in_reply_to=in_reply_to,
        references=references,
        subject=subject,
        from_=people.of("from"),
        sender=people.of("sender"),
        reply_to=people.of("reply-to"),
        to=people.of("to"),
        cc=people.of("cc"),
        bcc=people.of("bcc"),
        sent_at=None if sent is None else sent.at,
        sent_zone=0 if sent is None else sent.zone,
        structure=structure.root,
        text_body=tuple(text_body),
        html_body=tuple(html_body),
        attachments=tuple(attachments),
        files=files,
        text=text,
        html=html,
        plain=plain,
        extracted_text=extracted_text,
        extracted_html=extracted_html,
        preview=preview(extracted_text or ""),
        has_attachment=any(not file.in_text for file in files),
        is_auto_submitted=_is_auto_submitted(fields, structure.root),
        defects=tuple(defects),
    )


def parse_headers_only(raw: bytes, limits: Limits = _LIMITS) -> Headers:
    """The fields of the header section, in order, as `ParsedMessage.headers`; the body is not looked at."""
    return tuple(read_section(raw, 0, max_fields=limits.headers, max_bytes=limits.header_bytes).fields)


def find_part(structure: Part, part_id: str) -> Part | None:
    """The leaf with that id, or None."""
    waiting = [structure]
    while waiting:
        part = waiting.pop()
        if part.part_id == part_id and not part.is_multipart:
            return part
        waiting.extend(part.parts)
    return None


def part_text(raw: bytes, part: Part, limit_bytes: int = _LIMITS.text_bytes) -> str:
    """The content of a text part, decoded, with LF line ends; cut at `limit_bytes` of the decoded octets."""
    return _as_text(decode_part(raw, part)[:limit_bytes], part)


# --- Fields -----------------------------------------------------------------------------------------


def _fields(headers: Headers, defects: dict[str, None]) -> dict[str, str]:
    """The first value of each field by its name in lower case; recipients of repeated fields joined."""
    fields: dict[str, str] = {}
    joined: dict[str, list[str]] = {}
    for name, value in headers:
        key = name.lower()
        if key not in fields:
            fields[key] = value
        elif key in _SINGLE:
            defects[f"The header field {name.title()} occurs more than once."] = None
            if key in _RECIPIENTS:
                joined.setdefault(key, [fields[key]]).append(value)
    for key, values in joined.items():
        fields[key] = ",".join(values)
    return fields


class _People:
    """Reads the address fields of one message. In all, no more is read than of one long field."""

    def __init__(self, fields: dict[str, str], defects: dict[str, None]) -> None:
        self._fields = fields
        self._defects = defects
        self._room = MAX_LIST_CHARS

    def of(self, name: str) -> tuple[Address, ...]:
        value = self._fields.get(name)
        if not value:
            return ()
        text = unfold(value)
        if len(text) > self._room:
            self._defects[f"Of the header field {name.title()} only the first addresses are read."] = None
            text = text[: text.rfind(",", 0, self._room) + 1]
        self._room -= len(text)
        return parse_address_list(text)


_BULK = frozenset(["bulk", "junk", "list", "auto_reply", "auto-reply"])
_AUTOMATIC = frozenset(
    ["list-id", "list-unsubscribe", "list-post", "list-help", "x-autoreply", "x-autorespond", "x-auto-reply",
     "x-auto-response-suppress", "x-failed-recipients", "feedback-id", "x-mailing-list"]
)  # fmt: skip
_ROBOTS = ("mailer-daemon@", "postmaster@", "noreply@", "no-reply@", "donotreply@", "do-not-reply@", "bounces@")


def _is_auto_submitted(fields: dict[str, str], root: Part) -> bool:
    auto = fields.get("auto-submitted")
    if auto is not None and unfold(auto).lower().split(";")[0].strip() not in ("no", ""):  # RFC 3834 §5
        return True
    if unfold(fields.get("precedence", "")).lower() in _BULK:  # older than Auto-Submitted; values as in RFC 3834 §3.1.8
        return True
    if not _AUTOMATIC.isdisjoint(fields):  # RFC 2369, RFC 2919, and what clients agree on
        return True
    if root.content_type == "multipart/report" or unfold(fields.get("return-path", "x")) == "<>":
        return True
    sender = unfold(fields.get("from", "")).lower()
    return any(robot in sender for robot in _ROBOTS)


# --- Bodies -----------------------------------------------------------------------------------------

_INLINE_MEDIA = ("image/", "audio/", "video/")


def body_lists(structure: Part) -> tuple[tuple[Part, ...], tuple[Part, ...], tuple[Part, ...]]:
    """`text_body`, `html_body` and `attachments` of a structure.

    Source: RFC 8621 §4.1.4.
    """
    text_body: list[Part] = []
    html_body: list[Part] = []
    attachments: list[Part] = []
    _body_structure([structure], "mixed", False, html_body, text_body, attachments)
    return tuple(text_body), tuple(html_body), tuple(attachments)


def _body_structure(
    parts: list[Part] | tuple[Part, ...],
    multipart_type: str,
    in_alternative: bool,
    html_body: list[Part] | None,
    text_body: list[Part] | None,
    attachments: list[Part],
    declared: Part | None = None,
) -> None:
    """The algorithm of RFC 8621 §4.1.4, step by step; None stands for its null lists.

    Where it says "the first part" of a related it means the root; `declared` is the related, which may name another.
    """
    text_length = len(text_body) if text_body is not None else -1
    html_length = len(html_body) if html_body is not None else -1
    root = root_of_related(parts, declared) if declared is not None else 0
    for index, part in enumerate(parts):
        is_multipart = part.is_multipart
        # An image may be shown in line, but only the first part of a related is the root of it, and a part
        # with a file name that is no media is to be downloaded.
        is_inline = (
            part.disposition != "attachment"
            and (part.content_type in ("text/plain", "text/html") or part.content_type.startswith(_INLINE_MEDIA))
            and (
                index == root
                or (multipart_type != "related" and (part.content_type.startswith(_INLINE_MEDIA) or not part.filename))
            )
        )
        if is_multipart:
            sub_type = part.content_type[10:]
            _body_structure(
                part.parts,
                sub_type,
                in_alternative or sub_type == "alternative",
                html_body,
                text_body,
                attachments,
                part if sub_type == "related" else None,
            )
        elif part.parts:
            # A container that was opened: itself, and what is in it as if it stood here.
            attachments.append(part)
            inside = [each for each in part.parts if each.encoding != part.encoding]
            _body_structure(inside, "mixed", in_alternative, html_body, text_body, attachments)
        elif is_inline:
            if multipart_type == "alternative":
                if part.content_type == "text/plain" and text_body is not None:
                    text_body.append(part)
                elif part.content_type == "text/html" and html_body is not None:
                    html_body.append(part)
                else:
                    attachments.append(part)
                continue
            if in_alternative:
                if part.content_type == "text/plain":
                    html_body = None
                elif part.content_type == "text/html":
                    text_body = None
            if text_body is not None:
                text_body.append(part)
            if html_body is not None:
                html_body.append(part)
            if (text_body is None or html_body is None) and part.content_type.startswith(_INLINE_MEDIA):
                attachments.append(part)
        else:
            attachments.append(part)
    if multipart_type == "alternative" and text_body is not None and html_body is not None:
        # Only one kind was found: it serves as the other, too.
        if text_length == len(text_body) and html_length != len(html_body):
            text_body.extend(html_body[html_length:])
        if html_length == len(html_body) and text_length != len(text_body):
            html_body.extend(text_body[text_length:])


def root_of_related(parts: list[Part] | tuple[Part, ...], related: Part) -> int:
    """Which part of a multipart/related is its root (RFC 2387 §3.1, §3.2): what `start` names, else the first of the
    `type` it declares, else the first."""
    field = next((value for name, value in related.headers if name.lower() == "content-type"), "")
    _, parameters = parse_parameters(field)
    start = parameters.get("start", "").strip("<> \t")
    for index, part in enumerate(parts):
        if start and part.content_id == start:
            return index
    wanted = parameters.get("type", "").strip().lower()
    for index, part in enumerate(parts):
        if wanted and part.content_type == wanted:
            return index
    return 0


def _files(root: Part, shown: set[str], html: str | None) -> tuple[File, ...]:
    """Every leaf that is not shown as text."""
    leaves: list[Part] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.parts:
            waiting.extend(reversed(part.parts))
        elif part.part_id not in shown:
            leaves.append(part)
    if not leaves:
        return ()
    named = named_in(html, leaves) if html is not None else frozenset()
    return tuple(File(part, part.part_id in named) for part in leaves)


class _BodyReader:
    """Decodes the parts to show, each once; `shown` are those that are there whole."""

    __slots__ = ("defects", "limits", "raw", "seen", "shown", "structure")

    def __init__(self, raw: bytes, structure: Structure, limits: Limits, defects: dict[str, None]) -> None:
        self.raw = raw
        self.structure = structure
        self.limits = limits
        self.defects = defects
        self.seen: dict[str, str] = {}
        self.shown: set[str] = set()

    def part(self, part: Part) -> str:
        text = self.seen.get(part.part_id)
        if text is None:
            data = self.structure.decoded.get(part.part_id)
            if data is None:
                data = decode_part(self.raw, part)
            self.shown.add(part.part_id)
            if len(data) > self.limits.text_bytes:
                data = data[: self.limits.text_bytes]
                self._cut([part])
            text = _as_text(data, part)
            if part.content_type == "text/plain":
                is_flowed, deletes_blank = flow_of(part.headers)
                text = unflow(text, deletes_blank=deletes_blank) if is_flowed else text  # RFC 3676
            self.seen[part.part_id] = text
        return text

    def _cut(self, parts: list[Part]) -> None:
        self.defects[_CUT] = None
        self.shown.difference_update(part.part_id for part in parts)

    def text(self, parts: list[Part]) -> str | None:
        if len(parts) == 1 and parts[0].content_type == "text/plain":
            return self.part(parts[0])
        if not any(part.content_type == "text/plain" for part in parts):
            return None
        pieces = []
        for part in parts:
            if part.content_type == "text/plain":
                pieces.append(self.part(part).rstrip("\n"))
            elif part.content_type == "text/html":
                pieces.append(to_text(self.part(part)))
        return self._capped("\n\n".join(pieces) + "\n", parts)

    def html(self, parts: list[Part]) -> str | None:
        if len(parts) == 1 and parts[0].content_type == "text/html":
            return self.part(parts[0])
        if not any(part.content_type == "text/html" for part in parts):
            return None
        pieces = []
        for part in parts:
            if part.content_type == "text/html":
                pieces.append(self.part(part))
            elif part.content_type == "text/plain":
                pieces.append(f'<div style="white-space: pre-wrap">{escape(self.part(part))}</div>')
        return self._capped("\n".join(pieces), parts)

    def _capped(self, text: str, parts: list[Part]) -> str:
        if len(text) > self.limits.text_bytes:
            self._cut(parts)
            text = text[: self.limits.text_bytes]
        return text


_LONG_HTML = "The HTML is longer than what is read: the text ends sooner, and nothing in the HTML is told to be old."
_MANY_TAGS = (
    "The HTML has more tags than are looked at: behind the last of them text is shown whatever hides it, and nothing "
    "in the HTML is told to be old."
)
_LONG_TEXT = "The text is too long to tell what in it is old."
_CUT = "A body is longer than what is shown and searched; the whole is kept as a file."


def decode_text_part(data: bytes, part: Part) -> str:
    """The text of a part out of its content, its line ends as they came."""
    return decode_html(data, part.charset) if part.content_type == "text/html" else decode_bytes(data, part.charset)


def _as_text(data: bytes, part: Part) -> str:
    text = decode_text_part(data, part)
    if text.startswith("\ufeff"):
        text = text[1:]
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")  # RFC 8621 §4.1.4, EmailBodyValue
    return text
