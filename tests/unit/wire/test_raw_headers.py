from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from posthouse.wire import raw_headers


def test_fields_keep_their_folding_and_spaces():
    fields, offset = raw_headers.split(b"A: 1\r\nB :\t2\r\n  3\r\nC:\r\n\r\nbody")
    assert fields == [(b"A", b" 1"), (b"B ", b"\t2\r\n  3"), (b"C", b"")]
    assert offset == len(b"A: 1\r\nB :\t2\r\n  3\r\nC:\r\n\r\n")


def test_bare_line_feeds_end_lines_too():
    raw = b"A: 1\nB: 2\n 3\n\nbody\n"
    fields, offset = raw_headers.split(raw)
    assert fields == [(b"A", b" 1"), (b"B", b" 2\n 3")]
    assert raw[offset:] == b"body\n"


def test_line_that_is_no_field_is_stepped_over_where_one_follows():
    raw = b"A: 1\r\nthis is text\r\nB: 2\r\n"
    assert raw_headers.split(raw) == ([(b"A", b" 1"), (b"B", b" 2")], len(raw))
    raw = b"A: 1\r\nthis is text\r\nand more: of it\r\n"
    fields, offset = raw_headers.split(raw)
    assert fields == [(b"A", b" 1")]
    assert raw[offset:] == b"this is text\r\nand more: of it\r\n"


@example("a:1\n b", 4, 4)
@example("\t\nB:", 1, 1)
@given(st.text("aB: -\r\n\t", max_size=40), st.integers(0, 40), st.integers(0, 4))
def test_limits_cut_off_whole_fields_and_keep_those_before(text, max_octets, max_fields):
    raw = text.encode()
    every = [match.span() for match in raw_headers.scan(raw).matches]
    found = raw_headers.scan(raw, max_octets=max_octets, max_fields=max_fields)
    spans = [match.span() for match in found.matches]
    assert spans == [span for span in every[:max_fields] if span[1] <= max_octets][: len(spans)]
    assert found.is_over or found.is_unended or spans == every
    assert found.body_start <= len(raw)


def test_mbox_line_is_passed_over():
    assert raw_headers.split(b"From a@b Mon Jan 6\nA: 1\n\nx")[0] == [(b"A", b" 1")]
    assert raw_headers.split(b"From nothing more") == ([], 17)


def test_header_without_body_ends_at_the_end():
    raw = b"A: 1\r\nB: 2"
    assert raw_headers.split(raw) == ([(b"A", b" 1"), (b"B", b" 2")], len(raw))
    assert raw_headers.split(b"") == ([], 0)


def test_bare_carriage_return_ends_no_line():
    assert raw_headers.split(b"A: 1\rB: 2\r\n\r\n")[0] == [(b"A", b" 1\rB: 2")]


def test_values_are_found_whatever_the_case():
    fields, _ = raw_headers.split(b"X: 1\r\nx : 2\r\n\t3\r\nY: 4\r\n\r\n")
    assert raw_headers.values(fields, b"x") == [b"1", b"2\t3"]


@given(st.binary(max_size=200))
def test_any_octets_split_without_loss(raw):
    fields, offset = raw_headers.split(raw)
    assert 0 <= offset <= len(raw)
    for name, value in fields:
        assert name + b":" + value in raw


@given(st.binary(max_size=200))
def test_line_ends_are_made_crlf_once(raw):
    fixed = raw_headers.with_crlf(raw)
    assert fixed.count(b"\n") == fixed.count(b"\r\n")
    assert raw_headers.with_crlf(fixed) == fixed
    assert fixed.replace(b"\r\n", b"\n") == raw.replace(b"\r\n", b"\n")


def test_unwanted_fields_are_cut_out_and_nothing_else():
    raw = b"From x\r\nA: 1\r\nb : 2\r\n\t3\nC:\n\nB: body\r\n"
    assert raw_headers.without(raw, lambda f: raw_headers.name_of(f) == b"b") == b"From x\r\nA: 1\r\nC:\n\nB: body\r\n"
    assert raw_headers.without(raw, lambda f: True) == b"From x\r\n\nB: body\r\n"
    assert raw_headers.without(raw, lambda f: False) is raw
