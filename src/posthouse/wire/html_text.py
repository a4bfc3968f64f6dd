"""The text a reader of HTML mail would see, and apart from it what is written there and hidden from him.

Works on the tokens of `html_tokens.py`, in linear time. Open `html_style.py` for what hides text. Where in doubt,
text is shown rather than hidden.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from posthouse.wire.css import Subject, sheet_of
from posthouse.wire.html_lists import List, integer
from posthouse.wire.html_style import PLAIN, Look, Looks, State
from posthouse.wire.html_tokens import (
    BLOCKS,
    CLOSE,
    CLOSERS,
    MAX_STEPS,
    OPEN,
    REST,
    TEXT,
    VOID,
    Elements,
    attributes,
    characters,
    tokens,
    without_tags,
)
from posthouse.wire.html_writer import Writer

MAX_HTML_CHARS = 1024 * 1024
# Set apart by an empty line.
_SET_APART = frozenset(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "pre", "blockquote", "table"])
# Elements whose content is no text of the mail.
DROPPED = frozenset(
    ["script", "style", "template", "noembed", "noframes", "iframe", "object", "svg", "math", "audio", "video",
     "select", "datalist", "head", "title", "canvas", "map"]
)  # fmt: skip
_STRUCK = frozenset(["s", "del", "strike"])
_HREF_SCHEMES = ("http://", "https://", "mailto:", "tel:")
_MAX_HREF_CHARS = 2_000
# What is kept of hidden text.
_MAX_FINDINGS = 40
_MAX_FINDING_CHARS = 2_000


class Hidden(NamedTuple):
    """Text that is in the markup and out of sight.

    Attributes:
        technique: "display", "hidden", "aria-hidden", "mso-hide", "visibility", "font-size", "below-a-pixel",
            "transparent", "colour", "no-height", "no-width", "clip" or "off-page".
        text: its words, with single blanks; cut where it is very long.
    """

    technique: str
    text: str


class Page(NamedTuple):
    """What HTML says: to the reader's eye, and besides. Of hidden texts, the first are kept.

    Attributes:
        is_whole: all tags were looked at; else text behind the last of them is shown whatever hides it.
    """

    text: str
    hidden: tuple[Hidden, ...]
    is_whole: bool = True


def to_text(html: str) -> str:
    """The text a reader would see, with paragraphs, lists, quotes and the targets of links.

    Comments, scripts, styles and the head are dropped, and so is what an attribute, its own style or a style sheet
    hides. Links read `words (url)`; images give their alternative text in brackets; cells of a table row are
    separated by tabs; struck-out words stand between `~~`.

    Args:
        html: any markup; what lies beyond `MAX_HTML_CHARS` is not looked at.
    """
    return read(html).text


def read(html: str, *, whole: bool = False) -> Page:
    """The text of `to_text`, and what was left out of it because nobody would see it.

    Args:
        whole: read all, and keep all hidden text, however long it takes: for whoever has to vouch for all of a mail.
            Else what lies beyond `MAX_STEPS` tags is shown, whatever hides it.
    """
    html = html[:MAX_HTML_CHARS]
    if whole:
        reader = _TextReader(html, _Findings(len(html), len(html)), None)
    else:
        reader = _TextReader(html, _Findings(_MAX_FINDINGS, _MAX_FINDING_CHARS), MAX_STEPS)
    is_whole = reader.run()
    return Page(reader.writer.result(), reader.hidden.found(), is_whole)


class _Findings:
    """Hidden texts, each put together from its pieces."""

    __slots__ = ("chars", "done", "most", "pieces", "size", "technique")

    def __init__(self, most: int, chars: int) -> None:
        self.most = most
        self.chars = chars
        self.done: list[Hidden] = []
        self.technique = ""
        self.pieces: list[str] = []
        self.size = 0

    def add(self, technique: str, text: str) -> None:
        if technique != self.technique:
            self.end()
            self.technique = technique
        if self.size < self.chars:
            self.pieces.append(text[: self.chars])
            self.size += len(text)

    def end(self) -> None:
        """Text that is seen stands between."""
        if not self.technique:
            return
        text = " ".join("".join(self.pieces).split())[: self.chars]
        # Padding behind a preheader is no text.
        if len(self.done) < self.most and any(map(str.isalnum, text)):
            self.done.append(Hidden(self.technique, text))
        self.technique = ""
        self.pieces.clear()
        self.size = 0

    def found(self) -> tuple[Hidden, ...]:
        self.end()
        return tuple(self.done)


# What may stand inside a line when its style asks for it.
_INLINE_AT_WILL = frozenset(["div", "p", "center", "section", "article", "h1", "h2", "h3", "h4", "h5", "h6"])
_UNTOUCHED = State()
# Tag characters spell ASCII and show nothing, but in the flag of a region.
_TAGS = re.compile("(?<![\U0001f3f4\U000e0020-\U000e007f])[\U000e0000-\U000e007f]+")


class _TextReader:
    """The state of turning tokens into text."""

    __slots__ = ("above", "changes", "counted", "elements", "flows", "gone", "has_sheet", "has_tags", "hidden",
                 "hidden_at", "html", "is_pre_begun", "links", "lists", "looks", "looks_up", "state", "states", "steps",
                 "unseen", "writer")  # fmt: skip

    def __init__(self, html: str, hidden: _Findings, steps: int | None) -> None:
        self.html = html
        self.steps = steps
        self.writer = Writer()
        self.elements = Elements()
        self.looks = Looks(sheet_of(html))
        self.has_sheet = bool(self.looks.sheet)
        self.looks_up = self.looks.sheet.looks_up
        self.above: list[Subject] = []  # the open elements, where a style sheet asks for them
        self.hidden = hidden
        self.hidden_at = -1  # height of the stack at which the hidden element stands
        self.gone = ""  # how it is hidden; "" for what never is text
        self.state = _UNTOUCHED
        self.unseen = ""  # how the state hides text
        self.states: list[tuple[int, State, str]] = []  # what an element changed, and its height
        self.changes: dict[tuple[int, int, bool], tuple[State, Look, State]] = {}
        self.flows: dict[int, bool] = {}  # by height: elements that begin a line though they need not, or the reverse
        self.links: list[tuple[str, int, int]] = []  # target; lines, and pieces of the line, before its words
        self.lists: list[List] = []
        self.counted: dict[int, int] | None = None  # items by the place of their list
        self.is_pre_begun = False
        self.has_tags = not html.isascii() and _TAGS.search(html) is not None
        if self.has_sheet:
            for name in ("html", "body"):  # which may have no tags
                self._change(self.state.within(self.looks.of(name, "", []), name), -1)

    def run(self) -> bool:
        """Read all tokens; False where there are too many to look at."""
        elements, names, traits = self.elements, self.elements.names, _TRAITS.get
        is_whole = True
        for kind, start, end, name, rest in tokens(self.html, self.steps):
            if kind == TEXT:
                if not name or name in ("textarea", "xmp"):
                    self._text(start, end, name)
                elif name == REST:
                    is_whole = False
                    self._pop(len(names))
                    self.writer.plain(without_tags(self.html[start:end]))
            elif kind == OPEN:
                trait = traits(name, 0)
                if trait & _IMPLIES:
                    count = elements.implied(name)
                    if count:
                        self._pop(count)
                if not trait & _VOID:
                    self._open(name, rest, start, trait)
                elif self.hidden_at < 0:
                    self._void(name, rest)
                elif self.gone:
                    self.hidden.add(self.gone, " ")
            elif names and names[-1] == name:
                self._pop(1)
            elif name in ("p", "br") and not elements.counts[-1].get(name):
                if self.hidden_at < 0:
                    self.writer.end_block(1)  # HTML §13.2.6.4.7: a stray </p> or </br> is an element of its own
            else:
                count = elements.closed_by_end(name)
                if count:
                    self._pop(count)
        return is_whole

    def _text(self, start: int, end: int, name: str) -> None:
        html = self.html
        if self.hidden_at >= 0:
            if self.gone:
                self.hidden.add(self.gone, characters(html[start : min(end, start + self.hidden.chars)]))
            return
        text = html[start:end]
        if "&" in text and name != "xmp":
            text = characters(text)
        if self.unseen:
            self.hidden.add(self.unseen, text)
            return
        if self.hidden.technique and not text.isspace():
            self.hidden.end()
        if self.has_tags:
            text = self._without_tags(text)
        lines = self.state.lines
        if lines == "fill" or name == "textarea":
            self.writer.text(text)
            return
        if self.is_pre_begun and text.startswith("\n"):
            text = text[1:]  # HTML §13.1.2.5: a line break right behind <pre> is none
        self.is_pre_begun = False
        self.writer.verbatim(text, keeps_blanks=lines == "pre")

    def _without_tags(self, text: str) -> str:
        for run in _TAGS.findall(text):
            self.hidden.add("tags", "".join(chr(ord(char) - 0xE0000) for char in run))
        return _TAGS.sub("", text)

    def _change(self, state: State, height: int) -> None:
        """What an element at that height says of text is in force until it closes."""
        self.states.append((height, self.state, self.unseen))
        if state.is_struck != self.state.is_struck:
            self.writer.strike(state.is_struck)
        self.state, self.unseen = state, state.hides()

    def _restore(self) -> None:
        _, state, unseen = self.states.pop()
        if state.is_struck != self.state.is_struck:
            self.writer.strike(state.is_struck)
        self.state, self.unseen = state, unseen

    def _open(self, name: str, rest: str, start: int, trait: int) -> None:
        self.elements.push(name)
        look = PLAIN
        if self.has_sheet:
            look = self._ruled_look(name, rest)
        elif rest and self.hidden_at < 0:
            look = self.looks.alone(name, rest)
        if self.hidden_at >= 0:
            if self.gone and trait & _BLOCK:
                self.hidden.add(self.gone, " ")
            return
        if trait & _DROPPED or look.gone:
            self.hidden_at, self.gone = len(self.elements.names), "" if trait & _DROPPED else look.gone
            return
        self.is_pre_begun = name == "pre"
        if look is not PLAIN or trait & _SHAPES:
            self._shape(name, look, len(self.elements.names))
        if self.flows:
            if self.flows.get(len(self.elements.names), trait & _BLOCK):
                self._end_block(trait)
        elif trait & _BLOCK:
            self._end_block(trait)
        if trait & _ACTS:
            self._act(name, rest, start)

    def _end_block(self, trait: int) -> None:
        spaced = trait & _SPACED and not (trait & _LIST and self.lists)
        self.writer.end_block(2 if spaced else 1)

    def _ruled_look(self, name: str, rest: str) -> Look:
        """The look where there is a style sheet."""
        if not self.looks_up:
            return self.looks.of(name, rest, self.above) if self.hidden_at < 0 else PLAIN
        kind = self.looks.kind(name, rest)
        look = self.looks.placed(name, kind, self.above) if self.hidden_at < 0 else PLAIN
        self.above.append(kind.subject)
        return look

    def _act(self, name: str, rest: str, start: int) -> None:
        """What an element does to the text besides beginning a line."""
        writer = self.writer
        if name == "a":
            target = attributes(rest).get("href", "").strip()[:_MAX_HREF_CHARS] if rest else ""
            shown = target if target.lower().startswith(_HREF_SCHEMES) else ""
            self.links.append((shown, len(writer.lines), len(writer.line)))
        elif name in ("td", "th"):
            if writer.line and not writer.breaks:
                writer.line.append("\t")
                writer.space = False
        elif name == "li":
            self._item(rest)
        elif name == "blockquote":
            writer.quotes += 1
        else:
            self.lists.append(self._list(name, rest, start))
            writer.indent = max(0, len(self.lists) - 1)

    def _shape(self, name: str, look: Look, height: int) -> None:
        """How the text of an element is shown."""
        if name == "pre" and look.lines is None:
            look = _PREFORMATTED if look is PLAIN else look._replace(lines="pre")
        elif name in _STRUCK:
            look = _CROSSED if look is PLAIN else look._replace(is_struck=True)
        if name != "a" or look is not PLAIN or self.state is not _UNTOUCHED:
            # The same looks come again and again: each change is worked out once. The entry keeps both alive.
            key = (id(self.state), id(look), name == "a")
            found = self.changes.get(key)
            if found is None:
                state = self.state.within(look, name)
                found = (self.state, look, self.state if state == self.state else state)
                if len(self.changes) < _MAX_CHANGES:
                    self.changes[key] = found
            if found[2] is not self.state:
                self._change(found[2], height)
        is_block = look.is_block
        if is_block is not None and is_block != (name in BLOCKS) and (is_block or name in _INLINE_AT_WILL):
            self.flows[height] = is_block

    def _list(self, name: str, rest: str, start: int) -> List:
        """HTML §4.4.5: where an ordered list begins, and in which direction it counts."""
        if name != "ol":
            return List(0, 0, "")
        given = attributes(rest) if rest else {}
        is_reversed = "reversed" in given
        number = integer(given.get("start", ""))
        if number is None:
            number = self._items_of(start) if is_reversed else 1
        return List(number, -1 if is_reversed else 1, given.get("type", "").strip())

    def _items_of(self, start: int) -> int:
        """How many items the list at that place has. All lists are counted at once, for the first that asks."""
        if self.counted is None:
            self.counted = {}
            lists: list[int] = []
            for kind, place, _, name, _ in tokens(self.html, self.steps):
                if name in ("ol", "ul", "menu"):
                    if kind == OPEN:
                        lists.append(place)
                    elif kind == CLOSE and lists:
                        lists.pop()
                elif name == "li" and kind == OPEN and lists:
                    self.counted[lists[-1]] = self.counted.get(lists[-1], 0) + 1
        return self.counted.get(start, 0)

    def _item(self, rest: str) -> None:
        if not self.lists:
            self.writer.begin_item("- ", first=True)
            return
        within = self.lists[-1]
        if rest and within.step and "value" in rest.lower():
            number = integer(attributes(rest).get("value", ""))  # HTML §4.4.8
            within.number = within.number if number is None else number
        first = not within.used
        self.writer.begin_item(within.mark(), first=first)

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
        elif name == "img" and "alt" in rest.lower() and self.state.is_visible:
            look = self.looks.of(name, rest, self.above)
            alt = " ".join(attributes(rest).get("alt", "").split())
            if alt and not look.gone and look.is_visible is not False:
                if look.is_block:
                    writer.end_block(1)
                writer.text(f" [{alt}] ")
                if look.is_block:
                    writer.end_block(1)

    def _pop(self, count: int) -> None:
        names = self.elements.names
        for _ in range(count):
            height = len(names)
            name = self.elements.pop()
            trait = _TRAITS.get(name, 0)
            if self.looks_up:
                self.above.pop()
            if self.hidden_at >= 0:
                if height <= self.hidden_at:
                    self.hidden_at = -1
                    self.hidden.end()
                elif self.gone and trait & _BLOCK:
                    self.hidden.add(self.gone, " ")
                continue
            self._close(name, height, trait)

    def _close(self, name: str, height: int, trait: int) -> None:
        if trait & _ACTS:
            if name == "a":
                if self.links:
                    self._end_link(*self.links.pop())
            elif trait & _LIST and self.lists:
                self.lists.pop()
        if self.states and self.states[-1][0] == height:
            self._restore()
        is_block = trait & _BLOCK
        if self.flows:
            is_block = self.flows.pop(height, is_block)
        if is_block:
            self._end_block(trait)
        if trait & _ACTS:
            if name == "blockquote" and self.writer.quotes:
                self.writer.quotes -= 1
            self.writer.indent = max(0, len(self.lists) - 1)

    def _end_link(self, target: str, lines: int, pieces: int) -> None:
        if not target:
            return
        words = self.writer.since(lines, pieces)
        bare = target.partition(":")[2].strip("/")
        if words and words.strip("/") not in (target.strip("/"), bare, bare.removeprefix("www.")):
            self.writer.text(f" ({target})")


_CROSSED, _PREFORMATTED = Look(is_struck=True), Look(lines="pre")
_MAX_CHANGES = 4_096
# What is to be done for an element, by its name.
_VOID, _BLOCK, _SPACED, _DROPPED, _IMPLIES, _SHAPES, _ACTS, _LIST = (1 << each for each in range(8))
_LISTS = frozenset(["ul", "ol", "menu"])


def _traits() -> dict[str, int]:
    found: dict[str, int] = {}
    for trait, names in (
        (_VOID, VOID),
        (_BLOCK, BLOCKS),
        (_SPACED, _SET_APART),
        (_DROPPED, DROPPED),
        (_IMPLIES, CLOSERS),
        (_SHAPES, {"a", "pre", *_STRUCK}),
        (_ACTS, {"a", "td", "th", "li", "blockquote", *_LISTS}),
        (_LIST, _LISTS),
    ):
        for name in names:
            found[name] = found.get(name, 0) | trait
    return found


_TRAITS = _traits()
