"""Paths and addresses, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import Malformed
from posthouse.wire.smtp_syntax import parse_mailbox, parse_path


@pytest.mark.parametrize(
    ("text", "address", "rest"),
    [
        ("<userx@y.foo.org>", "userx@y.foo.org", ""),  # RFC 5321 §4.1.1.3
        ("<@hosta.int,@jkl.org:userc@d.bar.org>", "userc@d.bar.org", ""),  # RFC 5321 §3.3, appendix C
        ("<>", "", ""),
        ("<> SIZE=1", "", "SIZE=1"),
        (" <a@b> A=1  B", "a@b", "A=1  B"),
        ("a@b A=1", "a@b", "A=1"),
        ("<postmaster>", "postmaster", ""),
        ("<POSTMASTER>", "postmaster", ""),
        ('<"a b"@c.example>', '"a b"@c.example', ""),
        ('<"a>b"@c.example> X', '"a>b"@c.example', "X"),
        ('<"a\\"b"@c.example>', '"a\\"b"@c.example', ""),
        ('<"joe"@c.example>', "joe@c.example", ""),
        ('<""@c.example>', '""@c.example', ""),
        ("<o'brien+tag=x/y@c.example>", "o'brien+tag=x/y@c.example", ""),
        ("<a@[192.0.2.1]>", "a@[192.0.2.1]", ""),
        ("<a@[IPv6:::1]>", "a@[IPv6:::1]", ""),
        ("<.a..b.@docomo.example>", ".a..b.@docomo.example", ""),
        ("<用户@例え.テスト>", "用户@例え.テスト", ""),
        ("<" + "v" * 200 + "@c.example>", "v" * 200 + "@c.example", ""),
        ("<a@under_score.example>", "a@under_score.example", ""),
    ],
)
def test_paths_are_read(text: str, address: str, rest: str) -> None:
    assert parse_path(text) == (address, rest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "<",
        "<a@b",
        "a",
        "<a>",
        "<a@>",
        "<@b>",
        "<a@b>x",
        "<a b@c>",
        "<a@b c>",
        "<a@b..c>",
        "<a@.c>",
        "<a@c.>",
        "<a@-c>",
        "<a@c->",
        "<a,b@c>",
        "<a@b@c>",
        "<(x)a@c>",
        '<"a@c>',
        '<"a"b@c>',
        '<"a\tb"@c>',
        "<a\x85@c>",
        "<a@c\u202e.example>",
        "<a@[1.2.3]>",
        "<a@[1.2.3.4>",
        "<a@[IPv6:1.2.3.4]>",
        "<a@[tag:x]>",
        "<" + "v" * 257 + "@c>",
        "<a@" + "c" * 64 + ">",
        "<a@" + ".".join(["c" * 60] * 5) + ">",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse_path(text)


@given(st.text(max_size=40))
def test_reading_a_path_never_fails_otherwise(text: str) -> None:
    for path in (text, f"<{text}>", f"<a@{text}>", f'<"{text}"@b>'):
        try:
            address, _ = parse_path(path)
        except Malformed:
            continue
        assert address in ("", "postmaster") or parse_mailbox(address) == address
