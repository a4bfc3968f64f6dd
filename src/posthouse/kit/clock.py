"""Time. An instant is an integer of milliseconds since 1970, UTC, and its name ends in `_at`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Clock = Callable[[], int]

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def now() -> int:
    """The present instant."""
    return time.time_ns() // 1_000_000


def to_datetime(at: int) -> datetime:
    """An aware UTC datetime of an instant."""
    return datetime.fromtimestamp(at / 1000, UTC)


def iso(at: int) -> str:
    """RFC 3339 with milliseconds and `Z`."""
    return _to_the_second(at // 1000) + _MILLISECONDS[at % 1000]


# Written once: a page of a list has hundreds of instants.
_MILLISECONDS = [f".{milliseconds:03d}Z" for milliseconds in range(1000)]


@lru_cache(4_096)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_iso(text: str) -> int:
    """An instant out of ISO 8601 text.

    A blank where a `+` stood (a query string decoded twice) is read as `+`; no zone means UTC.

    Raises:
        ValueError: not a date.
    """
    text = text.strip()
    if len(text) > 10 and " " in text[11:]:
        head, _, tail = text.rpartition(" ")
        text = f"{head}+{tail}"
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return int(value.timestamp() * 1000)
