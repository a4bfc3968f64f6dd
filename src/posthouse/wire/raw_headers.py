"""The header of a message as the octets it is made of (RFC 5322 §2.2), for formats that hash or quote them.

Nothing is decoded, unfolded or thrown away: a signature covers these very octets. Reading a header for its
meaning is `headers.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

RawField = tuple[bytes, bytes]
"""Name as written (spaces before the colon included) and all that follows the colon, folding kept, the
last line end left out."""

# Optional spaces before the colon are the obsolete syntax (RFC 5322 §4.5.8), still seen. Possessive
# quantifiers: no run of octets is looked at twice.
_FIELD = re.compile(rb"([!-9;-~]++[ \t]*+):([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_BARE_LF = re.compile(rb"(?<!\r)\n")


def split(raw: bytes, start: int = 0) -> tuple[list[RawField], int]:
    """Split a message, or any part of one, into its header fields and its body.

    Lines end in CRLF or a bare LF. The header ends at the first empty line, or at the first line that
    can be neither a field nor the continuation of one: that line belongs to the body. An mbox "From "
    line at the start is passed over.

    Args:
        raw: any octets.
        start: offset where the header begins.

    Returns:
        The fields in order, and the offset of the body in `raw` (`len(raw)` when there is none).
    """
    fields: list[RawField] = []
    position = start
    if raw.startswith((b"From ", b">From "), start):
        position = raw.find(b"\n", start) + 1 or len(raw)
    while match := _FIELD.match(raw, position):
        fields.append((match[1], match[2].removesuffix(b"\r")))
        position = match.end()
    if raw.startswith(b"\r\n", position):
        position += 2
    elif raw.startswith(b"\n", position):
        position += 1
    return fields, position


def without(raw: bytes, is_unwanted: Callable[[RawField], bool]) -> bytes:
    """The message without the header fields that are unwanted; every other octet stays as it was."""
    pieces = []
    position = kept_from = 0
    if raw.startswith((b"From ", b">From ")):
        position = raw.find(b"\n") + 1 or len(raw)
    while match := _FIELD.match(raw, position):
        if is_unwanted((match[1], match[2].removesuffix(b"\r"))):
            pieces.append(raw[kept_from:position])
            kept_from = match.end()
        position = match.end()
    return b"".join([*pieces, raw[kept_from:]]) if kept_from else raw


def name_of(field: RawField) -> bytes:
    """The field's name for comparing: lower case, no spaces."""
    return field[0].rstrip(b" \t").lower()


def values(fields: list[RawField], name: bytes) -> list[bytes]:
    """Unfolded, stripped values of every field of that (lower-case) name, top down."""
    return [unfold(value) for key, value in fields if key.rstrip(b" \t").lower() == name]


def unfold(value: bytes) -> bytes:
    """Take the line ends of folding out (RFC 5322 §2.2.3) and the white space at both ends."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"").strip(b" \t")


def with_crlf(raw: bytes) -> bytes:
    """The same octets with every bare LF made a CRLF, as they go over the wire (RFC 5321 §2.3.8)."""
    if raw.count(b"\n") == raw.count(b"\r\n"):
        return raw
    return _BARE_LF.sub(b"\r\n", raw)
