"""Nothing a mail holds is lost: each part is shown as text or is a file. And what names and headers are read in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.message import Contents, ParsedMessage, parse
from posthouse.wire.mime import Limits
from posthouse.wire.named import named_in
from unit.wire.timing import least_time

HEAD = b"From: a@b.example\nSubject: x\nMIME-Version: 1.0\n"


def read(raw: str | bytes, limits: Limits = Limits()) -> ParsedMessage:
    return parse(HEAD + (raw.encode() if isinstance(raw, str) else raw), limits)


def multipart(subtype: str, *parts: str, boundary: str = "b", more: str = "") -> str:
    body = "".join(f"--{boundary}\n{each}\n" for each in parts)
    return f"Content-Type: multipart/{subtype}; boundary={boundary}{more}\n\n{body}--{boundary}--\n"


def listed(message: ParsedMessage) -> list[tuple[str | None, bool]]:
    return [(file.part.filename, file.in_text) for file in message.files]


TEXT = "Content-Type: text/plain; charset=us-ascii\n\nWords"
HTML = "Content-Type: text/html; charset=us-ascii\n\n<p>Words <img src=\"cid:pic%40x\"> <img src='logo.gif'>"
PHOTO = "Content-Type: image/jpeg; name=p.jpg\nContent-Disposition: inline\n\nJPEG"
PICTURE = "Content-Type: image/png; name=pic.png\nContent-ID: <pic@x>\n\nPNG"


# --- What is a file


@pytest.mark.parametrize(
    ("raw", "files"),
    [
        (multipart("mixed", TEXT, PHOTO, TEXT), [("p.jpg", False)]),
        (multipart("mixed", PHOTO, TEXT), [("p.jpg", False)]),
        (PHOTO, [("p.jpg", False)]),
        ("Content-Type: audio/ogg; name=voice.ogg\n\nOgg", [("voice.ogg", False)]),
        ("Content-Type: application/pdf; name=scan.pdf\n\nPDF", [("scan.pdf", False)]),
        (multipart("mixed", HTML, PHOTO), [("p.jpg", False)]),
        (multipart("related", HTML, PICTURE), [("pic.png", True)]),
        (multipart("related", HTML, PICTURE.replace("PNG", "x").replace("image/png", "application/octet-stream")), [("pic.png", True)]),
        (multipart("related", HTML, PICTURE.replace("\n\n", "\nContent-Disposition: attachment\n\n")), [("pic.png", True)]),
        (multipart("related", HTML, PICTURE.replace("<pic@x>", "<other@x>")), [("pic.png", False)]),
        (multipart("related", HTML, "Content-Type: image/gif; name=l\nContent-Location: logo.gif\n\nGIF"), [("l", True)]),
        (multipart("mixed", TEXT, PICTURE), [("pic.png", False)]),
        (multipart("mixed", TEXT, "Content-Type: text/plain; name=notes.txt\n\nNotes"), [("notes.txt", False)]),
        (multipart("alternative", TEXT, "Content-Type: text/calendar; name=i.ics\n\nBEGIN"), [("i.ics", False)]),
        (multipart("mixed", TEXT, "Content-Type: message/rfc822; name=m.eml\nContent-Disposition: inline\n\nSubject: y\n\nz"),
         [("m.eml", False)]),
        (TEXT, []),
        (HTML, []),
    ],
)  # fmt: skip
def test_what_is_no_text_is_a_file_and_inline_only_where_the_html_shows_it(
    raw: str, files: list[tuple[str | None, bool]]
) -> None:
    message = read(raw)
    assert listed(message) == files
    assert message.has_attachment == any(not in_text for _, in_text in files)


def test_text_that_an_alternative_leaves_out_of_every_list_is_a_file() -> None:
    """RFC 8621 §4.1.4 drops a text/plain behind the HTML inside an alternative."""
    footer = "Content-Type: text/plain; name=footer.txt\n\nUnsubscribe"
    inner = multipart("mixed", HTML, footer.replace("; name=footer.txt", ""), boundary="i")
    message = read(multipart("alternative", TEXT, inner, boundary="o"))
    raw = HEAD + multipart("alternative", TEXT, inner, boundary="o").encode()
    (file,) = message.files
    assert Contents(raw).span(file.part.start, file.part.end, file.part.encoding) == b"Unsubscribe"


def test_a_text_that_is_cut_is_kept_whole_as_a_file() -> None:
    message = read("Content-Type: text/plain\n\n" + "word " * 100, Limits(text_bytes=50))
    assert [file.part.size_bytes for file in message.files] == [500]


_LEAVES = ["text/plain", "text/html", "image/png", "application/pdf", "text/csv", "message/rfc822", "audio/ogg"]


@st.composite
def trees(draw: st.DrawFn) -> tuple[str, int]:
    """A tree of parts, each leaf with a word of its own, and how many leaves."""
    count = 0

    def leaf() -> str:
        nonlocal count
        count += 1
        fields = draw(st.sampled_from(["", "Content-Disposition: inline\n", "Content-Disposition: attachment\n",
                                       "Content-Disposition: filename=f.bin\n", f"Content-ID: <c{count}>\n"]))  # fmt: skip
        return f"Content-Type: {draw(st.sampled_from(_LEAVES))}\n{fields}\nword{count}x"

    def node(depth: int) -> str:
        if depth == 0 or draw(st.booleans()):
            return leaf()
        subtype = draw(st.sampled_from(["mixed", "alternative", "related", "signed"]))
        parts = [node(depth - 1) for _ in range(draw(st.integers(1, 3)))]
        return multipart(subtype, *parts, boundary=f"b{depth}q{count}")

    return node(3), count


@given(trees())
def test_every_part_is_shown_or_a_file_and_none_is_both(tree: tuple[str, int]) -> None:
    raw, count = HEAD + tree[0].encode(), tree[1]
    message = parse(raw)
    contents = Contents(raw)
    files = b" ".join(contents.span(each.part.start, each.part.end, each.part.encoding) for each in message.files)
    shown = f"{message.text} {message.html}"
    for number in range(1, count + 1):
        assert (f"word{number}x" in shown) != (f"word{number}x".encode() in files)


# --- The root of a related


@pytest.mark.parametrize(
    "more",
    ['; start="<root@x>"', "; start=root@x; type=image/png", '; type="text/html"', "; type=TEXT/HTML; start=gone"],
)
def test_a_related_begins_with_the_part_it_names(more: str) -> None:
    root = HTML.replace("\n\n", "\nContent-ID: <root@x>\n\n", 1)
    message = read(multipart("related", PICTURE, root, more=more))
    assert message.html is not None
    assert "Words" in message.html
    assert listed(message) == [("pic.png", True)]
    assert [part.content_type for part in message.html_body] == ["text/html"]


def test_its_root_may_be_an_alternative() -> None:
    inner = multipart("alternative", TEXT, HTML, boundary="i")
    message = read(multipart("related", PICTURE, inner, more='; type="multipart/alternative"', boundary="o"))
    assert (message.text, listed(message)) == ("Words", [("pic.png", True)])


# --- Names and raw letters


@pytest.mark.parametrize(
    "field",
    [
        "Content-Disposition: filename=plan.pdf",
        'Content-Disposition: filename = "plan.pdf"',
        "Content-Disposition: ; filename=plan.pdf",
        "Content-Disposition: filename*=utf-8''plan.pdf",
    ],
)
def test_a_file_name_needs_no_word_before_it(field: str) -> None:
    message = read(multipart("mixed", TEXT, f"Content-Type: application/pdf\n{field}\n\nPDF"))
    assert listed(message) == [("plan.pdf", False)]


@pytest.mark.parametrize(
    ("codec", "word"),
    [
        ("windows-1251", "Отчёт"),
        ("gbk", "会议记录"),
        ("euc-kr", "회의록"),
        ("iso-8859-2", "Żółć"),
        ("windows-1253", "Έκθεση"),
    ],
)
@pytest.mark.parametrize("file_first", [True, False])
def test_raw_letters_are_read_in_the_charset_of_the_text(codec: str, word: str, file_first: bool) -> None:
    text = f"Content-Type: text/plain; charset={codec}\n\n{word}"
    file = f'Content-Type: application/pdf; name="{word}.pdf"\n\nPDF'
    parts = [file, multipart("alternative", text, boundary="i")]
    raw = multipart("mixed", *(parts if file_first else parts[::-1]), boundary="o")
    message = parse(f"From: {word} <a@b.example>\nSubject: {word}\n{raw}".encode(codec))
    assert (message.subject, message.from_[0].name) == (word, word)
    assert listed(message) == [(f"{word}.pdf", False)]


def test_raw_letters_are_read_in_the_charset_the_html_names_itself() -> None:
    raw = f"Subject: Заказ\nContent-Type: text/html\n\n<meta charset=windows-1251>{'Заказ готов'}".encode("cp1251")
    message = parse(raw)
    assert (message.subject, message.plain.strip()) == ("Заказ", "Заказ готов")


def test_raw_jis_in_a_header_is_read() -> None:
    raw = b"Subject: " + "会議の件".encode("iso2022_jp") + b"\n\nx"
    assert parse(raw).subject == "会議の件"


# --- Time


@pytest.mark.parametrize(
    "html",
    ["cid:a " * 1, "src=x ", "src=' ", "url( ", "src" + " " * 50, 'src="' + "x" * 90],
)
def test_names_in_html_are_found_in_linear_time(html: str) -> None:
    parts: list[Any] = [file.part for file in read(multipart("mixed", TEXT, PICTURE, PHOTO)).files]
    located = read("Content-Type: image/png\nContent-Location: y\n\nPNG").files[0].part
    short, long = (least_time(named_in, html * count, [*parts, located]) for count in (5_000, 40_000))
    assert long < 24 * short + 0.1
