"""Counts over time."""

from __future__ import annotations

import msgspec

from posthouse.accounts.metrics import Growth, Window
from posthouse.api.agentmail.shapes.values import time
from posthouse.events import outbox
from posthouse.kit.clock import DAY, HOUR
from posthouse.kit.errors import Invalid

# What is counted, and the short name older clients know it by.
COUNTED = {
    outbox.MESSAGE_SENT: "sent",
    outbox.MESSAGE_DELIVERED: "delivered",
    outbox.MESSAGE_BOUNCED: "bounced",
    outbox.MESSAGE_DELAYED: "delayed",
    outbox.MESSAGE_REJECTED: "rejected",
    outbox.MESSAGE_COMPLAINED: "complained",
    outbox.MESSAGE_RECEIVED: "received",
    outbox.RECEIVED_SPAM: "received_spam",
    outbox.RECEIVED_BLOCKED: "received_blocked",
    outbox.RECEIVED_UNAUTHENTICATED: "received_unauthenticated",
}
MAX_BUCKETS = 1_000
MAX_PERIOD_S = 86_400


class Bucket(msgspec.Struct):
    """How many events began at or after `timestamp`, for one period."""

    timestamp: str
    count: int


class UsagePoint(msgspec.Struct):
    """How much there was at `timestamp`."""

    timestamp: str
    value: int


class LegacyMetrics(msgspec.Struct):
    """Instants of events by their short names, as older clients read them."""

    message: dict[str, list[str]]


def window_of(start: int | None, end: int | None, period_s: int | None, now: int) -> Window:
    """The periods a query asks for: the last day by the hour where it says nothing.

    Raises:
        Invalid: the end is not after the start; more than 1,000 periods (reason `query_range_too_wide`).
    """
    end_at = now + 1 if end is None else end  # what happens at this instant is counted
    start_at = end_at - DAY if start is None else start
    if end_at <= start_at:
        raise Invalid("the end lies after the start", field="end")
    window = Window(start_at, end_at, period_s * 1000 if period_s is not None else HOUR)
    if window.count > MAX_BUCKETS:
        raise Invalid(
            f"{window.count} periods are asked for, at most {MAX_BUCKETS} are answered",
            field="period",
            reason="query_range_too_wide",
        )
    return window


def buckets_of(window: Window, counts: dict[int, int], *, descending: bool, limit: int | None) -> list[Bucket]:
    """One bucket for each period, empty ones too."""
    numbers = range(window.count - 1, -1, -1) if descending else range(window.count)
    return [
        Bucket(time(window.start_at + number * window.period_ms), counts.get(number, 0)) for number in numbers[:limit]
    ]


def points_of(window: Window, growth: Growth, *, descending: bool, limit: int | None) -> list[UsagePoint]:
    """One point for the end of each period."""
    points, total = [], growth.before
    for number in range(window.count):
        total += growth.added.get(number, 0)
        points.append(UsagePoint(time(min(window.end_at, window.start_at + (number + 1) * window.period_ms)), total))
    return (points[::-1] if descending else points)[:limit]
