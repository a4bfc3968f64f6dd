"""HTML mail: a safe form to show, a preview; `html_text.py` has the text out of it.

To show a mail, nh3 has the last word, on markup that `balance` has made shallow first.
"""

from __future__ import annotations

import re
from html import escape, unescape

import nh3

from posthouse.wire.html_text import MAX_HTML_CHARS, Hidden, Page, read, to_text
from posthouse.wire.html_tokens import OPEN, TEXT, VOID, Elements, attributes, tokens

__all__ = ["MAX_HTML_CHARS", "Hidden", "Page", "balance", "preview", "read", "sanitize", "to_text"]

PREVIEW_CHARS = 200
# More than real mail nests; tree builders stay fast below it.
_MAX_DEPTH = 200

# --- Preview ----------------------------------------------------------------------------------------

# Soft hyphens, joiners, zero-width and braille blanks, directional marks: the padding behind a preheader.
_PADDING = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]+"
)
# Letters of tags, but in the flags of regions.
_TAG_LETTERS = re.compile("(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+")
# Joiners within emoji, and within words of scripts whose letters they shape (Unicode §23.2).
_SIGNS = "\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff"
_SHAPED = "\u0600-\u07bf\u0840-\u08ff\u0900-\u0df2\u0e80-\u109f\u1780-\u18aa\ua8e0-\ua8ff"
_JOINED = re.compile(f"(?<=[{_SIGNS}])\u200d(?=[{_SIGNS}])|(?<=[{_SHAPED}])[\u200c\u200d](?=[{_SHAPED}])")
_KEPT = {"\u200c": "\ue000", "\u200d": "\ue001"}
_RULER = re.compile(r"(?:[-=_*~#+]\s?){4,}")
_PREVIEW_WINDOW = 16_384


def preview(text: str, limit: int = PREVIEW_CHARS) -> str:
    """The beginning of a text on one line, of at most `limit` characters, for lists of messages.

    Invisible padding, rulers and quote marks are left out; a longer text is cut at a word and ends in `…`.

    Source: RFC 8621 §4.1.4, `preview`.
    """
    line = _visible_line(text[: limit * 3])
    if len(line) <= limit < len(text):
        line = _visible_line(text[:_PREVIEW_WINDOW])  # much of it was blank, or padding
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    head, blank, _ = cut.rpartition(" ")
    return (head if blank and len(head) > limit // 2 else cut).rstrip() + "…"


def _visible_line(text: str) -> str:
    line = " ".join(text.split())
    if not line.isascii() or not line.isprintable():
        if not line.isprintable():
            line = _TAG_LETTERS.sub("", line)
        if "\u200c" in line or "\u200d" in line:
            line = _JOINED.sub(lambda found: _KEPT[found.group()], line)
            line = _PADDING.sub("", line).replace("\ue000", "\u200c").replace("\ue001", "\u200d")
        else:
            line = _PADDING.sub("", line)
        line = " ".join(line.split())
    if "---" in line or "===" in line or "___" in line or "***" in line:
        line = " ".join(_RULER.sub(" ", line).split())
    return line


# --- A safe form to show ----------------------------------------------------------------------------

_SAFE_TAGS = frozenset(
    ["a", "abbr", "address", "article", "aside", "b", "big", "blockquote", "br", "caption", "center", "cite",
     "code", "col", "colgroup", "dd", "del", "details", "dfn", "div", "dl", "dt", "em", "figcaption", "figure",
     "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "i", "img", "ins", "kbd", "li",
     "main", "mark", "ol", "p", "pre", "q", "s", "samp", "section", "small", "span", "strike", "strong", "sub",
     "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var"]
)  # fmt: skip
_SAFE_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"align", "bgcolor", "dir", "height", "lang", "style", "title", "valign", "width"},
    "a": {"href", "name"},
    "col": {"span"},
    "colgroup": {"span"},
    "font": {"color", "face", "size"},
    "hr": {"size"},
    "img": {"alt", "border", "src"},
    "ol": {"start", "type"},
    "table": {"border", "cellpadding", "cellspacing", "summary"},
    "td": {"abbr", "colspan", "headers", "rowspan", "scope"},
    "th": {"abbr", "colspan", "headers", "rowspan", "scope"},
}
# No position, no url(), no z-index: what is shown stays in its place and calls nobody.
_SAFE_STYLES = {
    "background-color", "border", "border-bottom", "border-collapse", "border-color", "border-left",
    "border-radius", "border-right", "border-spacing", "border-style", "border-top", "border-width", "color",
    "direction", "display", "font", "font-family", "font-size", "font-style", "font-weight", "height",
    "letter-spacing", "line-height", "list-style-type", "margin", "margin-bottom", "margin-left",
    "margin-right", "margin-top", "max-height", "max-width", "min-width", "overflow", "padding",
    "padding-bottom", "padding-left", "padding-right", "padding-top", "text-align", "text-decoration",
    "text-indent", "text-transform", "vertical-align", "visibility", "white-space", "width", "word-break",
    "word-wrap",
}  # fmt: skip
_SAFE_SCHEMES = {"http", "https", "mailto", "tel", "cid"}


def sanitize(html: str) -> str:
    """Markup that is safe to show inside a page: no script, form, frame, style sheet, or way out of its place.

    Links open elsewhere and say nothing of where they were followed. `cid:` images stay for the caller to
    resolve; remote images stay as they are, so the page's policy decides whether they load.

    Args:
        html: any markup; what lies beyond `MAX_HTML_CHARS` is cut.
    """
    return nh3.clean(
        balance(html[:MAX_HTML_CHARS]),
        tags=set(_SAFE_TAGS),
        attributes=_SAFE_ATTRIBUTES,
        url_schemes=_SAFE_SCHEMES,
        url_relative="deny",  # it would be relative to us
        link_rel="noopener noreferrer nofollow",
        filter_style_properties=_SAFE_STYLES,
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def balance(html: str) -> str:
    """The markup with every element closed in order and none deeper than a tree builder can bear.

    Elements no mail needs are left out, script and style with their content; of the others the attributes
    are written anew, in double quotes.
    """
    out: list[str] = []
    elements = Elements()
    shown: list[bool] = []  # for each open element, whether its tags are written
    depth = 0

    def pop(count: int) -> None:
        nonlocal depth
        for _ in range(count):
            name = elements.pop()
            if shown.pop():
                depth -= 1
                out.append(f"</{name}>")

    for kind, start, end, name, rest in tokens(html):
        if kind == TEXT:
            if not name:
                out.append(html[start:end].replace("<", "&lt;"))
            elif name in ("textarea", "xmp"):
                out.append(escape(unescape(html[start:end])))
        elif kind == OPEN:
            pop(elements.implied(name))
            keep = name in _SAFE_TAGS
            if name == "a" and elements.counts[-1].get("a"):
                pop(elements.closed_by_end("a"))  # a link in a link makes tree builders clone
            if name not in VOID:
                keep = keep and depth < _MAX_DEPTH
                elements.push(name)
                shown.append(keep)
                depth += keep
            if keep:
                out.append(_start_tag(name, rest))
        else:
            pop(elements.closed_by_end(name))
    pop(len(elements.names))
    return "".join(out)


def _start_tag(name: str, rest: str) -> str:
    if not rest.strip("/ \t\r\n"):
        return f"<{name}>"
    allowed = _SAFE_ATTRIBUTES.get(name, set()) | _SAFE_ATTRIBUTES["*"]
    pairs = [f' {key}="{escape(value)}"' for key, value in attributes(rest).items() if key in allowed]
    return f"<{name}{''.join(pairs)}>"
