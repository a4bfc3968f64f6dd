"""Replies on the wire."""

from __future__ import annotations

import pytest

from posthouse.wire.smtp_replies import Reply


def test_text_from_elsewhere_cannot_forge_a_reply() -> None:
    reply = Reply(550, "5.1.1", "no\r\n250 2.0.0 yes\x00é\u2028x").wire
    assert reply == b"550-5.1.1 no\r\n550-5.1.1 250 2.0.0 yes??\r\n550 5.1.1 x\r\n"


def test_long_replies_become_lines_of_at_most_512_octets() -> None:
    lines = Reply(550, "5.1.1", "x" * 2_000).wire.split(b"\r\n")[:-1]
    assert all(len(line) <= 510 for line in lines)
    assert b"".join(line[10:] for line in lines) == b"x" * 2_000
    assert Reply(250, "", "").wire == b"250 \r\n"
    assert Reply(250, "2.0.0", "\n").wire.startswith(b"250 2.0.0")


def test_a_reply_code_has_three_digits_and_a_meaning() -> None:
    with pytest.raises(ValueError):
        Reply(99, "", "")
