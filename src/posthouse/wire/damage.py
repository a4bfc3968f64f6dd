"""Octets of East Asian sets with damaged or foreign characters in them: each costs itself, never its neighbours.

In sets where both octets of a character are high, one that is overwritten shifts the pairs behind it for any
decoder that goes on at the next octet. Here the length of the run of high octets says how many are to be skipped.
"""

from __future__ import annotations

import codecs
import re
import threading
from collections.abc import Callable

# Each repair is a call back out of the decoder: more than this is no damage, and the codec's own way will do.
_MAX_REPAIRS = 5_000
# How far a run is measured; a longer one has line ends in it, or is no text.
_RUN = re.compile(rb"[\x80-\xff]{1,2048}")
# Sets in which both octets of nearly every character are high.
_PAIRED = frozenset({"gb18030", "cp949", "euc_jp"})
# `?` or a control was written over the first octet of a pair: its fellow stands alone behind it.
_WIDOW = re.compile(rb"(?<=[?\x00-\x08\x0e-\x1a\x7f])[\xa1-\xfe](?=(?:[\xa1-\xfe]{2})*+(?![\x80-\xff]))")


class _Repairs(threading.local):
    """How many repairs the decoding under way on this thread has left."""

    left = 0


_repairs = _Repairs()


def skip(data: bytes, start: int) -> int:
    """Where to go on behind the damaged character at `start`."""
    run = _RUN.match(data, start)
    # An even rest means that one of two octets was overwritten; an odd one that the octet stands alone.
    return start + (2 if run is not None and len(run.group()) % 2 == 0 else 1)


def _pair_of_jis(data: bytes, start: int) -> str | None:
    """A pair that EUC-JP does not know, as windows-31J has it: NEC's row 13 and its choice of IBM's characters."""
    row, cell = data[start] - 0x80, data[start + 1] - 0x80
    if row < 0x21 or cell < 0x21:
        return None
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    trail = cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20)
    return _pair_of("cp932", bytes((lead, trail)))


def _pair_of(codec: str, pair: bytes) -> str | None:
    try:
        return pair.decode(codec)
    except UnicodeDecodeError:
        return None


# How a pair is read that the codec does not know.
_OTHERWISE: dict[str, Callable[[bytes, int], str | None]] = {
    "euc_jp": _pair_of_jis,
    "big5hkscs": lambda data, start: _pair_of("cp950", data[start : start + 2]),
}


def _register(codec: str) -> str:
    otherwise = _OTHERWISE.get(codec)

    def handle(error: UnicodeError) -> tuple[str, int]:
        _repairs.left -= 1
        if not isinstance(error, UnicodeDecodeError) or _repairs.left < 0:
            raise error
        data, start = error.object, error.start
        if otherwise is not None and start + 1 < len(data):
            char = otherwise(data, start)
            if char is not None:
                return char, start + 2
        after = skip(data, start) if codec in _PAIRED else start + 1
        if codec == "gb18030" and data[start] == 0x80 and after == start + 1:
            return "€", after  # CP936
        return "\ufffd", after

    name = f"posthouse.{codec}"
    codecs.register_error(name, handle)
    return name


_HANDLERS = {codec: _register(codec) for codec in (*_PAIRED, "big5hkscs", "cp932")}


def decode(data: bytes, codec: str) -> str:
    """The text, U+FFFD for what is damaged.

    Raises:
        LookupError: Python does not know the codec.
    """
    handler = _HANDLERS.get(codec)
    if handler is not None:
        if codec in _PAIRED:
            data = _WIDOW.sub(b"", data)
        _repairs.left = _MAX_REPAIRS
        try:
            return data.decode(codec, handler)
        except UnicodeDecodeError:
            pass
    return data.decode(codec, "replace")
