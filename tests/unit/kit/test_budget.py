"""Budgets are spent before the work."""

from __future__ import annotations

import pytest

from posthouse.kit.budget import Budget
from posthouse.kit.errors import TooLarge


def test_a_share_is_taken_until_the_limit_and_the_error_names_it() -> None:
    budget = Budget({"octets of blobs": 10, "conditions": 2})
    budget.spend("octets of blobs", 10)
    budget.spend("conditions")
    with pytest.raises(TooLarge, match="at most 10 octets of blobs") as caught:
        budget.spend("octets of blobs")
    assert caught.value.reason == "octets of blobs"
    assert budget.left("conditions") == 1


def test_what_does_not_fit_takes_nothing() -> None:
    budget = Budget({"octets": 10})
    with pytest.raises(TooLarge):
        budget.spend("octets", 11)
    budget.spend("octets", 10)
