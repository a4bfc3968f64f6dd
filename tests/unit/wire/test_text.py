"""Normal forms in linear time, whatever a stranger strings together (UAX #15)."""

from __future__ import annotations

import sys
import unicodedata
from time import process_time

import pytest

from posthouse.kit.errors import Invalid
from posthouse.mail.mailbox_rules import check_name
from posthouse.store.index_query import words
from posthouse.wire.address import normalize, parse_address, to_ascii
from posthouse.wire.headers import decode_text
from posthouse.wire.text import MAX_MARKS, bounded, caseless, is_mark, nfc, nfkc, nfkd, printable
from posthouse.wire.thread_subject import base_subject

ZALGO = "a" + "\u0316\u0301" * 200_000


def test_no_mark_lies_outside_of_what_is_looked_for() -> None:
    marks = [code for code in range(sys.maxunicode + 1) if is_mark(chr(code))]
    assert marks
    assert min(marks) >= 0x300
    assert max(marks) < 0x1F000
    for code in marks:
        assert bounded(chr(code) * (MAX_MARKS + 1)) != chr(code) * (MAX_MARKS + 1), hex(code)


@pytest.mark.parametrize("count", [0, 1, 5, MAX_MARKS])
def test_marks_that_languages_use_stay_as_they_are(count: int) -> None:
    text = "x" + "\u0301" * count + "y"
    assert bounded(text) == text
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_a_longer_run_is_broken_and_nothing_of_it_is_lost() -> None:
    found = bounded(ZALGO)
    assert found.replace("\u034f", "") == ZALGO
    assert bounded(found) == found
    longest = max(len(run) for run in found.split("\u034f"))
    assert longest <= MAX_MARKS + 1


@pytest.mark.parametrize(
    "read",
    [nfc, nfkc, nfkd, caseless, decode_text, base_subject, words, lambda text: normalize(f"{text}@x.example")],
    ids=["nfc", "nfkc", "nfkd", "caseless", "decode_text", "base_subject", "words", "normalize"],
)
def test_reading_marks_grows_with_their_number_and_not_with_its_square(read: object) -> None:
    def cost(size: int) -> float:
        text = ("a" + "\u0316\u0301" * size)[: 2 * size]
        begun = process_time()
        read(text)  # type: ignore[operator]
        return process_time() - begun

    read("\u00e9\u0301")  # type: ignore[operator]
    small, large = max(cost(10_000), 0.002), cost(160_000)
    assert large < 16 * small * 4  # the square would be 256


@pytest.mark.parametrize("take", [to_ascii, parse_address, check_name])
def test_what_is_far_too_long_is_refused_before_it_is_read(take: object) -> None:
    with pytest.raises(Invalid, match=r"not a domain|longer|not an address|at most"):
        take("a@" + "\u00e9" * 2_000_000)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüße, 世界", "Grüße, 世界"),
        ("a\x1b[2Jb\x07\x9b", "a<U+001B>[2Jb<U+0007><U+009B>"),
        ("\u202egnp.exe\u2066\u200b", "<U+202E>gnp.exe<U+2066><U+200B>"),
        ("\U000e0041\U000e007f", "<U+E0041><U+E007F>"),
        ("a\u2028b\u2029c\u0085d\n", "a<U+2028>b<U+2029>c<U+0085>d<U+000A>"),
        ("a\u00a0b\u3000c", "a b c"),
        ("👩\u200d💻 می\u200cخواهم क्\u200dष 🏳\ufe0f\u200d🌈", "👩\u200d💻 می\u200cخواهم क्\u200dष 🏳\ufe0f\u200d🌈"),
        ("pay\u200dpal \u200cx\u200d", "pay<U+200D>pal <U+200C>x<U+200D>"),
        ("世\u200d\u200d界", "世<U+200D><U+200D>界"),
        ("a\u3164b\ufe00\U000e0100\u034f\u2800", "a<U+3164>b<U+FE00><U+E0100><U+034F><U+2800>"),
    ],
)
def test_a_terminal_is_shown_what_steers_it_by_name(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Заказ №4711 отправлен", ["заказ", "no", "4711", "отправлен"]),
        ("Acme™ und Globex℠ℳ", ["acme", "tm", "und", "globex", "sm", "m"]),
        ("1½cup 5㎏mehl 20℃", ["1", "1", "2", "cup", "5", "kg", "mehl", "20", "c"]),
        ("Nº4711, 1ª vez", ["no", "4711", "1a", "vez"]),
        ("Kapitel ⅣB ㈱東京", ["kapitel", "iv", "b", "株", "東", "京"]),
    ],
)
def test_a_sign_that_is_taken_apart_is_no_part_of_the_word_beside_it(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_small_digits_wide_letters_and_ligatures_stay_within_their_word() -> None:
    assert words("20m² H₂O ＡＢ１２３ ﬁne") == ["20m2", "h2o", "ab123", "fine"]


def test_no_word_has_a_capital_since_those_tell_whose_mail_it_is() -> None:
    assert words("𝐒𝐂𝐎𝐏𝐄 № ℡ SCOPE") == ["scope", "no", "tel", "scope"]
