"""Reading and writing JSON by the megabyte without a long stop.

The decoder and the encoder keep the interpreter's lock until they are done, on whatever thread: what is read is
counted first, and what is written is written piece by piece.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from posthouse.api.jmap.errors import RequestError

# Half a microsecond for each, at worst: a list of empty lists.
MAX_VALUES = 100_000
_UNCOUNTED_OCTETS = 65_536
_COUNTED_AT_ONCE = 262_144
# All that matters for counting: what begins or parts values, and what begins, ends and escapes a string.
_UNIMPORTANT = bytes(sorted(set(range(256)) - set(b'[{,"\\')))
_STRING = re.compile(rb'"[^"]*"?')

_CHUNK_CHARS = 1_048_576
_MAX_ITEMS = 1_000
_MAX_DEPTH = 6


def read(body: bytes) -> Any:
    """A JSON value.

    Raises:
        RequestError: `notJSON`; `limit`: it has more than `MAX_VALUES` values.
    """
    if len(body) > _UNCOUNTED_OCTETS and count_values(body) > MAX_VALUES:
        raise RequestError("limit", f"a request has at most {MAX_VALUES} values", limit="maxSizeRequest")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("notJSON", "the request is not I-JSON") from error


def count_values(body: bytes) -> int:
    """About how many values a JSON text has; it stops counting behind `MAX_VALUES`."""
    total, quoted, escaped = 1, False, False
    for start in range(0, len(body), _COUNTED_AT_ONCE):
        chunk = body[start : start + _COUNTED_AT_ONCE]
        if escaped:
            chunk = chunk[1:]
        escaped = False
        if b"\\" in chunk:
            ends = len(chunk) - len(chunk.rstrip(b"\\"))
            if ends % 2:
                chunk, escaped = chunk[:-1], True
            chunk = chunk.replace(b"\\\\", b"").replace(b'\\"', b"")
        signs = chunk.translate(None, _UNIMPORTANT)
        if quoted:
            _, closed, signs = signs.partition(b'"')
            if not closed:
                continue
        quoted = signs.count(b'"') % 2 == 1
        plain = _STRING.sub(b"", signs)
        total += len(plain)
        if total > MAX_VALUES:
            break
    return total


def pieces(value: Any, depth: int = 0) -> Iterator[bytes]:
    """A value as JSON, in pieces: none of them takes long."""
    if isinstance(value, str) and len(value) > _CHUNK_CHARS:
        yield b'"'
        for start in range(0, len(value), _CHUNK_CHARS):
            yield msgspec.json.encode(value[start : start + _CHUNK_CHARS])[1:-1]
        yield b'"'
    elif isinstance(value, dict) and value and depth < _MAX_DEPTH and len(value) <= _MAX_ITEMS:
        sign = b"{"
        for name, inner in value.items():
            yield sign + msgspec.json.encode(name) + b":"
            yield from pieces(inner, depth + 1)
            sign = b","
        yield b"}"
    elif isinstance(value, list) and value and depth < _MAX_DEPTH and len(value) <= _MAX_ITEMS:
        sign = b"["
        for inner in value:
            yield sign
            yield from pieces(inner, depth + 1)
            sign = b","
        yield b"]"
    else:
        yield msgspec.json.encode(value)
