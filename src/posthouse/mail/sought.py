"""The words that a filter looks for, and where in a text they stand."""

from __future__ import annotations

import re

from posthouse.store import index_query
from posthouse.store.filters import Filter
from posthouse.wire.html import to_text

# Letters and digits with the marks on them.
_WORD = re.compile(r"[^\W_]+")
_ENDINGS = ("ings", "ing", "ies", "edly", "ed", "es", "ly", "s", "e", "y")


def _stem(word: str) -> str:
    """A rough stem: the index has a better one, and here it only decides what is marked."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def terms(filter_: Filter | None, names: tuple[str, ...]) -> set[str]:
    """The stems of the words in these parts of a filter's conditions."""
    if filter_ is None:
        return set()
    found: set[str] = set()
    for condition in filter_.leaves():
        for name in names:
            text = getattr(condition, name)
            if text:
                found |= {_stem(word) for word in index_query.words(text)}
    return found


def spans(text: str, sought: set[str], within: int | None = None) -> list[tuple[int, int]]:
    """Where words with these stems stand; with `within`, only so far behind the first of them."""
    found: list[tuple[int, int]] = []
    known: dict[str, bool] = {}
    for word in _WORD.finditer(text):
        if found and within is not None and word.start() > found[0][0] + within:
            break
        spelled = word.group()
        if spelled not in known:
            known[spelled] = any(_stem(each) in sought for each in index_query.words(spelled))
        if known[spelled]:
            found.append(word.span())
    return found


def readable(text: str | None, html: str | None) -> str:
    """A message's plain text, or its HTML read as one."""
    return text if text is not None else to_text(html or "")
