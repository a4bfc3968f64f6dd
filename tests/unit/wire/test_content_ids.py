from __future__ import annotations

import re

import pytest

from posthouse.wire.content_ids import plain, renamed


@pytest.mark.parametrize("id_", ["part1.06@example.com", "logo", "a+b=c/d@x", "<in@brackets>"])
def test_an_id_that_can_be_written_stays(id_: str) -> None:
    assert plain(id_) == id_.strip("<>")
    assert renamed(f'<img src="cid:{id_}">', [id_]) == f'<img src="cid:{id_}">'


@pytest.mark.parametrize("id_", ["a b", "é", "a>b", 'a"b', "a&b", "", "x" * 1_000, "a%20b", "\u2028"])
def test_any_other_becomes_one_that_is_the_same_each_time(id_: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}@content\.invalid", plain(id_))
    assert plain(id_) == plain(id_)


def test_the_html_names_it_anew_however_it_was_escaped() -> None:
    new = plain("bild & eins")
    for written in ("bild & eins", "bild &amp; eins", "bild%20%26%20eins", "bild%20&%20eins".replace("&", "%26")):
        assert renamed(f"<img src='cid:{written}'>", ["bild & eins"]) == f"<img src='cid:{new}'>"


def test_an_id_that_begins_another_is_not_taken_for_it() -> None:
    html = renamed('<img src="cid:a b c"><img src="cid:a b">', ["a b", "a b c"])
    assert html == f'<img src="cid:{plain("a b c")}"><img src="cid:{plain("a b")}">'
