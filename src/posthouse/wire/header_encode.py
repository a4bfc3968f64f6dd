"""Header fields, written: folding, encoded words, addresses, parameters, dates.

Every function gives one whole field, in bytes, ending with CRLF, its lines of at most 78 characters where
there is a place to fold and never of more than 998 octets (RFC 5322 §2.1.1). No value can end its field early:
CR, LF and NUL are refused.

Obeys RFC 5322 §2.2.3 and §3, RFC 2047 §2, §5, RFC 2231 §3, §4, RFC 6532 §3.2.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable
from urllib.parse import quote

from posthouse.kit.clock import MAX_AT, MIN_AT, MINUTE, to_datetime
from posthouse.kit.errors import Invalid
from posthouse.wire.address import Address, quote_name, split, to_ascii
from posthouse.wire.raw_headers import with_crlf

_LINE = 78
# An encoded word has at most 75 characters (RFC 2047 §2), of which `=?utf-8?q?` and `?=` take 12.
_WORD_ROOM = 63
# A word this long cannot be folded under 998 octets together with its name.
_MAX_BARE_WORD = 900
_BREAKS = re.compile("[\r\n\x00]")
_CONTROLS = re.compile("[\x01-\x08\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")
# RFC 2047 §5 (3): what may stand bare in an encoded word that serves as part of a phrase.
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q = [chr(octet) if octet in _Q_SAFE else "_" if octet == 32 else f"={octet:02X}" for octet in range(256)]
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]{1,60}")  # RFC 2045 §5.1
_QUOTABLE = re.compile(r"[\x20-\x7e]{0,60}")
_ADDR_SPEC = re.compile(
    r"""(?:[^\s<>()\[\]"\\,;:@\x00-\x1f\x7f]+|"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*")
        @(?:[^\s<>()\[\]"\\,;:@\x00-\x1f\x7f]+|\[[0-9A-Za-z.:]+\])""",
    re.VERBOSE,
)
_MESSAGE_ID = re.compile(r"[^\s<>\x00-\x1f\x7f]{1,900}")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def safe(value: str, field: str) -> str:
    """The value with stray control characters, and what some readers take for a line end, as blanks.

    Raises:
        Invalid: it holds a CR, LF or NUL, which could begin a header field of its own.
    """
    if value.isascii() and value.isprintable():
        return value
    if _BREAKS.search(value):
        raise Invalid(f"The value of {field} must be one line: it holds a line break or a NUL.", field=field)
    return _SURROGATES.sub("\ufffd", _CONTROLS.sub(" ", value))


def encoded_words(text: str) -> list[str]:
    """The text as RFC 2047 encoded words in UTF-8, each at most 75 characters, no character cut in two."""
    data = text.encode("utf-8")
    plain = sum(octet in _Q_SAFE or octet == 32 for octet in data)
    as_base64 = (len(data) - plain) * 3 + plain > (len(data) + 2) // 3 * 4
    words: list[str] = []
    piece: list[str] = []
    room = _WORD_ROOM // 4 * 3 if as_base64 else _WORD_ROOM
    for char in text:
        encoded = char.encode("utf-8")
        cost = len(encoded) if as_base64 else sum(map(len, [_Q[octet] for octet in encoded]))
        if cost > room:
            words.append(_word("".join(piece), as_base64))
            piece, room = [], _WORD_ROOM // 4 * 3 if as_base64 else _WORD_ROOM
        piece.append(char)
        room -= cost
    if piece:
        words.append(_word("".join(piece), as_base64))
    return words


def _word(text: str, as_base64: bool) -> str:
    data = text.encode("utf-8")
    if as_base64:
        return f"=?utf-8?b?{binascii.b2a_base64(data, newline=False).decode('ascii')}?="
    return f"=?utf-8?q?{''.join([_Q[octet] for octet in data])}?="


def _folded(name: str, pieces: Iterable[str]) -> bytes:
    """Pieces with a blank between them, on as many lines as they need."""
    lines: list[str] = []
    line = f"{name}:"
    for piece in pieces:
        if len(line) + 1 + len(piece) > _LINE and not line.isspace() and line != f"{name}:":
            lines.append(line)
            line = ""
        line = f"{line} {piece}"
    lines.append(line)
    return ("\r\n".join(lines) + "\r\n").encode("utf-8")


def unstructured(name: str, value: str, *, field: str | None = None) -> bytes:
    """A field of free text (RFC 5322 §3.6.5); encoded words where the text is not plain ASCII.

    Args:
        name: of the header field.
        value: the text.
        field: the caller's name for it, for errors.

    Raises:
        Invalid: the value holds a line break or NUL.
    """
    value = safe(value, field or name)
    if value.isascii() and "=?" not in value:
        if len(name) + 2 + len(value) <= _LINE:
            return f"{name}: {value}\r\n".encode("ascii")
        words = value.split(" ")
        # Two blanks side by side would be lost, or make a line of blanks only, when folded.
        if "" not in words and max(map(len, words)) <= _MAX_BARE_WORD:
            return _folded(name, words)
    return _folded(name, encoded_words(value))


def address_list(name: str, addresses: Iterable[Address], *, field: str) -> bytes:
    """A field of addresses (RFC 5322 §3.4); names as words, quoted strings or encoded words.

    A domain is written in A-labels; a local part that is not ASCII stays as it is and makes the message one
    for SMTPUTF8 (RFC 6532 §3.2).

    Raises:
        Invalid: an address that would break the field.
    """
    pieces: list[str] = []
    for address in addresses:
        pieces.extend(_mailbox(address, field))
        pieces[-1] += ","
    pieces[-1] = pieces[-1][:-1]
    if len(pieces) == 1:
        return f"{name}: {pieces[0]}\r\n".encode()
    return _folded(name, pieces)


def _mailbox(address: Address, field: str) -> list[str]:
    email = wire_address(address.email, field)
    if not address.name:
        return [email]
    name = " ".join(safe(address.name, field).split())
    if not name:
        return [email]
    if name.isascii() and "=?" not in name and len(name) <= _WORD_ROOM:
        return [quote_name(name), f"<{email}>"]
    return [*encoded_words(name), f"<{email}>"]


def wire_address(email: str, field: str) -> str:
    """An addr-spec as it stands in a message: the domain in A-labels.

    Raises:
        Invalid: it has no form that could stand in a header field.
    """
    if len(email) > 320 or not _ADDR_SPEC.fullmatch(email) or _SURROGATES.search(email):
        raise Invalid("An address is not of the form name@domain.", field=field)
    if email.isascii():
        return email
    local, domain = split(email)
    return email if domain.isascii() else f"{local}@{to_ascii(domain)}"


def message_ids(name: str, ids: Iterable[str], *, field: str) -> bytes:
    """Message-ID, In-Reply-To or References (RFC 5322 §3.6.4) of ids with or without brackets.

    Raises:
        Invalid: an id holds a blank, a bracket or a control character, or is too long.
    """
    pieces = []
    for each in ids:
        bare = each.strip().removeprefix("<").removesuffix(">")
        if not _MESSAGE_ID.fullmatch(bare) or _SURROGATES.search(bare):
            raise Invalid("A message id holds a blank, a bracket or a control character.", field=field)
        pieces.append(f"<{bare}>")
    return _folded(name, pieces)


def parameterized(name: str, word: str, parameters: Iterable[tuple[str, str]], *, field: str) -> bytes:
    """Content-Type or Content-Disposition with parameters; RFC 2231 where they are long or not ASCII.

    Raises:
        Invalid: a value holds a line break or NUL.
    """
    pieces = [word]
    for key, value in parameters:
        pieces[-1] += ";"
        value = safe(value, field)
        if _TOKEN.fullmatch(value):
            pieces.append(f"{key}={value}")
        elif _QUOTABLE.fullmatch(value) and "=?" not in value:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            pieces.append(f'{key}="{escaped}"')
        else:
            pieces.extend(_continued(key, value))
    return _folded(name, pieces)


def _continued(key: str, value: str) -> list[str]:
    """RFC 2231 §3 and §4: percent-encoded UTF-8, in numbered segments when it is long."""
    atoms = [quote(char, safe="!#$&+-.^_`{|}~") for char in value]
    if sum(map(len, atoms)) <= _WORD_ROOM - len(key):
        return [f"{key}*=utf-8''{''.join(atoms)}"]
    segments: list[str] = [""]
    for atom in atoms:
        if len(segments[-1]) + len(atom) > _WORD_ROOM - len(key):
            segments.append("")
        segments[-1] += atom
    pieces = [
        f"{key}*{number}*={'' if number else 'utf-8' + chr(39) * 2}{part};" for number, part in enumerate(segments)
    ]
    pieces[-1] = pieces[-1][:-1]
    return pieces


def format_date(at: int, zone: int = 0) -> str:
    """An instant as RFC 5322 §3.3 writes it, in a zone so many minutes east of UTC."""
    if not MIN_AT <= at + zone * MINUTE <= MAX_AT:
        zone = 0
    when = to_datetime(at + zone * MINUTE)
    hours, minutes = divmod(abs(zone), 60)
    return (
        f"{_DAYS[when.weekday()]}, {when.day} {_MONTHS[when.month - 1]} {when.year:04d} "
        f"{when.hour:02d}:{when.minute:02d}:{when.second:02d} {'-' if zone < 0 else '+'}{hours:02d}{minutes:02d}"
    )


# --- Bodies -----------------------------------------------------------------------------------------

_LONG_LINE = re.compile(rb"[^\r\n]{999}")  # RFC 5322 §2.1.1
_BODY_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")


def encode_text(text: str) -> tuple[str, bytes]:
    """A text body: the Content-Transfer-Encoding and the octets, lines ending with CRLF.

    7bit where it can be; quoted-printable, which stays readable, while at most a third has to be escaped; else
    base64 (RFC 2045 §6).
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
    return encode_content(text.encode("utf-8"), is_text=True)


def encode_content(data: bytes, *, is_text: bool) -> tuple[str, bytes]:
    """The Content-Transfer-Encoding for a content, and the content in it."""
    if is_text:
        if data.isascii() and not _LONG_LINE.search(data) and not _BODY_CONTROLS.search(data):
            return "7bit", data
        sample = data[:65_536]
        bare = len(sample.translate(None, _NOT_BARE))
        if (len(sample) - bare) * 3 <= len(sample) and not _has_lone_break(data):
            return "quoted-printable", _quoted_printable(data)
    return "base64", encode_base64(data)


def encode_message(data: bytes, content_type: str = "message/rfc822") -> tuple[str, str, bytes]:
    """A message as the content of a part: its type, its Content-Transfer-Encoding, and the content in it.

    message/rfc822 may not be encoded (RFC 2046 §5.2.1), message/global may (RFC 6532 §3.7): so it is that one where
    the message has 8-bit octets, long lines or odd line ends.
    """
    data = with_crlf(data)
    encoding, encoded = encode_content(data, is_text=True)
    if encoding == "7bit":
        return content_type, encoding, encoded
    return ("message/global", *encode_content(data, is_text=False))


_NOT_BARE = bytes([*range(9), 11, 12, *range(14, 32), 61, *range(127, 256)])


def _has_lone_break(data: bytes) -> bool:
    return not data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n")


def _quoted_printable(data: bytes) -> bytes:
    """Quoted-printable, encoded piece by piece: the encoder lets no other thread in until it is done."""
    out: list[bytes] = []
    start = 0
    while start < len(data):
        end = min(len(data), start + _CHUNK)
        if end < len(data):
            end = data.rfind(b"\n", start, end) + 1 or end - (data[end - 1] == 0x0D)
        # It takes the line ends of its soft breaks from the data, and knows no better than LF where there is none.
        piece = with_crlf(binascii.b2a_qp(data[start:end], istext=True))
        start = end
        if start < len(data) and data[start - 1] != 0x0A:
            # The line goes on: a soft break, of which there is room for in a line of 76 only before its last sign.
            at = len(piece)
            if at - (piece.rfind(b"\n") + 1) > 75:
                at -= 3 if piece[-3:-2] == b"=" else 1
            piece = piece[:at] + b"=\r\n" + piece[at:] + (b"=\r\n" if at < len(piece) else b"")
        out.append(piece)
    return b"".join(out)


def encode_base64(data: bytes) -> bytes:
    """Base64 in lines of 76 characters that end with CRLF (RFC 2045 §6.8)."""
    return b"\r\n".join([_lines(data[start : start + _CHUNK]) for start in range(0, len(data), _CHUNK)])


# Whole lines of 57 octets. An encoder lets no other thread in until it is done: by the megabyte, it soon is.
_CHUNK = 57 * 8_192


def _lines(data: bytes) -> bytes:
    encoded = binascii.b2a_base64(data, newline=False)
    return b"\r\n".join([encoded[index : index + 76] for index in range(0, len(encoded), 76)])
