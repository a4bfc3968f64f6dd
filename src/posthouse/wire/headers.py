"""Header fields, read: sections, text, parameters, message ids. Never fails. Dates are in `dates.py`.

Obeys RFC 5322 §2.2, §3.6.4 and §4, RFC 2047, RFC 2231, RFC 6532. Writing them is in `header_encode.py`.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Collection
from urllib.parse import unquote_to_bytes

from posthouse.wire import raw_headers
from posthouse.wire.charset import decode_base64, decode_bytes
from posthouse.wire.text import nfc

Headers = tuple[tuple[str, str], ...]

# --- Sections ---------------------------------------------------------------------------------------

# Controls but the tab and the line ends of folding, and what some readers take for a line end.
_RAW_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]|\r(?!\n)")


class Section:
    """A header section as found: its fields, where the body begins, and what was wrong with it.

    Attributes:
        fields: (name, raw value) in order; the value keeps folding and leading blank (RFC 8621 §4.1.2.1), and no
            other line end or control.
        body_start: offset of the first byte after the section and its empty line.
        cut: a limit ended the section early; what follows `body_start` is unread.
        defects: what was wrong, as sentences.
        eight_bit: (index of the field, its octets) of values that are no UTF-8, for `apply_charset`.
    """

    __slots__ = ("body_start", "cut", "defects", "eight_bit", "fields")

    def __init__(self) -> None:
        self.fields: list[tuple[str, str]] = []
        self.body_start = 0
        self.cut = False
        self.defects: list[str] = []
        self.eight_bit: list[tuple[int, bytes]] = []

    def add(self, name: bytes, value: bytes) -> None:
        """Keep a field; the value without the line break that ends it."""
        if value.endswith(b"\r"):
            value = value[:-1]
        if value.isascii():
            text = value.decode("ascii")
            if text.isprintable() or (b"\x1b" not in value and _is_folded_only(text)):  # nearly all
                self.fields.append((name.decode("ascii"), text))
                return
        else:
            try:
                value.decode("utf-8")
            except UnicodeDecodeError:
                self.eight_bit.append((len(self.fields), value))
        self.fields.append((name.decode("ascii"), _on_its_lines(decode_bytes(value))))

    def apply_charset(self, charset: str | None) -> None:
        """Read the raw 8-bit values, forbidden by RFC 5322 §2.2, in the charset the body declares."""
        for index, value in self.eight_bit:
            self.fields[index] = (self.fields[index][0], _on_its_lines(decode_bytes(value, charset)))


def _is_folded_only(value: str) -> bool:
    """Whether there is nothing in ASCII text to take out: printable, but for folding and tabs."""
    return value.replace("\r\n", "").replace("\n", "").replace("\t", "").isprintable()


def _on_its_lines(value: str) -> str:
    """A raw value whose lines are those of its folding: no other character ends one for whoever shows it."""
    return _RAW_CONTROLS.sub(" ", value)


def read_section(
    raw: bytes,
    start: int = 0,
    *,
    max_fields: int = raw_headers.READ_FIELDS,
    max_bytes: int = raw_headers.READ_OCTETS,
    boundaries: Collection[bytes] = frozenset(),
) -> Section:
    """Read the header section that begins at `start`, as `raw_headers.scan` finds it.

    Args:
        raw: the whole message.
        start: offset of the section.
        max_fields: most fields read.
        max_bytes: most bytes looked at.
        boundaries: delimiter lines (with their leading dashes) that end the section.

    Source: RFC 5322 §2.1 and §2.2.
    """
    section = Section()
    found = raw_headers.scan(raw, start, max_fields=max_fields, max_octets=max_bytes, boundaries=boundaries)
    add = section.add
    for match in found.matches:
        name, value = match.groups()
        add(name.rstrip(), value)
    section.body_start = found.body_start
    section.cut = found.is_over
    if found.has_junk:
        section.defects.append("A line in the header section is no header field.")
    if found.is_over:
        section.defects.append("The header section is over its limit; the rest is kept unread.")
    if found.is_unended:
        section.defects.append("The header section does not end with an empty line.")
    return section


# --- Text -------------------------------------------------------------------------------------------

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_ENCODED_WORD_HEAD = re.compile(r"=\?([A-Za-z0-9_.:+()\-]{1,60})(?:\*[A-Za-z0-9\-]{0,40})?\?([BbQq])\?")


def unfold(raw: str) -> str:
    """The value on one line (RFC 5322 §2.2.3), ends stripped."""
    if "\n" in raw:
        raw = _FOLD.sub("", raw)
    return raw.strip()


def decode_text(raw: str | bytes) -> str:
    """The value of an unstructured field, or a phrase, as people read it.

    Unfolded, encoded words decoded, controls turned into blanks, in NFC. Adjacent encoded words of one
    charset are decoded together: many senders cut in the middle of a character, against RFC 2047 §5.

    Args:
        raw: the value, raw octets or as `read_section` gives it.

    Source: RFC 2047 §6, RFC 8621 §4.1.2.2.
    """
    if isinstance(raw, str) and raw.isascii() and raw.isprintable() and "=?" not in raw:
        return raw.strip()  # nearly all of them
    text = unfold(decode_bytes(raw) if isinstance(raw, bytes) else raw)
    if "=?" in text:
        text = _decode_words(text)
    if not text.isprintable():
        text = _CONTROLS.sub(" ", text)
    text = text.strip()
    return nfc(text)


def _decode_words(text: str) -> str:
    out: list[str] = []
    run: list[tuple[str, str]] = []  # (encoding, encoded text) of adjacent words in one charset
    charset = ""
    position = 0
    while True:
        head = _ENCODED_WORD_HEAD.search(text, position)
        end = text.find("?=", head.end()) if head is not None else -1
        if head is None or end < 0:
            break
        between = text[position : head.start()]
        label = head.group(1).lower()
        if run and (between.strip() or label != charset):
            out.append(_decode_run(run, charset))
            run = []
            if between.strip():
                out.append(between)
        elif not run and not (out and not between.strip()):
            out.append(between)
        charset = label
        run.append((head.group(2).lower(), text[head.end() : end]))
        position = end + 2
    if run:
        out.append(_decode_run(run, charset))
    out.append(text[position:])
    return "".join(out)


def _decode_run(run: list[tuple[str, str]], charset: str) -> str:
    data = bytearray()
    carry = ""  # base64 that was cut in the middle of a group
    for encoding, word in run:
        if encoding == "b":
            carry += word
            if len(carry) % 4 == 0 or carry.endswith("="):
                data += decode_base64(carry.encode())
                carry = ""
            continue
        if carry:
            data += decode_base64(carry.encode())
            carry = ""
        data += binascii.a2b_qp(word.encode(), header=True)  # RFC 2047 §4.2
    if carry:
        data += decode_base64(carry.encode())
    return decode_bytes(bytes(data), charset)


# --- Parameters -------------------------------------------------------------------------------------

_MAIN = re.compile(r'\s*([^\s;,()"=]+(?:\s*/\s*[^\s;,()"=]+)?)')
_MAX_PARAMETERS = 1_000
# A word and its parameters as they should be written, with nothing to decode: nearly all. Possessive, so linear.
_PLAIN_PARAMETER = re.compile(r"""([A-Za-z-]{1,40}+)=(?:"([^"\\]*+)"|([^\s";,()*]++))""")
_PLAIN_PARAMETERS = re.compile(
    r"""[A-Za-z0-9.+_-]++(?:/[A-Za-z0-9.+_-]++)?+[ \t]*+"""
    r"""(?:;[ \t]*+[A-Za-z-]{1,40}+=(?:"[^"\\]*+"|[^\s";,()*]++)[ \t]*+){0,20}+;?+"""
)


def parse_parameters(value: str) -> tuple[str, dict[str, str]]:
    """The first word of a Content-Type or Content-Disposition, in lower case, and its parameters.

    Continuations and charsets of RFC 2231 are put together and win over a plain parameter of that name;
    encoded words inside a value, forbidden by RFC 2047 §5 and common, are decoded. The first of two equal
    names counts.

    Args:
        value: the raw value of the field.

    Returns:
        The word (empty when there is none) and a dictionary with names in lower case.
    """
    text = unfold(value)
    if "=?" not in text and _PLAIN_PARAMETERS.fullmatch(text) is not None:
        word, _, rest = text.partition(";")
        read: dict[str, str] = {}
        for name, quoted, bare in _PLAIN_PARAMETER.findall(rest):
            read.setdefault(name.lower(), quoted or bare)
        return word.rstrip().lower(), read
    main = _MAIN.match(text)
    if main is None:
        word, position = "", 0
    else:
        word, position = "".join(main.group(1).split()).lower(), main.end()
        if text[position:].lstrip(" \t")[:1] == "=":
            word, position = "", 0  # `filename=x` and no word before it
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for name, content in _split_parameters(text, position):
        name = name.lower()
        base, star, rest = name.partition("*")
        if not star:
            plain.setdefault(name, content)
            continue
        encoded = rest.endswith("*") or rest == ""
        number = rest.removesuffix("*")
        if number == "" or (number.isdecimal() and len(number) < 5):
            pieces.setdefault(base, {}).setdefault(int(number or 0), (encoded, content))
    for name, content in plain.items():
        if "=?" in content:
            plain[name] = decode_text(content)
    for name, segments in pieces.items():
        plain[name] = _join_segments(segments)
    return word, plain


def _split_parameters(text: str, position: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while len(found) < _MAX_PARAMETERS:
        equals = text.find("=", position)
        if equals < 0:
            break
        # The name is the last word before the sign, after the last separator.
        words = text[position:equals].replace(";", " ").split()
        position = equals + 1
        if not words:
            continue
        while position < len(text) and text[position] in " \t":
            position += 1
        if text[position : position + 1] == '"':
            content, position = _quoted(text, position + 1)
        else:
            end = text.find(";", position)
            end = len(text) if end < 0 else end
            content, position = text[position:end].strip(), end
        found.append((words[-1], content))
        # What stands between here and the next separator is junk, unless it is a parameter without one.
        next_separator = text.find(";", position)
        next_equals = text.find("=", position)
        if 0 <= next_separator < next_equals:
            position = next_separator + 1
    return found


_QUOTE_STOP = re.compile(r'["\\]')


def _quoted(text: str, position: int) -> tuple[str, int]:
    out: list[str] = []
    while True:
        stop = _QUOTE_STOP.search(text, position)
        if stop is None:
            out.append(text[position:])
            return "".join(out), len(text)
        out.append(text[position : stop.start()])
        position = stop.end()
        if stop.group() == '"':
            return "".join(out), position
        # Only these two need the escape; a lone backslash is part of a path.
        following = text[position : position + 1]
        if following and following in '"\\':
            out.append(following)
            position += 1
        else:
            out.append("\\")


def _join_segments(segments: dict[int, tuple[bool, str]]) -> str:
    """RFC 2231 §3, §4.1: the charset stands in the first segment, percent signs count in starred ones."""
    data = bytearray()
    charset = None
    for index in range(len(segments)):
        segment = segments.get(index)
        if segment is None:
            break
        encoded, content = segment
        if encoded and index == 0:
            parts = content.split("'", 2)
            if len(parts) == 3:
                charset, _, content = parts
        data += unquote_to_bytes(content) if encoded else content.encode("utf-8", "replace")
    text = decode_bytes(bytes(data), charset)
    return decode_text(text) if "=?" in text else text


# --- Message ids ---------------------------------------------------------------------------------

_BRACKETED_ID = re.compile(r"<([^<>]*)>")
_BARE_ID = re.compile(r"[^\s<>,;\"]+@[^\s<>,;\"]+")
_BLANKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_MAX_ID_CHARS = 998


def parse_message_ids(value: str) -> tuple[str, ...]:
    """The ids of a Message-ID, In-Reply-To or References field, without brackets, each once, in order.

    Ids without brackets are taken only when there is none with; a blank inside an id, from bad folding, is
    dropped.

    Source: RFC 5322 §3.6.4 and §4.5.4.
    """
    found = _BRACKETED_ID.findall(value)
    ids = [_BLANKS.sub("", each) for each in found] or _BARE_ID.findall(value[:65_536])
    return tuple(dict.fromkeys(each for each in ids if each and len(each) <= _MAX_ID_CHARS))
