"""Rich text as Outlook keeps it: unpacked, and its words. Never fails; what is beyond the limit is left out.

Source: MS-OXRTFCP §2.1 and §3.1 (compression), the Rich Text Format specification 1.9.1 for what a word is.
"""

from __future__ import annotations

import re
import struct

from posthouse.wire.charset import decode_bytes

# Unpacking is a loop in Python: 256 KB take a tenth of a second.
MAX_BYTES = 256 * 1024
_COMPRESSED, _PLAIN = b"LZFu", b"MELA"
# MS-OXRTFCP §3.1.3.2: what the dictionary holds before the first octet.
_BEGINNING = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_WINDOW = 4_096


def decompress(data: bytes, limit: int = MAX_BYTES) -> bytes:
    """The rich text in a PR_RTF_COMPRESSED."""
    if len(data) < 16:
        return b""
    _, raw_size, kind = struct.unpack_from("<II4s", data)
    if kind == _PLAIN:
        return data[16 : 16 + min(raw_size, limit)]
    if kind != _COMPRESSED:
        return b""
    # One run of octets: a reference into the ring of 4,096 is a distance back in it.
    out = bytearray(_BEGINNING)
    size = len(out) + min(raw_size, limit)
    position, end = 16, len(data)
    while position < end and len(out) < size:
        flags = data[position]
        position += 1
        for bit in range(8):
            if position >= end or len(out) >= size:
                break
            if not flags >> bit & 1:
                out.append(data[position])
                position += 1
                continue
            if position + 2 > end:
                return bytes(out[len(_BEGINNING) :])
            word = data[position] << 8 | data[position + 1]
            position += 2
            offset, length = word >> 4, (word & 15) + 2
            distance = (len(out) - offset) % _WINDOW or _WINDOW
            if distance == _WINDOW:
                return bytes(out[len(_BEGINNING) :])  # a reference to where we write is the end
            start = len(out) - distance
            for index in range(length):
                out.append(out[start + index] if start + index >= 0 else 32)
    return bytes(out[len(_BEGINNING) : size])


_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,9})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|([^\\{}\r\n]+)|[\r\n]+", re.DOTALL
)
_BREAKS = {b"par": "\n", b"line": "\n", b"tab": "\t", b"cell": "\t", b"row": "\n", b"sect": "\n", b"page": "\n"}
_SIGNS = {
    b"emdash": "—", b"endash": "–", b"lquote": "‘", b"rquote": "’", b"ldblquote": "“", b"rdblquote": "”",
    b"bullet": "•",
}  # fmt: skip
# Groups whose content is no text.
_ASIDE = frozenset(
    {b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"object", b"header", b"footer", b"themedata",
     b"listtable", b"listoverridetable", b"rsidtbl", b"generator", b"htmltag", b"mhtmltag", b"fldinst"}
)  # fmt: skip
_MAX_DEPTH = 500


def to_text(data: bytes) -> str:
    """The words of rich text, paragraphs as lines."""
    out: list[str] = []
    charset = "windows-1252"
    octets = bytearray()
    aside: list[bool] = [False]
    skip = 0  # characters that stand in for the last \u

    def flush() -> None:
        if octets:
            out.append(decode_bytes(bytes(octets), charset))
            octets.clear()

    for token in _TOKEN.finditer(data[:MAX_BYTES]):
        word, number, octet, sign, brace, text = token.groups()
        if brace == b"{":
            aside.append(aside[-1])
            if len(aside) > _MAX_DEPTH:
                break
            continue
        if brace == b"}":
            if len(aside) > 1:
                aside.pop()
            continue
        if sign == b"*" or word in _ASIDE:
            aside[-1] = True
            continue
        if word == b"ansicpg" and number:
            flush()
            charset = f"cp{int(number)}"
        if aside[-1]:
            continue
        if octet is not None:
            if skip:
                skip -= 1
            else:
                octets += bytes.fromhex(octet.decode("ascii"))
            continue
        if text is not None:
            octets += text[skip:]
            skip = max(0, skip - len(text))
            continue
        flush()
        if word == b"u" and number:
            code = int(number) & 0xFFFF
            out.append(chr(code))
            skip = 1
        elif word is not None:
            out.append(_BREAKS.get(word) or _SIGNS.get(word, ""))
        elif sign is not None:
            out.append({b"~": "\u00a0", b"_": "-", b"\n": "\n", b"\r": "\n"}.get(sign, ""))
            if sign in b"\\{}":
                octets += sign
    flush()
    return "".join(out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip()
