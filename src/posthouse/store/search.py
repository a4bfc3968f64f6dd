"""The full-text index, with a query per engine: FTS5 here, tsvector with GIN there.

Both get the same words: text is cut into words by `index_query` (case folded, diacritics removed, letters of scripts
without blanks one by one), so that both engines find alike.

Beside the words of a message its *marks* are indexed: the words of single header fields, each with a letter in
front that says which (`s` subject, `f` From, `t` To, `c` Cc, `b` Bcc). A field's words are terms of their own, so
that looking for a word in subjects does not pass over every body that has it.

On SQLite the index's row numbers rise with the instants messages were received, across all accounts: the newest
messages with a word are read from the end of its list, and no more of it than a page needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from posthouse.store import index_query
from posthouse.store.database import Row, Tx
from posthouse.wire.thread_subject import base_subject

# A tsvector holds 1,048,575 octets of words and their places, all fields together.
_MAX_OCTETS = 1_000_000
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
            marked += [letter + word for word in index_query.words(part)]
    # An eighth at most: a subject without end leaves room for what it is the subject of.
    kept, left = _fitting(marked, room // 8)
    marks = " ".join(kept)
    room -= room // 8 - left
    fields = []
    for part in (entry.subject, entry.people, entry.body):
        kept, room = _fitting(index_query.words(part), room)
        fields.append(" ".join(kept))
    subject, people, body = fields
    return Prepared(
        entry.message_id, index_query.scope(entry.account_id), subject, people, body, marks,
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
    phrases = index_query.phrases_of(query)
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
            match=f"{index_query.scopes(account_ids)} AND {index_query.fts(phrases, field, ranked=True)}",
            account_ids=list(account_ids), limit=limit,
        )  # fmt: skip
    else:
        match = index_query.tsquery(phrases, field, ranked=True)
        # The scope is a lexeme as it stands; the words go through the stemmer.
        rows = await tx.all(
            """SELECT message.id AS message_id, message.account_id,
                 -ts_rank('{0, 0.25, 0.5, 1.0}', message_index.words, to_tsquery('posthouse', :match)) AS rank
               FROM message_index JOIN message ON message.id = message_index.message_id
               WHERE message_index.words @@ (CAST(:scope AS tsquery) && to_tsquery('posthouse', :match))
                 AND message.account_id IN (:account_ids...)
               ORDER BY rank, message.received_at DESC, message.id LIMIT :limit""",
            match=match, scope=index_query.lexemes(account_ids), account_ids=list(account_ids), limit=limit,
        )  # fmt: skip
    return [Hit(row["message_id"], row["account_id"], float(row["rank"])) for row in rows]


async def having(tx: Tx, found: index_query.Match, message_ids: Sequence[str]) -> set[str]:
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


class Rows(NamedTuple):
    """A span of row numbers on SQLite: `least` ≤ row < `below`."""

    least: int = 0
    below: int = _NEWEST


def rows_of(after: int | None, before: int | None) -> Rows:
    """The rows of messages received in a span of time, whole seconds at its ends."""
    return Rows(
        0 if after is None else max(0, first_row(after)), _NEWEST if before is None else first_row(before) + _SECOND
    )


async def rows(
    tx: Tx, condition: str, values: Mapping[str, Any], within: Rows, *, ascending: bool, limit: int
) -> tuple[list[int], Rows | None]:
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
        Rows(found[-1] + 1, min(begin + _SECOND, within.below))
        if ascending
        else Rows(max(begin, within.least), found[-1])
    )
    found += [int(row["row"]) for row in await tx.all(text, **values, least=edge.least, below=edge.below)]
    return found, Rows(begin + _SECOND, within.below) if ascending else Rows(within.least, begin)


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
    phrases = index_query.phrases_of(query)
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
    within: Rows | None = rows_of(asked.after, before)
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
    say = index_query.fts if engine == "sqlite" else index_query.tsquery
    text = f"({say(phrases, _TIERS[tier])})"
    for earlier in _TIERS[:tier]:
        text = (
            f"({text} NOT ({say(phrases, earlier)}))" if engine == "sqlite" else f"{text} & !({say(phrases, earlier)})"
        )
    if engine == "sqlite":
        return "message_index MATCH :match", {"match": f"{index_query.scopes(account_ids)} AND {text}"}
    return (
        "message_index.words @@ (CAST(:scope AS tsquery) && to_tsquery('posthouse', :match))",
        {"match": text, "scope": index_query.lexemes(account_ids)},
    )
