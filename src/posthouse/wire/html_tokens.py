"""The tags and texts of HTML in order, and which element an end tag closes: without building a tree.

Tree builders that follow the HTML standard take quadratic time on deep nesting (300,000 open `<div>` took one
of them four minutes); here every input costs time in proportion to its size.

Follows the HTML Living Standard §13.2.5 (tokenization) and §13.2.4.2 (open elements) as far as they matter
for where text ends and markup begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

TEXT, OPEN, CLOSE = 0, 1, 2
Token = tuple[int, int, int, str, str]
# The name of the text that stands for all that was not taken apart.
REST = "#rest"
# Tags, comments and, four for one, attributes that are read in one document: half as many again as the
# largest of some thousand public mails has.
MAX_STEPS = 12_000

# A quote counts only as the first character of a value; possessive, so that no input makes it go back.
_ATTRIBUTES = r"""[^>=]*+(?:=\s*+(?:"[^"]*+"|'[^']*+'|(?!["'])[^\s>]*+)[^>=]*+)*+"""
_NAME = r"<(?:(/?)([A-Za-z][^\s/>\x00]*+)"
_OTHER = r"|!--|[!?]|/)"
_MARKUP = re.compile(rf"{_NAME}(?:>|({_ATTRIBUTES})>)?+{_OTHER}")
# Once a quote was found that never closes: the next `>` ends a tag, and no tag looks for quotes again.
_MARKUP_WITHOUT_QUOTES = re.compile(rf"{_NAME}(?:>|([^>]*+)>)?+{_OTHER}")
_COMMENT_END = re.compile(r"--!?>")
_RAW_TEXT = ("script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
_RAW_END = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW_TEXT}


def tokens(html: str, steps: int | None = None) -> Iterator[Token]:
    """Text, start tags and end tags, in order; comments and declarations are left out.

    Args:
        html: any markup.
        steps: how much is taken apart, as for `MAX_STEPS`; None for all. What is left then comes as one text with
            the name `REST`, markup and all: `without_tags` makes text of it.

    Yields:
        (kind, start, end, name, rest): offsets of the token; for a tag, its name in lower case and what
        stands between the name and `>`. The content of script, style and their like is one text token with
        the element as its name.
    """
    position, size, left = 0, len(html), len(html) if steps is None else steps
    search = _MARKUP.search
    while position < size:
        if left < 0 and steps is not None:
            yield TEXT, position, size, REST, ""
            return
        match = search(html, position)
        if match is None:
            break
        start, end = match.span()
        if start > position:
            yield TEXT, position, start, "", ""
        left -= 1
        slash, name, rest = match.groups()
        if name is None:
            position = _skip_declaration(html, match.group(), end)
            continue
        if html[end - 1] != ">":
            search = _MARKUP_WITHOUT_QUOTES.search
            after, end = end, html.find(">", end) + 1
            if not end:
                return  # an unfinished tag is dropped (HTML §13.2.5.8, EOF in tag)
            rest = html[after : end - 1]
        position = end
        name = name.lower()
        if slash:
            yield CLOSE, start, end, name, ""
            continue
        if rest is None:
            rest = ""
        else:
            left -= rest.count("=") >> 2
        yield OPEN, start, end, name, rest
        if name in _RAW_END:
            close = _RAW_END[name].search(html, end)
            position = size if close is None else close.start()
            yield TEXT, end, position, name, ""
    if position < size:
        yield TEXT, position, size, "", ""


_REFERENCE = re.compile(r"&(?:#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)")


class _References(dict[str, str]):
    """What character references stand for, those that were met kept."""

    def __missing__(self, reference: str) -> str:
        found = unescape(reference)
        if len(self) < _MAX_REFERENCES:
            self[reference] = found
        return found


_MAX_REFERENCES = 8_192
_KNOWN = _References()


def characters(text: str) -> str:
    """The text with its character references resolved (HTML §13.2.5.72–80); quickly where they are many."""
    return _REFERENCE.sub(lambda found: _KNOWN[found.group()], text) if "&" in text else text


_TAGS = re.compile(r"(?:<[A-Za-z/!?][^>]*+>?+\s*+)++")
# Tags side by side; comments, scripts and styles with what is in them.
_TAGS_OF_REST = re.compile(
    r"(?:<(?:!--.*?(?:-->|\Z)|(script|style|title)\b.*?(?:</\1\b[^>]*+>?+|\Z)|[A-Za-z/!?][^>]*+>?+)\s*+)++",
    re.IGNORECASE | re.DOTALL,
)


def without_tags(html: str) -> str:
    """The text of a `REST`: a line wherever tags stood, hidden or not."""
    lower = html.lower()
    is_plain = all(each not in lower for each in ("<!--", "<script", "<style", "<title"))
    return characters((_TAGS if is_plain else _TAGS_OF_REST).sub("\n", html))


def _skip_declaration(html: str, opening: str, after: int) -> int:
    if opening == "<!--":
        if html.startswith((">", "->"), after):  # HTML §13.2.5.43
            return html.index(">", after) + 1
        end = _COMMENT_END.search(html, after)
        return len(html) if end is None else end.end()
    close = html.find(">", after)
    return len(html) if close < 0 else close + 1


# An attribute without a value says nothing, but for these.
_ATTRIBUTE = re.compile(
    r"""[\s=/>"']*+(?:(?!hidden|reversed|style|href|alt)[^\s=/>"']++(?!\s*+=)[\s=/>"']*+)*+"""
    r"""(?:([^\s=/>"']++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s>"']\S*+)))?)?+""",
    re.IGNORECASE,
)
_MAX_ATTRIBUTE_CHARS = 65_536


def attributes(rest: str) -> dict[str, str]:
    """The attributes of a start tag; the first of two equal names counts (HTML §13.2.5.33)."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(rest[:_MAX_ATTRIBUTE_CHARS]):
        name = name.lower()
        if name and name not in found:
            value = double or single or bare
            found[name] = characters(value)
    return found


# --- Open elements ----------------------------------------------------------------------------------

VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])
# An end tag does not reach out of these (HTML §13.2.4.2, "has an element in scope").
_SCOPES = frozenset(["table", "td", "th", "caption", "object", "marquee", "template", "html"])
BLOCKS = frozenset(
    ["address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dir", "div", "dl", "dt",
     "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
     "html", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody",
     "tfoot", "thead", "tr", "ul"]
)  # fmt: skip
# What a start tag closes first, when it is the innermost of these open (HTML §13.1.2.4, optional tags).
_CLOSED_BY = {
    "li": ("li",),
    "dt": ("dt", "dd"),
    "dd": ("dt", "dd"),
    "option": ("option",),
    "td": ("td", "th"),
    "th": ("td", "th"),
    "tr": ("tr", "td", "th"),
    "tbody": ("tr", "td", "th", "tbody", "thead", "tfoot"),
    "thead": ("tr", "td", "th", "tbody", "thead", "tfoot"),
    "tfoot": ("tr", "td", "th", "tbody", "thead", "tfoot"),
}
# The start tags that may close something.
CLOSERS = BLOCKS | _CLOSED_BY.keys()
_LIST_OF = {"li": ("ul", "ol", "menu"), "dt": ("dl",), "dd": ("dl",), "option": ("select",)}
_LOOK_BACK = 40


class Elements:
    """The stack of open elements, near enough to the standard's to know what a closing tag closes."""

    __slots__ = ("counts", "names", "scopes")

    def __init__(self) -> None:
        self.names: list[str] = []
        self.scopes: list[str] = []  # those of the open elements that an end tag does not reach out of
        self.counts: list[dict[str, int]] = [{}]  # open elements by name, one count for each scope

    def push(self, name: str) -> None:
        """An element opens."""
        self.names.append(name)
        counts = self.counts[-1]
        counts[name] = counts.get(name, 0) + 1
        if name in _SCOPES:
            self.scopes.append(name)
            self.counts.append({})

    def pop(self) -> str:
        """The innermost element closes."""
        name = self.names.pop()
        if name in _SCOPES:
            self.scopes.pop()
            self.counts.pop()
        self.counts[-1][name] -= 1
        return name

    def implied(self, name: str) -> int:
        """How many elements a start tag closes first."""
        names = self.names
        closes = _CLOSED_BY.get(name)
        if closes is not None:
            stops = _LIST_OF.get(name, ("table",))
            result = 0
            for back in range(1, min(len(names), _LOOK_BACK) + 1):
                open_name = names[-back]
                if open_name in closes:
                    result = back
                elif open_name in stops or (open_name in _SCOPES and open_name not in closes):
                    break
            return result
        if name in BLOCKS and self.counts[-1].get("p"):
            for back in range(1, min(len(names), _LOOK_BACK) + 1):
                if names[-back] == "p":
                    return back
                if names[-back] in _SCOPES:
                    break
        return 0

    def closed_by_end(self, name: str) -> int:
        """How many elements an end tag closes; 0 when it matches none it can reach."""
        if self.counts[-1].get(name):
            return self._back_to(name)
        if name not in _SCOPES and name not in ("tr", "tbody", "thead", "tfoot"):
            return 0
        # The end of a table or cell closes what is open in it, scopes and all.
        for level in range(len(self.counts) - 1, max(-1, len(self.counts) - _LOOK_BACK), -1):
            if self.counts[level].get(name):
                return self._back_to(name)
            if name != "table" and level and self.scopes[level - 1] == "table":
                return 0
        return 0

    def _back_to(self, name: str) -> int:
        """How many elements are open from an element of that name on. All of them are closed then."""
        back = 1
        while self.names[-back] != name:
            back += 1
        return back
