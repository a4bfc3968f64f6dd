"""The decoded content of a part, by where it lies in the stored message and how it is packed there.

How: a transfer encoding, and for what lies in a container the steps into it, `>` between them. `base64` is an
ordinary file; `base64>cms:120-400>quoted-printable` the octets 120 to 400 of what an S/MIME signature in base64
encloses, decoded once more; `base64>tnef:2` the third thing in a winmail.dat. Never fails: what is not there is
empty.
"""

from __future__ import annotations

import re

from posthouse.wire import smime, tnef
from posthouse.wire.charset import decode_transfer

_CUT = re.compile(r"cms:([0-9]{1,12})-([0-9]{1,12})")
_NUMBER = re.compile(r"tnef:([0-9]{1,5})")
MAX_STEPS = 8


def decode_span(raw: bytes, start: int, end: int, encoding: str) -> bytes:
    """The content of one part.

    Args:
        raw: the whole message.
        start: `Part.start`.
        end: `Part.end`.
        encoding: `Part.encoding`.
    """
    if ">" not in encoding:
        return decode_transfer(raw[start:end], encoding)
    return Contents(raw).span(start, end, encoding)


class Contents:
    """Reads several parts of one message; a container is opened once for all that is read of it in a row."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._key: tuple[int, int, str] = (0, 0, "")
        self._signed = b""
        self._tnef: tnef.Tnef | None = None

    def span(self, start: int, end: int, encoding: str) -> bytes:
        """As `decode_span`."""
        first, *steps = encoding.split(">", MAX_STEPS)
        if not steps:
            return decode_transfer(self.raw[start:end], first)
        # Containers in containers are few; what is kept open is the innermost.
        *outer, last = _containers(steps)
        path = ">".join([first, *(step for pair in outer for step in pair)])
        step, transfer = last
        kind = step.partition(":")[0]
        key = (start, end, f"{path}>{kind}")
        if self._key != key:
            data = decode_transfer(self.raw[start:end], first)
            for outer_step, outer_transfer in outer:
                data = decode_transfer(_open(data, outer_step), outer_transfer)
            self._signed, self._tnef = b"", None
            if kind == "cms":
                self._signed = smime.signed_content(data) or b""
            elif kind == "tnef":
                self._tnef = tnef.read(data)
            self._key = key
        return decode_transfer(_take(step, self._signed, self._tnef), transfer)


def _containers(steps: list[str]) -> list[tuple[str, str]]:
    """Each step into a container with the transfer encoding behind it."""
    found: list[tuple[str, str]] = []
    for step in steps:
        if ":" in step:
            found.append((step, "binary"))
        elif found:
            found[-1] = (found[-1][0], step)
    return found or [("", "binary")]


def _open(data: bytes, step: str) -> bytes:
    if step.startswith("cms:"):
        return _take(step, smime.signed_content(data) or b"", None)
    return _take(step, b"", tnef.read(data))


def _take(step: str, signed: bytes, opened: tnef.Tnef | None) -> bytes:
    cut = _CUT.fullmatch(step)
    if cut is not None:
        return signed[int(cut[1]) : int(cut[2])]
    number = _NUMBER.fullmatch(step)
    if number is None or opened is None:
        return b""
    things = (*opened.bodies, *opened.files)
    index = int(number[1])
    return things[index].data if index < len(things) else b""
