"""Who goes first: mail coming in, or mail being filed."""

from __future__ import annotations

from contextlib import ExitStack

from posthouse.kit.pace import Pace


class _Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _crowd(pace: Pace, size: int) -> None:
    with ExitStack() as stack:
        for _ in range(size):
            stack.enter_context(pace.hand_over())


def test_filing_does_not_wait_for_one_or_two_mails_at_the_door() -> None:
    pace = Pace(_Time())
    assert not pace.should_yield()
    _crowd(pace, 2)
    assert not pace.should_yield()


def test_filing_waits_for_a_crowd_until_it_has_passed() -> None:
    time = _Time()
    pace = Pace(time)
    _crowd(pace, 3)
    assert pace.should_yield()
    time.now += 0.1
    assert not pace.should_yield()


def test_filing_waits_for_a_crowd_that_stays_only_so_long_and_again_for_the_next_one() -> None:
    time = _Time()
    pace = Pace(time)
    waited = 0.0
    for _ in range(1_000):
        _crowd(pace, 10)
        if not pace.should_yield():
            break
        time.now += 0.02
        waited += 0.02
    assert 4 < waited < 6
    for _ in range(100):
        _crowd(pace, 10)
        assert not pace.should_yield(), "from then on both go side by side"
        time.now += 0.02
    time.now += 1
    assert not pace.should_yield()
    _crowd(pace, 3)
    assert pace.should_yield()
