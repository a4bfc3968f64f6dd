"""What a mail's HTML has beside what it shows."""

from __future__ import annotations

import pytest

from posthouse.wire.html import MAX_HTML_CHARS
from posthouse.wire.html_beside import beside
from unit.wire.timing import least_time


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<p>Seen</p>", []),
        ("<p>Seen<!-- not seen --></p><!----><!-- nor <b>this</b> -->", [("comment", "not seen"), ("comment", "nor <b>this</b>")]),
        ('<p style="display:none">pay &amp; go</p><p>Seen</p>', [("hidden (display)", "pay & go")]),
        ('<div hidden>one<div>two</div></div>three', [("hidden (hidden)", "one two")]),
        ("<script>send()</script><style>p{}</style>", [("script", "send()"), ("style", "p{}")]),
        ('<img src="https://t.example/p.gif"><img src="cid:a"><img src="data:,x">', [("image from elsewhere", "https://t.example/p.gif")]),
        ('<span style="font-size:0">never closed', [("hidden (font-size)", "never closed")]),
        ("<style>.x{color:#fff}</style><p class=x>white", [("hidden (colour)", "white"), ("style", ".x{color:#fff}")]),
        ("<!-- never closed", [("comment", "never closed")]),
    ],
)  # fmt: skip
def test_all_that_is_not_seen_is_named(html: str, found: list[tuple[str, str]]) -> None:
    assert [(part.what, part.text) for part in beside(html)] == found


def test_what_is_not_looked_at_is_said() -> None:
    (part,) = beside("x" * (MAX_HTML_CHARS + 7))
    assert part == type(part)("not looked at", "7 characters at the end")


def test_it_takes_time_in_proportion_to_the_size() -> None:
    piece = '<div hidden><!-- a -->x<img src="http://a.example/">'
    short, long = (least_time(beside, piece * count) for count in (2_000, 16_000))
    assert long < 24 * short + 0.1  # the square would be 64
