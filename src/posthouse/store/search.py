"""The full-text index, with a query per engine: FTS5 here, tsvector with GIN there.

Both get the same words: text is cut into words here (case folded, diacritics removed, letters of scripts
without blanks one by one), so that both engines find alike.

Beside the words of a message its *marks* are indexed: the words of single header fields, each with a letter in
front that says which (`s` subject, `f` From, `t` To, `c` Cc, `b` Bcc). A field's words are terms of their own, so
that looking for a word in subjects does not pass over every body that has it.

On SQLite the index's row numbers rise with the instants messages were received, across all accounts: the newest
messages with a word are read from the end of its list, and no more of it than a page needs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from posthouse.store.database import Row, Tx
from posthouse.wire.thread_subject import base_subject

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
# Field → the letters its marks begin with.
_MARKS = {"subject": "s", "people": "ftcb", "from": "f", "to": "t", "cc": "c", "bcc": "b"}
# Of a text that messages are sorted by, the index keeps so many characters; the rest decides among equals.
SORT_CHARS = 40
# A message's row number: the second it was received in, and its number within that second.
_SECOND = 1 << 20
_NEWEST = 2**63 - 1


class Entry(NamedTuple):
    """What the index is told of a message. `html` is read where there is no plain body.

    Attributes:
        people: all names and addresses.
        senders, recipients, copies, blind_copies: those of From, To, Cc and Bcc.
        author: what it is sorted by under `from`.
    """

    message_id: str
    account_id: str
    subject: str
    people: str
    body: str
    html: str = ""
    senders: str = ""
    recipients: str = ""
    copies: str = ""
    blind_copies: str = ""
    author: str = ""


class Prepared(NamedTuple):
    """An entry cut into words: made outside of any unit, since that takes longer than the unit itself."""

    message_id: str
    scope: str
    subject: str
    people: str
    body: str
    marks: str
    subject_key: str
    from_key: str


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


def sort_key(text: str) -> str:
    """The beginning of a text as messages are sorted by it."""
    return text.casefold()[:SORT_CHARS]


def prepare(entry: Entry) -> Prepared:
    """Cut an entry into words, as many as an index takes of one message."""
    room = _MAX_OCTETS
    marked: list[str] = []
    for letter, part in zip(
        "sftcb",
        (entry.subject, entry.senders, entry.recipients, entry.copies, entry.blind_copies),
        strict=True,
    ):
        if part:
            marked += [letter + word for word in words(part)]
    # An eighth at most: a subject without end leaves room for what it is the subject of.
    kept, left = _fitting(marked, room // 8)
    marks = " ".join(kept)
    room -= room // 8 - left
    fields = []
    for part in (entry.subject, entry.people, entry.body):
        kept, room = _fitting(words(part), room)
        fields.append(" ".join(kept))
    subject, people, body = fields
    return Prepared(
        entry.message_id, _scope(entry.account_id), subject, people, body, marks,
        sort_key(base_subject(entry.subject)[0]), sort_key(entry.author),
    )  # fmt: skip


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
    by_id = {entry.message_id: entry for entry in entries}
    if tx.engine == "sqlite":
        rows = await tx.all(
            """SELECT id, account_id, received_at FROM message WHERE id IN (:ids...)
                 AND NOT EXISTS (SELECT 1 FROM message_indexed WHERE message_indexed.message_id = message.id)
               ORDER BY received_at, id""",  # FTS5 gathers rows in memory as long as their numbers rise
            ids=list(by_id),
        )
        for row in rows:
            entry = by_id[row["id"]]
            number = await _number(tx, row["id"], row["received_at"])
            # A deleted account leaves its words in the index: whoever gets the same number must not inherit them.
            await tx.run(
                """INSERT OR REPLACE INTO message_index (rowid, account_id, marks, subject, people, body)
                   VALUES (:row, :scope, :marks, :subject, :people, :body)""",
                row=number, scope=entry.scope, marks=entry.marks, subject=entry.subject, people=entry.people,
                body=entry.body,
            )  # fmt: skip
    else:
        rows = []
        for entry in entries:
            # The row lock waits for whoever is destroying the message, and then finds it gone.
            row_ = await tx.one(
                """INSERT INTO message_index (message_id, words)
                   SELECT id, array_to_tsvector(ARRAY[CAST(:scope AS TEXT)])
                     || setweight(to_tsvector('posthouse', :marks), 'D')
                     || setweight(to_tsvector('posthouse', :subject), 'A')
                     || setweight(to_tsvector('posthouse', :people), 'B')
                     || setweight(to_tsvector('posthouse', :body), 'C')
                   FROM message WHERE id = :message_id FOR KEY SHARE
                   ON CONFLICT (message_id) DO NOTHING RETURNING message_id AS id""",
                message_id=entry.message_id, scope=entry.scope, marks=entry.marks, subject=entry.subject,
                people=entry.people, body=entry.body,
            )  # fmt: skip
            if row_ is not None:
                rows.append(row_)
    await tx.many(
        """INSERT INTO message_sort (message_id, account_id, received_at, subject_key, from_key)
           SELECT id, account_id, received_at, CAST(:subject_key AS TEXT), CAST(:from_key AS TEXT)
           FROM message WHERE id = :id
           ON CONFLICT (message_id) DO NOTHING""",
        [
            {"id": row["id"], "subject_key": by_id[row["id"]].subject_key, "from_key": by_id[row["id"]].from_key}
            for row in rows
        ],
    )


async def _number(tx: Tx, message_id: str, received_at: int) -> int:
    """Give a message its row number. A second that is full goes on in the next one."""
    begin = first_row(received_at)
    while True:
        row = await tx.one(
            "SELECT max(row) AS row FROM message_indexed WHERE row >= :begin AND row < :end",
            begin=begin, end=begin + _SECOND,
        )  # fmt: skip
        number = begin if row is None or row["row"] is None else int(row["row"]) + 1
        if number < begin + _SECOND:
            break
        begin += _SECOND
    await tx.run("INSERT INTO message_indexed (row, message_id) VALUES (:row, :id)", row=number, id=message_id)
    return number


def first_row(at: int) -> int:
    """The least row number of messages received in the second of an instant, and of later ones."""
    return (at // 1000) * _SECOND


async def missing(tx: Tx, account_id: str, after: str, limit: int) -> list[str]:
    """Messages of an account that are not indexed, in the order of their ids."""
    rows = await tx.all(
        """SELECT id FROM message WHERE account_id = :account_id AND id > :after
             AND NOT EXISTS (SELECT 1 FROM message_sort WHERE message_sort.message_id = message.id)
           ORDER BY id LIMIT :limit""",
        account_id=account_id, after=after, limit=limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def remove(tx: Tx, message_ids: Sequence[str]) -> None:
    """Take messages out of the index, before their rows are deleted."""
    if tx.engine == "sqlite":
        rows = await tx.all(
            "DELETE FROM message_indexed WHERE message_id IN (:ids...) RETURNING row", ids=list(message_ids)
        )
        await tx.many("DELETE FROM message_index WHERE rowid = :row", [{"row": row["row"]} for row in rows])
    else:
        await tx.run("DELETE FROM message_index WHERE message_id IN (:ids...)", ids=list(message_ids))
    await tx.run("DELETE FROM message_sort WHERE message_id IN (:ids...)", ids=list(message_ids))


async def clear(tx: Tx) -> None:
    """Empty the index, to be built anew."""
    if tx.engine == "sqlite":
        await tx.run("DELETE FROM message_indexed")
        await tx.run("INSERT INTO message_index (message_index) VALUES ('delete-all')")
    else:
        await tx.run("DELETE FROM message_index")
    await tx.run("DELETE FROM message_sort")


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
        rows = await tx.all(
            """SELECT message.id AS message_id, message.account_id,
                 bm25(message_index, 0.0, 0.0, 4.0, 2.0, 1.0) AS rank
               FROM message_index JOIN message_indexed ON message_indexed.row = message_index.rowid
               JOIN message ON message.id = message_indexed.message_id
               WHERE message_index MATCH :match AND message.account_id IN (:account_ids...)
               ORDER BY rank, message.received_at DESC, message.id LIMIT :limit""",
            match=f"{_scopes(account_ids)} AND {_fts(phrases, field, ranked=True)}", account_ids=list(account_ids),
            limit=limit,
        )  # fmt: skip
    else:
        match = _tsquery(phrases, field, ranked=True)
        # The scope is a lexeme as it stands; the words go through the stemmer.
        rows = await tx.all(
            """SELECT message.id AS message_id, message.account_id,
                 -ts_rank('{0, 0.25, 0.5, 1.0}', message_index.words, to_tsquery('posthouse', :match)) AS rank
               FROM message_index JOIN message ON message.id = message_index.message_id
               WHERE message_index.words @@ (CAST(:scope AS tsquery) && to_tsquery('posthouse', :match))
                 AND message.account_id IN (:account_ids...)
               ORDER BY rank, message.received_at DESC, message.id LIMIT :limit""",
            match=match, scope=_lexemes(account_ids), account_ids=list(account_ids), limit=limit,
        )  # fmt: skip
    return [Hit(row["message_id"], row["account_id"], float(row["rank"])) for row in rows]


# --- What is looked for, as each engine says it


class Words(NamedTuple):
    """A query's terms, all of which occur in `field`: one of `_MARKS`, `body`, or None for anywhere."""

    query: str
    field: str | None = None


class Combined(NamedTuple):
    """`NOT` holds when none of its nodes does."""

    operator: Literal["AND", "OR", "NOT"]
    nodes: Sequence[Words | Combined]


def _fts(phrases: list[list[str]], field: str | None, *, ranked: bool = False) -> str:
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


def _tsquery(phrases: list[list[str]], field: str | None, *, ranked: bool = False) -> str:
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


def _scope(account_id: str) -> str:
    # One word without a hyphen, and in capitals, which no word of a text has here. It makes the search fast; that
    # a message is the account's is said by its row, since a stemmer may take two scopes for one.
    return "SCOPE" + account_id.replace("-", "")


def _scopes(account_ids: Sequence[str]) -> str:
    return "(" + " OR ".join(f'account_id : "{_scope(account_id)}"' for account_id in account_ids) + ")"


def _lexemes(account_ids: Sequence[str]) -> str:
    return " | ".join(f"'{_scope(account_id)}'" for account_id in account_ids)


def _said(engine: str, account_id: str, node: Words | Combined) -> str | bool:
    """A tree of terms in an engine's words; True holds for every message, False for none."""
    if isinstance(node, Words):
        phrases = _phrases(node.query)
        if not phrases:
            return False
        return _fts(phrases, node.field) if engine == "sqlite" else f"({_tsquery(phrases, node.field)})"
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
    return f"({_scopes([account_id])} NOT {joined})" if engine == "sqlite" else f"!{joined}"


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
        text = _scopes([account_id]) + ("" if said is True else f" AND {said}")
        return Match(f"message_index MATCH :{name}_match", {f"{name}_match": text})
    scope = {f"{name}_scope": _lexemes([account_id])}
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


async def having(tx: Tx, found: Match, message_ids: Sequence[str]) -> set[str]:
    """Those of the messages that match, asked one by one: for a few messages, where very many match."""
    if not message_ids:
        return set()
    if tx.engine == "sqlite":
        # The order of a CROSS JOIN stands: the rows of the messages first, then the index at these rows alone.
        text = f"""SELECT message_indexed.message_id FROM message_indexed CROSS JOIN message_index
                   ON message_index.rowid = message_indexed.row
                   WHERE message_indexed.message_id IN (:message_ids...) AND {found.condition}"""
    else:
        text = f"SELECT message_id FROM message_index WHERE message_id IN (:message_ids...) AND {found.condition}"
    return {row["message_id"] for row in await tx.all(text, **found.values, message_ids=list(message_ids))}


# --- Reading in the order of arrival


class Reach(NamedTuple):
    """Row numbers on SQLite: `least` ≤ row < `below`."""

    least: int = 0
    below: int = _NEWEST


def reach(after: int | None, before: int | None) -> Reach:
    """The rows of messages received in a span of time, whole seconds at its ends."""
    return Reach(
        0 if after is None else max(0, first_row(after)), _NEWEST if before is None else first_row(before) + _SECOND
    )


async def rows(
    tx: Tx, condition: str, values: Mapping[str, Any], within: Reach, *, ascending: bool, limit: int
) -> tuple[list[int], Reach | None]:
    """About `limit` row numbers of matches on SQLite, in order of arrival, and where to go on (None: no more).

    A second is never cut in two: within it the order of rows is not that of messages.
    """
    order = "ASC" if ascending else "DESC"
    text = f"""SELECT message_index.rowid AS row FROM message_index WHERE {condition}
               AND message_index.rowid >= :least AND message_index.rowid < :below
               ORDER BY message_index.rowid {order}"""
    found = [
        int(row["row"])
        for row in await tx.all(f"{text} LIMIT :limit", **values, least=within.least, below=within.below, limit=limit)
    ]
    if len(found) < limit:
        return found, None
    begin = found[-1] // _SECOND * _SECOND
    edge = (
        Reach(found[-1] + 1, min(begin + _SECOND, within.below))
        if ascending
        else Reach(max(begin, within.least), found[-1])
    )
    found += [int(row["row"]) for row in await tx.all(text, **values, least=edge.least, below=edge.below)]
    return found, Reach(begin + _SECOND, within.below) if ascending else Reach(within.least, begin)


class Ranked(NamedTuple):
    """A message found. `tier` 0: the terms are in the subject; 1: in names and addresses; 2: anywhere."""

    message_id: str
    account_id: str
    tier: int
    received_at: int


_TIERS: tuple[str | None, ...] = ("subject", "people", None)
# Newest messages looked through one by one on PostgreSQL, before the index is asked for all there are.
_RECENT = 500
_FIRST_LOOK, _LAST_LOOK = 4, 20_000


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
    for tier in range(position[0] if position else 0, len(_TIERS)):
        asked = _Tier(
            list(account_ids), after, before, position[1:] if position is not None and tier == position[0] else None,
            message_ids, limit - len(found),
        )  # fmt: skip
        condition, values = _tier_match(tx.engine, account_ids, phrases, tier)
        if message_ids is None and tx.engine == "sqlite":
            hits = await _newest(tx, condition, values, asked)
        else:
            hits = await _sorted(tx, condition, values, asked)
        found.extend(Ranked(row["message_id"], row["account_id"], tier, row["received_at"]) for row in hits)
        if len(found) >= limit:
            break
    return found


class _Tier(NamedTuple):
    account_ids: list[str]
    after: int | None
    before: int | None
    position: tuple[int, str] | None
    message_ids: Sequence[str] | None
    limit: int

    def where(self) -> tuple[str, dict[str, Any]]:
        parts = ["message.account_id IN (:account_ids...)"]
        values: dict[str, Any] = {"account_ids": self.account_ids}
        if self.after is not None:
            parts.append("message.received_at >= :after")
            values["after"] = self.after
        if self.before is not None:
            parts.append("message.received_at < :before")
            values["before"] = self.before
        if self.message_ids is not None:
            parts.append("message.id IN (:message_ids...)")
            values["message_ids"] = list(self.message_ids)
        if self.position is not None:
            parts.append("(message.received_at, message.id) < (:position_at, :position_id)")
            values |= {"position_at": self.position[0], "position_id": self.position[1]}
        return " AND ".join(parts), values


async def _newest(tx: Tx, condition: str, values: dict[str, Any], asked: _Tier) -> list[Row]:
    """From the newest match back, on SQLite: no more of them than it takes."""
    where, bound = asked.where()
    before = asked.before
    if asked.position is not None:
        before = asked.position[0] + 1 if before is None else min(before, asked.position[0] + 1)
    within: Reach | None = reach(asked.after, before)
    found: list[Row] = []
    look = asked.limit + _FIRST_LOOK
    while within is not None and len(found) < asked.limit:
        numbers, within = await rows(tx, condition, values, within, ascending=False, limit=look)
        hits = await tx.all(
            f"""SELECT message.id AS message_id, message.account_id, message.received_at
                FROM message_indexed JOIN message ON message.id = message_indexed.message_id
                WHERE message_indexed.row IN (:rows...int) AND {where}""",
            **bound, rows=numbers,
        )  # fmt: skip
        found += sorted(hits, key=lambda row: (row["received_at"], row["message_id"]), reverse=True)
        look = min(4 * look, _LAST_LOOK)
    return found[: asked.limit]


async def _sorted(tx: Tx, condition: str, values: dict[str, Any], asked: _Tier) -> list[Row]:
    """All that match, sorted by the engine; on PostgreSQL after a look through the newest messages."""
    where, bound = asked.where()
    selected = "SELECT message.id AS message_id, message.account_id, message.received_at"
    order = "ORDER BY message.received_at DESC, message.id DESC LIMIT :limit"
    if tx.engine == "sqlite":
        # The order of a CROSS JOIN stands: the few messages named first, then the index at their rows.
        return await tx.all(
            f"""{selected} FROM message CROSS JOIN message_indexed ON message_indexed.message_id = message.id
                CROSS JOIN message_index ON message_index.rowid = message_indexed.row
                WHERE {where} AND {condition} {order}""",
            **values, **bound, limit=asked.limit,
        )  # fmt: skip
    if asked.message_ids is None and len(asked.account_ids) == 1:
        recent = await tx.all(
            f"""{selected} FROM (SELECT id, account_id, received_at FROM message WHERE {where}
                  ORDER BY received_at DESC, id DESC LIMIT {_RECENT}) AS message
                JOIN message_index ON message_index.message_id = message.id
                WHERE {condition} {order}""",
            **values, **bound, limit=asked.limit,
        )  # fmt: skip
        if len(recent) == asked.limit:
            return recent
    return await tx.all(
        f"""{selected} FROM message_index JOIN message ON message.id = message_index.message_id
            WHERE {condition} AND {where} {order}""",
        **values, **bound, limit=asked.limit,
    )  # fmt: skip


def _tier_match(
    engine: str, account_ids: Sequence[str], phrases: list[list[str]], tier: int
) -> tuple[str, dict[str, Any]]:
    """The condition for a tier, and the values it takes."""
    say = _fts if engine == "sqlite" else _tsquery
    text = f"({say(phrases, _TIERS[tier])})"
    for earlier in _TIERS[:tier]:
        text = (
            f"({text} NOT ({say(phrases, earlier)}))" if engine == "sqlite" else f"{text} & !({say(phrases, earlier)})"
        )
    if engine == "sqlite":
        return "message_index MATCH :match", {"match": f"{_scopes(account_ids)} AND {text}"}
    return (
        "message_index.words @@ (CAST(:scope AS tsquery) && to_tsquery('posthouse', :match))",
        {"match": text, "scope": _lexemes(account_ids)},
    )
