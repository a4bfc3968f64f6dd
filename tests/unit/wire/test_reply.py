"""What is new in a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.reply import new_text
from posthouse.wire.reply_html import new_html

QUOTE = "> Is it?\n> Bob\n"


@pytest.mark.parametrize(
    "attribution",
    [
        "On Mon, Jan 1, 2024 at 10:00 AM Bob <b@x.org> wrote:",
        "On Mon, Jan 1, 2024 at 10:00 AM Bob With A Long Name\n<b@x.org> wrote:",
        "On Mon, Jan 1, 2024 at 10:00 AM\nBob With A Long Name\n<b@x.org> wrote:",
        "On 01/01/2024 10:00, Bob wrote:",
        "Bob <b@x.org> wrote:",
        "Am 01.01.2024 um 10:00 schrieb Bob <b@x.org>:",
        "Le lun. 1 janv. 2024 à 10:00, Bob <b@x.org> a écrit :",
        "El lun, 1 ene 2024 a las 10:00, Bob (<b@x.org>) escribió:",
        "Il giorno lun 1 gen 2024 alle ore 10:00 Bob <b@x.org> ha scritto:",
        "Em seg., 1 de jan. de 2024 às 10:00, Bob <b@x.org> escreveu:",
        "Op ma 1 jan 2024 om 10:00 schreef Bob <b@x.org>:",
        "Den mån 1 jan. 2024 kl 10:00 skrev Bob <b@x.org>:",
        "pon., 1 sty 2024 o 10:00 Bob <b@x.org> napisał(a):",
        "1 янв. 2024 г., в 10:00, Bob <b@x.org> написал(а):",
        "2024年1月1日(月) 10:00 Bob <b@x.org>:",
        "于2024年1月1日周一 10:00写道：",
        "2024-01-01 10:00 GMT+01:00 Bob <b@x.org>:",
    ],
)
def test_a_quote_and_the_line_that_introduces_it_are_cut(attribution: str) -> None:
    assert new_text(f"Yes, it is.\n\n{attribution}\n{QUOTE}") == "Yes, it is."
    assert new_text(f"Yes, it is.\n\n{attribution}\n\n{QUOTE}\n") == "Yes, it is."


@pytest.mark.parametrize(
    "head",
    [
        "From: Bob <b@x.org>\nSent: Monday\nTo: Jane\nSubject: It",
        "*From:* Bob <b@x.org>\n*Date:* Monday\n*To:* Jane\n*Subject:* It",
        "Von: Bob\nGesendet: Montag\nAn: Jane\nBetreff: Es",
        "De : Bob\nEnvoyé : lundi\nÀ : Jane\nObjet : x",
        "发件人: Bob\n发送时间: 2024\n收件人: Jane\n主题: x",
        "-----Original Message-----\nFrom: Bob",
        "----- Ursprüngliche Nachricht -----\nVon: Bob",
        "________________________________\nFrom: Bob\nSent: Monday\nTo: Jane\nSubject: It",
    ],
)
def test_all_below_the_head_of_the_old_message_is_cut(head: str) -> None:
    assert new_text(f"Yes.\n\n{head}\n\nIs it?\nBob") == "Yes."


def test_less_is_asked_of_an_introduction_when_a_quote_follows() -> None:
    assert new_text(f"Bob wrote:\n{QUOTE}\nYes.") == "Yes."
    assert new_text(f"At 12:01 PM on 9/17/02, Bob wrote:\n\n{QUOTE}\nYes.") == "Yes."
    assert new_text("Bob wrote:\nnothing") == "Bob wrote:\nnothing"


def test_an_answer_below_a_quote_with_marks_of_its_own_is_not_lost() -> None:
    assert new_text("On 1 Jan 2024, Bob wrote:\n\n--]Is it?\n\nYes.") == "--]Is it?\n\nYes."


def test_answers_between_and_below_quotes_stay() -> None:
    assert new_text("> one\nyes\n> two\nno\n") == "yes\nno"
    assert new_text(f"On 1.1.2024 Bob <b@x> wrote:\n{QUOTE}\nBelow.") == "Below."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes.\n-- \nJane\nCEO", "Yes."),
        ("Yes.\n--\nJane", "Yes."),
        ("Yes.\n\nSent from my iPhone", "Yes."),
        ("Ja.\n\nVon meinem iPhone gesendet", "Ja."),
        ("-- \nonly this", "-- \nonly this"),
        ("A list:\n- one\n- two\n-- three", "A list:\n- one\n- two\n-- three"),
    ],
)
def test_signatures_are_cut_and_lists_are_not(text: str, expected: str) -> None:
    assert new_text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Hello there,\n\nall new.",
        "On Tuesday she wrote: hello\nand left.",
        "Note: on this day he wrote:\n1. one",
        "From: the heart\nthanks!",
        "a -> b\n x > y",
        "FYI\n\n---------- Forwarded message ----------\nFrom: Bob <b@x>\nDate: Mon\nSubject: s\nTo: me\n\nold",
    ],
)
def test_text_without_quotes_stays_whole(text: str) -> None:
    assert new_text(text) == text


def test_nothing_new_is_none() -> None:
    assert new_text("") is None
    assert new_text(" \n\n") is None
    assert new_text(QUOTE) is None
    assert new_html("") is None
    assert new_html("<blockquote type=cite>old</blockquote>") is None


@given(st.text() | st.lists(st.sampled_from(
    ["> q\n", "On 1.1.2024 x wrote:\n", "From: a\n", "To: b\n", "Subject: c\n", "-- \n", "\n", "text\n", "---\n",
     "a:\n"]
)).map("".join))  # fmt: skip
def test_no_text_makes_it_fail_and_nothing_is_invented(text: str) -> None:
    found = new_text(text)
    assert found is None or (found.strip() and set(found.split()) <= set(text.split()))


@pytest.mark.parametrize(
    "unit",
    ["On ", "\n", "From: x\n", "- a\n", "wrote:\n", "On 1.1.2024 " + "x" * 380 + ":\n", ">\n", "On 2024 @ wrote:\n>\n",
     "--\n", ": \n", "x wrote " * 40 + "@:\n", " ", "*", "_" * 30 + "\n", "2024年", "From: x\nTo: y\n", " >\n"],
)  # fmt: skip
def test_hostile_text_takes_linear_time(unit: str) -> None:
    new_text(unit * (250_000 // len(unit)))  # quadratic time would be minutes


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<div dir="ltr">New</div><br><div class="gmail_quote"><div>On x:</div><blockquote>old</blockquote></div>',
         '<div dir="ltr">New</div><br>'),
        ('<p>New</p><div class="moz-cite-prefix">On x:</div><blockquote type="cite">old</blockquote><p>Below</p>',
         "<p>New</p><p>Below</p>"),
        ('<body><p>New</p><div id="divRplyFwdMsg">From:</div><div>old</div></body>', "<body><p>New</p></body>"),
        ("<p>New</p><div style='border:none;border-top:solid #E1E1E1 1.0pt'><p>From:</p></div><p>old", "<p>New</p>"),
        ('<p>New</p><div class="protonmail_quote">On 1.1.2024 Bob wrote:<div>old</div></div>', "<p>New</p>"),
        ('<p>New<div class="gmail_signature">Jane</div>', "<p>New"),
        ("<p>New<blockquote>said by a poet</blockquote>", "<p>New<blockquote>said by a poet</blockquote>"),
        ('<p>FYI<div class="gmail_quote">---------- Forwarded message ---------<br>text</div>',
         '<p>FYI<div class="gmail_quote">---------- Forwarded message ---------<br>text</div>'),
        ("<p>plain", "<p>plain"),
    ],
)  # fmt: skip
def test_containers_of_quotes_are_cut_out_of_html(html: str, expected: str) -> None:
    assert new_html(html) == expected


@given(st.lists(st.sampled_from(
    ["<div>", "</div>", '<div class="gmail_quote">', "<blockquote type=cite>", "</blockquote>", "x", "<p>", "</body>",
     "<hr id=stopSpelling>", '<div id="appendonsend">', "<table><td>", "</table>"]
)).map("".join))  # fmt: skip
def test_no_html_makes_it_fail(html: str) -> None:
    found = new_html(html)
    assert found is None or len(found) <= len(html)
