"""Who goes first when there is much to do: taking mail in, which somebody waits for, before filing it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

# Filing waits for a burst at the door at most so long; then both go on side by side.
_PATIENCE_S = 5.0
# A door is busy while at least so many hand-overs are under way at once.
_CROWD = 3


class Pace:
    """Counts hand-overs under way. One for the process; on the event loop only."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._open = 0
        self._crowded_at = -_PATIENCE_S
        self._yielding_since: float | None = None

    @contextmanager
    def hand_over(self) -> Iterator[None]:
        """Around each mail that is being taken in."""
        self._open += 1
        if self._open >= _CROWD:
            self._crowded_at = self._now()
        try:
            yield
        finally:
            self._open -= 1

    def should_yield(self) -> bool:
        """Whether work nobody waits for had better wait a moment."""
        now = self._now()
        if now - self._crowded_at > 0.05:
            self._yielding_since = None
            return False
        if self._yielding_since is None:
            self._yielding_since = now
        return now - self._yielding_since < _PATIENCE_S
