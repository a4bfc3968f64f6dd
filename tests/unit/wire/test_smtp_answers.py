"""Replies as a client reads them, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Malformed
from posthouse.wire.smtp_answers import Answer, AnswerReader, read_extensions

TALK = b"220 mx ESMTP\r\n250-mx\r\n250-SIZE 10\r\n250 \r\n250\r\n550-5.1.1 a\n550 5.1.1 b\n354 go on \t\r\n"
ANSWERS = [
    Answer(220, "mx ESMTP"),
    Answer(250, "mx\nSIZE 10\n"),
    Answer(250, ""),
    Answer(550, "5.1.1 a\n5.1.1 b"),
    Answer(354, "go on"),
]


@given(st.lists(st.integers(0, len(TALK)), max_size=8))
def test_answers_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    reader = AnswerReader()
    bounds = [0, *sorted(cuts), len(TALK)]
    for start, end in pairwise(bounds):
        reader.feed(TALK[start:end])
    assert list(reader.answers) == ANSWERS


@pytest.mark.parametrize(
    "bad",
    [
        b"hello\r\n",
        b"\r\n",
        b"25 ok\r\n",
        b"250ok\r\n",
        b"\xd9\xa1\xd9\xa1\xd9\xa1 ok\r\n",
        b"250-a\r\n550 b\r\n",
        b"250 " + b"x" * 9_000,
        b"250 " + b"x" * 9_000 + b"\r\n",
        b"250-x\r\n" * 20_000,
    ],
)
def test_what_is_no_reply_is_refused_and_what_came_before_it_stands(bad: bytes) -> None:
    reader = AnswerReader()
    with pytest.raises(Malformed):
        reader.feed(b"250 ok\r\n" + bad)
    assert reader.answers[0] == Answer(250, "ok")
    assert len(reader.answers) == 1


@given(st.binary(max_size=200))
def test_reading_never_fails_otherwise(data: bytes) -> None:
    reader = AnswerReader()
    try:
        reader.feed(data)
    except Malformed:
        pass
    assert all(0 <= answer.code <= 999 for answer in reader.answers)


def test_octets_that_are_not_utf_8_are_kept() -> None:
    reader = AnswerReader()
    reader.feed(b"550 gr\xfc\xdfe\r\n")
    assert reader.answers[0].text.encode("utf-8", "surrogateescape") == b"gr\xfc\xdfe"


def test_extensions_are_read_whatever_their_case() -> None:
    text = "MX.example hello\nPipelining\nSIZE 1000\nAUTH PLAIN\nauth=LOGIN PLAIN\n8BITMIME"
    name, offered = read_extensions(text)
    assert name == "MX.example"
    assert set(offered) == {"pipelining", "size", "auth", "8bitmime"}
    assert offered["size"] == "1000"
    assert set(offered["auth"].upper().split()) == {"PLAIN", "LOGIN"}
    assert read_extensions("mx") == ("mx", {})
