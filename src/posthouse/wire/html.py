"""HTML mail: text out of it, a safe form to show, a preview.

Text comes from the tokens of `html_tokens.py`, in linear time. To show a mail, nh3 has the last word, on markup
that `balance` has made shallow first. Where in doubt, text is shown rather than hidden.
"""

from __future__ import annotations

import re
from html import escape, unescape

import nh3

from posthouse.wire.html_tokens import BLOCKS, OPEN, TEXT, VOID, Elements, Token, attributes, tokens

# Half a second of work at most, were it all tags.
MAX_HTML_CHARS = 1024 * 1024
PREVIEW_CHARS = 200
# More than real mail nests; tree builders stay fast below it.
_MAX_DEPTH = 200

# --- Text -------------------------------------------------------------------------------------------

# Set apart by an empty line.
_SPACED = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "pre", "blockquote", "table"])
# Elements whose content is no text of the mail.
DROPPED = frozenset(
    ["script", "style", "template", "noembed", "noframes", "iframe", "object", "svg", "math", "audio", "video",
     "select", "datalist", "head", "title", "canvas", "map"]
)  # fmt: skip
# Only a style that may match is taken apart.
_MAYBE_HIDDEN = re.compile(
    r"hidden|none|collapse|opacity\s*:\s*[0.]|font-size\s*:\s*[01.]|height\s*:\s*0", re.IGNORECASE
)
_CSS_COMMENT = re.compile(r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/")
_ZERO = re.compile(r"(?:0+(?:\.0*)?|\.0+)(?:[a-z]{2,4}|%)?")
_MAX_STYLE_CHARS = 4_096
_HREF_SCHEMES = ("http://", "https://", "mailto:", "tel:")
_MAX_HREF_CHARS = 2_000


def is_hidden(rest: str) -> bool:
    """Whether a start tag says that its element is not shown."""
    if not rest or _MAYBE_HIDDEN.search(rest) is None:
        return False
    found = attributes(rest)
    if "hidden" in found and found["hidden"].lower() != "until-found":
        return True
    style = found.get("style", "")[:_MAX_STYLE_CHARS].lower()
    if not style:
        return False
    if "/*" in style:
        style = _CSS_COMMENT.sub("", style)
    rules: dict[str, str] = {}
    for declaration in style.split(";"):
        key, _, value = declaration.partition(":")
        rules[key.strip()] = value.replace("!important", "").strip()
    clipped = rules.get("overflow") in ("hidden", "clip")
    return (
        rules.get("display") == "none"
        or rules.get("visibility") in ("hidden", "collapse")
        or rules.get("font-size") == "1px"
        or any(_ZERO.fullmatch(rules[key]) for key in ("opacity", "font-size") if key in rules)
        or (clipped and any(_ZERO.fullmatch(rules[key]) for key in ("height", "max-height") if key in rules))
    )


class _Writer:
    """Lines of text, put together piece by piece."""

    __slots__ = ("breaks", "bullet", "indent", "line", "line_quotes", "lines", "quotes", "space")

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.line: list[str] = []
        self.breaks = 0  # line breaks owed before the next text
        self.space = False  # a blank owed before the next text
        self.bullet = False  # the line holds nothing but the mark of a list item
        self.quotes = 0
        self.line_quotes = 0  # of the last finished line
        self.indent = 0

    def text(self, text: str) -> None:
        words = text.split()
        if not words:
            self.space = self.space or bool(text)
            return
        if self.breaks:
            self._start_line()
        elif self.line and (self.space or text[0].isspace()):
            self.line.append(" ")
        self.line.append(" ".join(words))
        self.bullet = False
        self.space = text[-1].isspace()

    def verbatim(self, text: str) -> None:
        """Preformatted text: blanks and line breaks stay."""
        for index, part in enumerate(text.replace("\r\n", "\n").split("\n")):
            if index:
                self.end_line()
                self.breaks = 0
            elif self.breaks:
                self._start_line()
            if part:
                self.line.append(part)
        self.space = False

    def _start_line(self) -> None:
        if self.line:
            self.end_line()
        if self.lines and self.breaks > 1 and self.lines[-1].strip("> "):
            self.lines.append(("> " * min(self.quotes, self.line_quotes)).rstrip())
        self.breaks = 0

    def end_line(self) -> None:
        prefix = "> " * min(self.quotes, 20) + "  " * min(self.indent, 20)
        self.lines.append((prefix + "".join(self.line)).rstrip())
        self.line_quotes = self.quotes
        self.line = []
        self.space = False

    def end_block(self, breaks: int) -> None:
        """What follows begins a new line, after an empty one when `breaks` is 2."""
        if self.bullet:
            return
        if self.line:
            self.end_line()
        self.breaks = max(self.breaks, breaks)
        self.space = False

    def begin_item(self, mark: str, *, first: bool) -> None:
        """An item of a list begins; its text stands behind the mark."""
        self.end_item()
        self.end_block(1)
        if not first:
            self.breaks = 1
        self._start_line()
        self.line.append(mark)
        self.bullet = True

    def end_item(self) -> None:
        """An item without text leaves no mark."""
        if self.bullet:
            self.line.clear()
            self.bullet = False

    def since(self, lines: int, pieces: int) -> str:
        """The text written since there were so many lines, and so many pieces in the line."""
        if len(self.lines) == lines:
            return "".join(self.line[pieces:]).strip()
        return " ".join([*self.lines[lines:], "".join(self.line)]).strip()

    def result(self) -> str:
        self.end_item()
        if self.line:
            self.end_line()
        return "\n".join(self.lines).strip("\n")


def to_text(html: str) -> str:
    """The text a reader would see, with paragraphs, lists, quotes and the targets of links.

    Comments, scripts, styles and the head are dropped, and so are elements hidden by an attribute or by their
    own style. Links read `words (url)`; images give their alternative text in brackets; cells of a table row
    are separated by tabs.

    Args:
        html: any markup; what lies beyond `MAX_HTML_CHARS` is not looked at.
    """
    reader = _TextReader()
    for token in tokens(html[:MAX_HTML_CHARS]):
        reader.take(html, token)
    return reader.writer.result()


class _TextReader:
    """The state of turning tokens into text."""

    __slots__ = ("elements", "hidden_at", "links", "lists", "pre", "writer")

    def __init__(self) -> None:
        self.writer = _Writer()
        self.elements = Elements()
        self.hidden_at = -1  # height of the stack at which the hidden element stands
        self.links: list[tuple[str, int, int]] = []  # target; lines, and pieces of the line, before its words
        self.lists: list[int] = []  # the number of the next item of each open list, negative where none is shown
        self.pre = 0

    def take(self, html: str, token: Token) -> None:
        kind, start, end, name, rest = token
        if kind == TEXT:
            if self.hidden_at < 0 and (not name or name in ("textarea", "xmp")):
                text = html[start:end]
                if "&" in text and name != "xmp":
                    text = unescape(text)
                (self.writer.verbatim if self.pre else self.writer.text)(text)
        elif kind == OPEN:
            self._pop(self.elements.implied(name))
            if name not in VOID:
                self._open(name, rest)
            elif self.hidden_at < 0:
                self._void(name, rest)
        elif name in ("p", "br") and not self.elements.counts[-1].get(name):
            if self.hidden_at < 0:
                self.writer.end_block(1)  # HTML §13.2.6.4.7: a stray </p> or </br> is an element of its own
        else:
            self._pop(self.elements.closed_by_end(name))

    def _open(self, name: str, rest: str) -> None:
        self.elements.push(name)
        if self.hidden_at >= 0:
            return
        if name in DROPPED or is_hidden(rest):
            self.hidden_at = len(self.elements.names)
            return
        writer = self.writer
        if name in BLOCKS:
            writer.end_block(2 if name in _SPACED and not (name in ("ul", "ol") and self.lists) else 1)
        if name == "a":
            target = attributes(rest).get("href", "").strip()[:_MAX_HREF_CHARS]
            shown = target if target.lower().startswith(_HREF_SCHEMES) else ""
            self.links.append((shown, len(writer.lines), len(writer.line)))
        elif name in ("ul", "ol", "menu"):
            self.lists.append(1 if name == "ol" else -1)
            writer.indent = max(0, len(self.lists) - 1)
        elif name == "li":
            number = self.lists[-1] if self.lists else -1
            if self.lists:
                self.lists[-1] += 1 if number > 0 else -1
            writer.begin_item(f"{number}. " if number > 0 else "- ", first=number in (1, -1))
        elif name == "blockquote":
            writer.quotes += 1
        elif name == "pre":
            self.pre += 1
        elif name in ("td", "th") and writer.line and not writer.breaks:
            writer.line.append("\t")
            writer.space = False

    def _void(self, name: str, rest: str) -> None:
        writer = self.writer
        if name == "br":
            if writer.line:
                writer.end_line()
            elif writer.lines and not writer.breaks and writer.lines[-1]:
                writer.lines.append("")
            elif writer.breaks == 1:
                writer.breaks = 2
        elif name == "hr":
            writer.end_block(1)
            writer.text("---")
            writer.end_block(1)
        elif name == "img" and "alt" in rest.lower() and not is_hidden(rest):
            alt = " ".join(attributes(rest).get("alt", "").split())
            if alt:
                writer.text(f" [{alt}] ")

    def _pop(self, count: int) -> None:
        for _ in range(count):
            height = len(self.elements.names)
            name = self.elements.pop()
            if self.hidden_at >= 0:
                if height <= self.hidden_at:
                    self.hidden_at = -1
                continue
            self._close(name)

    def _close(self, name: str) -> None:
        writer = self.writer
        if name == "a" and self.links:
            self._end_link(*self.links.pop())
        elif name in ("ul", "ol", "menu") and self.lists:
            self.lists.pop()
        elif name == "pre" and self.pre:
            self.pre -= 1
        if name in BLOCKS:
            writer.end_block(2 if name in _SPACED and not (name in ("ul", "ol") and self.lists) else 1)
        if name == "blockquote" and writer.quotes:
            writer.quotes -= 1
        writer.indent = max(0, len(self.lists) - 1)

    def _end_link(self, target: str, lines: int, pieces: int) -> None:
        if not target:
            return
        words = self.writer.since(lines, pieces)
        bare = target.partition(":")[2].strip("/")
        if words and words.strip("/") not in (target.strip("/"), bare, bare.removeprefix("www.")):
            self.writer.text(f" ({target})")


# --- Preview ----------------------------------------------------------------------------------------

# Soft hyphens, joiners, zero-width and braille blanks, directional marks: the padding behind a preheader.
_PADDING = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]+"
)
_JOINED_EMOJI = re.compile(
    "(?<=[\u2600-\u27bf\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2600-\u27bf\U0001f000-\U0001faff])"
)
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
        line = _JOINED_EMOJI.sub("\ue000", line)
        line = " ".join(_PADDING.sub("", line).replace("\ue000", "\u200d").split())
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
