"""Messages whose tree the caller chose: whatever is put in, the lines that come out can travel."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.kit.errors import Invalid, TooLarge
from posthouse.wire.address import Address
from posthouse.wire.canonical import canonical
from posthouse.wire.compose_tree import TreePart, compose_tree, grouped_address_list, raw_field
from posthouse.wire.header_encode import address_list, message_ids, unstructured
from posthouse.wire.message import decode_part, parse

FROM = b"From: a@here.example\r\n"


def checked(raw: bytes) -> bytes:
    """The message, whose line ends are CRLF and whose lines are no longer than 998 octets (RFC 5322 §2.1.1)."""
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    return raw


CONTENTS = [
    b"x" * 998, b"x" * 999, b"x" * 998 + b"\r\n", b"x" * 999 + b"\r\n" + b"y", "é".encode() * 600, b"\xe9 " + b"x" * 1_200,
    b"A: " + b"b" * 2_000 + b"\r\n\r\n" + b"c" * 2_000, b"A: b\n\n\xff\xfe\x00" * 300, b"a\rb" * 500, b"", b"\n", b"a\x0bb \r\n. \r\n",
]  # fmt: skip
TYPES = [
    "text/plain", "text/html", "text/csv", "message/rfc822", "message/global", "message/delivery-status", "application/pdf",
]  # fmt: skip


@pytest.mark.parametrize("content_type", TYPES)
@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_no_line_is_too_long_and_no_octet_is_lost(content_type: str, content: bytes) -> None:
    part = TreePart(content_type, data=content)
    for root in (part, TreePart("multipart/mixed", children=(part, part))):
        raw = checked(compose_tree([FROM], root))
        parsed = parse(raw)
        leaf = parsed.structure.parts[0] if parsed.structure.parts else parsed.structure
        got = decode_part(raw, leaf)
        if content_type.startswith("message/"):
            got, content = (each.replace(b"\r\n", b"\n") for each in (got, content))
        assert got.rstrip(b"\r\n") == content.rstrip(b"\r\n")


@given(st.text(max_size=40), st.sampled_from([1, 30, 400]), st.sampled_from(["", "\n", "\r\n", " "]))
@settings(deadline=None)
def test_a_text_of_any_length_travels(text: str, times: int, end: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()
    raw = checked(compose_tree([FROM], TreePart("text/plain", text=text * times + end)))
    assert canonical(raw).startswith(raw)
    data = decode_part(raw, parse(raw).structure).decode()
    assert data.replace("\r\n", "\n") == (text * times + end).replace("\r\n", "\n")


@given(st.lists(st.tuples(st.none() | st.text(max_size=300), st.integers(0, 40)), min_size=1, max_size=4))
@settings(deadline=None)
def test_groups_of_any_size_are_folded(groups: list[tuple[str | None, int]]) -> None:
    people = [
        (name, [Address(f"p{n}@some.example", "Somebody Or Other") for n in range(count)]) for name, count in groups
    ]
    try:
        field = grouped_address_list("To", people, field="to")
    except Invalid:
        assert any(set(name or "") & set("\r\n\0") for name, _ in groups)
        return
    checked(field)
    assert len(parse(field + FROM + b"\r\n").to) == sum(count for _, count in groups)


@pytest.mark.parametrize(
    "evil", ["a\r\nBcc: x@y", "a\n\nbody", "a\r b", "a\x00b", "a\x0bb", "a\x85b", "a\u2028b", "a\u2029b", "a\x1bb"]
)
def test_a_value_for_the_wire_ends_no_line_that_it_does_not_fold(evil: str) -> None:
    if evil == "a\r b":
        assert raw_field("X", evil, field="x") == b"X: a\r\n b\r\n"
        return
    with pytest.raises(Invalid):
        raw_field("X", evil, field="x")


@pytest.mark.parametrize("odd", ["\x85", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x7f"])
def test_what_some_take_for_a_line_end_is_written_as_a_blank(odd: str) -> None:
    shown = parse(
        unstructured("Subject", f"a{odd}b")
        + address_list("From", [Address("a@here.example", f"A{odd}B")], field="from")
        + b"\r\n"
    )
    assert (shown.subject, shown.from_[0].name) == ("a b", "A B")


ODD_IDS = ["a b@x", "bild\tone", "é@x", "a\u202eb", "a>b<c", "a\ufffdb@c", "x" * 2_000, 'say "hi"', "a&b'c", "%41 b"]


@pytest.mark.parametrize("odd", ODD_IDS)
def test_a_part_with_an_odd_content_id_goes_with_the_text_that_names_it(odd: str) -> None:
    image = TreePart("image/png", data=b"1", disposition="inline", content_id=odd)
    text = TreePart("text/html", text=f'<p>cid: <img src="cid:{odd}"> <img src="cid:other@x">')
    raw = checked(compose_tree([FROM], TreePart("multipart/related", children=(text, image))))
    html, found = parse(raw).structure.parts
    assert found.content_id
    message_ids("Content-ID", (found.content_id,), field="cid")
    assert f'src="cid:{found.content_id}"' in decode_part(raw, html).decode()
    assert '"cid:other@x"' in decode_part(raw, html).decode()


def test_a_content_id_never_ends_its_field() -> None:
    for evil in ("a\r\nBcc: x", "a\nb", "a\x00b", "a\rb"):
        with pytest.raises(Invalid):
            compose_tree([FROM], TreePart("image/png", data=b"1", content_id=evil))


def test_a_header_that_no_door_would_take_is_not_made() -> None:
    few, many = (f"X-{n}: y\r\n".encode() for n in range(1_900)), [f"X-{n}: y\r\n".encode() for n in range(2_100)]
    raw = compose_tree([FROM, *few], TreePart("text/plain", text="x"))
    assert canonical(raw) == raw + b"\r\n"
    big = [b"X: " + b"y" * 900 + b"\r\n"] * 600
    for fields in (many, big):
        for root in (TreePart("text/plain", text="x", fields=tuple(fields)), TreePart("text/plain", text="x")):
            with pytest.raises(TooLarge):
                compose_tree([FROM] if root.fields else [FROM, *fields], root)
        inner = TreePart("text/plain", text="x", fields=tuple(fields))
        with pytest.raises(TooLarge):
            compose_tree([FROM], TreePart("multipart/mixed", children=(inner,)))
