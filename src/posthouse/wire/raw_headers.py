"""Where the fields of a header begin and end, as octets (RFC 5322 §2.2). The one definition: what is read, shown,
screened, signed and verified, and what is stripped, are the same fields.

Nothing is decoded, unfolded or thrown away: a signature covers these very octets. Reading a field for its
meaning is `headers.py`; making a whole message fit for all this is `canonical.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

RawField = tuple[bytes, bytes]
"""Name as written (spaces before the colon included) and all that follows the colon, folding kept, the
last line end left out."""

MAX_FIELDS = 2_000
"""Fields a message may have when it is handed in. Real mail has some 200 at most."""
MAX_OCTETS = 512 * 1024
"""Octets of its header section, then: the addresses of some 10,000 people."""
# What is read of a stored message: each house on the way has put trace fields and signatures before it.
READ_FIELDS = MAX_FIELDS + 500
READ_OCTETS = MAX_OCTETS + 128 * 1024

# RFC 5322 §2.2: a name is printable ASCII but the colon; blanks before the colon are the obsolete syntax (§4.5.8),
# still seen. A line that begins with a blank goes on with the field above it, even one of blanks only (§4.2).
# Possessive quantifiers: no run of octets is looked at twice.
_FIELD = re.compile(rb"([!-9;-~]{1,998}+[ \t]*+):([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
# A header with nothing odd in it: nearly all. Each line ends with CRLF, as of a canonical message.
_PLAIN = re.compile(
    rb"(?:[!-9;-~]{1,998}+[ \t]*+:[^\n]*+\n(?:[ \t][^\n]*+\n)*+){1,%d}+\r\n" % MAX_FIELDS,
)
_NAME = re.compile(rb"[!-9;-~]{1,998}+[ \t]*+:")
_LINE_NAME = re.compile(rb"\n([!-9;-~]++)[ \t]*+:")
_LINE = re.compile(rb"[^\n]*+(?:\n|\Z)")
_LOOKS_LIKE_FIELD = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,76}:")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MBOX_LINE = (b"From ", b">From ")


class Scan:
    """A header section as found.

    Attributes:
        matches: of the fields, in order: group 1 is the name with the blanks behind it, group 2 the value up to its
            LF; the whole has the LF as well.
        start: where the first field begins: behind a byte order mark, and what stood before it and was none.
        end: behind the last field.
        body_start: behind `end` and the empty line.
        has_junk: there are lines between two fields that belong to neither.
        is_unended: something else than an empty line, or the end of all, ended the section.
        is_over: a limit did. What follows `end` is unread.
    """

    __slots__ = ("body_start", "end", "has_junk", "is_over", "is_unended", "matches", "start")

    def __init__(self, start: int) -> None:
        self.matches: list[re.Match[bytes]] = []
        self.start = self.end = self.body_start = start
        self.has_junk = self.is_unended = self.is_over = False


def scan(
    raw: bytes,
    start: int = 0,
    *,
    max_fields: int = READ_FIELDS,
    max_octets: int = READ_OCTETS,
    boundaries: Collection[bytes] = frozenset(),
) -> Scan:
    """Find the header section that begins at `start`. Lines end with CRLF or a bare LF.

    A line that is no field is stepped over when a field follows it, else the body is taken to begin there. An mbox
    "From " line at the start is passed over (RFC 4155).

    Args:
        raw: any octets.
        start: offset of the section.
        max_fields: most fields looked for.
        max_octets: most octets looked at; a field that ends beyond is not found.
        boundaries: delimiter lines (with their leading dashes) that end the section.
    """
    position, size = start, len(raw)
    limit = min(size, start + max_octets)
    while raw.startswith(_BYTE_ORDER_MARK, position):
        position += 3
    found = Scan(position)
    matches = found.matches
    match_field = _FIELD.match
    while position < size:
        while (
            len(matches) < max_fields
            and (match := match_field(raw, position, limit)) is not None
            and (raw[position] != 45 or not _is_delimiter(raw, position, limit, boundaries))
        ):
            if not matches:
                found.start = position
            matches.append(match)
            position = match.end()
        if matches and matches[-1].end() == position == limit < size and not _ends_field(raw, position):
            position = matches.pop().start()
            found.is_over = True
            break
        if raw.startswith((b"\r\n", b"\n"), position):
            found.end = position
            found.body_start = position + (1 if raw[position] == 10 else 2)
            return found
        if position == size or _is_delimiter(raw, position, limit, boundaries):
            break
        if position >= limit or len(matches) >= max_fields:
            found.is_over = True
            break
        line = _LINE.match(raw, position, limit)
        assert line is not None
        after = line.end()
        if after == limit < size and raw[after - 1] != 10 and _NAME.match(raw, position):
            found.is_over = True
            break
        if position == found.start and raw.startswith(_MBOX_LINE, position):
            position = after
            while raw.startswith(_BYTE_ORDER_MARK, position):
                position += 3
            continue
        if (matches or raw[position] in b" \t") and _LOOKS_LIKE_FIELD.match(raw, after):
            found.has_junk |= bool(matches)
            position = after
            continue
        found.is_unended = True
        break
    found.end = found.body_start = min(position, size)
    return found


def _ends_field(raw: bytes, position: int) -> bool:
    return raw[position - 1] == 10 and raw[position] not in b" \t"


def _is_delimiter(raw: bytes, position: int, limit: int, boundaries: Collection[bytes]) -> bool:
    if not boundaries or not raw.startswith(b"--", position):
        return False
    line = _LINE.match(raw, position, limit)
    return line is not None and line.group().rstrip() in boundaries


def is_plain(raw: bytes) -> bool:
    """Whether the header of a message with CRLF line ends is within the limits, its lines are fields and nothing
    else, and it ends with an empty line: what `scan` would say of it, sooner."""
    return _PLAIN.match(raw, 0, MAX_OCTETS) is not None


def names(raw: bytes) -> list[bytes]:
    """The names of a canonical message's fields, lower case, no spaces, top down: what `split` would say, sooner."""
    if raw.startswith(b"\r\n"):
        return []
    end = raw.find(b"\r\n\r\n")
    return _LINE_NAME.findall(b"\n" + (raw if end < 0 else raw[:end]).lower())


def split(raw: bytes, start: int = 0) -> tuple[list[RawField], int]:
    """Split a message, or any part of one, into its header fields and its body.

    Returns:
        The fields in order, and the offset of the body in `raw` (`len(raw)` when there is none).
    """
    found = scan(raw, start)
    return [(match[1], match[2].removesuffix(b"\r")) for match in found.matches], found.body_start


def without(raw: bytes, is_unwanted: Callable[[RawField], bool]) -> bytes:
    """A canonical message without the header fields that are unwanted; every other octet stays as it was."""
    pieces = []
    kept_from = 0
    for match in scan(raw).matches:
        if is_unwanted((match[1], match[2].removesuffix(b"\r"))):
            pieces.append(raw[kept_from : match.start()])
            kept_from = match.end()
    return b"".join([*pieces, raw[kept_from:]]) if pieces else raw


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
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
