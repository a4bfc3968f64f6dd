"""Header fields, read: the standards' own examples, and what real mail does instead."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.dates import parse_date
from posthouse.wire.headers import (
    decode_text,
    parse_message_ids,
    parse_parameters,
    read_section,
)

# --- Sections ---------------------------------------------------------------------------------------


def test_a_section_keeps_order_folding_and_offsets() -> None:
    raw = b"Subject: a\r\n folded line\r\nTO:b@c\r\n\r\nbody"
    section = read_section(raw)
    assert section.fields == [("Subject", " a\r\n folded line"), ("TO", "b@c")]
    assert raw[section.body_start :] == b"body"
    assert not section.defects


@pytest.mark.parametrize(
    ("raw", "names", "body"),
    [
        (b"A: 1\nB: 2\n\nbody", ["A", "B"], b"body"),
        (b"A: 1\r\nB: 2\n\r\nbody", ["A", "B"], b"body"),
        (b"\r\nbody", [], b"body"),
        (b"\nbody", [], b"body"),
        (b"no header at all\nbody", [], b"no header at all\nbody"),
        (b"A: 1\nno field, and the body begins", ["A"], b"no field, and the body begins"),
        (b"A: 1\njunk\nB: 2\n\nbody", ["A", "B"], b"body"),
        (b"From x Mon Jan  1 00:00:00 2024\nA: 1\n\nbody", ["A"], b"body"),
        (b"A : 1\n\nbody", ["A"], b"body"),
        (b"A:\n\nbody", ["A"], b"body"),
        (b"A: 1", ["A"], b""),
        (b"A: 1\r\n \r\nB: 2\r\n\r\nbody", ["A", "B"], b"body"),
        (b"", [], b""),
    ],
)
def test_sloppy_sections_end_where_people_would_say(raw: bytes, names: list[str], body: bytes) -> None:
    section = read_section(raw)
    assert [name for name, _ in section.fields] == names
    assert raw[section.body_start :] == body


def test_limits_of_a_section_leave_the_rest_unread() -> None:
    section = read_section(b"A: b\n" * 50 + b"\nbody", max_fields=10)
    assert len(section.fields) == 10 and section.cut and section.body_start == 50
    section = read_section(b"A: b\n" * 50 + b"\nbody", max_bytes=23)
    assert len(section.fields) == 4 and section.cut and section.body_start == 20


def test_raw_8bit_is_read_as_utf8_else_in_the_charset_of_the_body() -> None:
    section = read_section("Subject: é\r\nX: é\r\n\r\n".encode())
    assert section.fields[0][1] == " é"
    section = read_section("Subject: привет\n\n".encode("koi8-r"))
    section.apply_charset("koi8-r")
    assert section.fields == [("Subject", " привет")]


# --- Text: RFC 2047 §8 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("(=?ISO-8859-1?Q?a?=)", "(a)"),
        ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a?=\r\n =?ISO-8859-1?Q?b?=)", "(ab)"),
        ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
        ("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
    ],
)
def test_rfc2047_8_table(encoded: str, text: str) -> None:
    assert decode_text(encoded) == text


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
        ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>", "Keld Jørn Simonsen <keld@dkuug.dk>"),
        ("=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>", "André Pirard <PIRARD@vm1.ulg.ac.be>"),
        (
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n "
                "=?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?="
            ),
            "If you can read this you understand the example.",
        ),
        ("=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?= <paf@nada.kth.se>", "Patrik Fältström <paf@nada.kth.se>"),
        ("=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=", "םולש ןב ילטפנ"),
        ("=?US-ASCII*EN?Q?Keith_Moore?=", "Keith Moore"),  # RFC 2231 §5
    ],
)
def test_rfc2047_8_examples(encoded: str, text: str) -> None:
    assert decode_text(encoded) == text


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        ("=?utf-8?Q?=C3?= =?utf-8?Q?=A9?=", "é"),
        ("=?utf-8?B?w?= =?utf-8?B?6k=?=", "é"),
        ("=?utf-8?q?=E2=82?= =?UTF-8?b?rA==?=", "€"),
        ("=?unknown?Q?=C3=A9?=", "é"),
        ("=?utf-8?Q?=E9?=", "é"),
        ("=?utf-8?Q?not closed", "=?utf-8?Q?not closed"),
        ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
        ("a =?utf-8?Q?b?= c =?utf-8?Q?d?=", "a b c d"),
        ("text=?utf-8?Q?glued?=text", "textgluedtext"),
        ("=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x"),
        ("=?utf-8?Q?=00?=", "\ufffd"),
        ("e\u0301", "é"),
        (" a\r\n\tb ", "a b"),
        ("a\nb", "a b"),
    ],
)
def test_broken_encoded_words_are_read_as_meant(encoded: str, text: str) -> None:
    assert decode_text(encoded) == text


@given(st.text() | st.text(alphabet="=?utf-8QqBb_ \r\n\t").map(lambda text: "=?utf-8?Q?" + text) | st.binary())
def test_reading_text_never_fails(raw: str | bytes) -> None:
    text = decode_text(raw)
    assert not any(char in text for char in "\0\r\n")
    text.encode("utf-8")


# --- Parameters: RFC 2045 §5.1, RFC 2231 ------------------------------------------------------------


def test_rfc2045_5_1_examples() -> None:
    expected = ("text/plain", {"charset": "us-ascii"})
    assert parse_parameters('text/plain; charset="us-ascii"') == expected
    word, parameters = parse_parameters("text/plain; charset=us-ascii (Plain text)")
    assert (word, parameters["charset"].split()[0]) == ("text/plain", "us-ascii")


def test_rfc2231_3_continuations() -> None:
    assert parse_parameters(
        'message/external-body; access-type=URL;\r\n URL*0="ftp://";\r\n'
        ' URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"'
    ) == (
        "message/external-body",
        {"access-type": "URL", "url": "ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"},
    )


def test_rfc2231_4_charset_and_language() -> None:
    word, parameters = parse_parameters(
        "application/x-stuff;\r\n title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A"
    )
    assert (word, parameters) == ("application/x-stuff", {"title": "This is ***fun***"})


def test_rfc2231_4_1_both_together() -> None:
    _, parameters = parse_parameters(
        "application/x-stuff\r\n ;title*0*=us-ascii'en'This%20is%20even%20more%20\r\n"
        ' ;title*1*=%2A%2A%2Afun%2A%2A%2A%20\r\n ;title*2="isn\'t it!"'
    )
    assert parameters == {"title": "This is even more ***fun*** isn't it!"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('a/b; name="=?utf-8?B?w6k=?=.pdf"', {"name": "é.pdf"}),
        ("a/b; name=My file (1).pdf; x=y", {"name": "My file (1).pdf", "x": "y"}),
        ('a/b; filename="C:\\dir\\f.txt"', {"filename": "C:\\dir\\f.txt"}),
        ('a/b; filename="say \\"hi\\".txt"', {"filename": 'say "hi".txt'}),
        ('a/b; filename="a;b=c.txt"; d=e', {"filename": "a;b=c.txt", "d": "e"}),
        ("a/b; filename*=utf-8''%e2%82%ac.txt; filename=euro.txt", {"filename": "€.txt"}),
        ("a/b; filename*=%e2%82%ac.txt", {"filename": "€.txt"}),
        ("a/b; f*1=b; f*0=a; f*3=d", {"f": "ab"}),
        ('a/b; boundary="unclosed', {"boundary": "unclosed"}),
        ("a/b; x=1; x=2", {"x": "1"}),
        ("a/b;;; x = 1 ;", {"x": "1"}),
        ("a/b; novalue; x=1", {"x": "1"}),
        ("a/b charset=utf-8", {"charset": "utf-8"}),
        ("a/b", {}),
    ],
)
def test_sloppy_parameters_are_read(value: str, expected: dict[str, str]) -> None:
    assert parse_parameters(value) == ("a/b", expected)


@given(st.text() | st.text(alphabet="a/b; =*0\"\\'%"))
def test_reading_parameters_never_fails(value: str) -> None:
    parse_parameters(value)


# --- Message ids and dates --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("<1234@local.machine.example>", ("1234@local.machine.example",)),
        (" <a@b>\r\n <c@d> <a@b>", ("a@b", "c@d")),
        ("<a@b><c@d>,<e@f>", ("a@b", "c@d", "e@f")),
        ("<a\r\n b@c>", ("ab@c",)),
        ("a@b, c@d", ("a@b", "c@d")),
        ("Your message of Monday <a@b> (x)", ("a@b",)),
        ("<no-at-sign>", ("no-at-sign",)),
        ("<> nothing", ()),
        ("", ()),
    ],
)
def test_message_ids_are_found(value: str, ids: tuple[str, ...]) -> None:
    assert parse_message_ids(value) == ids


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fri, 21 Nov 1997 09:55:06 -0600", at(1997, 11, 21, 15, 55, 6)),  # RFC 5322 A.1.1
        ("Tue, 1 Jul 2003 10:52:37 +0200", at(2003, 7, 1, 8, 52, 37)),  # A.1.2
        ("Thu, 13 Feb 1969 23:32:54 -0330", at(1969, 2, 14, 3, 2, 54)),  # A.1.3
        ("Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
         at(1969, 2, 14, 3, 2)),  # A.5
        ("21 Nov 97 09:55:06 GMT", at(1997, 11, 21, 9, 55, 6)),  # A.6.2
        ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", at(1997, 11, 21, 15, 55, 6)),  # A.6.3
        ("Mon, 1 Jan 2024 00:00:00 EST", at(2024, 1, 1, 5)),
        ("Mon, 1 Jan 2024 00:00 Z", at(2024, 1, 1)),
        ("Mon, 01-Jan-24 10:00:00 +0000", at(2024, 1, 1, 10)),
        ("Mon Jan  2 15:04:05 2006", at(2006, 1, 2, 15, 4, 5)),
        ("Mon Jan  2 15:04:05 EST 2006", at(2006, 1, 2, 20, 4, 5)),
        ("2024-01-02T03:04:05Z", at(2024, 1, 2, 3, 4, 5)),
        ("2024-01-02 03:04:05 +0100", at(2024, 1, 2, 2, 4, 5)),
        ("November 5, 2021 10:11 PM", at(2021, 11, 5, 22, 11)),
        ("Tue, 06 Aug 2002 06:50:21 PM -0400", at(2002, 8, 6, 22, 50, 21)),
        ("Thu, 31 Dec 1998 23:59:60 +0000", at(1999, 1, 1)),
        ("Thu, 31 Feb 2020 10:00:00 +0000", None),
        ("Mon, 1 Foo 2024 10:00:00 +0000", None),
        ("Mon, 1 Jan 2024 25:00:00 +0000", None),
        ("tomorrow", None),
        ("", None),
    ],
)  # fmt: skip
def test_dates_are_read(text: str, expected: int | None) -> None:
    assert parse_date(text) == expected


@given(st.text(alphabet="0123456789 :-+,JanFebUTC()AMPM/.T"))
def test_reading_a_date_never_fails(text: str) -> None:
    parse_date(text)
