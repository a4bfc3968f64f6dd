"""Paragraphs that were broken into lines (RFC 3676 §4)."""

from __future__ import annotations

import pytest

from posthouse.wire.flowed import unflow
from posthouse.wire.message import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one \ntwo\nthree", "one two\nthree"),
        ("one \n\ntwo", "one \n\ntwo"),
        ("> one \n> two\n>> deep \n>> er\nnew \nwords", "> one two\n>> deep er\nnew words"),
        ("> one \nnew", "> one \nnew"),
        (" From here \n > no quote", "From here > no quote"),
        ("Bye \n-- \nKim \nKing", "Bye \n-- \nKim King"),
        (">\n> x", ">\n> x"),
    ],
)
def test_a_line_that_ends_in_a_blank_goes_on_in_the_next(text: str, expected: str) -> None:
    assert unflow(text, deletes_blank=False) == expected


def test_delsp_takes_the_blank_away() -> None:
    assert unflow("東京に \n行きます。\nabc  \ndef", deletes_blank=True) == "東京に行きます。\nabc def"


def test_flowed_text_is_read_in_text_quotes_and_preview() -> None:
    body = (
        b"A long answer \nin two lines.\n\nOn Fri, 12 Jul 2024 at 18:30, Somebody \n<s@x.example> \nwrote:\n"
        b"> A long \n> question\n\nBelow \nit.\n"
    )
    head = b"Subject: Re: x\nContent-Type: text/plain; charset=utf-8; Format=Flowed\n\n"
    message = parse(head + body)
    assert message.text is not None
    assert "> A long question\n" in message.text
    assert message.extracted_text == "A long answer in two lines.\n\nBelow it."
    assert message.preview == "A long answer in two lines. Below it."


def test_an_introduction_and_a_signature_are_read_as_one_line_each() -> None:
    body = (
        "Siis torstaina.\n\nPosti, \npitkän nimen konttori <konttori@x.example> \nkirjoitti 12.7.2024 klo 18.30:\n"
        "> Milloin \n> sopii?\n>> vanha \n>> viesti\n\nLähetetty \niPhonesta\n"
    )
    head = "Subject: Re: x\nContent-Type: text/plain; charset=utf-8; format=flowed; delsp=no\n\n"
    message = parse((head + body).encode())
    assert (message.extracted_text, message.preview) == ("Siis torstaina.", "Siis torstaina.")


def test_fixed_text_keeps_its_lines() -> None:
    for kind in (b"text/plain", b"text/plain; format=fixed", b"text/plain; name=flowed"):
        assert parse(b"Content-Type: " + kind + b"\n\none \ntwo\n").text == "one \ntwo\n"
