"""Body parts and their values as properties (RFC 8621 §4.1.4, §4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from posthouse.api.jmap import blobs
from posthouse.api.jmap.budget import ANSWERS, HEADERS, MAX_VALUE_OCTETS
from posthouse.api.jmap.calls import Call, Json, invalid
from posthouse.api.jmap.email import headers as header_forms
from posthouse.api.jmap.methods import check_count
from posthouse.kit.budget import Budget
from posthouse.store.messages import Parts
from posthouse.wire.charset import codec_of
from posthouse.wire.contents import Contents
from posthouse.wire.headers import Headers
from posthouse.wire.message import ParsedMessage, body_lists, decode_text_part
from posthouse.wire.mime import Part

PART_PROPERTIES = frozenset(
    {"partId", "blobId", "size", "headers", "name", "type", "charset", "disposition", "cid", "language", "location",
     "subParts"}
)  # fmt: skip
_DEFAULTS = ("partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location")
PROPERTIES = frozenset({"bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for of bodies."""

    properties: tuple[str, ...]
    text_values: bool
    html_values: bool
    all_values: bool
    max_bytes: int


def read_wanted(call: Call) -> Wanted:
    """The arguments about bodies.

    Raises:
        MethodError: `invalidArguments`.
    """
    properties = call.strings("bodyProperties")
    check_count("bodyProperties", properties or ())
    for name in properties or ():
        if name not in PART_PROPERTIES and not header_forms.is_property(name):
            raise invalid("bodyProperties", f"a part has no property {name!r}")
    return Wanted(
        tuple(_DEFAULTS if properties is None else properties),
        call.get("fetchTextBodyValues", bool, False),
        call.get("fetchHTMLBodyValues", bool, False),
        call.get("fetchAllBodyValues", bool, False),
        min(call.uint("maxBodyValueBytes", 0) or MAX_VALUE_OCTETS, MAX_VALUE_OCTETS),
    )


@dataclass(frozen=True, slots=True)
class Content:
    """A message's headers and parts.

    Attributes:
        raw: there when values are asked for.
        offset: where the message begins in its blob; None when it lies there encoded, and its parts have no
            place of their own.
        of_canonical: its parts lie where they are in what the blob is once made canonical.
    """

    blob_hash: str
    headers: Headers
    root: Part
    raw: bytes | None = None
    offset: int | None = 0
    of_canonical: bool = False


def of_stored(blob_hash: str, body: Parts, raw: bytes | None) -> Content:
    """The content of a stored message."""
    headers = tuple(body.headers)
    return Content(blob_hash, headers, replace(msgspec.json.decode(body.structure, type=Part), headers=headers), raw)


def of_parsed(blob_hash: str, parsed: ParsedMessage, raw: bytes, offset: int | None, *, of_canonical: bool) -> Content:
    """The content of a message just read."""
    root = replace(parsed.structure, headers=parsed.headers)
    return Content(blob_hash, parsed.headers, root, raw, offset, of_canonical)


def shape(content: Content, names: Sequence[str], wanted: Wanted, budget: Budget) -> Json:
    """Those of the body properties that are asked for.

    Raises:
        TooLarge: what is asked for of header fields or texts is more than the request may have.
    """
    text, html, attachments = body_lists(content.root)
    of_parts = [name for name in wanted.properties if name == "headers" or name.startswith("header:")]
    if of_parts:
        octets = sum(len(value) for part in _parts(content.root) for _, value in part.headers)
        times = sum(name in names for name in ("bodyStructure", "textBody", "htmlBody", "attachments"))
        budget.spend(HEADERS, len(of_parts) * times * octets)
    out: Json = {}
    for name in names:
        if name == "bodyStructure":
            out[name] = _part(content, content.root, wanted, deep=True)
        elif name == "textBody":
            out[name] = [_part(content, part, wanted) for part in text]
        elif name == "htmlBody":
            out[name] = [_part(content, part, wanted) for part in html]
        elif name == "attachments":
            out[name] = [_part(content, part, wanted) for part in attachments]
        elif name == "bodyValues":
            out[name] = _values(content, text, html, wanted, budget)
    return out


def _part(content: Content, part: Part, wanted: Wanted, *, deep: bool = False) -> Json:
    leaf = not part.is_multipart
    out: Json = {}
    for name in wanted.properties:
        value: Any
        match name:
            case "partId":
                value = part.part_id if leaf else None
            case "blobId":
                here = leaf and content.offset is not None
                value = None
                if here:
                    at, made = content.offset or 0, content.of_canonical
                    value = blobs.of_part(content.blob_hash, part, at, of_canonical=made)
            case "size":
                value = part.size_bytes
            case "headers":
                value = header_forms.listed(part.headers)
            case "name":
                value = part.filename
            case "type":
                value = part.content_type
            case "charset":
                value = part.charset
            case "disposition":
                value = part.disposition
            case "cid":
                value = part.content_id
            case "language":
                value = list(part.language) or None
            case "location":
                value = part.location
            case "subParts":
                value = None if leaf else [_part(content, each, wanted, deep=deep) for each in part.parts]
            case _:
                property_ = header_forms.read_property(name)
                value = None if property_ is None else header_forms.value_of(part.headers, property_)
        out[name] = value
    if deep and not leaf and "subParts" not in out:
        out["subParts"] = [_part(content, each, wanted, deep=True) for each in part.parts]
    return out


def _leaves(part: Part) -> list[Part]:
    return [part] if not part.is_multipart else [leaf for each in part.parts for leaf in _leaves(each)]


def _parts(part: Part) -> list[Part]:
    return [part, *(inner for each in part.parts for inner in _parts(each))]


def _values(content: Content, text: Sequence[Part], html: Sequence[Part], wanted: Wanted, budget: Budget) -> Json:
    parts: dict[str, Part] = {}
    if wanted.all_values:
        parts |= {part.part_id: part for part in _leaves(content.root)}
    if wanted.text_values:
        parts |= {part.part_id: part for part in text}
    if wanted.html_values:
        parts |= {part.part_id: part for part in html}
    out: Json = {}
    contents = Contents(content.raw or b"")
    for part_id, part in parts.items():
        if part.content_type.startswith("text/"):
            # No text is longer than what it was encoded as, but for its charset.
            budget.check(ANSWERS, min(part.size_bytes, wanted.max_bytes))
            out[part_id] = _value(contents, part, wanted.max_bytes)
            budget.spend(ANSWERS, len(out[part_id]["value"]))
    return out


def _value(contents: Contents, part: Part, max_bytes: int) -> Json:
    data = contents.span(part.start, part.end, part.encoding)
    text, problem = _decoded(data, part)
    text = text.replace("\r\n", "\n")
    truncated = False
    if 4 * len(text) > max_bytes and len(encoded := text[: max_bytes + 1].encode("utf-8")) > max_bytes:
        # RFC 8621 §4.2: never inside a character, nor inside a tag.
        text, truncated = encoded[:max_bytes].decode("utf-8", "ignore"), True
        if part.content_type == "text/html" and text.rfind("<") > text.rfind(">"):
            text = text[: text.rfind("<")]
    return {"value": text, "isEncodingProblem": problem, "isTruncated": truncated}


_TRANSFER = frozenset(
    {"7bit", "8bit", "binary", "base64", "quoted-printable", "uuencode", "x-uuencode", "x-uue", "uue", ""}
)


def _decoded(data: bytes, part: Part) -> tuple[str, bool]:
    text = decode_text_part(data, part)
    last = part.encoding.rpartition(">")[2]
    if last not in _TRANSFER and ":" not in last:
        return text, True
    charset = part.charset or "us-ascii"
    codec = codec_of(charset)
    if codec is None:
        # Plain ASCII with other octets in it, or a charset nobody knows.
        return text, not (charset.lower() in ("us-ascii", "ascii", "ansi_x3.4-1968") and data.isascii())
    try:
        data.decode(codec)
    except (UnicodeError, LookupError):
        return text, True
    return text, False
