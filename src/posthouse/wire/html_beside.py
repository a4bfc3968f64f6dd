"""What an HTML mail carries beside the text its reader sees: hidden text, comments, scripts, remote images.

For whoever has to vouch for all of a mail, not only for what it shows. What is hidden, and how, is told by
`html_text.py`.
"""

from __future__ import annotations

from typing import NamedTuple

from posthouse.wire.html_text import DROPPED, MAX_HTML_CHARS, read
from posthouse.wire.html_tokens import OPEN, TEXT, Token, attributes, tokens


class Beside(NamedTuple):
    """Something a reader does not see. `what` is `hidden` with the way, a comment, or the element's name."""

    what: str
    text: str


def beside(html: str) -> list[Beside]:
    """All of it: hidden text first, the rest in order; of what lies beyond `MAX_HTML_CHARS` only how much that is."""
    found = [Beside(f"hidden ({hidden.technique})", hidden.text) for hidden in read(html, whole=True).hidden]
    position, dropped = 0, ""
    for token in tokens(html[:MAX_HTML_CHARS]):
        found += _comments(html[position : token[1]])
        dropped = _note(found, html, token, dropped)
        position = token[2]
    found += _comments(html[position:MAX_HTML_CHARS])
    if len(html) > MAX_HTML_CHARS:
        found.append(Beside("not looked at", f"{len(html) - MAX_HTML_CHARS} characters at the end"))
    return found


def _comments(gap: str) -> list[Beside]:
    """What lies between two tokens: comments and declarations, one or several."""
    pieces = [" ".join(piece.split("-->")[0].split()) for piece in gap.split("<!--")[1:]]
    return [Beside("comment", words) for words in pieces if words]


def _note(found: list[Beside], html: str, token: Token, dropped: str) -> str:
    """Keep what a token is, if nobody sees it; returns the element dropped that is open now, "" for none."""
    kind, start, end, name, rest = token
    if kind == TEXT:
        words = " ".join(html[start:end].split())
        if words and (dropped or name in DROPPED):
            found.append(Beside(dropped or name, words))
        return dropped
    if kind == OPEN:
        if name == "img":
            source = attributes(rest).get("src", "").strip()
            if source and not source.lower().startswith(("cid:", "data:")):
                found.append(Beside("image from elsewhere", source))
        return dropped or (name if name in DROPPED and name != "head" else "")
    return "" if name == dropped else dropped
