"""The first messages that match a filter, in a wanted order, without looking at all messages.

There are three ways, and `first` chooses one:

- Walk: read an index that has the wanted order (a mailbox's messages, those with a keyword, unread ones, sizes,
  subjects, senders, or the text index) from its beginning, and test each message against the rest of the filter,
  until enough messages match.
- Sort a few: where the filter names something few messages have, read these few and sort them.
- Sort all: where no index has the order (`to`, `sentAt`, keywords of a thread, a header's text), `sorting.ids` sorts
  every message that matches.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from posthouse.store import filter_sql, index_query, search, sorting
from posthouse.store.database import Row, Tx
from posthouse.store.filter_sql import Source, Sql
from posthouse.store.filters import TEXT_FIELDS, Comparator, Condition, Filter, Match, Operator

_GROWTH = 4


class Bounds(NamedTuple):
    """How many rows one way looks at before another way is tried.

    Attributes:
        few: up to so many rows are sorted; more are walked through.
        sample: how many rows of an index are looked at to estimate how far apart its rows lie.
        least, most: bounds of the rows read at once. The first chunk is twice the messages wanted, each next one
            is larger.
        patience: how many messages with the filter's words are looked at before the filter's other conditions are
            walked along instead.
        asked: of how many messages it is asked one by one whether they have the filter's words, when another index
            gives the order.
    """

    few: int = 2_000
    sample: int = 200
    least: int = 64
    most: int = 20_000
    patience: int = 20_000
    asked: int = 300


async def first(
    tx: Tx,
    account_id: str,
    node: Filter | None,
    sort: Sequence[Comparator],
    wanted: int,
    *,
    collapse: bool = False,
    seen: set[str] | None = None,
    bounds: Bounds = Bounds(),
) -> list[Match]:
    """Return the first `wanted` messages that match a filter, in the order of `sort`.

    Args:
        collapse: return only the first message of each thread.
        seen: with `collapse`, threads of which a message was returned before, so that no other one is; threads of
            the messages found are added to the set.
    """
    if wanted <= 0:
        return []
    sort, seen = sorting.whole(sort), set() if seen is None else seen
    taking = _Taking(wanted, seen if collapse else None, bounds)
    if sort[0].property == "hasKeyword":
        # Those that have it before those that have not, or the other way round: each part in the rest of the order.
        parts = [Condition(has_keyword=sort[0].keyword), Condition(not_keyword=sort[0].keyword)]
        for part in reversed(parts) if sort[0].is_ascending else parts:
            both = part if node is None else Operator("AND", (part, node))
            taking.found += await first(
                tx, account_id, both, sort[1:], wanted - len(taking.found), collapse=collapse, seen=seen, bounds=bounds
            )
        return taking.found
    asked = _Asked()
    if node is not None:
        asked.add(node)
    sql = await filter_sql.new_sql(tx, account_id, node)
    words = None
    if asked.words:
        words = index_query.match(tx.engine, account_id, index_query.Combined("AND", asked.words), "words")
        if words is None:
            return []
    narrow = await _narrowest(tx, sql, asked, bounds, ascending=sort[0].is_ascending)
    if words is not None:
        found = await _by_words(tx, sql, asked, words, narrow, sort, taking)
    elif sort[0].property == "receivedAt":
        found = await taking.take(_chunks(tx, sql, _by_arrival(sql, asked, narrow), sort, taking))
    else:
        found = await _by_property(tx, sql, asked, narrow, sort, taking)
    if found is None:
        taking.restart()
        taking.add(await sorting.ids(tx, account_id, node, sort))
        return taking.found
    return found


@dataclass(slots=True)
class _Asked:
    """A filter taken apart: the conditions an index can answer, and in `rest` the conditions to test on messages."""

    mailbox_id: str | None = None
    keyword: str | None = None
    is_unread: bool = False
    after: int | None = None
    before: int | None = None
    words: list[index_query.Words | index_query.Combined] = field(default_factory=list)
    rest: list[Filter] = field(default_factory=list)

    def add(self, node: Filter) -> None:
        """Add a condition that has to hold besides those before."""
        if isinstance(node, Operator):
            if node.operator == "AND":
                for each in node.conditions:
                    self.add(each)
            elif (words := filter_sql.as_words(node)) is not None:
                self.words.append(words)
            else:
                self.rest.append(node)
            return
        asked = filter_sql.words_of(node)
        self.words += asked
        rest = node.without(*TEXT_FIELDS) if asked else node
        if rest.in_mailbox is not None and self.mailbox_id is None:
            self.mailbox_id = rest.in_mailbox
            rest = rest.without("in_mailbox")
        self.keyword = self.keyword or rest.has_keyword
        self.is_unread = self.is_unread or rest.not_keyword == "$seen"
        if rest.after is not None:
            self.after = max(rest.after, self.after or 0)
        if rest.before is not None:
            self.before = rest.before if self.before is None else min(rest.before, self.before)
        if rest != Condition():
            self.rest.append(rest)

    def conditions(self, sql: Sql, *, mailbox: bool = True) -> str:
        """The conditions as SQL, but those about words; `mailbox` False leaves the condition on the mailbox out too."""
        nodes = list(self.rest)
        if mailbox and self.mailbox_id is not None:
            nodes.append(Condition(in_mailbox=self.mailbox_id))
        return "".join(f" AND {filter_sql.condition_of(sql, node)}" for node in nodes)


class _Narrow(NamedTuple):
    """A condition of a filter whose messages an index lists in order of arrival: a mailbox, a keyword, unread mail.

    Attributes:
        tables, where: SQL that selects the index's rows.
        link: SQL that joins messages to these rows.
        at, id: the columns that hold time of arrival and message id.
        total: how many rows there are; counting stops at a bound, so the bound means "as many or more".
    """

    name: str
    tables: str
    where: str
    link: str
    at: str
    id: str
    total: int

    def source(self, more: str) -> Source:
        """The messages of these rows, with more conditions on them."""
        return Source(f"{self.tables}{self.link and ' CROSS JOIN message'}", self.where + self.link + more)


async def _narrowest(tx: Tx, sql: Sql, asked: _Asked, bounds: Bounds, *, ascending: bool) -> _Narrow | None:
    """Return the filter's condition (mailbox, keyword or unread) that the fewest messages meet.

    Where all are met by more messages than are counted, it is the condition whose rows lie furthest apart in time
    where the walk begins.
    """
    choices = await _choices(tx, sql, asked, bounds.few + 1)
    if len(choices) < 2 or min(each.total for each in choices) <= bounds.few:
        return min(choices, key=lambda each: each.total) if choices else None
    direction, sign = ("ASC", -1) if ascending else ("DESC", 1)
    reached = []
    for each in choices:
        row = await tx.one(
            f"""SELECT {each.at} AS at FROM {each.tables} WHERE {each.where}
                ORDER BY {each.at} {direction}, {each.id} {direction} LIMIT 1 OFFSET {bounds.sample}""",
            **{name: value for name, value in sql.values.items() if f":{name} " in f"{each.where} "},
        )
        reached.append(0 if row is None else sign * int(row["at"]))
    return choices[reached.index(min(reached))]


async def _choices(tx: Tx, sql: Sql, asked: _Asked, most: int) -> list[_Narrow]:
    account = sql.value(sql.account_id)
    choices: list[_Narrow] = []
    if asked.mailbox_id is not None:
        row = await tx.one(
            "SELECT total_messages FROM mailbox WHERE id = :id AND account_id = :account_id",
            id=asked.mailbox_id, account_id=sql.account_id,
        )  # fmt: skip
        # A mailbox that is not the account's has nothing in it.
        where = f"m.mailbox_id = {sql.value(asked.mailbox_id if row else '')} AND m.expunged_modseq IS NULL"
        link = f" AND message.id = m.message_id AND message.account_id = {account}"
        total = int(row["total_messages"]) if row else 0
        choices.append(_Narrow("mailbox", "membership m", where, link, "m.received_at", "m.message_id", total))
    if asked.keyword is not None and (spelled := await _spelled(tx, sql.account_id, asked.keyword)) is not None:
        row = await tx.one(
            f"""SELECT count(*) AS n FROM (SELECT 1 FROM message_keyword
                WHERE account_id = :account_id AND keyword = :keyword LIMIT {int(most)}) AS counted""",
            account_id=sql.account_id, keyword=spelled,
        )  # fmt: skip
        where = f"d.account_id = {account} AND d.keyword = {sql.value(spelled)}"
        total = int(row["n"]) if row else 0
        choices.append(
            _Narrow("keyword", "message_keyword d", where, " AND message.id = d.message_id", "d.received_at",
                    "d.message_id", total)
        )  # fmt: skip
    if asked.is_unread:
        # By the mailboxes' counters: about so many.
        row = await tx.one(
            "SELECT CAST(coalesce(sum(unread_messages), 0) AS BIGINT) AS n FROM mailbox WHERE account_id = :account_id",
            account_id=sql.account_id,
        )
        where = f"message.account_id = {account} AND {filter_sql.UNREAD}"
        total = int(row["n"]) if row else 0
        choices.append(_Narrow("unread", "message", where, "", "message.received_at", "message.id", total))
    return choices


async def _spelled(tx: Tx, account_id: str, keyword: str) -> str | None:
    """The spelling (upper and lower case) in which an account's messages have a keyword; None for several or none."""
    if keyword.startswith("$"):
        return keyword
    found: list[str] = []
    last = ""
    while True:  # from one keyword to the next: the index is not read through
        row = await tx.one(
            """SELECT keyword FROM message_keyword WHERE account_id = :account_id AND keyword > :last
               ORDER BY keyword LIMIT 1""",
            account_id=account_id, last=last,
        )  # fmt: skip
        if row is None:
            return found[0] if len(found) == 1 else None
        last = row["keyword"]
        if last.lower() == keyword:
            found.append(last)


@dataclass(slots=True)
class _Taking:
    """The matches found so far. `seen`: threads of which no further message is taken; None when all are taken."""

    wanted: int
    seen: set[str] | None
    bounds: Bounds
    found: list[Match] = field(default_factory=list)
    seen_before: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.seen_before = frozenset(self.seen or ())

    def first_look(self, *, is_sure: bool) -> int:
        """How many rows to read first. `is_sure`: every row will be a match."""
        if is_sure and self.seen is None:
            return self.wanted
        return max(self.bounds.least, 2 * self.wanted)

    def restart(self) -> None:
        """Forget what has been found."""
        self.found.clear()
        if self.seen is not None:
            self.seen.intersection_update(self.seen_before)

    def add(self, matches: Sequence[Match]) -> None:
        for each in matches:
            if len(self.found) >= self.wanted:
                return
            if self.seen is None:
                self.found.append(each)
            elif each.thread_id not in self.seen:
                self.seen.add(each.thread_id)
                self.found.append(each)

    async def take(
        self,
        chunks: AsyncIterator[_Chunk],
        *,
        patience: int | None = None,
        keep: Callable[[list[Row]], Awaitable[list[Row]]] | None = None,
    ) -> list[Match] | None:
        """Read chunks until `wanted` matches are found; return None when `patience` rows did not have as many."""
        looked = 0
        async for chunk in chunks:
            rows = chunk.rows if keep is None else await keep(chunk.rows)
            self.add([Match(row["id"], row["thread_id"]) for row in rows])
            looked += chunk.looked
            if len(self.found) >= self.wanted:
                break
            if patience is not None and looked >= patience and not chunk.is_last:
                return None
        return self.found


class _Chunk(NamedTuple):
    """Some rows in order, and how many rows were looked at to get these."""

    rows: list[Row]
    looked: int
    is_last: bool


class _Walk(NamedTuple):
    """An index to walk along: its columns in their order, ending with those of arrival and the id.

    `is_cut`: its first column is the beginning of a text, and decides only between unequal ones.
    """

    source: Source
    columns: tuple[str, ...]
    is_cut: bool = False


def _bounds(sql: Sql, asked: _Asked, at: str) -> str:
    text = ""
    if asked.after is not None:
        text += f" AND {at} >= {sql.value(asked.after)}"
    if asked.before is not None:
        text += f" AND {at} < {sql.value(asked.before)}"
    return text


def _by_arrival(sql: Sql, asked: _Asked, narrow: _Narrow | None) -> _Walk:
    if narrow is None:
        where = f"message.account_id = {sql.value(sql.account_id)}"
        narrow = _Narrow("account", "message", where, "", "message.received_at", "message.id", 0)
    more = _bounds(sql, asked, narrow.at) + asked.conditions(sql, mailbox=narrow.name != "mailbox")
    return _Walk(narrow.source(more), (narrow.at, narrow.id))


_SORTED_BY = {"subject": "subject_key", "from": "from_key"}


def _by_index(sql: Sql, asked: _Asked, comparator: Comparator) -> _Walk | None:
    """The index with the order of a property; None when there is none."""
    account = sql.value(sql.account_id)
    if comparator.property == "receivedAt":
        return _by_arrival(sql, asked, None)
    if comparator.property == "size":
        where = f"message.account_id = {account}{asked.conditions(sql)}"
        return _Walk(Source("message", where), ("message.size_bytes", "message.received_at", "message.id"))
    if comparator.property not in _SORTED_BY or comparator.fold is not str.casefold:
        return None
    tables, where = "message_sort s", f"s.account_id = {account}"
    if asked.mailbox_id is not None:
        # The mailbox is asked before the message's own row is read.
        tables += " CROSS JOIN membership m"
        where += f" AND m.message_id = s.message_id AND m.mailbox_id = {sql.value(asked.mailbox_id)}"
        where += " AND m.expunged_modseq IS NULL"
    where += f" AND message.id = s.message_id AND message.account_id = {account}"
    where += asked.conditions(sql, mailbox=False)
    column = f"s.{_SORTED_BY[comparator.property]}"
    return _Walk(Source(f"{tables} CROSS JOIN message", where), (column, "s.received_at", "s.message_id"), is_cut=True)


async def _by_property(
    tx: Tx, sql: Sql, asked: _Asked, narrow: _Narrow | None, sort: Sequence[Comparator], taking: _Taking
) -> list[Match] | None:
    """In another order than that of arrival, without words."""
    if narrow is not None and narrow.total <= taking.bounds.few:
        source = narrow.source(asked.conditions(sql, mailbox=narrow.name != "mailbox"))
        taking.add(await sorting.sorted_of(tx, sql, source, sort))
        return taking.found
    walk = _by_index(sql, asked, sort[0])
    return None if walk is None else await taking.take(_chunks(tx, sql, walk, sort, taking))


async def _by_words(
    tx: Tx,
    sql: Sql,
    asked: _Asked,
    words: index_query.Match,
    narrow: _Narrow | None,
    sort: Sequence[Comparator],
    taking: _Taking,
) -> list[Match] | None:
    """With words to be found. None: all that match have to be looked at."""

    async def keep(rows: list[Row]) -> list[Row]:
        having = await search.having(tx, words, [row["id"] for row in rows])
        return [row for row in rows if row["id"] in having]

    few = narrow if narrow is not None and narrow.total <= taking.bounds.few else None
    if tx.engine == "sqlite" and sort[0].property == "receivedAt":
        hits = _hits(tx, sql, asked, words, sort, taking)
        found = await taking.take(hits, patience=None if few is None else taking.bounds.patience)
        if found is not None:
            return found
        taking.restart()
    elif (
        tx.engine == "sqlite" and (rows := await _few_hits(tx, sql, asked, words, sort, taking.bounds.few)) is not None
    ):
        taking.add([Match(row["id"], row["thread_id"]) for row in rows])
        return taking.found
    elif few is None:
        # The words are asked of the first in the order, one by one: enough when they are anything but rare.
        walk = _by_index(sql, asked, sort[0])
        if sort[0].property == "receivedAt":
            walk = _by_arrival(sql, asked, narrow)
        if walk is None:
            return None
        return await taking.take(_chunks(tx, sql, walk, sort, taking), patience=taking.bounds.asked, keep=keep)
    if few is None:
        return None
    source = few.source(asked.conditions(sql, mailbox=few.name != "mailbox"))
    rows = await tx.all(f"SELECT {sorting.columns(sql, sort)} FROM {source.tables} WHERE {source.where}", **sql.values)
    kept = sorting.arranged(await keep(list(rows)), sort)
    taking.add([Match(row["id"], row["thread_id"]) for row in kept])
    return taking.found


async def _hits(
    tx: Tx, sql: Sql, asked: _Asked, words: index_query.Match, sort: Sequence[Comparator], taking: _Taking
) -> AsyncIterator[_Chunk]:
    """Messages with the words in order of arrival, on SQLite."""
    within: search.Rows | None = search.rows_of(asked.after, asked.before)
    look = taking.first_look(is_sure=not asked.rest and asked.mailbox_id is None)
    text = _of_rows(sql, asked, sort)
    while within is not None:
        numbers, within = await search.rows(
            tx, words.condition, words.values, within, ascending=sort[0].is_ascending, limit=look
        )
        rows = await tx.all(text, **sql.values, rows=numbers)
        yield _Chunk(sorting.arranged(rows, sort), len(numbers), within is None)
        look = min(look * _GROWTH, taking.bounds.most)


async def _few_hits(
    tx: Tx, sql: Sql, asked: _Asked, words: index_query.Match, sort: Sequence[Comparator], most: int
) -> list[Row] | None:
    """All messages with the words, in order; None when there are more than `most`. On SQLite."""
    within = search.rows_of(asked.after, asked.before)
    numbers, more = await search.rows(tx, words.condition, words.values, within, ascending=False, limit=most + 1)
    if more is not None:
        return None
    return sorting.arranged(await tx.all(_of_rows(sql, asked, sort), **sql.values, rows=numbers), sort)


def _of_rows(sql: Sql, asked: _Asked, sort: Sequence[Comparator]) -> str:
    where = f"message.account_id = {sql.value(sql.account_id)}{asked.conditions(sql)}"
    return f"""SELECT {sorting.columns(sql, sort)} FROM message_indexed CROSS JOIN message
        WHERE message_indexed.row IN (:rows...int) AND message.id = message_indexed.message_id AND {where}"""


async def _chunks(tx: Tx, sql: Sql, walk: _Walk, sort: Sequence[Comparator], taking: _Taking) -> AsyncIterator[_Chunk]:
    """Rows along an index, chunk by chunk.

    Where the index does not say the whole order, rows that are equal in its first column are read together and
    sorted here.
    """
    ascending = sort[0].is_ascending
    names = [comparator.property for comparator in sort]
    is_exact = (
        not walk.is_cut
        and names in (["receivedAt"], ["size", "receivedAt"])
        and all(comparator.is_ascending == ascending for comparator in sort)
    )
    direction, beyond = ("ASC", ">") if ascending else ("DESC", "<")
    order = ", ".join(f"{column} {direction}" for column in walk.columns)
    shown = "message.id, message.thread_id" if is_exact else sorting.columns(sql, sort)
    keys = ", ".join(f"{column} AS k{index}" for index, column in enumerate(walk.columns))
    text = f"SELECT {shown}, {keys} FROM {walk.source.tables} WHERE {walk.source.where}"
    position, values = "", dict(sql.values)
    # The engine tests the rows itself: it looks at more than it gives.
    look = taking.first_look(is_sure=True)
    while True:
        rows = list(await tx.all(f"{text}{position} ORDER BY {order} LIMIT {look}", **values))
        is_last = len(rows) < look
        if rows and not is_last:
            edge = rows[-1]
            if is_exact:
                marks = [f":k{index}" for index in range(len(walk.columns))]
                position = f" AND ({', '.join(walk.columns)}) {beyond} ({', '.join(marks)})"
                values |= {f"k{index}": edge[f"k{index}"] for index in range(len(walk.columns))}
            else:
                rows = [row for row in rows if row["k0"] != edge["k0"]]
                values["k0"] = edge["k0"]
                rows += await tx.all(f"{text} AND {walk.columns[0]} = :k0", **values)
                position = f" AND {walk.columns[0]} {beyond} :k0"
        yield _Chunk(rows if is_exact else sorting.arranged(rows, sort), len(rows), is_last)
        if is_last:
            return
        look = min(look * _GROWTH, taking.bounds.most)
