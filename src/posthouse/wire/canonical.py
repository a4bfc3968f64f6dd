"""A message handed in, made canonical once, before anything reads it.

What is parsed, shown, held for approval, hashed, signed and sent must be the same text to everybody. A bare CR or
LF or a NUL is text to one reader and a line end or nothing to the next; a line that is no field ends the header
for one and is stepped over by another. So every door makes what becomes a message canonical first, and from then
on nothing changes it: trace fields and signatures are put before it, that is all.

Source: RFC 5321 §2.3.8, RFC 5322 §2.1, §2.2 and §2.3 (CR and LF occur together only).
"""

from __future__ import annotations

from collections.abc import Iterator

from posthouse.kit.errors import TooLarge
from posthouse.wire import raw_headers

# A longer message is made canonical on a thread: the loop has other callers.
INLINE_BYTES = 64 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SLICE = 256 * 1024


def canonical(raw: bytes) -> bytes:
    """The message with CRLF as its only line end, without NULs, its header where every reader finds it.

    What stands among the fields and is none goes: a byte order mark or an mbox line before them, a line of junk
    between two. Where the body begins without an empty line, one is put there. Nearly all messages are canonical
    already and come back as they are.

    Args:
        raw: any octets; none are a message without header and body.

    Raises:
        TooLarge: the header has more than `raw_headers.MAX_FIELDS` fields or `raw_headers.MAX_OCTETS` octets
            (reason `header`). No more than that is looked at to find out.
    """
    if not raw:
        return raw
    raw = _with_line_ends(raw)
    if raw_headers.is_plain(raw):
        return raw
    found = raw_headers.scan(raw, max_fields=raw_headers.MAX_FIELDS, max_octets=raw_headers.MAX_OCTETS)
    if found.is_over:
        raise TooLarge(
            f"the header of a message has at most {raw_headers.MAX_FIELDS} fields and {raw_headers.MAX_OCTETS} octets",
            reason="header",
        )
    if not found.matches:
        # No header: all of it is the body, and behind what is put before it must not look like more of a header.
        raw = raw.removeprefix(_BYTE_ORDER_MARK)
        return raw if raw.startswith(b"\r\n") else b"\r\n" + raw
    if not (found.start or found.has_junk or found.is_unended):
        return raw
    header = [match[0] for match in found.matches]
    return b"".join([*header, b"\r\n" if found.is_unended else b"", raw[found.end :]])


def _with_line_ends(raw: bytes) -> bytes:
    crlf = raw.count(b"\r\n")
    if raw.count(b"\n") != crlf or raw.count(b"\r") != crlf or b"\x00" in raw:
        raw = raw.translate(None, b"\x00")
        raw = b"".join(map(_slice_with_line_ends, _slices(raw)))
    return raw if raw.endswith(b"\r\n") or not raw else raw + b"\r\n"


def _slice_with_line_ends(octets: bytes) -> bytes:
    # CR CR LF is one line end, of a program that made CRLF of what was CRLF already.
    octets = octets.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return octets.replace(b"\n", b"\r\n")


def _slices(raw: bytes) -> Iterator[bytes]:
    """The octets in slices, none of which ends within a line end: no step keeps other threads waiting."""
    start = 0
    while start < len(raw):
        end = start + _SLICE
        while raw[end - 1 : end] == b"\r" and (raw.startswith(b"\n", end) or raw.startswith(b"\r\n", end)):
            end += 1
        yield raw[start:end]
        start = end
