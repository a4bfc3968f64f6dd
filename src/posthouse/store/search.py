"""The full-text index. One of the two modules with a query per engine: FTS5 here, tsvector with GIN there.

Both get the same words: text is cut into words here (case folded, diacritics removed, letters of scripts
without blanks one by one), so that both engines find alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from posthouse.store.database import Tx

# More words than this of one mail are not indexed: to_tsvector ends at 1 MB.
_MAX_CHARS = 400_000
_WORD = re.compile(r"[^\W_]+")
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
    """Cut an entry into words."""
    subject, people, body = (" ".join(words(part)) for part in (entry.subject, entry.people, entry.body))
    return Prepared(entry.message_id, _scope(entry.account_id), subject, people, body)


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
            await tx.run(
                """INSERT INTO message_index (message_id, words)
                   SELECT id, array_to_tsvector(ARRAY[CAST(:scope AS TEXT)])
                     || setweight(to_tsvector('posthouse', :subject), 'A')
                     || setweight(to_tsvector('posthouse', :people), 'B')
                     || setweight(to_tsvector('posthouse', :body), 'C')
                   FROM message WHERE id = :message_id
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
               WHERE message_index MATCH :match ORDER BY rank, message.received_at DESC, message.id LIMIT :limit""",
            match=f"({scope}) AND ({columns} : ({match}))", limit=limit,
        )  # fmt: skip
    else:
        weight = ":" + (_FIELDS[field] if field else "ABC")
        match = " & ".join("(" + " <-> ".join(f"'{word}'{weight}" for word in phrase) + ")" for phrase in phrases)
        scope = " | ".join(f"'{_scope(account_id)}'" for account_id in account_ids)
        # The scope is a lexeme as it stands; the words go through the stemmer.
        rows = await tx.all(
            """SELECT message.id AS message_id, message.account_id,
                 -ts_rank('{0, 0.25, 0.5, 1.0}', message_index.words, to_tsquery('posthouse', :match)) AS rank
               FROM message_index JOIN message ON message.id = message_index.message_id
               WHERE message_index.words @@ (CAST(:scope AS tsquery) && to_tsquery('posthouse', :match))
               ORDER BY rank, message.received_at DESC, message.id LIMIT :limit""",
            match=match, scope=scope, limit=limit,
        )  # fmt: skip
    return [Hit(row["message_id"], row["account_id"], float(row["rank"])) for row in rows]


def _scope(account_id: str) -> str:
    # One word without a hyphen and never a word of any language.
    return "scope" + account_id.replace("-", "")
