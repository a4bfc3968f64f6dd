"""Reading and writing JSON by the megabyte without a long stop.

The decoder and the encoder keep the interpreter's lock until they are done, on whatever thread: what is read is
counted first, and what is written is written piece by piece.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from posthouse.api.jmap.errors import RequestError
from posthouse.api.json_values import MAX_VALUES, UNCOUNTED_OCTETS, count_values

_CHUNK_CHARS = 1_048_576
_MAX_ITEMS = 1_000
_MAX_DEPTH = 6


def read(body: bytes) -> Any:
    """A JSON value.

    Raises:
        RequestError: `notJSON`; `limit`: it has more than `MAX_VALUES` values.
    """
    if len(body) > UNCOUNTED_OCTETS and count_values(body) > MAX_VALUES:
        raise RequestError("limit", f"a request has at most {MAX_VALUES} values", limit="maxSizeRequest")
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("notJSON", "the request is not I-JSON") from error


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
