"""What is new in a reply: the text above, below or between the quotes, without the signature.

Works line by line in linear time. Published reply parsers are piles of backtracking expressions; one took 23
seconds on 20 KB of empty lines, which any sender could mail us. Text and HTML are read by the same rules:
`reply_html.py` makes lines of markup for `old_lines`. Open `reply_forms.py` for the forms they are told by.

There is no standard for any of this but the signature line (RFC 3676 §4.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from posthouse.wire.reply_forms import (
    RULE,
    Fields,
    ends_bracket,
    ends_in_colon,
    introduction,
    is_device_signature,
    is_forward_mark,
    is_separator,
    starts_head,
)
from posthouse.wire.thread_subject import is_forward, is_reply

# Longer texts are returned whole: nobody types that much, and what is quoted in it cannot be told by its form.
MAX_TEXT_CHARS = 256 * 1024
# Lines that are looked at closely, for having a colon or dashes; below them only marks tell what is old.
_MAX_LINES = 3_000
# Blank lines between an introduction and its quote.
_GAP = 5


def answers(subject: str, *, is_threaded: bool) -> bool:
    """Whether a mail may hold an old message that it answers.

    A mail that answers nothing has none, and loses nothing. What is forwarded is not a quote.

    Args:
        subject: as decoded.
        is_threaded: whether it has In-Reply-To or References.
    """
    return not is_forward(subject) and (is_threaded or is_reply(subject))


def new_text(text: str) -> str | None:
    """What the sender of a reply wrote himself.

    Quoted lines, the lines that introduce them, the head and all below it that Outlook-like clients leave, and
    the signature are cut; text between and below quotes stays. A forwarded message is not a quote.

    Args:
        text: the plain text of a message that answers another, lines ending with LF.

    Returns:
        The text, or None when there is nothing but quotes, or nothing at all.
    """
    if not text or text.isspace():
        return None
    if len(text) > MAX_TEXT_CHARS:
        return text.strip()
    if not _may_hold_quotes(text):
        return without_signature(text)
    lines = text.split("\n")
    quotes = [_QUOTED if line[:1] == ">" or line[:2] == " >" else _NEW for line in lines]
    for index in range(1, len(lines)):
        if quotes[index] and not quotes[index - 1] and ends_bracket(lines[index], lines[index - 1]):
            quotes[index] = _NEW
    read = old_lines(Lines(lines, quotes))
    kept: list[str] = []
    dropped = False  # lines were dropped since: no blank ones pile up where they stood
    for line, is_old in zip(lines[: read.end], read.old, strict=False):
        if is_old:
            dropped = True
        elif line.strip() or not dropped or not kept or kept[-1].strip():
            kept.append(line)
            dropped = dropped and not line.strip()
    return without_signature("\n".join(kept))


def _may_hold_quotes(text: str) -> bool:
    """A cheap look at the whole first: much mail has none of these."""
    return (
        "\n>" in text or "\n >" in text or ":" in text or "--" in text or "：" in text or text[:1] == ">" or "|" in text
    )


# --- Old lines --------------------------------------------------------------------------------------

# Whether a line is part of a quote by its mark, or would be, had it an introduction.
_NEW, _QUOTED, _MAYBE = 0, 1, 2
# What markup says of a line besides.
PLAIN, INTRODUCES, BEGINS_REST = 0, 1, 2


@dataclass(slots=True)
class Lines:
    """A message as lines.

    Attributes:
        texts: the lines without quote marks, or with them where `quotes` says that they are quoted.
        quotes: for each line 0, 1 for one in a quote, 2 for one in what may be a quote.
        hints: for each line what its markup says; empty for plain text.
        boxes: for each line the number of the container it lies in, or -1; a container is one quote if it begins
            like one. Empty for plain text.
    """

    texts: list[str]
    quotes: list[int]
    hints: list[int] = field(default_factory=list)
    boxes: list[int] = field(default_factory=list)


@dataclass(slots=True)
class OldLines:
    """Which lines are old.

    Attributes:
        old: for each line, whether it is.
        end: the first line of an old message that goes on to the end.
    """

    old: list[bool]
    end: int


def old_lines(lines: Lines) -> OldLines:
    """Tell the lines of old messages from the new ones."""
    if not (any(lines.quotes) or any(lines.hints) or _is_telling("\n".join(lines.texts))):
        return OldLines([False] * len(lines.texts), len(lines.texts))
    return _Sorter(lines).run()


def _is_telling(text: str) -> bool:
    """Whether there is anything in a text that an introduction, a head or a separator has."""
    return ":" in text or "--" in text or "|" in text or "__" in text or "==" in text or "：" in text


class _Sorter:
    __slots__ = ("box", "fields", "has_quote", "left", "lines", "new_lines", "old")

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.old = [False] * len(lines.texts)
        self.fields = Fields(lines.texts)
        self.left = _MAX_LINES
        self.new_lines = 0  # with text, so far
        self.has_quote = False
        self.box = -1

    def run(self) -> OldLines:
        texts, quotes, hints, boxes = self.lines.texts, self.lines.quotes, self.lines.hints, self.lines.boxes
        index, count = 0, len(texts)
        while index < count:
            if boxes and boxes[index] != self.box:
                self.box = boxes[index]
                if self.box >= 0 and texts[index].strip():
                    self._open_box(index)
                elif self.box >= 0:
                    self.box = -2  # looked at again with its first text
            if quotes[index] == _QUOTED:
                self.old[index] = self.has_quote = True
                index += 1
                continue
            text = texts[index]
            if not text or text.isspace():
                index += 1
                continue
            if quotes[index] == _MAYBE and (index == 0 or quotes[index - 1] != _MAYBE) and self._begins_old(index):
                self._quote_from(index)
                continue
            is_telling = _is_telling(text)
            if is_telling:
                self.left -= 1
                is_telling = self.left >= 0
            if is_telling:
                if is_forward_mark(text):
                    return OldLines(self.old, count)
                if is_separator(self.fields, index) or starts_head(self.fields, index):
                    return self._rest(index)
            if hints and hints[index] == BEGINS_REST and self._may_begin_rest(index):
                return self._rest(index)
            introduces = bool(hints) and hints[index] == INTRODUCES
            if introduces or (is_telling and ends_in_colon(text)):
                following = self._following(index)
                if introduces and following < count and hints[following] == INTRODUCES:
                    self.old[index] = True
                    index += 1
                    continue
                size = 1 if introduces else self._introduction(index, following)
                if size:
                    self.old[index - size + 1 : index + 1] = [True] * size
                    self.new_lines -= sum(bool(each.strip()) for each in texts[index - size + 1 : index])
                    if following < count and quotes[following] == _MAYBE:
                        self._quote_from(following)
                    # With nothing above, what follows is an answer below a quote that is not marked as one.
                    elif self.new_lines and (following >= count or quotes[following] == _NEW):
                        return self._rest(index - size + 1)
                    index += 1
                    continue
            self.new_lines += 1
            index += 1
        return OldLines(self.old, count)

    def _rest(self, index: int) -> OldLines:
        return OldLines(self.old, self._without_rules(index))

    def _without_rules(self, index: int) -> int:
        """Where the old message begins: rulers right above its head are part of it."""
        while index and not self.old[index - 1] and self._is_ruler(self.lines.texts[index - 1]):
            index -= 1
        return index

    def _is_ruler(self, text: str) -> bool:
        return not text.strip() or RULE.fullmatch(text) is not None

    def _following(self, index: int) -> int:
        """The next line with text, or the end."""
        texts = self.lines.texts
        following = index + 1
        while following < len(texts) and not texts[following].strip(" \t\r\xa0"):
            if following >= index + _GAP and not self.lines.hints:
                break
            following += 1
        return following

    def _introduction(self, index: int, following: int) -> int:
        """How many lines up to this one introduce a quote."""
        texts, quotes = self.lines.texts, self.lines.quotes
        start = index
        while start > 0 and index - start < 3 and not self.old[start - 1] and texts[start - 1].strip():
            start -= 1
        above = list(texts[start:index])
        gap = 0
        if (
            1 < start < index + 1
            and len(above) < 3
            and texts[start].lstrip()[:1] in ("<", ">")
            and texts[start - 2].strip()
        ):
            above.insert(0, texts[start - 2])  # some put a blank line before the address
            gap = 1
        follows = following < len(texts) and quotes[following] != _NEW
        size = introduction(above, texts[index], quote_follows=follows, is_first=not self.has_quote)
        return size + gap if size > index - start + 1 else size

    def _begins_old(self, index: int) -> bool:
        """Whether what may be a quote begins as quotes do."""
        texts = self.lines.texts
        if starts_head(self.fields, index):
            return True
        for place in range(index, min(len(texts), index + 4)):
            if not texts[place].strip():
                return False
            if ends_in_colon(texts[place]):
                above = texts[index:place]
                return bool(introduction(above, texts[place], quote_follows=False, is_first=True))
        return False

    def _quote_from(self, index: int) -> None:
        quotes = self.lines.quotes
        while index < len(quotes) and quotes[index] == _MAYBE:
            quotes[index] = _QUOTED
            index += 1

    def _may_begin_rest(self, index: int) -> bool:
        """Below the mark of a mailer, one field is enough."""
        found = self.fields.at(index)
        return found is not None and bool(found[0])

    def _open_box(self, index: int) -> None:
        """A container begins: it is a quote as a whole where an introduction or a head stands first in it, and
        what follows in it is not marked as a quote of its own."""
        texts, quotes, hints, boxes = self.lines.texts, self.lines.quotes, self.lines.hints, self.lines.boxes
        end = index
        while end < len(boxes) and boxes[end] == self.box:
            end += 1
        first = [place for place in range(index, min(end, index + 12)) if texts[place].strip()][:5]
        for place in first:
            if quotes[place] != _NEW or is_forward_mark(texts[place]):
                return
            is_introduction = hints[place] == INTRODUCES
            if not is_introduction and ends_in_colon(texts[place]):
                above = [texts[each] for each in first if each < place]
                is_introduction = bool(introduction(above, texts[place], quote_follows=True, is_first=True))
            following = next((each for each in range(place + 1, end) if texts[each].strip()), end)
            if following < end and quotes[following] != _NEW:
                if is_introduction or texts[place].rstrip().endswith((":", "：")):
                    self.old[index : place + 1] = [True] * (place + 1 - index)
                    self._quote_from(following)
                return
            if is_introduction and following < end and hints[following] == INTRODUCES:
                continue
            if is_introduction or starts_head(self.fields, place):
                quotes[index:end] = [_QUOTED] * (end - index)
                return


# --- Signatures -------------------------------------------------------------------------------------

_SIGNATURE = re.compile(r"\s?--\s?")
_MAX_UNSURE_LINES = 15
_LAST_LINES = 6


def without_signature(text: str) -> str | None:
    """The text without the signature below it, and without what a phone or a program adds; None when empty."""
    text = text.strip("\n \t\r")
    # Dashes alone on a line may begin one anywhere; else it is among the last lines.
    lines = text.split("\n") if "--" in text else text.rsplit("\n", _LAST_LINES)
    seen_text = False
    for index, line in enumerate(lines if "--" in text else ()):
        if "--" in line and len(line) < 6 and seen_text and _SIGNATURE.fullmatch(line):
            # RFC 3676 §4.3 has a blank behind the dashes; many clients lose it, and people rule lists with two dashes.
            is_near_end = len(lines) - index - 1 <= _MAX_UNSURE_LINES
            if line == "-- " or (is_near_end and not any(map(_SIGNATURE.fullmatch, lines[index + 1 :]))):
                lines = lines[:index]
                break
        seen_text = seen_text or bool(line.strip())
    filled = [index for index in range(max(0, len(lines) - _LAST_LINES), len(lines)) if lines[index].strip()]
    for index in filled[-2:]:
        if is_device_signature(lines[index]) and (index or len(filled) == 1):
            lines = lines[:index]
            break
    return "\n".join(lines).strip("\n \t\r") or None
