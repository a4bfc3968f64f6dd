"""HTML to text, sanitising, previews."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.wire.html import PREVIEW_CHARS, balance, preview, sanitize, to_text
from posthouse.wire.html_style import is_hidden
from posthouse.wire.html_tokens import CLOSE, OPEN, TEXT, VOID, attributes, tokens

# --- Tokens -----------------------------------------------------------------------------------------


def read(html: str) -> list[str]:
    return [
        ("", "", "/")[kind] + (name if kind != TEXT else html[start:end]) for kind, start, end, name, _ in tokens(html)
    ]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("a<b>c</b>", ["a", "b", "c", "/b"]),
        ('<a href="x>y">z', ["a", "z"]),
        ('<a href=x"y>z', ["a", "z"]),
        ("<a title='>'>z", ["a", "z"]),
        ('<a href="open>z', ["a", "z"]),
        ("<!-- <b> -->x<!--->y<!-- open", ["x", "y"]),
        ("<!DOCTYPE html><?xml x?><![if !mso]>x", ["x"]),
        ("<script>if (a<b) '</b>'</script>x", ["script", "if (a<b) '</b>'", "/script", "x"]),
        ("<style>a</STYLE >x", ["style", "a", "/style", "x"]),
        ("1 < 2 <3", ["1 < 2 <3"]),
        ("x<b", ["x"]),
    ],
)
def test_markup_is_told_from_text(html: str, expected: list[str]) -> None:
    assert read(html) == expected


def test_attributes_are_read_with_any_quotes() -> None:
    assert attributes(' HREF="a&amp;b" title=\'x y\' id=z hidden data-x = "1" href=second') == {
        "href": "a&b", "title": "x y", "id": "z", "hidden": "", "data-x": "1",
    }  # fmt: skip


@given(st.text() | st.text(alphabet="<>/!-=\"' abpdivstyle"))
def test_tokens_lie_in_order_within_the_text(html: str) -> None:
    position = 0
    for kind, start, end, _, _ in tokens(html):
        assert position <= start <= end <= len(html)
        assert kind in (TEXT, OPEN, CLOSE)
        position = end


# --- Text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two", "One\n\nTwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("a<br><br>b", "a\n\nb"),
        ("<div>a</div><div>b</div>c", "a\nb\nc"),
        ("a <b> b </b>c", "a b c"),
        ("a<b>b</b>", "ab"),
        ("&lt;b&gt; &amp;&nbsp;&eacute;&#8364;", "<b> & é€"),
        ("<ul><li>a<li>b</ul>c", "- a\n- b\n\nc"),
        ("<ol><li><p>a</p><li>b<ul><li>c</ul></ol>", "1. a\n2. b\n  - c"),
        ("<ul><li></li><li>x</ul>", "- x"),
        ("<table><tr><th>a<th>b<tr><td>c<td>d</table>", "a\tb\nc\td"),
        ('<a href="https://x.test/p">words</a>.', "words (https://x.test/p)."),
        ('<a href="https://x.test/">x.test</a>', "x.test"),
        ('<a href="mailto:a@b.c">a@b.c</a>', "a@b.c"),
        ('<a href="javascript:x()">words</a>', "words"),
        ('<a href="#top">words</a>', "words"),
        ('<img alt="Logo" src=x> text', "[Logo] text"),
        ("<blockquote>a<blockquote>b</blockquote></blockquote>c", "> a\n>\n> > b\n\nc"),
        ("<pre>a\n  b</pre>", "a\n  b"),
        ("a<hr>b", "a\n---\nb"),
        ("<head><title>t</title><style>s</style></head><body>b<script>x</script><!-- c -->", "b"),
        ("<h1>T</h1>text", "T\n\ntext"),
        ("<textarea>a &lt; b</textarea>", "a < b"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("", ""),
        # HTML §4.4.5, §4.4.8: where lists begin, and in which direction they count.
        ("<ol start=7><li>a<li>b</ol>x<ol start=9><li>c</ol>", "7. a\n8. b\n\nx\n\n9. c"),
        ("<ol start=' -1'><li>a<li>b<li value=12>c<li value=x>d</ol>", "-1. a\n0. b\n12. c\n13. d"),
        ("<ol reversed><li>a<li>b<ul><li>x</ul><li>c</ol>", "3. a\n2. b\n  - x\n1. c"),
        ("<ol reversed start=10><li>a<li>b</ol>", "10. a\n9. b"),
        ("<ol type=a start=26><li>a<li>b</ol><ol type=I start=4><li>c</ol>", "z. a\naa. b\n\nIV. c"),
        # Lines that a style keeps, and blocks that it makes.
        ('<p style="white-space: pre-wrap">a  b\n c</p>', "a  b\n c"),
        ('<div style="white-space:pre-line">a  b\n  c<b> d\ne</b></div>f', "a b\nc d\ne\nf"),
        ("<style>.w{white-space:break-spaces}</style><div class=w>a\nb</div>", "a\nb"),
        ('<pre>\na\n<span style="white-space:normal">b\nc</span></pre>', "a\nb c"),
        ('<span style="display:block">a</span><b style="display:flex">b</b>c', "a\nb\nc"),
        ("<style>i{display:block}</style><i>a</i><i>b</i>", "a\nb"),
        ("<style>.r{display:table-row}</style><b class=r>a</b><b class=r>b</b>c", "a\nb\nc"),
        ('a<div style="display:inline">b</div>c', "abc"),
        # What was struck out says the opposite.
        ("pay <s>100</s> <del>90</del> 80", "pay ~~100~~ ~~90~~ 80"),
        ('<span style="text-decoration:line-through">a<br>b</span> c', "~~a~~\n~~b~~ c"),
        ("<strike><p>a</p></strike><s></s>b", "~~a~~\n\nb"),
    ],
)
def test_text_keeps_the_form_of_the_page(html: str, text: str) -> None:
    assert to_text(html) == text


@pytest.mark.parametrize(
    "style",
    [
        "display:none", "DISPLAY : NONE !important", "display:/**/none", "visibility:hidden", "opacity:0",
        "opacity: 0.0",
        "font-size:0", "font-size:0px;color:red", "font-size:1px", "max-height:0;overflow:hidden",
        "overflow:hidden; height:0px",
    ],
)  # fmt: skip
def test_hidden_elements_are_left_out(style: str) -> None:
    assert to_text(f'seen<span style="{style}">HIDDEN<b>too</b></span> after') == "seen after"


@pytest.mark.parametrize(
    "style",
    ["display:block", "opacity:0.5", "opacity:1", "font-size:10px", "font-size:0.9em", "max-height:0", "color:#000"],
)
def test_shown_elements_are_not(style: str) -> None:
    assert to_text(f'<span style="{style}">seen</span>') == "seen"


def test_the_hidden_attribute_hides_and_until_found_does_not() -> None:
    assert is_hidden(" hidden") and is_hidden(' class=x hidden=""')
    assert not is_hidden(" hidden=until-found")
    assert not is_hidden(" class=hidden")


@pytest.mark.parametrize(
    "html",
    [
        '<div><span style="display:none"></div>SEEN',
        "<p hidden>x<p>SEEN",
        '<table><tr><td style="display:none">x<td>SEEN</table>',
        '<table><tr style="display:none"><td><table><tr><td>x</table></td></tr><tr><td>SEEN</table>',
        '<ul><li style="display:none">x<li>SEEN</ul>',
        "<div hidden>x</div></div></div>SEEN",
        "<select><option>x</select>SEEN",
    ],
)
def test_nothing_shown_is_lost_behind_a_hidden_element_that_was_not_closed(html: str) -> None:
    assert to_text(html).removeprefix("- ") == "SEEN"


@given(st.text() | st.lists(st.sampled_from(
    ["<div>", "</div>", "<p>", "</p>", "<table>", "<td>", "<tr>", "</table>", "<li>", "<ul>", "</ul>",
     "<a href=http://x>", "</a>", "<b hidden>", "</b>", "<blockquote>", "</blockquote>", "<pre>", "</pre>", "x",
     " ", "\n", "<br>", "<!--", "&amp;"]
)).map("".join))  # fmt: skip
def test_no_markup_makes_it_fail(html: str) -> None:
    to_text(html)
    assert to_text(sanitize(html)) is not None
    opened = [name for kind, _, _, name, _ in tokens(balance(html)) if kind == OPEN and name not in VOID]
    assert len(opened) == sum(kind == CLOSE for kind, *_ in tokens(balance(html)))


@pytest.mark.parametrize(
    "unit",
    ["<b>", "<div>", "<div><table></div></table>", "<p>", "<table><tr><td>", "<ul><li>", '<a href="', "<!--", "<", "&",
     "<a x=y ", "</div>", "<script>", '<p a="', "<blockquote>"],
)  # fmt: skip
def test_hostile_markup_takes_linear_time(unit: str) -> None:
    html = unit * (300_000 // len(unit))  # quadratic time would be minutes
    to_text(html)
    sanitize(html)


def test_clones_of_open_formatting_do_not_pile_up() -> None:
    html = "".join(f"<b a={n}>" for n in range(2_000)) + "<p>" * 20_000
    assert len(sanitize(html)) < 20 * len(html)


# --- Sanitising -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("html", "safe"),
    [
        ("<p onclick=x>a</p>", "<p>a</p>"),
        ("a<script>alert(1)</script>b", "ab"),
        ("<style>p{}</style>a", "a"),
        ('<img src=x onerror="alert(1)">', '<img>'),
        ('<a href="javascript:alert(1)">a</a>', '<a target="_blank" rel="noopener noreferrer nofollow">a</a>'),
        ("<iframe src=https://x></iframe>a", "a"),
        ("<form><input name=q>a</form>", "a"),
        ("<svg><script>alert(1)</script></svg>a", "a"),
        ('<img src="cid:logo" alt="L">', '<img src="cid:logo" alt="L">'),
        ('<p style="color:red;position:fixed">a', '<p style="color:red">a</p>'),
        ('<div style="background:url(http://x)">a', '<div style="">a</div>'),
        ("<b><i>a</b>c</i>", "<b><i>a</i></b>c"),
    ],
)  # fmt: skip
def test_markup_is_made_safe(html: str, safe: str) -> None:
    assert sanitize(html) == safe


def test_markup_that_changes_its_meaning_when_parsed_again_stays_harmless() -> None:
    html = '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">'
    for kind, _, _, _, rest in tokens(sanitize(html)):
        assert kind != OPEN or not any(name.startswith("on") for name in attributes(rest))


@given(st.text(alphabet="<>/=\"' abscriptonerimgsvg!-"))
def test_sanitised_markup_is_a_fixed_point(html: str) -> None:
    once = sanitize(html)
    assert sanitize(once) == once
    assert "<script" not in once


# --- Preview ----------------------------------------------------------------------------------------


def test_a_preview_is_one_line_cut_at_a_word() -> None:
    assert preview("One\n\n two\tthree") == "One two three"
    long = preview("word " * 100)
    assert len(long) <= PREVIEW_CHARS and long.endswith("word…")
    assert len(preview("x" * 500)) == PREVIEW_CHARS
    assert preview("") == ""


def test_a_preview_skips_padding_and_rulers() -> None:
    padding = "\u034f \u200c \u00a0 \u00ad\u200b " * 100
    assert preview(f"Deal!{padding}Dear customer") == "Deal! Dear customer"
    assert preview("Title\n=========\nText ---------- more") == "Title Text more"
    assert preview("Family 👨\u200d👩\u200d👧 here") == "Family 👨\u200d👩\u200d👧 here"
    assert preview("a\u202eb\x00c") == "abc"


@given(st.text())
def test_a_preview_never_fails_nor_exceeds_its_size(text: str) -> None:
    assert len(preview(text)) <= PREVIEW_CHARS
