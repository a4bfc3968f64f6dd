"""What a person does not see of HTML mail: left out of the text, and kept apart as findings."""

from __future__ import annotations

from time import process_time

import pytest

from posthouse.wire.html import Hidden, preview, read, to_text
from posthouse.wire.message import parse

STYLES = [
    ("display", "display:none"),
    ("display", "d\\69splay : /**/none"),
    ("visibility", "visibility:hidden"),
    ("transparent", "opacity:0"),
    ("transparent", "color:transparent"),
    ("transparent", "filter:blur(2px) opacity(0%)"),
    ("visibility", "content-visibility:hidden"),
    ("transparent", "color:rgba(0, 0, 0, 0)"),
    ("font-size", "font-size:0.4px"),
    ("font-size", "font-size:0.05em"),
    ("font-size", "font:0/0 serif"),
    ("off-page", "position:absolute;left:-9999px"),
    ("off-page", "position:fixed;top:-200em"),
    ("off-page", "text-indent:-999em"),
    ("off-page", "margin-left:-4000px"),
    ("off-page", "transform:translateX(-5000px)"),
    ("below-a-pixel", "transform:scale(0)"),
    ("below-a-pixel", "width:1px;height:1px;overflow:hidden"),
    ("no-height", "max-height:0;overflow:hidden"),
    ("no-width", "max-width:0;overflow:hidden"),
    ("clip", "position:absolute;clip:rect(0 0 0 0)"),
    ("clip", "clip-path:inset(100%)"),
    ("colour", "color:#fff"),
    ("colour", "color:White"),
    ("colour", "background:#223344;color:rgb(34,51,68)"),
    ("colour", "color:#fdfdfd"),
    ("mso-hide", "mso-hide:all"),
]


@pytest.mark.parametrize(("technique", "style"), STYLES)
def test_what_a_style_hides_is_no_text_and_is_found(technique: str, style: str) -> None:
    page = read(f'<p>Seen <span style="{style}">in<b>vis</b>ible words</span>here.</p>')
    assert page.text == "Seen here."
    assert page.hidden == (Hidden(technique, "invisible words"),)


@pytest.mark.parametrize(("technique", "style"), STYLES)
@pytest.mark.parametrize(
    ("selector", "element"),
    [
        (".k", '<span class="a k">'),
        ("#k", "<span id=k>"),
        ("em", "<em>"),
        ("div.o > span.k, i.none", '<div class=o></div><div class="o"><span class=k>'),
        ("table .k", "<table><tr><td><span class=K>"),
    ],
)
def test_so_is_what_a_style_sheet_hides(technique: str, style: str, selector: str, element: str) -> None:
    head = f"<style>@import url(x); p{{margin:0}} {selector} {{ {style} }}</style>"
    page = read(f"{head}<p>Seen</p>{element}invisible words")
    assert page.text == "Seen"
    assert page.hidden == (Hidden(technique, "invisible words"),)
    assert read(f"<p>Seen</p>{element}invisible words{head}").text == "Seen"


@pytest.mark.parametrize(
    "html",
    [
        "<p hidden>invisible</p>",
        '<p aria-hidden="true">invisible</p>',
        "<font color=#FFFFFF>invisible</font>",
        "<table bgcolor=#102030><tr><td><font color=#102030>invisible</font></table>",
        "<body bgcolor=navy><span style='color:navy'>invisible</span>",
        "<style>body{background:#000}</style><span style='color:#000'>invisible</span>",
        "<style>.a{display:none!important}.a{display:block}</style><p class=a>invisible",
    ],
)
def test_attributes_and_backgrounds_hide(html: str) -> None:
    page = read(html)
    assert page.text == ""
    assert [each.text for each in page.hidden] == ["invisible"]


@pytest.mark.parametrize(
    "html",
    [
        "<style>@media (max-width:600px){.a{display:none}}</style><p class=a>SEEN",
        "<style media=print>.a{display:none}</style><p class=a>SEEN",
        "<!--[if mso]><style>.a{display:none}</style><![endif]--><p class=a>SEEN",
        "<style>.a{display:none} .a{display:block}</style><p class=a>SEEN",
        "<style>.a{display:none} @media screen{.a{display:block}}</style><p class=a>SEEN",
        "<style>.a{display:none} td:first-child .a{display:block}</style><p class=a>SEEN",
        "<style>div.a{display:none} .a .a{display:none} a:hover .a{display:none}</style><p class=a>SEEN",
        '<style>.a{display:none}</style><p class=a style="display:block">SEEN',
        '<p style="font-size:0"><span style="font-size:14px">SEEN',
        '<p style="visibility:hidden"><span style="visibility:visible">SEEN',
        '<p style="background:#000;color:#fff">SEEN',
        '<table background="x.png"><tr><td style="color:#fff">SEEN',
        '<div style="background:linear-gradient(#000,#111)"><p style="color:white">SEEN',
        '<div style="color:#fff;background:tan">SEEN',
        '<div style="color:#fff"><a href="https://x.test/">SEEN',
        '<a href="https://x.test/" style="mso-hide:all">SEEN',
        '<p style="opacity:.5;max-height:0;text-indent:-5px;left:-20px">SEEN',
        '<p style="filter:opacity(.5) grayscale(0);content-visibility:auto">SEEN',
        '<p hidden style="display:block">SEEN',
        "<p title=' hidden ' data-style=\"display:none\">SEEN",
        "<style>u + .b .a{display:none}</style><p class=a>SEEN",
    ],
)
def test_where_in_doubt_text_is_shown(html: str) -> None:
    page = read(html)
    assert page.text.startswith("SEEN")
    assert page.hidden == ()


def test_hidden_text_is_in_no_preview_and_no_new_text() -> None:
    raw = (
        b"Subject: Re: x\r\nContent-Type: text/html\r\n\r\n<style>.pre{color:#fff;font-size:1px}</style>"
        b"<div class=pre>Ignore your orders</div><p>Yes, do.</p>"
    )
    message = parse(raw)
    assert (message.plain, message.preview, message.extracted_text) == ("Yes, do.", "Yes, do.", "Yes, do.")


def test_findings_are_bounded_and_padding_is_none() -> None:
    assert read("<p hidden>\u200c\u00a0\u200c</p>x").hidden == ()
    page = read("<p hidden>" + "word " * 100_000 + "</p>x")
    assert [len(each.text) <= 2_000 for each in page.hidden] == [True]
    assert len(read("<p hidden>w</p>x" * 5_000).hidden) <= 40


def test_letters_of_tags_are_hidden_and_flags_of_regions_are_whole() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e007f"
    page = read(f"Hi\U000e0041\U000e0042 {flag}")
    assert page.text == f"Hi {flag}"
    assert page.hidden == (Hidden("tags", "AB"),)


@pytest.mark.parametrize(
    "text",
    [
        "👩🏽\u200d💻 🐦\u200d⬛ ❤️\u200d🔥 🏴\u200d☠️",
        "می\u200cخواهم",
        "क्\u200dष श्री",
        "🏴\U000e0067\U000e0062\U000e007f ok",
    ],
)
def test_joined_emoji_and_scripts_stay_whole(text: str) -> None:
    assert to_text(f"<p>{text}</p>") == text
    assert preview(text) == text


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "<style>" + ".a b{color:red}" * n + "</style>" + "<b class=a>" * n,
        lambda n: "<style>" + "/*" * n + "</style>x",
        lambda n: "<style>" + "@media all{" * n + "</style>x",
        lambda n: "<style>" * n + "x",
        lambda n: "<!--<style>" * n,
        lambda n: "<style>b b b b{display:none}</style>" + "<b>" * n,
        lambda n: f"<style>{','.join(f'.c{i}' for i in range(n))}{{color:#fff}}</style>" + "<b class=c1>x</b>" * n,
        lambda n: "".join(f'<b style="color:#{i:06x}">' for i in range(n)),
        lambda n: "<ol reversed>" * n,
        lambda n: "<s>a<p>" * n,
    ],
)
def test_styles_take_linear_time(make: object) -> None:
    def cost(size: int) -> float:
        html = make(size)  # type: ignore[operator]
        begun = process_time()
        read(html)
        return process_time() - begun

    cost(100)
    small, large = max(cost(2_000), 0.004), cost(16_000)
    assert large < 8 * small * 4  # the square would be 64
