"""One message for everybody: what is made canonical at the door is read, stripped and sent alike."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.errors import TooLarge
from posthouse.wire import raw_headers
from posthouse.wire.canonical import canonical
from posthouse.wire.headers import read_section
from posthouse.wire.message import parse, parse_headers_only

# --- Octets -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"A: 1\r\n\r\nbody\r\n",
        b"A: 1\r\n folded\r\nB: 2\r\n\r\n\r\nbody\r\n",
        b"A: 1\r\n",
        b"\r\nbody\r\n",
        "A: é\r\n\r\nbödy\r\n".encode(),
    ],
)
def test_a_canonical_message_comes_back_as_it_is(raw: bytes) -> None:
    assert canonical(raw) is raw


@pytest.mark.parametrize(
    ("raw", "made"),
    [
        (b"A: 1\n\nx\n", b"A: 1\r\n\r\nx\r\n"),
        (b"A: 1\r\r\n\r\r\nx\r\r\n", b"A: 1\r\n\r\nx\r\n"),
        (b"A: 1\rB: 2\r\n\r\nx\r\n", b"A: 1\r\nB: 2\r\n\r\nx\r\n"),
        (b"A: 1\r\rx\r", b"A: 1\r\n\r\nx\r\n"),
        (b"A: 1\n\rx\r\n", b"A: 1\r\n\r\nx\r\n"),
        (b"A: 1\r\x00\nB: 2\r\n\r\n\x00x\x00\r\n", b"A: 1\r\nB: 2\r\n\r\nx\r\n"),
        (b"A\x00: 1\r\n\r\nx", b"A: 1\r\n\r\nx\r\n"),
        (b"\x00", b"\r\n"),
    ],
)
def test_line_ends_are_crlf_and_nuls_are_gone(raw: bytes, made: bytes) -> None:
    assert canonical(raw) == made


@pytest.mark.parametrize(
    "unit", [b"\r", b"\n", b"\r\n", b"\r\r\n", b"\n\r", b"a\r\r", b"ab\r\r\n", b"\r\r\r\n", b"abcd\r\n\n"]
)
def test_a_line_end_is_one_wherever_a_long_message_is_cut(unit: bytes) -> None:
    raw = b"A: 1\r\n\r\n" + unit * (600_000 // len(unit))
    text = raw.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    made = canonical(raw)
    assert made == (text if text.endswith(b"\n") else text + b"\n").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\x00\n", b"\x00\n", b"\r\r\n", b"\n\r"])
def test_a_field_behind_any_line_end_is_seen_before_anything_is_decided(end: bytes) -> None:
    made = canonical(b"From: a@here.example\r\nSubject: x" + end + b"From: b@here.example\r\n\r\nbody\r\n")
    names = [name.lower() for name, _ in parse(made).headers]
    # Two line ends in a row end the header, for all that comes after as well.
    assert names.count("from") == 2 or (b"\r\n\r\nFrom: b@" in made and names.count("from") == 1)
    assert not made.replace(b"\r\n", b"").translate(None, b"abcdefghijklmnopqrstuvwxyzFS:@. ")


# --- The header -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "made"),
    [
        (b"\xef\xbb\xbfA: 1\r\n\r\nx\r\n", b"A: 1\r\n\r\nx\r\n"),
        (b"From a@b Mon Jan  6 10:00:00 2025\r\nA: 1\r\n\r\nx\r\n", b"A: 1\r\n\r\nx\r\n"),
        (b" rest of a line\r\nA: 1\r\n\r\nx\r\n", b"A: 1\r\n\r\nx\r\n"),
        (b"A: 1\r\njunk\r\nB: 2\r\n junk\r\n\r\nx\r\n", b"A: 1\r\nB: 2\r\n junk\r\n\r\nx\r\n"),
        (b"A: 1\r\nno field, no empty line\r\n", b"A: 1\r\n\r\nno field, no empty line\r\n"),
        (b"no header: at all\r\nA: 1\r\n", b"\r\nno header: at all\r\nA: 1\r\n"),
        (b"From here on there is text\r\n", b"\r\nFrom here on there is text\r\n"),
        (b"\xef\xbb\xbf\r\nx\r\n", b"\r\nx\r\n"),
    ],
)
def test_the_header_begins_and_ends_where_every_reader_sees_it(raw: bytes, made: bytes) -> None:
    assert canonical(raw) == made


def test_from_with_a_blank_before_its_colon_is_a_field_and_no_mbox_line() -> None:
    made = canonical(b"From : a@here.example\r\nFrom: b@here.example\r\n\r\nx\r\n")
    assert [name for name, _ in parse_headers_only(made)] == ["From", "From"]


PIECES = (
    b"A: 1", b"Bcc: x@y", b"bCC :z", b"Bcc\t: q", b"From a@b Mon", b">From x", b"From: a@b", b"Return-Path: <a@b>",
    b"Authentication-Results: here; dkim=pass", b"junk", b"more junk here", b"", b" ", b"\t folded", b" Bcc: no", b"1x: y",
    b"--b", b": no name", b"B\xffc: 8", b"\xef\xbb\xbfA: 2", b"X" * 990 + b": long", b"X" * 1200 + b": too long", b"http://x",
    b"Bcc", b"a\x0bb: c", b"a: b\x0cc: d", b"S: \xc2\x85Bcc: e", b"S: \xe2\x80\xa8Bcc: e",
)  # fmt: skip
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\x00\n", b"\r\x00\n", b"")


def made_up(seed: int) -> bytes:
    pick = random.Random(f"canonical/{seed}")
    return b"".join(pick.choice(PIECES) + pick.choice(ENDS) for _ in range(pick.randrange(1, 12)))


octets = st.integers(0, 10**9).map(made_up) | st.binary(max_size=60)


@given(octets)
def test_what_is_canonical_stays_so(raw: bytes) -> None:
    made = canonical(raw)
    assert canonical(made) is made
    assert made.count(b"\r") == made.count(b"\n") == made.count(b"\r\n") and b"\x00" not in made


@given(octets)
def test_readers_and_strippers_see_the_same_fields(raw: bytes) -> None:
    section = read_section(raw)
    fields, body = raw_headers.split(raw)
    assert [name for name, _ in section.fields] == [name.rstrip(b" \t").decode() for name, _ in fields]
    assert section.body_start == body


@given(octets)
def test_names_are_those_of_the_fields(raw: bytes) -> None:
    made = canonical(raw)
    assert raw_headers.names(made) == [raw_headers.name_of(field) for field in raw_headers.split(made)[0]]
    if raw_headers.is_plain(made):
        found = raw_headers.scan(made)
        assert found.matches and not (found.start or found.has_junk or found.is_unended or found.is_over)
        assert made[: found.body_start].endswith(b"\r\n\r\n")


@given(octets, st.sets(st.sampled_from([b"bcc", b"a", b"from", b"return-path", b"s", b"1x", b"http"])))
def test_what_is_stripped_is_gone_and_nothing_else_is(raw: bytes, unwanted: set[bytes]) -> None:
    made = canonical(raw)
    fields, body = raw_headers.split(made)
    stripped = raw_headers.without(made, lambda field: raw_headers.name_of(field) in unwanted)
    kept, new_body = raw_headers.split(stripped)
    assert kept == [field for field in fields if raw_headers.name_of(field) not in unwanted]
    assert stripped[new_body:] == made[body:]
    assert {name.lower().encode() for name, _ in parse(stripped).headers}.isdisjoint(unwanted)


@given(octets)
def test_trace_fields_before_a_message_change_nothing_behind_them(raw: bytes) -> None:
    made = canonical(raw)
    fields, body = raw_headers.split(made)
    trace = b"Return-Path: <a@b>\r\nReceived: by here;\r\n\tnow\r\n"
    all_fields, all_body = raw_headers.split(trace + made)
    assert all_fields[2:] == fields
    assert (trace + made)[all_body:] == made[body:]


@given(octets)
def test_shown_values_have_no_line_ends_but_those_of_folding(raw: bytes) -> None:
    for name, value in parse(canonical(raw)).headers:
        assert all(line[:1] in (" ", "\t") for line in value.split("\r\n")[1:])
        lines = value.replace("\r\n", "").splitlines()
        assert len(lines) <= 1 and not any(ord(c) < 32 and c != "\t" for line in lines for c in line), (name, value)


# --- Limits -----------------------------------------------------------------------------------------


def test_a_header_at_its_limits_is_taken_and_one_over_them_is_not() -> None:
    full = b"a: b\r\n" * raw_headers.MAX_FIELDS
    assert canonical(full + b"\r\nx\r\n")
    with pytest.raises(TooLarge) as refused:
        canonical(full + b"From: a@b\r\n\r\nx\r\n")
    assert refused.value.reason == "header"
    long = b"a: " + b"b" * (raw_headers.MAX_OCTETS - 5) + b"\r\n"
    assert canonical(long + b"\r\nx\r\n")
    for over in (b"a" + long, long + b"b: c\r\n", long + b" folded\r\n"):
        with pytest.raises(TooLarge):
            canonical(over + b"\r\nx\r\n")


@pytest.mark.parametrize(
    "line", [b"a:\r\n", b"Return-Path: <a@b>\r\n", b"Received: x\n", b"a:\r\n \r\n", b"a" * 998 + b" :\r\n"]
)
def test_a_header_without_end_is_refused_after_bounded_work(line: bytes) -> None:
    taken = []
    for size in (2**21, 2**22, 2**23):
        raw = line * (size // len(line))
        begun = time.process_time()
        with pytest.raises(TooLarge):
            canonical(raw)
        taken.append(time.process_time() - begun)
    # Four times the octets: the fields beyond the limit are not looked at; counting line ends may be.
    assert taken[2] < 8 * taken[0] + 0.05


def test_a_body_of_any_number_of_lines_is_no_header() -> None:
    assert canonical(b"a: b\r\n\r\n" + b"a:\r\n" * 100_000).endswith(b"a:\r\n")
    assert canonical(b"text without header\r\n" + b"a:\r\n" * 100_000).startswith(b"\r\ntext")


def test_one_long_field_hides_none_of_the_short_ones_behind_it() -> None:
    long = b"".join(b" <%d@lists.example>\r\n" % number for number in range(12_000))
    made = canonical(b"References:" + long + b"From: a@b.example\r\nSubject: short\r\n\r\nbody\r\n")
    parsed = parse(b"Received: by here\r\n" * 100 + made)
    assert (parsed.subject, parsed.from_[0].email, parsed.plain) == ("short", "a@b.example", "body\n")
