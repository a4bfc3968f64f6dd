"""Marks of list items: bullets, and numbers in the way a list's attributes ask for (HTML §4.4.5)."""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[ \t\n\f\r]*([+-]?[0-9]{1,9})(?![0-9])")
_ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
          (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))  # fmt: skip


class List:
    """An open list: the number its next item bears, and how it is written; `step` is 0 where none is."""

    __slots__ = ("kind", "number", "step", "used")

    def __init__(self, number: int, step: int, kind: str) -> None:
        self.number = number
        self.step = step
        self.kind = kind
        self.used = False

    def mark(self) -> str:
        """The mark of the next item."""
        self.used = True
        if not self.step:
            return "- "
        number, self.number = self.number, self.number + self.step
        return f"{_numeral(number, self.kind)}. "


def integer(text: str) -> int | None:
    """A number as attributes give it (HTML §2.3.4.1); None where there is none."""
    match = _INTEGER.match(text)
    return None if match is None else int(match.group(1))


def _numeral(number: int, kind: str) -> str:
    """The number of an item in the way the list's `type` asks for."""
    if kind in ("a", "A") and number > 0:
        letters = ""
        while number:
            number, letter = divmod(number - 1, 26)
            letters = chr(ord(kind) + letter) + letters
        return letters
    if kind in ("i", "I") and 0 < number < 4_000:
        numeral = ""
        for value, sign in _ROMAN:
            count, number = divmod(number, value)
            numeral += sign * count
        return numeral if kind == "i" else numeral.upper()
    return str(number)
