"""Dot-stuffing and the look-alikes of a message's end."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.smtp_data import DotReader, is_smuggling, stuff, unstuff


@given(st.lists(st.sampled_from([b".", b"\r\n", b"x", b"\n", b"\r", b"..", b"\0"]), max_size=30).map(b"".join))
def test_stuffing_goes_there_and_back(raw: bytes) -> None:
    assert unstuff(stuff(raw)) == raw


@given(st.lists(st.sampled_from([b".", b"\r\n", b"x"]), max_size=30).map(b"".join))
def test_a_message_with_proper_line_ends_is_never_smuggling(raw: bytes) -> None:
    assert not is_smuggling(raw)
    buffer = bytearray(stuff(raw + b"\r\n") + b".\r\nQUIT\r\n")
    content = DotReader(1_000).read(buffer)
    assert content is not None
    assert (content.raw, content.is_smuggling) == (raw + b"\r\n", False)
    assert buffer == b"QUIT\r\n"


@pytest.mark.parametrize("before", [b"\n", b"\r", b"\r\n", b"\r\0\n", b"\n\0", b"\r\r\n"])
@pytest.mark.parametrize("after", [b"\n", b"\r", b"\r\n", b"\0\r\n", b"\r\r\n", b"\n\n", b"\r\0\n"])
def test_a_lone_dot_is_smuggling_unless_between_two_crlf(before: bytes, after: bytes) -> None:
    proper = before.endswith(b"\r\n") and after == b"\r\n"
    assert is_smuggling(b"a" + before + b"." + after + b"b") != proper


def test_line_ends_are_counted_the_same_however_a_message_comes_in_pieces() -> None:
    pick = random.Random(7)
    signs = (b"\r\n", b"\r\n", b"\r\n", b".", b"a", b"\r\n..", b"\n", b"\r", b"\x00")
    for number in range(600):
        some = signs[:6] if number % 2 else signs
        text = b"".join(pick.choice(some) for _ in range(pick.randrange(1, 40))) + b"\r\n"
        text = b"x" + text.replace(b"\r\n.\r\n", b"\r\n..\r\n")
        sent = text + b".\r\n"
        if sent.find(b"\r\n.\r\n") != len(sent) - 5:
            continue
        whole = DotReader(1_000_000).read(bytearray(sent))
        reader, buffer, found = DotReader(1_000_000), bytearray(), None
        at = 0
        while found is None and at < len(sent):
            size = pick.choice((1, 1, 2, 3, 7))
            buffer += sent[at : at + size]
            at += size
            found = reader.read(buffer)
        assert found == whole
        assert found is not None
        assert found.is_smuggling == (is_smuggling(text) or is_smuggling(unstuff(text)))
