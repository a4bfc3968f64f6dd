"""What an HTML mail carries beside the text its reader sees: hidden elements, comments, scripts, remote images.

For whoever has to vouch for all of a mail, not only for what it shows. The rules of what is seen are `html.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import unescape

from posthouse.wire.html import DROPPED, MAX_HTML_CHARS, is_hidden
from posthouse.wire.html_tokens import OPEN, TEXT, VOID, Elements, Token, attributes, tokens


@dataclass(frozen=True, slots=True)
class Hidden:
    """Something a reader does not see. `what` is a comment, `hidden` with an element, or the element's name."""

    what: str
    text: str


def hidden_parts(html: str) -> list[Hidden]:
    """All of it, in order; of what lies beyond `MAX_HTML_CHARS` only how much that is."""
    reader = _Reader()
    position = 0
    for token in tokens(html[:MAX_HTML_CHARS]):
        reader.between(html[position : token[1]])
        reader.take(html, token)
        position = token[2]
    reader.between(html[position:MAX_HTML_CHARS])
    reader.end()
    if len(html) > MAX_HTML_CHARS:
        reader.found.append(Hidden("not looked at", f"{len(html) - MAX_HTML_CHARS} characters at the end"))
    return reader.found


class _Reader:
    __slots__ = ("elements", "found", "hidden_at", "pieces", "what")

    def __init__(self) -> None:
        self.elements = Elements()
        self.found: list[Hidden] = []
        self.hidden_at = -1  # height of the stack at which the hidden element stands
        self.what = ""
        self.pieces: list[str] = []

    def between(self, gap: str) -> None:
        """What lies between two tokens: comments and declarations, one or several."""
        for piece in gap.split("<!--")[1:]:
            words = " ".join(piece.split("-->")[0].split())
            if words:
                self.found.append(Hidden("comment", words))

    def take(self, html: str, token: Token) -> None:
        kind, start, end, name, rest = token
        if kind == TEXT:
            if self.hidden_at >= 0:
                self.pieces.append(html[start:end] if name else unescape(html[start:end]))
        elif kind == OPEN:
            self._pop(self.elements.implied(name))
            if name in VOID:
                self._image(name, rest)
                return
            self.elements.push(name)
            if self.hidden_at < 0 and (name in DROPPED or is_hidden(rest)):
                self.hidden_at = len(self.elements.names)
                self.what = name if name in DROPPED else f"hidden {name}"
        else:
            self._pop(self.elements.closed_by_end(name))

    def _image(self, name: str, rest: str) -> None:
        if name == "img":
            source = attributes(rest).get("src", "").strip()
            if source and not source.lower().startswith(("cid:", "data:")):
                self.found.append(Hidden("image from elsewhere", source))

    def _pop(self, count: int) -> None:
        for _ in range(count):
            height = len(self.elements.names)
            self.elements.pop()
            if self.hidden_at >= 0 and height <= self.hidden_at:
                self.end()

    def end(self) -> None:
        """The hidden element is over."""
        words = " ".join("".join(self.pieces).split())
        if words:
            self.found.append(Hidden(self.what, words))
        self.hidden_at = -1
        self.pieces.clear()
