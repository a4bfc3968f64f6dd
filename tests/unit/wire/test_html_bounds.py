"""Markup that asks for more work than a mail is worth: what is beyond the bounds is shown, and nothing of it is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from posthouse.wire.html import MAX_HTML_CHARS, read, to_text
from posthouse.wire.html_beside import beside
from posthouse.wire.html_tokens import MAX_STEPS, Elements, attributes, characters, tokens, without_tags
from posthouse.wire.message import parse
from posthouse.wire.reply import MAX_TEXT_CHARS
from posthouse.wire.reply_html import new_html
from unit.wire.timing import least_time


@pytest.mark.parametrize(
    "unit", ["<b>", "<br>", "<!---->", "<!>", "<p a=1 b=2 c=3 d=4>", "</i>", "<td>", "<blockquote>"]
)
def test_words_behind_endless_tags_are_in_the_text(unit: str) -> None:
    page = to_text(unit * (MAX_STEPS + 10) + "<p>näher &amp; weiter</p><!-- kein --><style>p{}</style>da <i>hin</i>")
    assert "näher & weiter" in page and "kein" not in page and "p{}" not in page and "hin" in page


def test_what_was_hidden_before_the_bound_does_not_hide_what_lies_behind_it() -> None:
    assert to_text("<div hidden>" + "<i>" * MAX_STEPS + "слово").endswith("слово")


def test_who_vouches_for_a_mail_reads_beyond_the_bound() -> None:
    html = "<b>x</b>" * MAX_STEPS + "<p hidden>heimlich</p>"
    assert [each.text for each in read(html, whole=True).hidden] == ["heimlich"]
    assert "heimlich" in [each.text for each in beside(html)]


def test_an_answer_of_endless_tags_is_new_as_a_whole() -> None:
    html = "<p>ja</p>" + "<b>" * (MAX_STEPS + 1) + '<blockquote type="cite">alt</blockquote>'
    assert new_html(html) == html


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("html", "<b>x</b>" * (MAX_STEPS // 2) + "<i>y", "more tags"),
        ("html", "<p a=1 b=2 c=3 d=4>x" * (MAX_STEPS // 2) + "<i>y", "more tags"),
        ("html", "x" * (MAX_HTML_CHARS + 1), "longer than what is read"),
        ("plain", "x " * (MAX_TEXT_CHARS // 2) + "\n> alt", "too long to tell"),
        ("html", "<b>x</b>" * (MAX_STEPS // 2 - 10) + "===" * MAX_STEPS, ""),
        ("plain", "> alt\n" * (MAX_TEXT_CHARS // 6), ""),
    ],
)
def test_a_message_says_where_a_bound_was_reached(kind: str, body: str, said: str) -> None:
    defects = parse(f"Subject: Re: x\nContent-Type: text/{kind}\n\n{body}".encode()).defects
    assert len(defects) == bool(said) and all(said in each for each in defects)


def test_less_than_the_bound_is_read_with_all_its_looks() -> None:
    assert to_text("<i>a</i>" * (MAX_STEPS // 2 - 10) + "<p style='display:none'>weg</p>").count("a") > 5_000
    assert "weg" not in to_text("<i>a</i>" * (MAX_STEPS // 2 - 10) + "<p style='display:none'>weg</p>")


def test_a_letter_that_grows_in_lower_case_moves_no_style() -> None:
    assert to_text('<p title="İİİİ" style="display:none">gizli</p>açık') == "açık"


def test_attributes_without_a_value_say_nothing_but_that_something_is_hidden() -> None:
    assert attributes(" nowrap aria-hidden=true hidden data-x foo=1 xhidden") == {
        "aria-hidden": "true",
        "hidden": "",
        "foo": "1",
    }
    assert attributes(" style style='display:none'") == {"style": ""}


@pytest.mark.parametrize("text", ["&amp;&#x4f60;&#1102&notit;&;&#;&nosuch; &", "&lt" * 20, "&#xD800;&#0;", "&" * 50])
def test_references_are_those_of_html(text: str) -> None:
    from html import unescape

    assert characters(text) == characters(text) == unescape(text)


def test_the_rest_of_markup_is_read_to_its_end_whatever_is_left_open() -> None:
    assert without_tags("ein<br>zwei<script>drei") == "ein\nzwei\n"
    assert without_tags("один<!-- два") == "один\n" and without_tags("3 < 4 <b>五</b>") == "3 < 4 \n五\n"


def test_the_end_of_a_row_does_not_reach_out_of_a_table() -> None:
    elements = Elements()
    for name in ("table", "tr", "td", "table", "b"):
        elements.push(name)
    assert elements.closed_by_end("tr") == 0 and elements.closed_by_end("td") == 0
    assert elements.closed_by_end("table") == 2


def test_quotes_nested_without_end_do_not_fill_the_memory() -> None:
    assert len(to_text("<blockquote>ja" * 5_000)) < 500_000


_HOSTILE: dict[str, Callable[[int], str]] = {
    "endless rows": lambda n: "<table><tr><td><table>" + "<b>" * n + "</tr>" * n,
    "links in links": lambda n: '<a href="http://x.example">w' * n + "</a>" * n,
    "bare attributes": lambda n: "<p " + "a " * n + ">x",
    "one long attribute": lambda n: "<p " + "a" * n + ">x",
    "attributes": lambda n: "".join(f"<p title={at} hidden={at}>x" for at in range(n)),
    "references": lambda n: "&notit;&#x41;" * n,
    "empty rules": lambda n: "<style>" + "}{" * n + "</style>x",
    "rules and classes": lambda n: (
        "<style>" + "".join(f".c{at} p.d{at % 9}{{color:red}}" for at in range(n // 10)) + "</style>"
        + "".join(f'<p class="c{at} d{at % 9}">x' for at in range(n))
    ),
    "styles": lambda n: "<style>a{}</style>" * n,
    "unclosed quotes": lambda n: '<a b="' * n,
}  # fmt: skip


@pytest.mark.parametrize("name", list(_HOSTILE))
def test_the_work_grows_with_the_size_at_most(name: str) -> None:
    def mail(size: int) -> bytes:
        return ("Subject: Re: x\nContent-Type: text/html; charset=utf-8\n\n" + _HOSTILE[name](size)).encode()

    least_time(parse, mail(50))
    small, large = max(least_time(parse, mail(1_500)), 0.004), least_time(parse, mail(12_000))
    assert large < 8 * small * 3  # the square would be 64


def test_all_of_a_document_is_told_apart_when_no_bound_is_given() -> None:
    assert sum(1 for _ in tokens("<b>" * (MAX_STEPS * 2))) == MAX_STEPS * 2
    assert sum(1 for _ in tokens("<b>" * MAX_HTML_CHARS, 10)) == 12
