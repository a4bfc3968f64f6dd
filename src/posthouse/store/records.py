"""Rows into records: JSON columns decoded, booleans made booleans (one engine gives 0 and 1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from posthouse.store.database import Row

R = TypeVar("R")


def load(kind: type[R], row: Row, *, json: Iterable[str] = (), flags: Iterable[str] = ()) -> R:
    """A record of dataclass `kind` out of a row with the same names."""
    values: dict[str, Any] = dict(row)
    for name in json:
        text = values[name]
        values[name] = None if text is None else msgspec.json.decode(text)
    for name in flags:
        values[name] = bool(values[name])
    return kind(**values)


def dump(value: Any) -> str:
    """A value as the JSON text of a `$json` column."""
    return msgspec.json.encode(value).decode("utf-8")
