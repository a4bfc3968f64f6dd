"""Unicode normal forms of text that a stranger wrote, in linear time.

Sorting a run of combining marks into its canonical order is quadratic, in C, with the interpreter locked: a mail
of 100 KB of alternating marks would stop the process for seconds. So no module but this one calls
`unicodedata.normalize` (the linter sees to it), and runs of marks are bounded before it does.

Source: UAX #15 §1.2 and §13 (stream-safe text: at most 30 marks in a row).
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

MAX_MARKS = 30
# Marks in a row stop here: a COMBINING GRAPHEME JOINER between them is a starter, and sorts with nothing.
_JOINER = "\u034f"
# Every mark lies between these (a test says so for the running Python's Unicode).
_FIRST, _LAST = 0x300, 0x1F000


def nfc(text: str) -> str:
    """Normalization Form C: characters put together."""
    return text if text.isascii() else unicodedata.normalize("NFC", bounded(text))


def nfkc(text: str) -> str:
    """Normalization Form KC: put together, wide and other variants of letters made the plain ones."""
    return text if text.isascii() else unicodedata.normalize("NFKC", bounded(text))


def nfkd(text: str) -> str:
    """Normalization Form KD: taken apart, variants of letters made the plain ones."""
    return text if text.isascii() else unicodedata.normalize("NFKD", bounded(text))


def caseless(text: str) -> str:
    """What is the same for two texts that differ in case or in how characters are put together (Unicode §3.13)."""
    return text.lower() if text.isascii() else nfc(nfc(text).casefold())


def bounded(text: str) -> str:
    """The text with no run of more than `MAX_MARKS` combining marks; a run goes on behind a joiner."""
    if text.isascii():
        return text
    return _long_run().sub(lambda run: run.group() + _JOINER, text)


@cache
def _long_run() -> re.Pattern[str]:
    """`MAX_MARKS` characters in a row that begin with a mark when taken apart, with one more behind them."""
    marks = [code for code in range(_FIRST, _LAST) if is_mark(chr(code))]
    spans: list[list[int]] = []
    for code in marks:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    letters = "".join(f"{chr(first)}-{chr(last)}" for first, last in spans)
    return re.compile(f"[{letters}]{{{MAX_MARKS}}}(?=[{letters}])")


def signs_apart(text: str) -> str:
    """The text with blanks round each sign that normalization takes apart into letters or digits: № ™ ½ ㎏ Ⅳ.

    Else `№4711` would become one word, `no4711`. Letters and digits of other forms (ﬁ, wide ones) are no signs,
    and neither is a small digit: `m²` and `H₂O` are one word each, as people type them.
    """
    return text if text.isascii() else _sign().sub(r" \g<0> ", text)


@cache
def _sign() -> re.Pattern[str]:
    signs = "".join(re.escape(chr(code)) for code in range(0xA0, _LAST_SIGN) if _is_sign(chr(code)))
    # The ordinal signs are letters to Unicode; `Nº4711` and `1ª` end a word with them all the same.
    return re.compile(f"[{signs}]|(?<=[ªº])(?=\\w)")


_LAST_SIGN = 0x1F300


def _is_sign(char: str) -> bool:
    if unicodedata.category(char)[0] not in "NPS" or unicodedata.category(char) == "Nd":
        return False
    apart = unicodedata.normalize("NFKD", char)
    is_small_digit = len(apart) == 1 and unicodedata.decomposition(char).startswith(("<super>", "<sub>"))
    return apart != char and any(map(str.isalnum, apart)) and not is_small_digit


def is_mark(char: str) -> bool:
    """Whether a character, taken apart, begins with a combining mark that normalization sorts."""
    return unicodedata.combining(unicodedata.normalize("NFKD", char)[0]) != 0


def printable(line: str) -> str:
    """One line of a stranger's text as a terminal may show it: what is not seen, or steers, is named `<U+202E>`.

    That is controls, marks of direction, tag characters, separators of lines, and letters and selectors that show
    nothing; blanks of all widths become plain ones. A joiner stays where it is seen: within a word of a script that
    has use for it, and within an emoji.
    """
    if line.isascii() and line.isprintable():
        return line
    return "".join(
        char if (char.isprintable() and not _SHOWS_NOTHING.match(char)) or _joins(line, index) else _named(char)
        for index, char in enumerate(line)
    )


# Letters, marks and one symbol to Unicode (its property Default_Ignorable_Code_Point, and the blank of Braille).
# Selectors of text and emoji style are left alone: they are in every second emoji.
_SHOWS_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
_JOINERS = "\u200c\u200d"


def _joins(line: str, index: int) -> bool:
    """Whether a joiner stands there between two characters beyond Latin, Greek and Cyrillic."""
    if line[index] not in _JOINERS or not 0 < index < len(line) - 1:
        return False
    return all(side >= "\u0590" and side.isprintable() for side in (line[index - 1], line[index + 1]))


def _named(char: str) -> str:
    return " " if unicodedata.category(char) == "Zs" else f"<U+{ord(char):04X}>"
