"""The texts a message is made of, with every wrapping that people or programs undo taken off.

A passage is looked at in the form a reader would get from it: letters in their plain variants, invisible characters
gone, markup removed without a seam, encoded runs decoded. Each wrapping adds a passage; none replaces what it was
found in.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from typing import NamedTuple
from urllib.parse import unquote

import re2

from posthouse.wire.html_text import read
from posthouse.wire.html_tokens import BLOCKS, OPEN, TEXT, attributes, tokens
from posthouse.wire.text import nfkc

# More characters of one message are not looked at, and that is a finding.
MAX_CHARS = 4_000_000
_MAX_DECODED_RUNS = 200
_MAX_RUN_CHARS = 1_000_000
# A blob inside a blob inside a blob: deeper is nobody's habit.
_DECODE_DEPTH = 2


class Passage(NamedTuple):
    """A text and where it stands; `raw` is the text before it was made plain."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class File:
    """An attachment as it was given."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Letter:
    """What is scanned: a message as its reader gets it.

    Attributes:
        text, html: the bodies; "" where there is none.
        recipients: envelope addresses, all of them.
        header: fields beside subject and addresses, and the names of people, a line each.
        beside: what stands between the parts, where no reader looks.
    """

    subject: str
    text: str
    html: str
    files: Sequence[File] = ()
    recipients: Sequence[str] = ()
    header: str = ""
    beside: str = ""


_DASHES = dict.fromkeys([0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212, 0xFE58, 0xFE63, 0xFF0D], "-")
_QUOTES = dict.fromkeys([0x2018, 0x2019, 0x201A, 0x2032], "'") | dict.fromkeys([0x201C, 0x201D, 0x201E, 0x2033], '"')
_PLAIN = _DASHES | _QUOTES
# Letters of other scripts that look like Latin ones, where they stand among Latin ones.
_LOOK_ALIKES = str.maketrans(
    "АВЕКМНОРСТХаеорсухіјѕһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧονιρ",
    "ABEKMHOPCTXaeopcyxijshdqwABEZHIKMNOPTYXovip",
)
_LATIN = re.compile(r"[A-Za-z]")
_OTHER_LETTER = re.compile("[\u0370-\u052f]")
# Characters nobody sees: format characters, fillers, variation selectors, and what joins runs of marks.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BLANKS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\t]")


def plain(text: str) -> str:
    """A text as it is matched: compatibility forms resolved, nothing invisible, dashes, quotes and blanks plain."""
    if text.isascii():
        return text.replace("\t", " ") if "\t" in text else text
    text = _INVISIBLE.sub("", text)
    text = _BLANKS.sub(" ", nfkc(text).translate(_PLAIN))
    if _OTHER_LETTER.search(text) is not None and _LATIN.search(text) is not None:
        text = " ".join(_without_look_alikes(word) for word in text.split(" "))
    return text


def _without_look_alikes(word: str) -> str:
    if _OTHER_LETTER.search(word) is None or _LATIN.search(word) is None:
        return word
    return word.translate(_LOOK_ALIKES)


def of_html(html: str, place: str = "html") -> Iterator[Passage]:
    """What HTML says: its text without a seam where tags stood, its comments, and the values of its attributes.

    Hidden parts are part of the text: whoever receives the mail can read them. Where there are some, what is left
    without them is a passage too, for a word may be cut in two by what nobody sees; `wire` says what is hidden.
    """
    shown: list[str] = []
    values: list[str] = []
    last = 0
    for kind, start, end, name, rest in tokens(html):
        if kind == TEXT:
            if name in ("script", "style"):
                values.append(html[start:end])
            else:
                shown.append(unescape(html[start:end]))
        else:
            if name in BLOCKS or name in ("br", "td", "th"):
                shown.append("\n")
            if kind == OPEN and rest:
                values += [value for key, value in attributes(rest).items() if len(value) > 5 and key != "style"]
        last = max(last, end)
    yield Passage(place, "".join(shown))
    page = read(html, whole=True)
    if page.hidden:
        yield Passage(f"{place}, as it is shown", page.text)
        yield Passage(f"{place}, hidden", "\n".join(hidden.text for hidden in page.hidden))
    comments = [html[start + 4 : end] for start, end in _comments(html)]
    if comments:
        yield Passage(f"{place}, a comment", unescape("\n".join(comments)))
    if values:
        yield Passage(f"{place}, an attribute", "\n".join(values))


def _comments(html: str) -> Iterator[tuple[int, int]]:
    start = html.find("<!--")
    while start >= 0:
        end = html.find("-->", start + 4)
        end = len(html) if end < 0 else end
        yield start, end
        start = html.find("<!--", end)


# Long enough to carry a secret, on one line or on several of a length that programs write.
_BASE64 = re2.compile(r"[A-Za-z0-9+/_-]{20,}(?:\r?\n[A-Za-z0-9+/_-]{30,})*(?:\r?\n[A-Za-z0-9+/_-]+)?={0,2}")
_HEX = re2.compile(r"(?:[0-9A-Fa-f]{2}[ :]?){12,}")
_PERCENT = re2.compile(r"(?:[^\s%]*%[0-9A-Fa-f]{2}){6,}[^\s%]*")


def unwrapped(passage: Passage, depth: int = _DECODE_DEPTH) -> Iterator[Passage]:
    """What encoded runs of a passage say: base64, hexadecimal, percent signs; those in them too."""
    if not depth:
        return
    if "\\" in passage.text and _ESCAPED.search(passage.text) is not None:
        yield Passage(f"{passage.place}, unescaped", plain(_ESCAPED.sub(_of_escape, passage.text)))
    budget = _MAX_DECODED_RUNS
    for pattern, decode, word in ((_BASE64, of_base64, "base64"), (_HEX, _of_hex, "hex"), (_PERCENT, _of_percent, "%")):
        if word == "%" and passage.text.count("%") < 6:
            continue
        for match in pattern.finditer(passage.text):
            budget -= 1
            if budget < 0:
                return
            said = decode(match.group()[:_MAX_RUN_CHARS])
            if said:
                inner = Passage(f"{passage.place}, in {word}", plain(said))
                yield inner
                yield from unwrapped(inner, depth - 1)


_ESCAPED = re.compile(r"\\(?:([nrt\"'/\\])|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")


def _of_escape(match: re.Match[str]) -> str:
    sign, wide, narrow = match.groups()
    if sign is not None:
        return {"n": "\n", "r": "\r", "t": " "}.get(sign, sign)
    code = int(wide or narrow, 16)
    return "" if 0xD800 <= code < 0xE000 else chr(code)


def of_base64(run: str) -> str:
    run = "".join(run.split()).rstrip("=")
    if len(run) % 4 == 1:
        run = run[:-1]
    try:
        data = base64.b64decode(run + "=" * (-len(run) % 4), altchars=b"-_" if "-" in run or "_" in run else None)
    except (binascii.Error, ValueError):
        return ""
    return _readable(data)


def _of_hex(run: str) -> str:
    digits = run.replace(" ", "").replace(":", "")
    return _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _of_percent(run: str) -> str:
    return unquote(run, errors="replace")


def _readable(data: bytes) -> str:
    """The text that octets are, "" when they are none: nine of ten characters are printable."""
    if not data:
        return ""
    if len(data) >= 4 and data.count(0) * 3 > len(data):
        text = data.decode("utf-16-le", "replace")
    else:
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return ""
    strange = sum(1 for char in text if not (char.isprintable() or char in "\r\n\t"))
    return text if strange * 10 < len(text) else ""
