"""ISO-2022-JP and EUC-JP as Windows writes them: CP50220 and CP51932.

Python's codecs know the sets of the standards; senders use NEC's row 13 (circled and Roman numbers, ㈱), the IBM
extensions as NEC selected them, and half-width katakana. What the strict codec cannot read is read here as
windows-31J, a damaged character costing itself alone.

Source: RFC 1468, JIS X 0208, the WHATWG Encoding Standard §12.2–12.3 for the extensions.
"""

from __future__ import annotations

import re

from posthouse.wire import damage

_SHIFT = re.compile(rb"\x1b(\$[@B]|\$\([@BDOPQ]|\([BJIH]|&@\x1b\$B)|([\x0e\x0f])")
# More shifts than this are no text: the codec's own way will do.
_MAX_SHIFTS = 40_000
_NOT_A_PAIR = re.compile(rb"[^!-~]")
_STRAY = re.compile(rb"[^\x09\x0a\x0d\x1b -~]")
_HIGH = bytes(code | 0x80 if 0x21 <= code <= 0x7E else code for code in range(256))
_LINE_END = re.compile(rb"[\r\n]")


def decode_iso_2022(data: bytes) -> str:
    """ISO-2022-JP with the extensions of CP50220. Never fails.

    A line ends in ASCII, whatever the escape before it was (RFC 1468).
    """
    try:
        return data.decode("iso2022_jp_ext")
    except (UnicodeError, LookupError):
        pass
    if data.count(b"\x1b") > _MAX_SHIFTS or len(_STRAY.findall(data)) > _MAX_SHIFTS:
        return data.decode("iso2022_jp_ext", "replace")
    out: list[bytes] = []
    position, mode = 0, b"(B"
    for shift in _SHIFT.finditer(data):
        _take(out, data[position : shift.start()], mode)
        position = shift.end()
        mode = shift.group(1) or (b"(I" if shift.group(2) == b"\x0e" else b"(B")
    _take(out, data[position:], mode)
    return damage.decode(b"".join(out), "euc_jp").replace("\0", "\ufffd")


def _take(out: list[bytes], piece: bytes, mode: bytes) -> None:
    """Add what stands between two escapes, as EUC-JP."""
    if not piece:
        return
    if mode in (b"(B", b"(J", b"(H"):
        out.append(piece if piece.isascii() else piece.translate(_SEVEN_BIT))
        return
    end = _LINE_END.search(piece)
    rest = b""
    if end is not None:
        piece, rest = piece[: end.start()], piece[end.start() :]
    if mode == b"(I":
        kana = bytearray(b"\x8e" * (2 * len(piece)))
        kana[1::2] = piece.translate(_HIGH)
        out.append(bytes(kana))
    else:
        prefix = b"\x8f" if mode == b"$(D" else b""
        out.append(_pairs(piece, prefix))
    out.append(rest)


# Comes out as U+FFFD, and is no part of a pair.
_BROKEN = b"\0"
_SEVEN_BIT = bytes(range(128)) + _BROKEN * 128


_PAIR = re.compile(rb"((?:[\xa1-\xfe]{2})+)|..", re.DOTALL)


def _pairs(piece: bytes, prefix: bytes) -> bytes:
    if len(piece) % 2:
        # An octet too many or too few: a stray one is dropped, else the last is alone.
        stray = _NOT_A_PAIR.search(piece)
        at = stray.start() if stray is not None else len(piece) - 1
        piece = piece[:at] + piece[at + 1 :]
    high = piece.translate(_HIGH)
    if not prefix and _NOT_A_PAIR.search(piece) is None:
        return high
    if not prefix:
        return _PAIR.sub(lambda pairs: pairs.group(1) or _BROKEN, high)
    return b"".join([prefix + high[index : index + 2] for index in range(0, len(high), 2)])
