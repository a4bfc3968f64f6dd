"""What a mail's HTML has beside what it shows."""

from __future__ import annotations

import time

import pytest

from posthouse.wire.html import MAX_HTML_CHARS
from posthouse.wire.html_beside import beside


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
    def took(count: int) -> float:
        html = '<div hidden><!-- a -->x<img src="http://a.example/">' * count
        before = time.process_time()
        beside(html)
        return time.process_time() - before

    small = min(took(2_000) for _ in range(3))
    assert took(8_000) < max(small, 0.001) * 10
