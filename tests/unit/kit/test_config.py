"""Settings whose text has a form of its own."""

from __future__ import annotations

import pytest

from posthouse.kit.clock import DAY, HOUR, MINUTE
from posthouse.kit.config import LADDER, Settings
from posthouse.kit.errors import Invalid


def test_the_ladder_of_newcomers_is_read_youngest_first_and_lifted_with_the_limits() -> None:
    assert Settings().ladder == LADDER
    assert Settings.of(signup_ladder=" 2d:40, 30m : 1").ladder == ((30 * MINUTE, 1), (2 * DAY, 40))
    assert Settings.of(signup_ladder="1h:0").ladder == ((HOUR, 0),)
    assert Settings.of(signup_ladder="off").ladder == ()
    assert Settings.of(rate_limits="off").ladder == ()


@pytest.mark.parametrize("text", ["", "on", "1h", "1h:3;1d:5", "3:1h", "1h:-1", "1h:3,", "1w:3", "off,1h:3"])
def test_a_ladder_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        Settings.of(signup_ladder=text)
    assert refused.value.field == "signup_ladder"
