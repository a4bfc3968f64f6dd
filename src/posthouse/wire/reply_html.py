"""The new part of a reply in HTML: its lines are told apart by the rules of plain text, with the help of the marks
that mailers set, and what is old is cut out of the markup.

Takes linear time: one walk over the tokens, and one more over what is cut.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from posthouse.wire.html_text import MAX_HTML_CHARS, to_text
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
)
from posthouse.wire.reply import BEGINS_REST, INTRODUCES, PLAIN, Lines, old_lines

# What mailers call their quotes. An element of one of these names is a quote; so is any `blockquote type=cite`.
_QUOTE_CLASSES = frozenset(
    ["iosymail", "gmail_quote", "protonmail_quote", "front-blockquote", "zmail_extra", "tutanota_quote"]
)
_QUOTE_IDS = frozenset(["isreplycontent"])
# A container is a quote where it begins like one: people write into what a mailer left over.
_BOX_CLASSES = frozenset(
    ["gmail_quote", "gmail_quote_container", "gmail_extra", "yahoo_quoted", "protonmail_quote", "tutanota_quote",
     "zmail_extra", "front-blockquote", "hm-quote", "reply-quote", "quoted-text", "missive_quote",
     "superhuman-quote", "ydp-quoted", "bloop_original_html", "nylas-quote", "moz-email-headers-table"]
)  # fmt: skip
_BOX_IDS = frozenset(["olk_src_body_section", "isreplycontent"])
_BOX_NAMES = frozenset(["quote", "quoted-content", "messagereplysection"])
_INTRODUCTION_CLASSES = frozenset(["gmail_attr", "moz-cite-prefix", "yahoo-quoted-begin", "airmail_on"])
_SIGNATURE_CLASSES = frozenset(
    ["gmail_signature", "moz-signature", "protonmail_signature_block", "yahoo-signature", "ydp-signature"]
)
_SIGNATURE_IDS = frozenset(["signature", "ms-outlook-mobile-signature"])
# From these on all may be the old message (Outlook on the web, Outlook.com, Outlook for phones, Zimbra).
_REST_IDS = frozenset(
    ["divrplyfwdmsg", "appendonsend", "stopspelling", "mail-editor-reference-message-container", "zwchr"]
)
_OUTLOOK_LINE = re.compile(r"border:\s*none;\s*border-top:\s*solid\s+#[0-9a-f]{6}", re.IGNORECASE)
_MARKED = re.compile(r"\b(?:id|type|name)\s*=|border-top|white-space")
_KEEPS_LINES = re.compile(r"white-space:\s*(?:pre|break)", re.IGNORECASE)

_MAILTO = re.compile(r"mailto:([^\s@<>\"'?&]{1,80}@[^\s@<>\"'?&]{1,120})", re.IGNORECASE)

_ENDS_IN_WORDS = re.compile(r"[^\s>]\s*\Z")
_BEGINS_WITH_WORDS = re.compile(r"\s*[^\s<]")
_NEAR = 200
_BREAKS = BLOCKS | {"br"}
# What leaves a blank line.
_GAPS = frozenset(["p", "br"])
_MAX_KNOWN = 4_096
_ORDINARY, _QUOTE, _MAYBE_QUOTE, _BOX, _INTRODUCTION, _SIGNATURE, _REST, _LINES = range(8)


def new_html(html: str) -> str | None:
    """The HTML of a reply without old messages and signatures; the rest byte for byte, but for a `<br>` where words
    on both sides of a cut would become one.

    The result may leave elements open; `html.sanitize` closes them.

    Args:
        html: the HTML of a message that answers another; longer than `MAX_HTML_CHARS`, or with more than
            `MAX_STEPS` tags, it is returned whole.

    Returns:
        The markup, or None when no text would be left.
    """
    return new_part(html).html


class NewPart(NamedTuple):
    """What is new in the HTML of a reply.

    Attributes:
        html: as `new_html` gives it.
        text: of that; "" where nothing was cut, and the text is all there is.
        is_whole: all tags were looked at; else nothing is cut.
    """

    html: str | None
    text: str = ""
    is_whole: bool = True


def new_part(html: str) -> NewPart:
    """The markup of `new_html`, and the text of it."""
    if not html or html.isspace():
        return NewPart(None)
    reader = _Reader(html)
    if len(html) > MAX_HTML_CHARS:
        return NewPart(html)
    if not reader.run():
        return NewPart(html, is_whole=False)
    cuts = _Cutter(reader).cuts()
    if not cuts:
        return NewPart(html)
    pieces, position = [], 0
    for start, end in cuts:
        if start > position:
            pieces.append(html[position:start])
        position = max(position, end)
    pieces.append(html[position:])
    # What stood on both sides of a quote stays apart.
    text = to_text("<div></div>".join(pieces)).strip()
    if not text:
        return NewPart(None)
    out = pieces[:1]
    for above, below in pairwise(pieces):
        if _ENDS_IN_WORDS.search(above[-_NEAR:]) and _BEGINS_WITH_WORDS.match(below):
            out.append("<br>")
        out.append(below)
    return NewPart("".join(out), text)


def _what_is(name: str, rest: str) -> int:
    """What the mailer says of an element by its names."""
    lower = rest.lower()
    if "class" not in lower and _MARKED.search(lower) is None:
        return _MAYBE_QUOTE if name == "blockquote" else _ORDINARY
    found = attributes(rest)
    id_ = found.get("id", "").lower().removeprefix("x_")
    classes = {each.removeprefix("x_") for each in found.get("class", "").lower().split()[:30]}
    if name == "blockquote":
        is_cited = found.get("type", "").lower() == "cite" or id_ in _QUOTE_IDS
        return _QUOTE if is_cited or not _QUOTE_CLASSES.isdisjoint(classes) else _MAYBE_QUOTE
    if not _INTRODUCTION_CLASSES.isdisjoint(classes):
        return _INTRODUCTION
    if id_ in _SIGNATURE_IDS or not _SIGNATURE_CLASSES.isdisjoint(classes):
        return _SIGNATURE
    style = found.get("style", "")[:400]
    if id_ in _REST_IDS or (name == "div" and _OUTLOOK_LINE.search(style)):
        return _REST
    if id_ in _BOX_IDS or found.get("name", "").lower() in _BOX_NAMES or not _BOX_CLASSES.isdisjoint(classes):
        return _BOX
    if id_.startswith("yahoo_quoted") or any(each.endswith("yahoo_quoted") for each in classes):
        return _BOX
    return _LINES if style and _KEEPS_LINES.search(style) else _ORDINARY


class _Reader:
    """The lines of markup, and where they stand in it."""

    __slots__ = ("address", "box", "box_at", "boxes", "elements", "hint", "html", "is_rest", "kept_at", "lead", "leads",
                 "line", "lines", "marked", "place", "places", "quote", "quote_at", "quotes", "said", "said_at",
                 "signature_at", "signatures")  # fmt: skip

    def __init__(self, html: str) -> None:
        self.html = html
        self.lines = Lines([], [], [], [])
        self.places: list[tuple[int, int]] = []  # of the text of each line
        self.leads: list[int] = []  # for each line where the first tag behind the text above begins
        self.said: list[int] = []  # for each line the quote it lies in, or -1
        self.line: list[str] = []
        self.place = (-1, -1)
        self.lead = -1
        self.elements = Elements()
        self.quotes: list[list[int]] = []  # start, end, and whether it is one or may be
        self.boxes: list[list[int]] = []
        self.signatures: list[tuple[int, int]] = []
        self.quote = self.box = -1  # the outermost that is open
        self.quote_at = self.box_at = self.said_at = self.signature_at = self.kept_at = 0  # heights; 0 for none
        self.marked = 0  # the greatest height of what was marked
        self.hint = PLAIN
        self.is_rest = False
        self.address: re.Match[str] | None = None  # of the link whose words follow

    def run(self) -> bool:
        """Read all tokens; False where there are too many."""
        elements, names, html, line = self.elements, self.elements.names, self.html, self.line
        texts = self.lines.texts
        known: dict[tuple[str, str], int] = {}
        for kind, start, end, name, rest in tokens(html, MAX_STEPS):
            if kind == TEXT:
                if not name and not self.signature_at:
                    self._text(start, end)
                elif name == REST:
                    return False
            elif kind == OPEN:
                if name in CLOSERS:
                    count = elements.implied(name)
                    if count:
                        self._pop(count, start)
                if self.lead < 0:
                    self.lead = start
                if name in _BREAKS:
                    if line or (name in _GAPS and texts and texts[-1]):
                        self._end_line(is_blank=name in _GAPS)
                elif line and name in ("td", "th"):
                    line.append(" ")
                what = _ORDINARY
                if rest or name == "blockquote":
                    if name == "a" and "@" in rest:
                        self.address = _MAILTO.search(rest)
                    found = known.get((name, rest))
                    if found is None:
                        found = _what_is(name, rest)
                        if len(known) < _MAX_KNOWN:
                            known[name, rest] = found
                    what = found
                    if what == _REST:
                        self.is_rest = True
                if name not in VOID:
                    elements.push(name)
                    if what or name == "pre":
                        self._mark(what or _LINES, start)
            else:
                if names and names[-1] == name:
                    if len(names) > self.marked:
                        elements.pop()
                    else:
                        self._pop(1, end, own_end=end)
                elif count := elements.closed_by_end(name):
                    self._pop(count, end if count == 1 else start, own_end=end)
                if name in BLOCKS and (line or (name == "p" and texts and texts[-1])):
                    self._end_line(is_blank=name == "p")
        self._pop(len(elements.names), len(html))
        self._end_line(is_blank=False)
        return True

    def _text(self, start: int, end: int) -> None:
        text = self.html[start:end]
        if self.kept_at and "\n" in text:
            for index, line in enumerate(text.split("\n")):
                if index:
                    self._end_line(is_blank=True)
                self._piece(line, start, start + len(line))
                start += len(line) + 1
            return
        self._piece(text, start, end)

    def _piece(self, text: str, start: int, end: int) -> None:
        if "&" in text:
            text = characters(text)
        if text.isspace() or not text:
            if self.line:
                self.line.append(" ")
            return
        if not self.line:
            self.place = (start, end)
            self.leads.append(self.lead if self.lead >= 0 else start)
        else:
            self.place = (self.place[0], end)
        self.lead = -1
        self.line.append(text)
        if self.address is not None:
            if "@" not in text:
                self.line.append(f" <{self.address.group(1)}>")  # shown as a name, and part of the form
            self.address = None

    def _end_line(self, *, is_blank: bool) -> None:
        """A line ends; a blank one counts only between others."""
        lines, line = self.lines, self.line
        if line:
            text = " ".join((line[0] if len(line) == 1 else "".join(line)).split())
            line.clear()
            self.places.append(self.place)
            is_quoted = 1 if text[:1] == ">" else 0
            hint = BEGINS_REST if self.is_rest else self.hint
            self.is_rest = False
        elif is_blank and lines.texts and lines.texts[-1]:
            text, is_quoted, hint = "", 0, PLAIN
            self.places.append((-1, -1))
            self.leads.append(-1)
        else:
            return
        lines.texts.append(text)
        lines.quotes.append(self.quotes[self.quote][2] if self.quote >= 0 else is_quoted)
        lines.hints.append(hint)
        lines.boxes.append(self.box)
        self.said.append(self.quote)

    def _mark(self, what: int, start: int) -> None:
        height = self.marked = len(self.elements.names)
        if what in (_QUOTE, _MAYBE_QUOTE):
            if not self.quote_at:
                self.quote, self.quote_at = len(self.quotes), height
                self.quotes.append([start, len(self.html), 1 if what == _QUOTE else 2])
        elif what == _BOX and not self.box_at and not self.quote_at:
            self.box, self.box_at = len(self.boxes), height
            self.boxes.append([start, len(self.html)])
        elif what == _INTRODUCTION and not self.said_at:
            self.said_at, self.hint = height, INTRODUCES
        elif what == _SIGNATURE and not self.signature_at and not self.quote_at:
            self._end_line(is_blank=False)
            self.signature_at = height
            self.signatures.append((start, len(self.html)))
        elif what == _LINES and not self.kept_at:
            self.kept_at = height

    def _pop(self, count: int, end: int, *, own_end: int = -1) -> None:
        for left in range(count, 0, -1):
            height = len(self.elements.names)
            at = own_end if left == 1 and own_end >= 0 else end
            name = self.elements.pop()
            if name in BLOCKS:
                self._end_line(is_blank=name == "p")
            if height == self.quote_at:
                self.quotes[self.quote][1] = at
                self.quote, self.quote_at = -1, 0
            if height == self.box_at:
                self.boxes[self.box][1] = at
                self.box, self.box_at = -1, 0
            if height == self.said_at:
                self._end_line(is_blank=False)
                self.said_at, self.hint = 0, PLAIN
            if height == self.signature_at:
                self.signatures[-1] = (self.signatures[-1][0], at)
                self.signature_at = 0
            if height == self.kept_at:
                self.kept_at = 0
        if self.marked > len(self.elements.names):
            self.marked = max(self.quote_at, self.box_at, self.said_at, self.signature_at, self.kept_at)


class _Cutter:
    """Which parts of the markup are old."""

    __slots__ = ("reader", "spans")

    def __init__(self, reader: _Reader) -> None:
        self.reader = reader
        self.spans: list[tuple[int, int]] = list(reader.signatures)

    def cuts(self) -> list[tuple[int, int]]:
        """Offsets of what is cut, in order."""
        reader, html = self.reader, self.reader.html
        read = old_lines(reader.lines)
        texts, quotes = reader.lines.texts, reader.lines.quotes
        if read.end >= len(texts) and not (reader.quotes or reader.boxes or any(read.old)):
            return self.spans
        end = read.end
        while end < len(texts) and not texts[end]:
            end += 1
        if end < len(texts):
            self.spans.append((reader.leads[end], _end_of_body(html, reader.leads[end])))
        new_in_box = [False] * len(reader.boxes)
        any_in_box = [False] * len(reader.boxes)
        whole: set[int] = set()
        for index in range(min(read.end, len(texts))):
            if not texts[index]:
                continue
            box, quote = reader.lines.boxes[index], reader.said[index]
            if box >= 0:
                any_in_box[box] = True
                new_in_box[box] = new_in_box[box] or not read.old[index]
            if quote >= 0 and read.old[index] and quotes[index] == 1:
                whole.add(quote)
        for quote, (start, stop, kind) in enumerate(reader.quotes):
            if quote in whole or kind == 1:
                self.spans.append((start, stop))
        boxes = {box for box, has_any in enumerate(any_in_box) if has_any and not new_in_box[box]}
        self.spans += [(reader.boxes[box][0], reader.boxes[box][1]) for box in boxes]
        self._lines(read.old, min(read.end, len(texts)), boxes)
        self.spans.sort()
        return self.spans

    def _lines(self, old: list[bool], count: int, boxes: set[int]) -> None:
        """Cut old lines that no element holds, and the tags that belong to them alone."""
        reader = self.reader
        index = 0
        while index < count:
            if not old[index] or not reader.lines.texts[index] or reader.said[index] >= 0:
                index += 1
                continue
            first = last = index
            while index < count and (old[index] or not reader.lines.texts[index]) and reader.said[index] < 0:
                last = index if reader.lines.texts[index] else last
                index += 1
            if reader.lines.boxes[first] in boxes and reader.lines.boxes[last] in boxes:
                continue
            start, end = reader.leads[first], reader.places[last][1]
            # What stands between an introduction and its quote goes as well.
            following = reader.leads[index] if index < len(reader.leads) and reader.lines.texts[index] else -1
            if following >= end and reader.said[index] >= 0:
                end = reader.quotes[reader.said[index]][0]
            self.spans += _without_open_ends(reader.html, start, end)


def _without_open_ends(html: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span without the tags whose partners lie outside of it."""
    if end <= start:
        return []
    elements = Elements()
    opened: list[tuple[int, int]] = []
    alone: list[tuple[int, int]] = []
    for kind, at, after, name, _ in tokens(html[start:end]):
        if kind == OPEN and name not in VOID:
            elements.push(name)
            opened.append((at, after))
        elif kind == CLOSE:
            count = elements.closed_by_end(name)
            if not count:
                alone.append((at, after))
            for _ in range(count):
                elements.pop()
                opened.pop()
    spans, position = [], start
    for at, after in sorted(alone + opened):
        spans.append((position, start + at))
        position = start + after
    return [(one, other) for one, other in [*spans, (position, end)] if other > one]


def _end_of_body(html: str, start: int) -> int:
    end = html.lower().rfind("</body", start)
    return len(html) if end < 0 else end
