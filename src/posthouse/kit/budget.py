"""What one request or connection may use: spent before the work is done, never counted after it.

A surface makes a `Budget` from a table of its limits when a request comes in, hands it down, and each piece of
work takes its share first. Two budgets of one caller know nothing of each other; rates are `api/limits.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

from posthouse.kit.errors import TooLarge


class Budget:
    """Shares of named limits, such as `{"octets of answers": 10_000_000}`. On one task at a time."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._left = dict(limits)

    def spend(self, what: str, amount: int = 1) -> None:
        """Take a share; what was asked for is not done when this raises.

        Raises:
            TooLarge: less than `amount` is left. Its message names the limit, its `reason` is `what`.
            KeyError: the budget has no such limit (a mistake of ours).
        """
        self.check(what, amount)
        self._left[what] -= amount

    def check(self, what: str, amount: int) -> None:
        """Raises as `spend` does, and takes nothing: for what is not known before how much it will be."""
        if amount > self._left[what]:
            raise TooLarge(f"one request may use at most {self._limits[what]} {what}", reason=what)

    def left(self, what: str) -> int:
        """What is left of a limit."""
        return self._left[what]
