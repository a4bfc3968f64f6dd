"""What an opaque S/MIME signature encloses: the message inside `application/pkcs7-mime; smime-type=signed-data`.

The signature is not checked, and nothing here says who wrote the content: it is shown as what came. What is
encrypted stays closed. Bounded: a few dozen elements are looked at, whatever the length of what they hold.

Obeys RFC 8551 §3.5.2 (what the type means), RFC 5652 §3–5.2 (ContentInfo, SignedData, EncapsulatedContentInfo),
with the indefinite lengths and pieces of BER that senders use.
"""

from __future__ import annotations

from typing import NamedTuple

_SEQUENCE, _OID, _OCTETS, _OCTETS_IN_PIECES, _CONTEXT_0 = 0x30, 0x06, 0x04, 0x24, 0xA0
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
_DATA = bytes.fromhex("2a864886f70d010701")
# Pieces of one string of octets; streaming senders write one for each few kilobytes.
_MAX_PIECES = 100_000
_MAX_DEPTH = 6


class _Broken(Exception):
    """The octets are no BER, or not of this structure."""


class _Element(NamedTuple):
    """An element: its tag, where its content begins and ends; `end` None where the length is indefinite."""

    tag: int
    start: int
    end: int | None


def signed_content(data: bytes) -> bytes | None:
    """The content a CMS SignedData holds; None when it is none, or is signed from afar."""
    try:
        return _signed_content(data)
    except _Broken:
        return None


def _signed_content(data: bytes) -> bytes | None:
    info = _element(data, 0, _SEQUENCE)
    kind = _element(data, info.start, _OID)
    if data[kind.start : kind.end] != _SIGNED_DATA or kind.end is None:
        return None
    signed = _element(data, _element(data, kind.end, _CONTEXT_0).start, _SEQUENCE)
    position = signed.start
    for _ in range(2):  # version and digestAlgorithms
        position = _skip(data, position, 0)
    enclosed = _element(data, position, _SEQUENCE)
    kind = _element(data, enclosed.start, _OID)
    if kind.end is None or data[kind.start : kind.end] != _DATA:
        return None
    if kind.end >= len(data) or data[kind.end] != _CONTEXT_0:
        return None  # the signature alone: what it signs lies elsewhere
    pieces: list[bytes] = []
    _octets(data, _element(data, kind.end, _CONTEXT_0).start, pieces, 0)
    return b"".join(pieces)


def _element(data: bytes, position: int, expected: int | None = None) -> _Element:
    if position + 2 > len(data):
        raise _Broken
    tag, first = data[position], data[position + 1]
    if (expected is not None and tag != expected) or tag & 0x1F == 0x1F:
        raise _Broken
    start = position + 2
    if first == 0x80:
        if not tag & 0x20:
            raise _Broken
        return _Element(tag, start, None)
    size = first
    if first > 0x80:
        count = first & 0x7F
        if count > 8 or start + count > len(data):
            raise _Broken
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    # What is cut off at the end is read as far as it goes.
    return _Element(tag, start, min(start + size, len(data)))


def _skip(data: bytes, position: int, depth: int) -> int:
    """Behind the element at `position`."""
    element = _element(data, position)
    if element.end is not None:
        return element.end
    if depth > _MAX_DEPTH:
        raise _Broken
    position = element.start
    for _ in range(_MAX_PIECES):
        if data[position : position + 2] == b"\0\0":
            return position + 2
        position = _skip(data, position, depth + 1)
    raise _Broken


def _octets(data: bytes, position: int, pieces: list[bytes], depth: int) -> int:
    """Gather a string of octets, in one piece or in many; answers where it ends."""
    element = _element(data, position)
    if element.tag == _OCTETS and element.end is not None:
        pieces.append(data[element.start : element.end])
        return element.end
    if element.tag != _OCTETS_IN_PIECES or depth > _MAX_DEPTH:
        raise _Broken
    end = len(data) if element.end is None else element.end
    position = element.start
    while position < end and len(pieces) < _MAX_PIECES:
        if element.end is None and data[position : position + 2] == b"\0\0":
            return position + 2
        if position + 2 > len(data):
            break  # cut off in transit
        position = _octets(data, position, pieces, depth + 1)
    return end
