"""Date fields: what can be shown, its zone, and months in other words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.kit.clock import MAX_AT, MIN_AT, iso, iso_in_zone, parse_iso, parse_iso_zone
from posthouse.wire import dates
from posthouse.wire.dates import parse_date, read_date
from posthouse.wire.header_encode import format_date


def shown(text: str) -> str | None:
    moment = read_date(text)
    return None if moment is None else iso_in_zone(*moment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tue, 5 Mar 2024 10:15:00 +0100", "2024-03-05T10:15:00+01:00"),
        ("5 Mar 2024 10:15 -0330", "2024-03-05T10:15:00-03:30"),
        ("Tue, 5 Mar 2024 23:59:60 +1345", "2024-03-06T00:00:00+13:45"),
        ("Tue, 5 Mar 2024 10:15:00 +0000", "2024-03-05T10:15:00Z"),
        ("Tue, 5 Mar 2024 10:15:00 -0000", "2024-03-05T10:15:00Z"),
        # In other forms the instant is certain, the zone is said in another way or twice.
        ("Tue, 5 Mar 2024 10:15:00 +0100 (GMT)", "2024-03-05T09:15:00Z"),
        ("Tue, 5 Mar 2024 10:15:00 EST", "2024-03-05T15:15:00Z"),
        ("Tue, 5 Mar 2024 10:15:00 GMT+0200", "2024-03-05T08:15:00Z"),
        ("2024-03-05T10:15:00+01:00", "2024-03-05T09:15:00Z"),
        ("Mar 5, 2024 10:15 +0100", "2024-03-05T09:15:00Z"),
        ("Tue, 5 Mar 2024 10:15:00 +2500", "2024-03-04T09:15:00Z"),
    ],
)
def test_a_date_keeps_the_zone_of_its_header(text: str, expected: str) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sat, 01 Jan 0001 00:00:00 +0001", None),
        ("Sat, 01 Jan 0001 00:00:00 +0000", "0001-01-01T00:00:00Z"),
        ("Sat, 01 Jan 0001 00:00:00 -0200", "0001-01-01T00:00:00-02:00"),
        ("Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59Z"),
        ("Fri, 31 Dec 9999 23:59:59 -0001", None),
        ("Fri, 31 Dec 9999 24:00:00 +0100", "9999-12-31T23:00:00Z"),
        ("Fri, 31 Dec 9999 24:00:00 +0000", None),
        ("Mon, 00 Jan 0000 00:00:00 +0000", None),
        ("9999-12-31T23:59:59-01:00", None),
        ("January 1, 0001 00:00 +0100", None),
        ("Fri, 31 Dec 9999 23:59:60 +0000", None),
        ("３１ Dec 9999 23:59:59 -0100", None),
        ("31 Dec 10000 00:00:00 +0000", None),
        ("Thu, 29 Feb 2023 10:00:00 +0000", None),
        ("0000-00-00T00:00:00Z", None),
    ],
)
def test_a_date_that_no_answer_can_show_is_none(text: str, expected: str | None) -> None:
    assert shown(text) == expected


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0000-01-01T00:00:00Z", "x"]
)
def test_a_caller_s_date_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_iso(text)


@pytest.mark.parametrize("at", [MIN_AT, MAX_AT, 0])
def test_the_ends_of_time_are_written(at: int) -> None:
    assert parse_iso(iso(at)) == at
    for zone in (-720, 0, 840):
        assert parse_iso(iso_in_zone(at, zone)) == at // 1000 * 1000
        assert parse_date(format_date(at, zone)) == at // 1000 * 1000


@given(st.integers(MIN_AT, MAX_AT), st.integers(-1439, 1439))
def test_a_date_comes_back_with_its_zone(at: int, zone: int) -> None:
    at = at // 1000 * 1000
    at_again, zone_again = parse_iso_zone(iso_in_zone(at, zone))
    assert at_again == at
    assert zone_again in (zone, 0)
    moment = read_date(format_date(at, zone))
    assert moment is not None
    assert (moment.at, moment.zone) == (at, zone_again)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ven., 9 août 2024 10:15:00 +0200", "2024-08-09T10:15:00+02:00"),
        ("Do, 10 Dez 2020 10:15:00 +0100", "2020-12-10T10:15:00+01:00"),
        ("jue., 2 ene. 2020 10:15:00 -0300", "2020-01-02T10:15:00-03:00"),
        ("2 de setembro de 2021 10:15:00 -0300", "2021-09-02T10:15:00-03:00"),
        ("gio, 6 mag 2021 10:15:00 +0200", "2021-05-06T10:15:00+02:00"),
        ("чт, 11 июн 2020 10:15:00 +0300", "2020-06-11T10:15:00+03:00"),
        ("Per, 11 Şub 2021 10:15:00 +0300", "2021-02-11T10:15:00+03:00"),
        ("星期四, 11 十一月 2021 10:15:00 +0800", "2021-11-11T10:15:00+08:00"),
        ("木, 11 2月 2021 10:15:00 +0900", "2021-02-11T10:15:00+09:00"),
        ("czw, 7 paź 2021 10:15:00 +0200", "2021-10-07T10:15:00+02:00"),
        ("to, 4 marraskuuta 2021 10:15:00 +0200", "2021-11-04T10:15:00+02:00"),
        ("ke, 3 heinä 2024 10:15:00 +0300", "2024-07-03T10:15:00+03:00"),
        ("الأربعاء, 3 يوليو 2024 10:15:00 +0300", "2024-07-03T10:15:00+03:00"),
        ("R, 6 dets 2024 10:15:00 +0200", "2024-12-06T10:15:00+02:00"),
        ("יום ד, 3 יולי 2024 10:15:00 +0300", "2024-07-03T10:15:00+03:00"),
        ("cs, 5 szept. 2024 10:15:00 +0200", "2024-09-05T10:15:00+02:00"),
        ("dim. 4 fe\u0301vr. 2024 10:15:00 +0100", "2024-02-04T10:15:00+01:00"),
        ("7 lip 2021 10:15:00 +0200", None),  # July in Polish, June in Croatian
        ("7 listopad 2021 10:15:00 +0200", None),  # November in Czech, October in Croatian
        ("7 xyz 2021 10:15:00 +0200", None),
    ],
)
def test_months_of_other_languages_are_read_where_they_are_certain(text: str, expected: str | None) -> None:
    assert shown(text) == expected


def test_each_word_means_one_month() -> None:
    rows = [line.split() for line in dates._OTHER_WORDS.strip().splitlines()]
    words = [word for _, *words in rows for word in words]
    assert len(words) == len(set(words))
    assert {number for number, *_ in rows} == {str(number) for number in range(1, 13)}


@given(st.text(alphabet="0123456789 :-+,JanFebмаяоктäü月T()"))
def test_reading_a_date_never_fails(text: str) -> None:
    read_date(text)
