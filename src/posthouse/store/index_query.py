"""What is looked for in the text index: words as the index knows them, and how each engine is asked for them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

from posthouse.wire.text import nfc, nfkd, signs_apart

# More of one field is not indexed.
_MAX_CHARS = 400_000
# Longer ones are cut in pieces that stand together: FTS5 stems up to 64 octets, a tsquery refuses 2,047.
_WORD = re.compile(r"[^\W_]{1,64}")
# Han, Hiragana, Katakana, Hangul, Thai, Lao, Khmer, Myanmar: written without blanks between words.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])"
)
# German writes the name of a street and its kind as one word; either is looked for.
_STREET = re.compile(r"(?<=[^\W\d_]{2})(?=strasse(?![^\W_]))")
# Field → the letters its marks begin with.
_MARKS = {"subject": "s", "people": "ftcb", "from": "f", "to": "t", "cc": "c", "bcc": "b"}


def words(text: str) -> list[str]:
    """The text's words as the index knows them."""
    text = text[:_MAX_CHARS].casefold()
    if not text.isascii():
        # Taken apart, some signs (№) and letters for formulas become capitals: folded once more.
        text = "".join(c for c in nfkd(signs_apart(text)).casefold() if not unicodedata.combining(c))
        # NFKD takes Hangul apart; put together again before single letters are set apart.
        text = nfc(text)
    if "strasse" in text:
        text = _STREET.sub(" ", text)
    return _WORD.findall(_UNSPACED.sub(r" \1 ", text))


def phrases_of(query: str) -> list[list[str]]:
    """The query's terms: words between blanks, quoted text as one phrase."""
    terms = re.findall(r'"([^"]*)"|(\S+)', query)
    return [found for quoted, plain in terms if (found := words(quoted or plain))]


class Words(NamedTuple):
    """A query's terms, all of which occur in `field`: one of `_MARKS`, `body`, or None for anywhere."""

    query: str
    field: str | None = None


class Combined(NamedTuple):
    """`NOT` holds when none of its nodes does."""

    operator: Literal["AND", "OR", "NOT"]
    nodes: Sequence[Words | Combined]


def fts(phrases: list[list[str]], field: str | None, *, ranked: bool = False) -> str:
    """All phrases in a field, in FTS5's words. `ranked`: in the field's own column, which `bm25` weighs."""
    if field in _MARKS and not ranked:
        terms = (
            " OR ".join('"' + " ".join(letter + word for word in phrase) + '"' for letter in _MARKS[field])
            for phrase in phrases
        )
        return "({marks} : (" + " AND ".join(f"({term})" for term in terms) + "))"
    columns = field or "subject people body"
    return f"({{{columns}}} : (" + " AND ".join('"' + " ".join(phrase) + '"' for phrase in phrases) + "))"


_WEIGHTS = {"subject": "A", "people": "B", "body": "C", None: "ABC"}


def tsquery(phrases: list[list[str]], field: str | None, *, ranked: bool = False) -> str:
    """All phrases in a field, as a tsquery; a phrase lies within one field (the next one's places follow on)."""
    if field in _MARKS and not ranked:
        return _weighted(phrases, "D", _MARKS[field])
    return _weighted(phrases, _WEIGHTS[field])


def _weighted(phrases: list[list[str]], weights: str, letters: str = "") -> str:
    return " & ".join(
        "("
        + " | ".join(
            " <-> ".join(f"'{letter}{word}':{weight}" for word in phrase)
            for weight in ([weights] if len(phrase) == 1 else weights)
            for letter in (letters or ("",))
        )
        + ")"
        for phrase in phrases
    )


def scope(account_id: str) -> str:
    """The word every entry of the account has."""
    # One word without a hyphen, and in capitals, which no word of a text has here. It makes the search fast; that
    # a message is the account's is said by its row, since a stemmer may take two scopes for one.
    return "SCOPE" + account_id.replace("-", "")


def scopes(account_ids: Sequence[str]) -> str:
    """Any of the accounts, in FTS5's words."""
    return "(" + " OR ".join(f'account_id : "{scope(account_id)}"' for account_id in account_ids) + ")"


def lexemes(account_ids: Sequence[str]) -> str:
    """Any of the accounts, as a tsquery of lexemes."""
    return " | ".join(f"'{scope(account_id)}'" for account_id in account_ids)


def _said(engine: str, account_id: str, node: Words | Combined) -> str | bool:
    """A tree of terms in an engine's words; True holds for every message, False for none."""
    if isinstance(node, Words):
        phrases = phrases_of(node.query)
        if not phrases:
            return False
        return fts(phrases, node.field) if engine == "sqlite" else f"({tsquery(phrases, node.field)})"
    parts = [_said(engine, account_id, each) for each in node.nodes]
    # A NOT is that none of the parts holds: as an OR turned round.
    absorbing = node.operator != "AND"
    if absorbing in [part for part in parts if isinstance(part, bool)]:
        joined: str | bool = absorbing
    else:
        said = [part for part in parts if isinstance(part, str)]
        signs = {"AND": " AND ", "OR": " OR "} if engine == "sqlite" else {"AND": " & ", "OR": " | "}
        joined = "(" + signs["OR" if absorbing else "AND"].join(said) + ")" if said else not absorbing
    if node.operator != "NOT":
        return joined
    if isinstance(joined, bool):
        return not joined
    return f"({scopes([account_id])} NOT {joined})" if engine == "sqlite" else f"!{joined}"


class Match(NamedTuple):
    """What an index is asked, for one account. `values` are what the condition takes, by names that begin alike."""

    condition: str
    values: dict[str, str]


def match(engine: str, account_id: str, node: Words | Combined, name: str) -> Match | None:
    """A tree of terms as a condition on `message_index`; None when nothing can match.

    Args:
        name: begins the names of the condition's values.
    """
    said = _said(engine, account_id, node)
    if said is False:
        return None
    if engine == "sqlite":
        text = scopes([account_id]) + ("" if said is True else f" AND {said}")
        return Match(f"message_index MATCH :{name}_match", {f"{name}_match": text})
    scope = {f"{name}_scope": lexemes([account_id])}
    if said is True:
        return Match(f"message_index.words @@ CAST(:{name}_scope AS tsquery)", scope)
    return Match(
        f"message_index.words @@ (CAST(:{name}_scope AS tsquery) && to_tsquery('posthouse', :{name}_match))",
        scope | {f"{name}_match": str(said)},
    )


def among(engine: str, found: Match) -> str:
    """A condition on `message.id`: it is one of all that match."""
    if engine == "sqlite":
        return f"""message.id IN (SELECT message_indexed.message_id FROM message_index
            JOIN message_indexed ON message_indexed.row = message_index.rowid WHERE {found.condition})"""
    return f"message.id IN (SELECT message_index.message_id FROM message_index WHERE {found.condition})"
