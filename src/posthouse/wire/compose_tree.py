"""Building messages whose MIME tree the caller chose: drafts of JMAP clients.

`compose.py` builds the tree out of what is to be said; here the tree is given (RFC 8621 §4.6). Header fields
come ready made by `header_encode.py`, so that no value can begin a field of its own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from posthouse.kit.errors import Invalid, TooLarge
from posthouse.wire import content_ids, raw_headers
from posthouse.wire.address import Address
from posthouse.wire.header_encode import (
    address_list,
    encode_content,
    encode_message,
    encode_text,
    encoded_words,
    message_ids,
    parameterized,
    safe,
)
from posthouse.wire.mime import clean_filename

_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,80}")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
# What ends a line or is none, for somebody: no value that the caller wrote for the wire has a right to it.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_OCTETS = 998
_DEPTH = 20


@dataclass(frozen=True, slots=True)
class TreePart:
    """A part of the message to be built.

    Attributes:
        content_type: `type/subtype`; of a multipart when `children` are given.
        text: the content of a text part; written as UTF-8.
        data: the content of any other leaf.
        charset: of `data` that is text; None is utf-8.
        filename, disposition, content_id, language, location: None leaves them out.
        fields: further header fields, each whole and ending with CRLF.
    """

    content_type: str
    text: str | None = None
    data: bytes | None = None
    charset: str | None = None
    filename: str | None = None
    disposition: str | None = None
    content_id: str | None = None
    language: tuple[str, ...] = ()
    location: str | None = None
    fields: tuple[bytes, ...] = ()
    children: tuple[TreePart, ...] = ()


def compose_tree(fields: Sequence[bytes], root: TreePart) -> bytes:
    """The message: these header fields, then the tree. CRLF line ends, no line over 998 octets.

    Raises:
        Invalid: a value cannot stand in a header field, a type is none, the tree is too deep.
        TooLarge: a header is longer than any may be that is handed in (reason `header`).
    """
    _check_size([*fields, *root.fields])
    return b"".join([*fields, b"MIME-Version: 1.0\r\n", *_entity(root, _content_ids(root, 0))])


def _check_size(fields: Sequence[bytes]) -> None:
    # Some room is left for what is written here.
    if len(fields) + 20 > raw_headers.MAX_FIELDS or sum(map(len, fields)) + 16_384 > raw_headers.MAX_OCTETS:
        raise TooLarge(
            f"a header has at most {raw_headers.MAX_FIELDS} fields and {raw_headers.MAX_OCTETS} octets", reason="header"
        )


def _content_ids(part: TreePart, depth: int) -> list[str]:
    if depth > _DEPTH:
        raise Invalid("parts are nested too deeply", field="bodyStructure")
    found = [part.content_id] if part.content_id else []
    for child in part.children:
        found += _content_ids(child, depth + 1)
    return found


def _entity(part: TreePart, ids: Sequence[str]) -> list[bytes]:
    _check_size(part.fields)
    if not _TYPE.fullmatch(part.content_type):
        raise Invalid(f"{part.content_type!r} is not a media type", field="type")
    is_multipart = part.content_type.startswith("multipart/")
    parameters: list[tuple[str, str]] = []
    content_type, boundary, encoding, content = part.content_type, b"", "", b""
    if is_multipart:
        # `=_` never occurs in base64 or quoted-printable, and nobody can guess the rest to put it into a text.
        mark = f"=_{secrets.token_hex(15)}"
        boundary = mark.encode("ascii")
        if part.content_type == "multipart/related" and part.children:
            parameters.append(("type", part.children[0].content_type))  # RFC 2387 §3.1
        parameters.append(("boundary", mark))
    elif part.text is not None:
        parameters.append(("charset", "utf-8"))
        is_html = part.content_type == "text/html"
        encoding, content = encode_text(content_ids.renamed(part.text, ids) if is_html else part.text)
    else:
        content_type, encoding, content = _data(part)
        if part.content_type.startswith("text/"):
            parameters.append(("charset", part.charset or "utf-8"))
    out = [parameterized("Content-Type", content_type, parameters, field="type")]
    filename = clean_filename(safe(part.filename, "name")) if part.filename else None
    if part.disposition or filename:
        word = safe(part.disposition or "attachment", "disposition").lower()
        if not re.fullmatch(r"[a-z0-9-]{1,40}", word):
            raise Invalid("the disposition is not a word", field="disposition")
        named = [("filename", filename)] if filename else []
        out.append(parameterized("Content-Disposition", word, named, field="name"))
    if part.content_id:
        safe(part.content_id, "cid")
        out.append(message_ids("Content-ID", (content_ids.plain(part.content_id),), field="cid"))
    if part.language:
        tags = ", ".join(part.language)
        if not re.fullmatch(r"[A-Za-z0-9, -]{1,500}", tags):
            raise Invalid("a language is not a language tag", field="language")
        out.append(f"Content-Language: {tags}\r\n".encode("ascii"))
    if part.location:
        if not re.fullmatch(r"[\x21-\x7e]{1,900}", part.location):
            raise Invalid("the location is not a URI", field="location")
        out.append(f"Content-Location: {part.location}\r\n".encode("ascii"))
    out.extend(part.fields)
    if not is_multipart:
        return [*out, f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode("ascii"), content]
    out.append(b"\r\n")
    for child in part.children:
        out += [b"--", boundary, b"\r\n", *_entity(child, ids), b"\r\n"]
    return [*out, b"--", boundary, b"--\r\n"]


def _data(part: TreePart) -> tuple[str, str, bytes]:
    """Content-Type, Content-Transfer-Encoding and content of a leaf that is given as octets."""
    data = part.data or b""
    if part.content_type in ("message/rfc822", "message/global"):
        return encode_message(data, part.content_type)
    if part.content_type.startswith(("text/", "message/")):
        lines = data.replace(b"\r\n", b"\n")
        if b"\r" not in lines and (b"\r\n" in data or b"\n" not in data or part.content_type.startswith("message/")):
            return (part.content_type, *encode_content(lines.replace(b"\n", b"\r\n"), is_text=True))
    return (part.content_type, *encode_content(data, is_text=False))


def raw_field(name: str, value: str, *, field: str) -> bytes:
    """A field whose value the caller wrote for the wire: folded where it wishes, nothing that ends the field.

    Raises:
        Invalid: a line break no blank follows, a line of blanks, other controls, or a line too long.
    """
    if not _FIELD_NAME.fullmatch(name):
        raise Invalid(f"{name!r} is not the name of a header field", field=field)
    text = value.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    if text and text[0] not in " \t":
        text = " " + text
    lines = text.split("\n")
    if any(not line.strip() or line[0] not in " \t" for line in lines[1:]):
        raise Invalid("the value would end its header field", field=field)
    if any(_CONTROLS.search(line) for line in lines):
        raise Invalid("the value holds a control character", field=field)
    encoded = [line.encode("utf-8", "replace") for line in lines]
    if len(encoded[0]) + len(name) + 1 > _LINE_OCTETS or any(len(line) > _LINE_OCTETS for line in encoded):
        raise Invalid("a line of the value is too long; fold it", field=field)
    return f"{name}:".encode("ascii") + b"\r\n".join(encoded) + b"\r\n"


def grouped_address_list(name: str, groups: Iterable[tuple[str | None, Sequence[Address]]], *, field: str) -> bytes:
    """A field of addresses in groups (RFC 5322 §3.4); a group without a name is no group.

    Raises:
        Invalid: an address that would break the field.
    """
    pieces: list[str] = []
    for group_name, addresses in groups:
        inner = address_list("X", addresses, field=field)[3:].decode("utf-8").strip() if addresses else ""
        if group_name is None:
            if inner:
                pieces.append(inner)
            continue
        shown = " ".join(safe(group_name, field).split())
        if shown.isascii() and "=?" not in shown and len(shown) <= 60:
            escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
            shown = f'"{escaped}"'
        else:
            shown = "\r\n ".join(encoded_words(shown))
        pieces.append(f"{shown}:\r\n {inner};" if inner else f"{shown}: ;")
    return raw_field(name, ",\r\n ".join(pieces) or " ", field=field)
