"""Whole messages: which bodies are shown, what is drawn from them, and that no bytes make it fail."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.wire.address import Address
from posthouse.wire.message import (
    Limits,
    ParsedMessage,
    Part,
    body_lists,
    decode_part,
    find_part,
    parse,
    parse_headers_only,
    part_text,
)


def read(text: str) -> ParsedMessage:
    return parse(text.encode())


# --- RFC 5322 Appendix A ----------------------------------------------------------------------------


def test_rfc5322_a_2_a_reply() -> None:
    message = read(
        "From: Mary Smith <mary@example.net>\r\nTo: John Doe <jdoe@machine.example>\r\n"
        'Reply-To: "Mary Smith: Personal Account" <smith@home.example>\r\nSubject: Re: Saying Hello\r\n'
        "Date: Fri, 21 Nov 1997 10:01:10 -0600\r\nMessage-ID: <3456@example.net>\r\n"
        "In-Reply-To: <1234@local.machine.example>\r\nReferences: <1234@local.machine.example>\r\n\r\n"
        "This is a reply to your hello.\r\n"
    )
    assert message.from_ == (Address("mary@example.net", "Mary Smith"),)
    assert message.reply_to == (Address("smith@home.example", "Mary Smith: Personal Account"),)
    assert message.to == (Address("jdoe@machine.example", "John Doe"),)
    assert (message.message_id, message.in_reply_to) == ("3456@example.net", ("1234@local.machine.example",))
    assert message.references == ("1234@local.machine.example",)
    assert message.subject == "Re: Saying Hello"
    assert message.sent_at == 880128070000
    assert message.text == message.plain == "This is a reply to your hello.\n"
    assert message.html is None
    assert message.preview == "This is a reply to your hello."
    assert not message.defects


def test_rfc5322_a_6_3_white_space_and_comments() -> None:
    message = read(
        "From  : John Doe <jdoe@machine(comment).  example>\nTo    : Mary Smith\n\n          <mary@example.net>\n"
    )
    assert message.from_ == (Address("jdoe@machine.example", "John Doe"),)


# --- RFC 8621 §4.1.4 --------------------------------------------------------------------------------


def part(name: str, content_type: str, *children: Part, disposition: str | None = None, filename: str = "") -> Part:
    return Part(
        name, content_type, None, filename or None, disposition, None, (), None, 0, "7bit", (), children, 0, 0
    )  # fmt: skip


def names(parts: tuple[Part, ...]) -> str:
    return "".join(each.part_id for each in parts)


def test_rfc8621_4_1_4_the_example() -> None:
    root = part(
        "",
        "multipart/mixed",
        part("A", "text/plain", disposition="inline"),
        part(
            "",
            "multipart/mixed",
            part(
                "",
                "multipart/alternative",
                part(
                    "",
                    "multipart/mixed",
                    part("B", "text/plain", disposition="inline"),
                    part("C", "image/jpeg", disposition="inline"),
                    part("D", "text/plain", disposition="inline"),
                ),
                part("", "multipart/related", part("E", "text/html"), part("F", "image/jpeg")),
            ),
            part("G", "image/jpeg", disposition="attachment"),
            part("H", "application/x-excel"),
            part("J", "message/rfc822"),
        ),
        part("K", "text/plain", disposition="inline"),
    )
    text_body, html_body, attachments = body_lists(root)
    assert (names(text_body), names(html_body), names(attachments)) == ("ABCDK", "AEK", "CFGHJ")


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (part("A", "text/plain"), ("A", "A", "")),
        (part("A", "text/html"), ("A", "A", "")),
        (part("A", "text/calendar"), ("", "", "A")),
        (part("A", "image/png"), ("A", "A", "")),
        (part("", "multipart/alternative", part("A", "text/html")), ("A", "A", "")),
        (part("", "multipart/alternative", part("A", "text/plain"), part("B", "text/calendar")), ("A", "A", "B")),
        (part("", "multipart/mixed", part("A", "text/plain"), part("B", "text/plain", filename="x")), ("A", "A", "B")),
        (part("", "multipart/related", part("A", "text/html"), part("B", "text/html")), ("A", "A", "B")),
    ],
)
def test_body_lists_of_small_structures(root: Part, expected: tuple[str, str, str]) -> None:
    text_body, html_body, attachments = body_lists(root)
    assert (names(text_body), names(html_body), names(attachments)) == expected


def multipart(subtype: str, *parts: str) -> str:
    body = "".join(f"--b{subtype}\n{each}\n" for each in parts)
    return f"Content-Type: multipart/{subtype}; boundary=b{subtype}\n\n{body}--b{subtype}--\n"


PLAIN = "Content-Type: text/plain; charset=utf-8\n\nplain é"
HTML = "Content-Type: text/html; charset=utf-8\n\n<p>html &eacute;"
FILE = "Content-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n\nPDF"
LOGO = "Content-Type: image/png\nContent-ID: <logo>\nContent-Disposition: inline\n\nPNG"


def test_text_and_html_are_told_apart_from_what_is_made_of_them() -> None:
    both = read(multipart("alternative", PLAIN, HTML))
    assert (both.text, both.html, both.plain) == ("plain é", "<p>html &eacute;", "plain é")
    only_html = read(multipart("alternative", HTML))
    assert (only_html.text, only_html.html, only_html.plain) == (None, "<p>html &eacute;", "html é")
    only_text = read(multipart("mixed", PLAIN, FILE))
    assert (only_text.text, only_text.html) == ("plain é", None)
    neither = read(multipart("mixed", FILE))
    assert (neither.text, neither.html, neither.plain, neither.extracted_text) == (None, None, "", None)


def test_mixed_bodies_lose_nothing_in_either_form() -> None:
    message = read(multipart("mixed", PLAIN, HTML))
    assert message.text == "plain é\n\nhtml é\n"
    assert message.html == '<div style="white-space: pre-wrap">plain é</div>\n<p>html &eacute;'


def test_only_what_is_to_be_downloaded_counts_as_attachment() -> None:
    with_file = read(multipart("mixed", PLAIN, FILE))
    assert with_file.has_attachment and [each.filename for each in with_file.attachments] == ["a.pdf"]
    with_logo = read(multipart("related", HTML + '<img src="cid:logo">', LOGO))
    assert not with_logo.has_attachment and [each.content_id for each in with_logo.attachments] == ["logo"]


def test_a_part_is_found_and_decoded_by_its_id() -> None:
    raw = multipart("mixed", multipart("alternative", PLAIN, HTML).rstrip(), FILE).encode()
    message = parse(raw)
    found = find_part(message.structure, "1.2")
    assert found is not None and part_text(raw, found) == "<p>html &eacute;"
    assert decode_part(raw, message.attachments[0]) == b"PDF"
    assert find_part(message.structure, "1") is None
    assert find_part(message.structure, "9") is None


# --- Fields -----------------------------------------------------------------------------------------


def test_repeated_fields_the_first_counts_but_all_recipients_do() -> None:
    message = read("From: a@b\nFrom: evil@x\nSubject: one\nSubject: two\nTo: c@d\nTo: e@f\n\n")
    assert message.from_ == (Address("a@b"),)
    assert message.subject == "one"
    assert [address.email for address in message.to] == ["c@d", "e@f"]
    assert len(message.defects) == 3


def test_headers_keep_names_order_and_raw_values() -> None:
    raw = b"X-B: 1\r\nx-a:  two\r\n words\r\nX-B: =?utf-8?q?=C3=A9?=\r\n\r\n"
    expected = (("X-B", " 1"), ("x-a", "  two\r\n words"), ("X-B", " =?utf-8?q?=C3=A9?="))
    assert parse(raw).headers == expected
    assert parse_headers_only(raw) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Auto-Submitted: auto-replied", True),
        ("Auto-Submitted: auto-generated (daily)", True),
        ("Auto-Submitted: no", False),
        ("Precedence: bulk", True),
        ("List-Id: <x.y>", True),
        ("Return-Path: <>", True),
        ("Return-Path: <a@b>", False),
        ("Content-Type: multipart/report; boundary=x\n\n--x\n\nx\n--x--", True),
        ("From: Mail Delivery <MAILER-DAEMON@x.org>", True),
        ("From: Jane <jane@x.org>", False),
    ],
)
def test_automatic_mail_is_recognised(header: str, expected: bool) -> None:
    assert read(f"{header}\n\nx").is_auto_submitted is expected


def test_the_new_text_of_a_reply_is_set_apart() -> None:
    message = read("Subject: Re: x\n\nYes.\n\nOn Mon, 1 Jan 2024 at 10:00, Bob <b@x.org> wrote:\n> Really?\n")
    assert message.extracted_text == "Yes."
    assert message.preview == "Yes."
    html = read(
        "Subject: Re: x\nContent-Type: text/html\n\n"
        "<div>Yes.</div><div class=gmail_quote>On x:<blockquote>Really?</blockquote></div>"
    )
    assert html.extracted_html == "<div>Yes.</div>"
    assert html.extracted_text == "Yes."


# --- Charsets and damage ----------------------------------------------------------------------------


def test_bodies_are_read_in_their_charset_with_lf_line_ends() -> None:
    raw = b"Content-Type: text/plain; charset=iso-8859-15\nContent-Transfer-Encoding: quoted-printable\n\n=A4=\r\n5\r\n"
    assert parse(raw).text == "€5\n"
    assert parse("Content-Type: text/plain; charset=nonsense\n\né".encode()).text == "é"
    assert parse(b"\n\xe9\x00").text == "é\ufffd"
    assert parse(b"\n\xef\xbb\xbfbom").text == "bom"


@pytest.mark.parametrize(
    "before",
    [
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf",
        b"From kim Mon Mar  4\r\n\xef\xbb\xbf",
        b"\xef\xbb\xbfFrom kim Mon Mar  4\n",
    ],
)
def test_a_byte_order_mark_before_the_header_is_none_of_it(before: bytes) -> None:
    message = parse(before + b"From: kim@x.example\r\nSubject: Karte\r\n\r\nText")
    assert (message.from_[0].email, message.subject, message.text) == ("kim@x.example", "Karte", "Text")


def test_a_long_body_is_cut_with_a_defect() -> None:
    message = parse(b"\n" + b"x" * 100, Limits(text_bytes=10))
    assert message.text == "x" * 10
    assert "longer" in message.defects[0]
    assert message.structure.size_bytes == 100


PIECES = [
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: multipart/alternative; boundary=\"b\"\n",
    b"\r\n", b"\n", b"--b\r\n", b"--b--\n", b"--b--\r\n--b", b"Content-Type: text/html; charset=utf-7\n",
    b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"=?utf-8?q?=",
    b"Subject: =?utf-8?B?w6k?= =?x", b"From: \"a", b"To: <a@b, (", b"\x00", b"\xff\xfe", b" folded", b"text\r\n",
    b"<div style=display:none>", b"</div>", b"<!--", b"> quoted\n", b"On 1.1.2024 wrote:\n", b"-- \n", b"\r",
    b"Content-Type: message/rfc822\n", b"Content-Disposition: attachment; filename*0*=x''%", b"Date: 1 Jan\n",
]  # fmt: skip


def check(message: ParsedMessage, raw: bytes) -> None:
    """What holds of every message."""
    for text in (message.subject, message.plain, message.preview, message.text or "", message.html or ""):
        assert "\0" not in text
        text.encode("utf-8")
    assert len(message.preview) <= 200 and "\n" not in message.preview
    waiting = [message.structure]
    while waiting:
        each = waiting.pop()
        assert 0 <= each.start <= each.end <= len(raw)
        if not each.parts:
            assert len(decode_part(raw, each)) == each.size_bytes
        waiting.extend(each.parts)


@settings(max_examples=300)
@given(st.binary() | st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join))
def test_no_bytes_make_parsing_fail(raw: bytes) -> None:
    check(parse(raw), raw)


def test_no_damage_to_a_real_structure_makes_parsing_fail() -> None:
    whole = multipart("mixed", multipart("related", HTML, LOGO).rstrip(), PLAIN, FILE).encode()
    chance = random.Random(1)
    for _ in range(500):
        raw = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(raw))
            raw[at : at + chance.randint(0, 9)] = chance.choice([b"", b"\n", b"--", b"\x00", b"=", b'"', b"\xff"])
        check(parse(bytes(raw)), bytes(raw))


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
HOSTILE = {
    "delimiters": MIXED + b"--b\r\n\r\nx\r\n" * 100_000,
    "dashes": MIXED + b"\n--" * 300_000,
    "near delimiters": MIXED + b"--bb\n" * 200_000,
    "nesting": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20_000)),
    "nesting, one boundary": (MIXED + b"--b\r\n") * 20_000,
    "headers": b"A: b\r\n" * 200_000,
    "one header": b"A: " + b"x" * 1_000_000,
    "folds": b"A: x\r\n" + b" y\r\n" * 250_000,
    "parameters": b"Content-Type: text/plain; " + b"a=b; " * 50_000 + b"\n\n",
    "continuations": b"Content-Type: text/plain; " + b"a*1*=b; " * 30_000 + b"\n\n",
    "quotes": b"From: " + b'"\\"' * 80_000 + b"\n\n",
    "brackets": b"From: " + b"a <" * 80_000 + b"\n\n",
    "addresses": b"To: " + b"a@b," * 60_000 + b"\n\n",
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 18_000 + b"\n\n",
    "open encoded words": b"Subject: " + b"=?utf-8?q?" * 25_000 + b"\n\n",
    "charsets": b"Subject: " + b"".join(b"=?c%d?q?x?= " % n for n in range(18_000)) + b"\n\n",
    "padding": b"Content-Transfer-Encoding: base64\n\n" + b"QQ==" * 250_000,
    "equals signs": b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * 1_000_000,
    "uuencode": b"Content-Transfer-Encoding: uuencode\n\nbegin 644 x\n" + b"!\n" * 500_000,
    "divs": b"Content-Type: text/html\n\n" + b"<div>" * 200_000,
    "quoted lines": b"\n" + b"> x\n" * 250_000,
    "blank lines": b"\n" * 1_000_000,
    "attributions": b"\n" + b"On 1.1.2024 x wrote:\n>\n" * 10_000,
    "nul": b"\0" * 1_000_000,
    "cr": b"\r" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_takes_linear_time(name: str) -> None:
    raw = HOSTILE[name]  # quadratic time would be minutes
    check(parse(raw), raw)


def test_the_first_addresses_of_a_very_long_field_are_read_and_no_half_one() -> None:
    people = [f"person{number}@some.example" for number in range(10_000)]
    raw = (
        b"From: a@b.example\r\nTo: "
        + ",\r\n ".join(people).encode()
        + b"\r\nCc: late@c.example\r\nSubject: s\r\n\r\nx\r\n"
    )
    message = parse(raw)
    found = [address.email for address in message.to]
    assert 1_000 < len(found) < 10_000 and found == people[: len(found)]
    assert (message.from_[0].email, message.subject, message.plain) == ("a@b.example", "s", "x\n")
    assert any("first addresses" in defect for defect in message.defects)


@pytest.mark.parametrize("entry", ["a@b,", ",", "<", '"', "(", "\xe9,", "=?q?q?a?= <a@b>,", ":;"])
def test_a_field_of_half_a_megabyte_is_read_in_a_moment(entry: str) -> None:
    taken = []
    for size in (60_000, 500_000):
        raw = b"".join(
            f"{name}: {entry * (size // len(entry))}\r\n".encode() for name in ("From", "To", "Cc", "Reply-To")
        )
        begun = time.process_time()
        parse(raw + b"\r\nx\r\n")
        taken.append(time.process_time() - begun)
    assert taken[1] < 4 * taken[0] + 0.1
