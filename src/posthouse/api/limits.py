"""Request rates by key, and how many streams each has open: counted in this process only.

Losing a rate costs nothing but exactness.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from posthouse.kit.clock import Clock
from posthouse.kit.errors import TooMany

_MAX_KEYS = 100_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a window.

    Attributes:
        limit, remaining: requests in this window.
        reset_at_s: when it ends, seconds since 1970.
        exceeded: this request is one too many.
    """

    limit: int
    remaining: int
    reset_at_s: int
    exceeded: bool


class RateLimiter:
    """Fixed windows, aligned to the clock."""

    def __init__(self, clock: Clock, *, enabled: bool) -> None:
        self._clock = clock
        self.enabled = enabled
        self._counts: dict[tuple[str, int], tuple[int, int]] = {}

    def take(self, key: str, limit: int, window_s: int) -> Allowance:
        """Count a request of `key` against `limit` in windows of so many seconds."""
        now_s = self._clock() // 1000
        window = now_s // window_s
        reset = (window + 1) * window_s
        known = self._counts.get((key, window_s))
        used = known[1] + 1 if known is not None and known[0] == window else 1
        if len(self._counts) >= _MAX_KEYS and known is None:
            self._counts = {k: v for k, v in self._counts.items() if v[0] == now_s // k[1]}
        self._counts[key, window_s] = (window, used)
        return Allowance(limit, max(0, limit - used), reset, self.enabled and used > limit)


class OpenStreams:
    """Streams that are open: WebSockets, event sources. Their number is bounded whatever the rates are."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, limits: dict[str, int]) -> Iterator[None]:
        """Hold one open. `limits` says of each thing it counts for, such as `key:k1`, how many there may be.

        Raises:
            TooMany: there are as many.
        """
        for name, most in limits.items():
            if self._open[name] >= most:
                kind = name.partition(":")[0]
                raise TooMany(f"{kind} may hold at most {most} streams open", retry_after_s=30)
        self._open.update(limits.keys())
        try:
            yield
        finally:
            self._open.subtract(limits.keys())
            for name in limits:
                if not self._open[name]:
                    del self._open[name]
