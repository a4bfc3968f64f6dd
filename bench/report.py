"""A claim's row and the table of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HEADINGS = ("claim", "ours", "peer", "ratio", "wanted", "verdict")


class Skipped(Exception):
    """The claim cannot be measured on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        claim: what was measured.
        ours, peer: figures with their unit; "" where there is none.
        ratio: ours to peer as the claim puts it; None where there is no peer.
        wanted: `≥ 2` or `≤ 1.5`, about the ratio; "" when nothing is promised.
        verdict: `met`, `missed`, `measured` (nothing promised) or `skipped: …`.
    """

    claim: str
    ours: str = ""
    peer: str = ""
    ratio: float | None = None
    wanted: str = ""
    verdict: str = "measured"


def at_least(claim: str, ours: float, peer: float | None, wanted: float | None, unit: str, peer_name: str) -> Row:
    """A row in which more is better."""
    return _judged(claim, ours, peer, wanted, unit, peer_name, "≥", lambda ratio, bound: ratio >= bound)


def at_most(claim: str, ours: float, peer: float | None, wanted: float | None, unit: str, peer_name: str) -> Row:
    """A row in which less is better."""
    return _judged(claim, ours, peer, wanted, unit, peer_name, "≤", lambda ratio, bound: ratio <= bound)


def within(claim: str, seconds: float, limit_s: float) -> Row:
    """A row about a time that may not be exceeded."""
    verdict = "met" if seconds <= limit_s else "missed"
    return Row(claim, f"{seconds:.2f} s", f"{limit_s:g} s (limit)", seconds / limit_s, "≤ 1", verdict)


def skipped(claim: str, reason: str) -> Row:
    """A row for what could not be measured."""
    return Row(claim, verdict=f"skipped: {reason}")


def median(values: Sequence[float]) -> float:
    """The middle value: one slow run does not move it."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Lowest to highest, to judge a median by."""
    return f"{min(values):,.0f} to {max(values):,.0f}" if len(values) > 1 else ""


def table(rows: Sequence[Row]) -> str:
    """The rows under their headings, columns aligned."""
    lines = [HEADINGS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def line(row: Row) -> str:
    """One row by itself, for whoever waits for the table."""
    return "  ".join(cell for cell in _cells(row) if cell)


def _cells(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return row.claim, row.ours, row.peer, ratio, row.wanted, row.verdict


def _judged(
    claim: str,
    ours: float,
    peer: float | None,
    wanted: float | None,
    unit: str,
    peer_name: str,
    sign: str,
    holds: Callable[[float, float], bool],
) -> Row:
    shown = _shown(ours, unit)
    if peer is None:
        verdict = "measured" if wanted is None else "skipped: no peer"
        return Row(claim, shown, wanted="" if wanted is None else f"{sign} {wanted:g}", verdict=verdict)
    ratio = ours / peer if peer else float("inf")
    beside = f"{_shown(peer, unit)} ({peer_name})"
    if wanted is None:
        return Row(claim, shown, beside, ratio)
    return Row(claim, shown, beside, ratio, f"{sign} {wanted:g}", "met" if holds(ratio, wanted) else "missed")


def _shown(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"
