"""The tree of parts: RFC 2046's examples, and the structures real mail has instead."""

from __future__ import annotations

from posthouse.wire.contents import decode_span
from posthouse.wire.mime import Limits, Part, clean_filename, decode_part, scan

LIMITS = Limits()


def leaves(part: Part) -> list[Part]:
    return [part] if not part.parts else [leaf for child in part.parts for leaf in leaves(child)]


def shape(part: Part) -> object:
    return (part.content_type, [shape(child) for child in part.parts]) if part.parts else part.content_type


def tree(raw: bytes | str, limits: Limits = LIMITS) -> Part:
    return scan(raw.encode() if isinstance(raw, str) else raw, limits).root


def defects(raw: bytes | str, limits: Limits = LIMITS) -> str:
    return " ".join(scan(raw.encode() if isinstance(raw, str) else raw, limits).defects)


def contents(raw: str | bytes, limits: Limits = LIMITS) -> list[bytes]:
    data = raw.encode() if isinstance(raw, str) else raw
    return [decode_part(data, leaf) for leaf in leaves(tree(data, limits))]


# --- RFC 2046 ---------------------------------------------------------------------------------------

SIMPLE = b"""From: Nathaniel Borenstein <nsb@bellcore.com>
To: Ned Freed <ned@innosoft.com>
Date: Sun, 21 Mar 1993 23:56:48 -0800 (PST)
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary="simple boundary"

This is the preamble.  It is to be ignored, though it
is a handy place for composition agents to include an
explanatory note to non-MIME conformant readers.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.  It is also to be ignored.
"""


def test_rfc2046_5_1_1_the_line_break_before_a_delimiter_belongs_to_it() -> None:
    for raw in (SIMPLE, SIMPLE.replace(b"\n", b"\r\n")):
        first, second = contents(raw)
        assert first.endswith(b"It does NOT end with a linebreak.")
        assert second.replace(b"\r", b"").endswith(b"It DOES end with a linebreak.\n")
        assert not defects(raw)


def test_rfc2046_5_1_4_alternative_keeps_its_parts_in_order() -> None:
    raw = (
        "Content-Type: multipart/alternative; boundary=boundary42\n\n"
        "--boundary42\nContent-Type: text/plain; charset=us-ascii\n\nplain\n"
        "--boundary42\nContent-Type: text/enriched\n\nenriched\n"
        "--boundary42\nContent-Type: application/x-whatever\n\nfancy\n--boundary42--\n"
    )
    root = tree(raw)
    assert shape(root) == ("multipart/alternative", ["text/plain", "text/enriched", "application/x-whatever"])
    assert [part.part_id for part in root.parts] == ["1", "2", "3"]
    assert contents(raw) == [b"plain", b"enriched", b"fancy"]


def test_rfc2046_5_1_5_parts_of_a_digest_are_messages() -> None:
    raw = (
        "Content-Type: multipart/mixed; boundary=m\n\n--m\n\nIntroduction\n--m\n"
        'Content-Type: multipart/digest; boundary="---- next message ----"\n\n'
        "------ next message ----\n\nFrom: a@b\nSubject: one\n\nfirst\n"
        "------ next message ----\n\nFrom: c@d\nSubject: two\n\nsecond\n"
        "------ next message ------\n--m--\n"
    )
    root = tree(raw)
    assert shape(root) == (
        "multipart/mixed",
        ["text/plain", ("multipart/digest", ["message/rfc822", "message/rfc822"])],
    )
    assert [leaf.part_id for leaf in leaves(root)] == ["1", "2.1", "2.2"]
    assert contents(raw)[1] == b"From: a@b\nSubject: one\n\nfirst"


def test_an_attached_message_is_one_part_whatever_is_in_it() -> None:
    inner = "Content-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--i--\n"
    raw = f"Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\n\n{inner}\n--o--\n"
    assert shape(tree(raw)) == ("multipart/mixed", ["message/rfc822"])
    assert contents(raw) == [inner.encode()]


def test_a_single_part_is_number_one_and_offsets_point_at_its_body() -> None:
    raw = b"Content-Type: text/html\r\nContent-Transfer-Encoding: BASE64\r\n\r\naGVsbG8=\r\n"
    part = tree(raw)
    assert (part.part_id, part.content_type, part.encoding, part.size_bytes) == ("1", "text/html", "base64", 5)
    assert decode_span(raw, part.start, part.end, part.encoding) == b"hello"


# --- Sloppy structure -------------------------------------------------------------------------------


def test_a_missing_closing_delimiter_ends_with_the_message() -> None:
    raw = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n"
    assert contents(raw) == [b"one", b"two\n"]
    assert "closing delimiter" in defects(raw)


def test_an_inner_multipart_without_end_stops_at_the_outer_delimiter() -> None:
    raw = (
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/alternative; boundary=i\n\n"
        "--i\n\none\n--i\n\ntwo\n--o\n\nthree\n--o--\n"
    )
    assert shape(tree(raw)) == (
        "multipart/mixed",
        [("multipart/alternative", ["text/plain", "text/plain"]), "text/plain"],
    )
    assert contents(raw) == [b"one", b"two", b"three"]


def test_a_boundary_that_begins_another_is_not_mistaken_for_it() -> None:
    raw = (
        "Content-Type: multipart/mixed; boundary=ab\n\n--ab\nContent-Type: multipart/mixed; boundary=abc\n\n"
        "--abc\n\n--abx is text\n--abc--\n--ab\n\nend\n--ab--\n"
    )
    assert contents(raw) == [b"--abx is text", b"end"]


def test_equal_boundaries_on_two_levels_lose_no_part() -> None:
    raw = (
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b\n\n"
        "--b\n\none\n--b\n\ntwo\n--b--\n--b\n\nthree\n--b--\n"
    )
    assert contents(raw) == [b"one", b"two", b"three"]


def test_line_ends_may_be_mixed_and_delimiters_padded() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\n--b  \r\n\none\r\n--b\t\n\r\ntwo\n--b-- \r\n"
    assert contents(raw) == [b"one", b"two"]


def test_a_part_may_have_no_header_and_no_body() -> None:
    raw = "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b\nJust text\n--b\nContent-Type: a/b\n--b--"
    assert contents(raw) == [b"", b"", b"Just text", b""]
    assert leaves(tree(raw))[3].content_type == "a/b"


def test_an_undeclared_boundary_is_found() -> None:
    raw = "Content-Type: multipart/mixed\n\n--x\n\none\n--x\n\ntwo\n--x--\n"
    assert contents(raw) == [b"one", b"two"]
    assert "no boundary" in defects(raw)


def test_a_multipart_without_parts_is_read_as_text() -> None:
    raw = "Content-Type: multipart/mixed; boundary=b\n\nHello there\n"
    assert shape(tree(raw)) == "text/plain"
    assert contents(raw) == [b"Hello there\n"]
    assert "no parts" in defects(raw)


def test_an_unreadable_content_type_is_plain_text() -> None:
    assert tree("Content-Type: ;;;\n\nx").content_type == "text/plain"
    assert tree("Content-Type: text\n\nx").content_type == "text/plain"
    assert tree("Content-Type: TEXT/HTML charset=utf-8\n\nx").content_type == "text/html"
    assert tree("no header").content_type == "text/plain"


# --- Fields of a part -------------------------------------------------------------------------------


def test_the_fields_of_a_part_are_read() -> None:
    raw = (
        "Content-Type: image/png; name=\"ignored.png\"\nContent-Disposition: INLINE; filename*=utf-8''%e2%82%ac.png\n"
        "Content-ID: <logo@x>\nContent-Language: en, de\nContent-Location: http://x.test/logo.png\n\nPNG"
    )
    part = tree(raw)
    assert (part.filename, part.disposition, part.content_id) == ("€.png", "inline", "logo@x")
    assert (part.language, part.location, part.charset) == (("en", "de"), "http://x.test/logo.png", None)
    assert part.headers[2] == ("Content-ID", " <logo@x>")


def test_text_has_a_charset_declared_or_not() -> None:
    assert tree('Content-Type: text/plain; charset="UTF-8"\n\nx').charset == "utf-8"
    assert tree("Content-Type: text/html\n\nx").charset == "us-ascii"
    assert tree("Content-Type: text/plain; charset=us-ascii (Plain)\n\nx").charset == "us-ascii"


def test_a_filename_is_a_name_and_nothing_else() -> None:
    assert clean_filename("../../etc/passwd") == "passwd"
    assert clean_filename("C:\\Users\\x\\a.txt") == "a.txt"
    assert clean_filename("photo\u202egpj.exe") == "photo gpj.exe"
    assert clean_filename("a\x00\r\nb.txt") == "a b.txt"
    assert clean_filename("..") is None
    assert clean_filename("dir/") is None
    assert clean_filename("") is None
    long = clean_filename("x" * 400 + ".tar")
    assert long is not None and len(long) == 255 and long.endswith(".tar")


# --- Limits -----------------------------------------------------------------------------------------


def test_too_many_parts_leave_the_rest_as_one_attachment() -> None:
    raw = ("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\npart\n" * 10 + "--b--\n").encode()
    structure = scan(raw, Limits(parts=3))
    found = leaves(structure.root)
    assert [part.content_type for part in found] == ["text/plain"] * 3 + ["application/octet-stream"]
    assert decode_part(raw, found[3]).count(b"part") == 7
    assert "number of parts" in structure.defects[0]


def test_too_deep_a_multipart_is_one_attachment() -> None:
    raw = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(9)) + b"\nend\n"
    structure = scan(raw, Limits(depth=3))
    (leaf,) = leaves(structure.root)
    assert (leaf.part_id, leaf.content_type) == ("1.1.1", "application/octet-stream")
    assert raw[leaf.start : leaf.end].endswith(b"end\n")
    assert "nested parts" in " ".join(structure.defects)


def test_too_large_a_header_leaves_the_rest_as_one_attachment() -> None:
    raw = b"Subject: kept\n" + b"X: y\n" * 100 + b"\nbody"
    structure = scan(raw, Limits(headers=5))
    assert structure.root.content_type == "application/octet-stream"
    assert raw[structure.root.start : structure.root.end].endswith(b"body")
    assert structure.section.fields[0] == ("Subject", " kept")
