"""The full-text index. One of the two modules with a query per engine: FTS5 here, tsvector with GIN there.

Both get the same words: text is cut into words here (case folded, diacritics removed, letters of scripts
without blanks one by one), so that both engines find alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

from posthouse.store.database import Tx

# More of one field is not indexed.
_MAX_CHARS = 400_000
# A tsvector holds 1,048,575 octets of words and their places, all fields together.
_MAX_OCTETS = 1_000_000
# Longer ones are cut in pieces that stand together: FTS5 stems up to 64 octets, a tsquery refuses 2,047.
_WORD = re.compile(r"[^\W_]{1,64}")
# Han, Hiragana, Katakana, Hangul, Thai, Lao, Khmer, Myanmar: written without blanks between words.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])"
)
_FIELDS = {"subject": "A", "people": "B", "body": "C"}


class Entry(NamedTuple):
    """What the index is told of a message. `html` is read where there is no plain body."""

    message_id: str
    account_id: str
    subject: str
    people: str
    body: str
    html: str = ""


class Prepared(NamedTuple):
    """An entry cut into words: made outside of any unit, since that takes longer than the unit itself."""

    message_id: str
    scope: str
    subject: str
    people: str
    body: str


class Hit(NamedTuple):
    """A message found; a smaller `rank` is a better match."""

    message_id: str
    account_id: str
    rank: float


def words(text: str) -> list[str]:
    """The text's words as the index knows them."""
    text = unicodedata.normalize("NFKD", text[:_MAX_CHARS].casefold())
    text = "".join(c for c in text if not unicodedata.combining(c)) if not text.isascii() else text
    # NFKD takes Hangul apart; put together again before single letters are set apart.
    text = unicodedata.normalize("NFC", text)
    return _WORD.findall(_UNSPACED.sub(r" \1 ", text))


def _phrases(query: str) -> list[list[str]]:
    """The query's terms: words between blanks, quoted text as one phrase."""
    terms = re.findall(r'"([^"]*)"|(\S+)', query)
    return [found for quoted, plain in terms if (found := words(quoted or plain))]


def prepare(entry: Entry) -> Prepared:
    """Cut an entry into words, as many as an index takes of one message."""
    room = _MAX_OCTETS
    fields = []
    for part in (entry.subject, entry.people, entry.body):
        found, room = _fitting(words(part), room)
        fields.append(" ".join(found))
    subject, people, body = fields
    return Prepared(entry.message_id, _scope(entry.account_id), subject, people, body)


def _fitting(found: list[str], room: int) -> tuple[list[str], int]:
    """The words there is room for, and the room left: a word costs its octets and a count, each place two."""
    seen: set[str] = set()
    for index, word in enumerate(found):
        if word in seen:
            room -= 2
        else:
            seen.add(word)
            room -= len(word.encode("utf-8")) + 5
        if room < 0:
            return found[:index], 0
    return found, room


async def add(tx: Tx, entries: Sequence[Prepared]) -> None:
    """Index messages; one that is indexed already or has gone meanwhile is passed over."""
    for entry in entries:
        if tx.engine == "sqlite":
            row = await tx.one(
                """INSERT INTO message_indexed (message_id) SELECT id FROM message WHERE id = :message_id
                   ON CONFLICT (message_id) DO NOTHING RETURNING row""",
                message_id=entry.message_id,
            )
            if row is not None:
                await tx.run(
                    """INSERT INTO message_index (rowid, account_id, subject, people, body)
                       VALUES (:row, :scope, :subject, :people, :body)""",
                    row=row["row"], scope=entry.scope, subject=entry.subject, people=entry.people, body=entry.body,
                )  # fmt: skip
        else:
            # The row lock waits for whoever is destroying the message, and then finds it gone.
            await tx.run(
                """INSERT INTO message_index (message_id, words)
                   SELECT id, array_to_tsvector(ARRAY[CAST(:scope AS TEXT)])
                     || setweight(to_tsvector('posthouse', :subject), 'A')
                     || setweight(to_tsvector('posthouse', :people), 'B')
                     || setweight(to_tsvector('posthouse', :body), 'C')
                   FROM message WHERE id = :message_id FOR KEY SHARE
                   ON CONFLICT (message_id) DO NOTHING""",
                message_id=entry.message_id, scope=entry.scope, subject=entry.subject, people=entry.people,
                body=entry.body,
            )  # fmt: skip


async def remove(tx: Tx, message_ids: Sequence[str]) -> None:
    """Take messages out of the index, before their rows are deleted."""
    if tx.engine == "sqlite":
        rows = await tx.all(
            "DELETE FROM message_indexed WHERE message_id IN (:ids...) RETURNING row", ids=list(message_ids)
        )
        await tx.many("DELETE FROM message_index WHERE rowid = :row", [{"row": row["row"]} for row in rows])
    else:
        await tx.run("DELETE FROM message_index WHERE message_id IN (:ids...)", ids=list(message_ids))


async def clear(tx: Tx) -> None:
    """Empty the index, to be built anew."""
    if tx.engine == "sqlite":
        await tx.run("DELETE FROM message_indexed")
        await tx.run("INSERT INTO message_index (message_index) VALUES ('delete-all')")
    else:
        await tx.run("DELETE FROM message_index")


async def find(tx: Tx, account_ids: Sequence[str], query: str, *, field: str | None = None, limit: int) -> list[Hit]:
    """Messages of the accounts that have all the query's terms, best first.

    Args:
        query: words, all of which must occur; text between double quotes is a phrase.
        field: `subject`, `people` or `body`; None for anywhere.
    """
    phrases = _phrases(query)
    if not phrases or not account_ids:
        return []
    if tx.engine == "sqlite":
        match = " AND ".join('"' + " ".join(phrase) + '"' for phrase in phrases)
        columns = f"{{{field}}}" if field else "{subject people body}"
        scope = " OR ".join(f'account_id : "{_scope(account_id)}"' for account_id in account_ids)
        rows = await tx.all(
            """SELECT message.id AS message_id, message.account_id,
                 bm25(message_index, 0.0, 4.0, 2.0, 1.0) AS rank
               FROM message_index JOIN message_indexed ON message_indexed.row = message_index.rowid
               JOIN message ON message.id = message_indexed.message_id
               WHERE message_index MATCH :match AND message.account_id IN (:account_ids...)
               ORDER BY rank, message.received_at DESC, message.id LIMIT :limit""",
            match=f"({scope}) AND ({columns} : ({match}))", account_ids=list(account_ids), limit=limit,
        )  # fmt: skip
    else:
        match = _weighted(phrases, _FIELDS[field] if field else "ABC")
        scope = " | ".join(f"'{_scope(account_id)}'" for account_id in account_ids)
        # The scope is a lexeme as it stands; the words go through the stemmer.
        rows = await tx.all(
            """SELECT message.id AS message_id, message.account_id,
                 -ts_rank('{0, 0.25, 0.5, 1.0}', message_index.words, to_tsquery('posthouse', :match)) AS rank
               FROM message_index JOIN message ON message.id = message_index.message_id
               WHERE message_index.words @@ (CAST(:scope AS tsquery) && to_tsquery('posthouse', :match))
                 AND message.account_id IN (:account_ids...)
               ORDER BY rank, message.received_at DESC, message.id LIMIT :limit""",
            match=match, scope=scope, account_ids=list(account_ids), limit=limit,
        )  # fmt: skip
    return [Hit(row["message_id"], row["account_id"], float(row["rank"])) for row in rows]


def _weighted(phrases: list[list[str]], weights: str) -> str:
    """A tsquery for all phrases, each within one of the fields (the places of the next field follow on)."""
    return " & ".join(
        "("
        + " | ".join(
            " <-> ".join(f"'{word}':{weight}" for word in phrase)
            for weight in ([weights] if len(phrase) == 1 else weights)
        )
        + ")"
        for phrase in phrases
    )


def _scope(account_id: str) -> str:
    # One word without a hyphen, and in capitals, which no word of a text has here. It makes the search fast; that
    # a message is the account's is said by its row, since a stemmer may take two scopes for one.
    return "SCOPE" + account_id.replace("-", "")


class Ranked(NamedTuple):
    """A message found. `tier` 0: the terms are in the subject; 1: in names and addresses; 2: anywhere."""

    message_id: str
    account_id: str
    tier: int
    received_at: int


_TIERS = 3


async def page(
    tx: Tx,
    account_ids: Sequence[str],
    query: str,
    *,
    position: tuple[int, int, str] | None,
    after: int | None = None,
    before: int | None = None,
    message_ids: Sequence[str] | None = None,
    limit: int,
) -> list[Ranked]:
    """Messages that have all the query's terms: by tier, within a tier the newest first.

    A message's place depends on nothing but the message, so that pages stay whole while mail arrives, which
    a rank that weighs words by their frequency would not allow.

    Args:
        position: (tier, received_at, id) of the last one seen.
        after, before: `after` ≤ received_at < `before`.
        message_ids: look among these only.
    """
    phrases = _phrases(query)
    found: list[Ranked] = []
    if not phrases or not account_ids:
        return found
    where: list[str] = ["message.account_id IN (:account_ids...)"]
    values: dict[str, Any] = {"account_ids": list(account_ids)}
    if after is not None:
        where.append("message.received_at >= :after")
        values["after"] = after
    if before is not None:
        where.append("message.received_at < :before")
        values["before"] = before
    if message_ids is not None:
        where.append("message.id IN (:message_ids...)")
        values["message_ids"] = list(message_ids)
    for tier in range(position[0] if position else 0, _TIERS):
        conditions, bound = list(where), dict(values)
        if position is not None and tier == position[0]:
            conditions.append("(message.received_at, message.id) < (:position_at, :position_id)")
            bound |= {"position_at": position[1], "position_id": position[2]}
        joined, match = _tier_match(tx.engine, account_ids, phrases, tier)
        rows = await tx.all(
            f"""SELECT message.id AS message_id, message.account_id, message.received_at FROM {joined}
                AND {" AND ".join(conditions)}
                ORDER BY message.received_at DESC, message.id DESC LIMIT :limit""",
            **match, **bound, limit=limit - len(found),
        )  # fmt: skip
        found.extend(Ranked(row["message_id"], row["account_id"], tier, row["received_at"]) for row in rows)
        if len(found) >= limit:
            break
    return found


def _tier_match(
    engine: str, account_ids: Sequence[str], phrases: list[list[str]], tier: int
) -> tuple[str, dict[str, Any]]:
    """The joined tables with the condition for a tier, and the values it takes."""
    columns = ("subject", "people", "subject people body")
    if engine == "sqlite":
        match = " AND ".join('"' + " ".join(phrase) + '"' for phrase in phrases)
        scope = " OR ".join(f'account_id : "{_scope(account_id)}"' for account_id in account_ids)
        text = f"(({scope}) AND ({{{columns[tier]}}} : ({match})))"
        for earlier in columns[:tier]:
            text = f"({text} NOT ({{{earlier}}} : ({match})))"
        return (
            """message_index JOIN message_indexed ON message_indexed.row = message_index.rowid
               JOIN message ON message.id = message_indexed.message_id
               WHERE message_index MATCH :match""",
            {"match": text},
        )
    weights = ("A", "B", "ABC")
    text = f"({_weighted(phrases, weights[tier])})"
    text += "".join(f" & !({_weighted(phrases, weight)})" for weight in weights[:tier])
    return (
        """message_index JOIN message ON message.id = message_index.message_id
           WHERE message_index.words @@ (CAST(:scope AS tsquery) && to_tsquery('posthouse', :match))""",
        {"match": text, "scope": " | ".join(f"'{_scope(account_id)}'" for account_id in account_ids)},
    )


def condition(engine: str, account_id: str, query: str, field: str | None, name: str) -> tuple[str, dict[str, str]]:
    """A condition on `message.id`: the message has all the query's terms in `field` (None: anywhere).

    Args:
        name: begins the names of the values the condition takes.

    Returns:
        The SQL and its values. A query without any word matches nothing.
    """
    phrases = _phrases(query)
    if not phrases:
        return "FALSE", {}
    if engine == "sqlite":
        match = " AND ".join('"' + " ".join(phrase) + '"' for phrase in phrases)
        columns = f"{{{field}}}" if field else "{subject people body}"
        return (
            f"""message.id IN (SELECT message_indexed.message_id FROM message_index
                JOIN message_indexed ON message_indexed.row = message_index.rowid
                WHERE message_index MATCH :{name}_match)""",
            {f"{name}_match": f'(account_id : "{_scope(account_id)}") AND ({columns} : ({match}))'},
        )
    weight = ":" + (_FIELDS[field] if field else "ABC")
    match = " & ".join("(" + " <-> ".join(f"'{word}'{weight}" for word in phrase) + ")" for phrase in phrases)
    return (
        f"""message.id IN (SELECT message_index.message_id FROM message_index
            WHERE message_index.words @@ (CAST(:{name}_scope AS tsquery) && to_tsquery('posthouse', :{name}_match)))""",
        {f"{name}_scope": f"'{_scope(account_id)}'", f"{name}_match": match},
    )
