"""Counts over time, of what lies within a reach: what happened, and how much there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.accounts.reach import Reach
from posthouse.store import events, usage
from posthouse.store.database import Tx

KINDS = usage.KINDS
_MAX_INSTANTS = 10_000


@dataclass(frozen=True, slots=True)
class Window:
    """From `start_at` to before `end_at`, in periods of `period_ms`, the first of them numbered 0."""

    start_at: int
    end_at: int
    period_ms: int

    @property
    def count(self) -> int:
        """How many periods, the last perhaps cut short."""
        return max(0, -(-(self.end_at - self.start_at) // self.period_ms))


@dataclass(frozen=True, slots=True)
class Growth:
    """How much there was before a window, and how much came in each of its periods, by number."""

    before: int
    added: dict[int, int]


async def events_by_period(tx: Tx, within: Reach, types: Sequence[str], window: Window) -> dict[str, dict[int, int]]:
    """How many events there were of each type in each period, by its number."""
    counts: dict[str, dict[int, int]] = {name: {} for name in types}
    for name, number, total in await events.count_by_period(
        tx, within.organization_id, types, pod_id=within.pod_id, account_id=within.account_id,
        start_at=window.start_at, end_at=window.end_at, period_ms=window.period_ms,
    ):  # fmt: skip
        counts[name][number] = total
    return counts


async def instants(tx: Tx, within: Reach, types: Sequence[str], start_at: int, end_at: int) -> dict[str, list[int]]:
    """When events of each type happened, from `start_at` to `end_at` inclusive, as many as there may be."""
    found: dict[str, list[int]] = {name: [] for name in types}
    for name, at in await events.instants(
        tx, within.organization_id, types, pod_id=within.pod_id, account_id=within.account_id, start_at=start_at,
        end_at=end_at + 1, limit=_MAX_INSTANTS,
    ):  # fmt: skip
        found[name].append(at)
    return found


async def growth(tx: Tx, within: Reach, kinds: Sequence[str], window: Window) -> dict[str, Growth]:
    """How much there is of each of `KINDS`, by when it came."""
    found = {}
    for kind in kinds:
        before, added = await usage.growth(
            tx, kind, within.organization_id, pod_id=within.pod_id, account_id=within.account_id,
            start_at=window.start_at, end_at=window.end_at, period_ms=window.period_ms,
        )  # fmt: skip
        found[kind] = Growth(before, added)
    return found
