"""Keywords as JMAP has them, beside labels of other surfaces that it cannot say (RFC 8621 §4.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from posthouse.api.jmap.errors import SetError
from posthouse.mail.filing import HOUSE_MARKS

# IMAP's flag-keyword characters, so that every keyword can be one there too.
_KEYWORD = re.compile(r"[!#$&\'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}")
MAX_KEYWORDS = 200


def is_keyword(text: str) -> bool:
    """Whether a label can be said as a keyword."""
    return _KEYWORD.fullmatch(text) is not None


def shown_keywords(stored: Iterable[str]) -> list[str]:
    """The labels that are keywords, in lower case: RFC 8621 §4.1.1 has them so, since JSON knows cases."""
    return [label.lower() for label in stored if is_keyword(label)]


def merged(stored: Iterable[str], wanted: Iterable[str]) -> set[str]:
    """The labels to store when the keywords are to be `wanted`: what cannot be said stays, the house's own marks stay,
    and cases stay.

    Raises:
        SetError: a mark of the house is wanted that is not there.
    """
    before, asked = set(stored), set(wanted)
    check_marks(asked - before)
    kept = {label for label in before if not is_keyword(label) or label in HOUSE_MARKS or label.lower() in asked}
    return kept | (asked - {label.lower() for label in kept})


def check_marks(keywords: Iterable[str]) -> None:
    """Raises `SetError` for keywords that the house alone puts on a mail."""
    own = sorted(HOUSE_MARKS.intersection(keywords))
    if own:
        raise SetError("invalidProperties", f"{own[0]} is set by the server", ["keywords"])


def check(keywords: object, name: str = "keywords") -> set[str]:
    """Keywords as a caller gives them: a map of them to true.

    Raises:
        SetError: `invalidProperties`, `tooManyKeywords`.
    """
    if not isinstance(keywords, dict) or not all(value is True for value in keywords.values()):
        raise SetError("invalidProperties", "keywords are a map to true", [name])
    for keyword in keywords:
        if not is_keyword(keyword):
            raise SetError("invalidProperties", f"{keyword!r} is not a keyword", [name])
    if len(keywords) > MAX_KEYWORDS:
        raise SetError("tooManyKeywords")
    return {keyword.lower() for keyword in keywords}
