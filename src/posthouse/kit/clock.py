"""Time. An instant is an integer of milliseconds since 1970, UTC, and its name ends in `_at`."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

Clock = Callable[[], int]

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# The first and the last instant that RFC 3339 can write in UTC: the years 0001 to 9999.
MIN_AT = -62_135_596_800_000
MAX_AT = 253_402_300_799_999


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
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def iso_in_zone(at: int, zone: int) -> str:
    """RFC 3339 to the second, in a zone so many minutes east of UTC; `Z` for UTC, or where its year cannot be shown."""
    if zone == 0 or not MIN_AT <= at + zone * MINUTE <= MAX_AT:
        return _to_the_second(at // 1000) + "Z"
    hours, minutes = divmod(abs(zone), 60)
    return f"{_to_the_second(at // 1000 + zone * 60)}{'-' if zone < 0 else '+'}{hours:02d}:{minutes:02d}"


def parse_iso(text: str) -> int:
    """An instant out of ISO 8601 text.

    A blank where a `+` stood (a query string decoded twice) is read as `+`; no zone means UTC.

    Raises:
        ValueError: not a date, or in UTC not of the years 1 to 9999.
    """
    return parse_iso_zone(text)[0]


def parse_iso_zone(text: str) -> tuple[int, int]:
    """As `parse_iso`, with the minutes east of UTC of the zone it is given in."""
    text = text.strip()
    if len(text) > 10 and " " in text[11:]:
        head, _, tail = text.rpartition(" ")
        text = f"{head}+{tail}"
    value = datetime.fromisoformat(text)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    at = int(value.timestamp() * 1000)
    if not MIN_AT <= at <= MAX_AT:
        raise ValueError("the date is out of range")
    seconds = int((value.utcoffset() or timedelta()).total_seconds())
    return at, 0 if seconds % 60 else seconds // 60
