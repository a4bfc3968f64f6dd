"""Base subjects and prefixes (RFC 5256 §2.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.thread_subject import base_subject, forward_subject, reply_subject


@pytest.mark.parametrize(
    ("subject", "base", "marked"),
    [
        ("Hello", "hello", False),
        ("Re: Hello", "hello", True),
        ("RE: re: Re[2]: Hello", "hello", True),
        ("Fwd: FW: Hello", "hello", True),
        ("Re:Hello (fwd)", "hello", True),
        ("Hello (fwd) (fwd)", "hello", True),
        ("[list] Hello", "hello", False),
        ("Re: [list] Re: Hello", "hello", True),
        ("[a][b] Hello", "hello", False),
        ("[list]", "[list]", False),
        ("Re: [list]", "[list]", True),
        ("[Fwd: Hello]", "hello", True),
        ("[Fwd: Re: Hello]", "hello", True),
        ("Re [x]: Hello", "hello", True),
        ("AW: WG: Grüße", "grüsse", True),
        ("SV: Hej", "hej", True),
        ("回复： 你好", "你好", True),
        ("  two \t words ", "two words", False),
        ("Reply: no", "reply: no", False),
        ("Regarding", "regarding", False),
        ("Re:", "", True),
        ("", "", False),
    ],
)
def test_the_base_of_a_subject(subject: str, base: str, marked: bool) -> None:
    assert base_subject(subject) == (base, marked)


@given(st.text() | st.text(alphabet="Re:Fwd[] ()2"))
def test_the_base_never_fails_and_prefixes_do_not_change_it(subject: str) -> None:
    base, _ = base_subject(subject)
    assert base_subject(reply_subject(" ".join(subject[:900].split())))[0] == base_subject(subject[:900])[0]
    assert base_subject(base * 2) is not None


@pytest.mark.parametrize("unit", ["re:", "[a]", "[", "(fwd)", "[fwd:", "re[", " ("])
def test_long_subjects_take_linear_time(unit: str) -> None:
    base_subject(unit * 100_000)
    reply_subject(unit * 100_000)


@pytest.mark.parametrize(
    ("subject", "reply", "forward"),
    [
        ("Hello", "Re: Hello", "Fwd: Hello"),
        ("Re: Hello", "Re: Hello", "Fwd: Re: Hello"),
        ("RE: re: Hello", "Re: Hello", "Fwd: RE: re: Hello"),
        ("Re[2]: Hello", "Re: Hello", "Fwd: Re[2]: Hello"),
        ("Aw: Hello", "Re: Hello", "Fwd: Aw: Hello"),
        ("Fwd: Hello", "Re: Fwd: Hello", "Fwd: Hello"),
        ("", "Re:", "Fwd:"),
        ("a\r\nBcc: x", "Re: a Bcc: x", "Fwd: a Bcc: x"),
    ],
)
def test_prefixes_are_given_once(subject: str, reply: str, forward: str) -> None:
    assert reply_subject(subject) == reply
    assert forward_subject(subject) == forward
