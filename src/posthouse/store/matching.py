"""Which messages match a filter, in which order: the queries behind RFC 8621 §4.4 `Email/query`.

A filter is a tree of conditions. Here it becomes SQL, and all results are put in order; `store/walking.py` reads
the first of them without looking at the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import msgspec

from posthouse.store import index_query
from posthouse.store.database import Row, Tx
from posthouse.store.messages import Person
from posthouse.store.records import dump
from posthouse.wire.headers import decode_text
from posthouse.wire.thread_subject import base_subject


@dataclass(frozen=True, slots=True)
class Condition:
    """All that is given must hold. Instants are `after` ≤ received_at < `before`; texts are words to find, those of
    `from_`, `to`, `cc` and `bcc` in the names and addresses of that field.

    `header` is a field's name and perhaps a text its value contains.
    """

    in_mailbox: str | None = None
    in_mailbox_other_than: tuple[str, ...] | None = None
    before: int | None = None
    after: int | None = None
    min_size: int | None = None
    max_size: int | None = None
    all_in_thread: str | None = None
    some_in_thread: str | None = None
    none_in_thread: str | None = None
    has_keyword: str | None = None
    not_keyword: str | None = None
    has_attachment: bool | None = None
    text: str | None = None
    from_: str | None = None
    to: str | None = None
    cc: str | None = None
    bcc: str | None = None
    subject: str | None = None
    body: str | None = None
    header: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """`NOT` holds when none of its conditions does."""

    operator: Literal["AND", "OR", "NOT"]
    conditions: tuple[Filter, ...]


Filter = Condition | Operator


class Comparator(NamedTuple):
    """One step of an order. `property` is a word of RFC 8621 §4.4.2."""

    property: str
    is_ascending: bool = True
    keyword: str = ""
    fold: Callable[[str], str] = str.casefold


class Match(NamedTuple):
    """A message found."""

    id: str
    thread_id: str


class Sql:
    """A statement being written: its values by the names they have in it."""

    def __init__(self, engine: str, account_id: str) -> None:
        self.engine = engine
        self.account_id = account_id
        self.values: dict[str, Any] = {}
        # Messages with a header field, looked for beforehand.
        self.headers: dict[tuple[str, ...], list[str]] = {}

    def value(self, value: Any) -> str:
        """Take a value; its name as the statement has it."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}..." if isinstance(value, list) else f":{name}"


# A list on a row is JSON text, and a quote inside one of its strings is escaped: what is left is the keyword itself.
# The same words as in the index `message_unread`.
UNREAD = "(length(replace(message.keywords, '\"$seen\"', '')) = length(message.keywords))"


def _pattern(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


def has_keyword(sql: Sql, keyword: str, message: str = "message") -> str:
    """Keywords are compared without regard to case (RFC 8621 §4.1.1); those of the system are lower-case.

    They are looked for in the row's own list: every subquery holds a cursor, and SQLite closes one by walking
    through all, so that hundreds of them cost the square of their number.
    """
    if keyword == "$seen":
        return f"NOT {UNREAD}".replace("message.", f"{message}.")
    column = f"{message}.keywords" if keyword.startswith("$") else f"lower({message}.keywords)"
    return f"{column} LIKE {sql.value(_pattern(dump(keyword)))} ESCAPE '\\'"


def _in_thread(sql: Sql, keyword: str, *, every: bool) -> str:
    inner = has_keyword(sql, keyword, "other")
    exists = "NOT EXISTS" if every else "EXISTS"
    test = f"NOT ({inner})" if every else inner
    return f"{exists} (SELECT 1 FROM message other WHERE other.thread_id = message.thread_id AND {test})"


# A list on a row is JSON text: one `],["` less than it has parts, and each part's disposition is its own word.
# Inside a string both would have their quotes escaped.
HAS_ATTACHMENT = """(message.attachments <> '[]' AND
  (length(message.attachments) - length(replace(message.attachments, '],["', ''))) / 4 + 1 >
  (length(message.attachments) - length(replace(message.attachments, ',"inline",', ''))) / 10)"""


_TEXTS = (("text", None), ("subject", "subject"), ("body", "body"), ("from_", "from"), ("to", "to"), ("cc", "cc"),
          ("bcc", "bcc"))  # fmt: skip
TEXT_FIELDS = tuple(name for name, _ in _TEXTS)


def words_of(c: Condition) -> list[index_query.Words]:
    """What a condition asks of the text index."""
    return [index_query.Words(text, field) for name, field in _TEXTS if (text := getattr(c, name)) is not None]


def without(c: Condition, *names: str) -> Condition:
    """The condition without some of its parts."""
    return replace(c, **dict.fromkeys(names))


def as_words(node: Filter) -> index_query.Words | index_query.Combined | None:
    """A filter that asks the text index for everything it wants to know; None when it wants more."""
    if isinstance(node, Condition):
        words = words_of(node)
        return index_query.Combined("AND", words) if words and without(node, *TEXT_FIELDS) == Condition() else None
    nodes = [as_words(each) for each in node.conditions]
    known = [each for each in nodes if each is not None]
    return index_query.Combined(node.operator, known) if known and len(known) == len(nodes) else None


def indexed(sql: Sql, words: index_query.Words | index_query.Combined) -> str:
    """A condition on the message: the text index finds it."""
    found = index_query.match(sql.engine, sql.account_id, words, f"t{len(sql.values)}")
    if found is None:
        return "FALSE"
    sql.values |= found.values
    return index_query.among(sql.engine, found)


def _condition(sql: Sql, c: Condition) -> str:
    parts: list[str] = []
    member = (
        "EXISTS (SELECT 1 FROM membership p WHERE p.message_id = message.id AND p.expunged_modseq IS NULL AND {test})"
    )
    if c.in_mailbox is not None:
        parts.append(member.format(test=f"p.mailbox_id = {sql.value(c.in_mailbox)}"))
    if c.in_mailbox_other_than is not None:
        others = sql.value(list(c.in_mailbox_other_than))
        parts.append(member.format(test=f"p.mailbox_id NOT IN ({others})"))
    for value, test in (
        (c.before, "message.received_at < {}"),
        (c.after, "message.received_at >= {}"),
        (c.min_size, "message.size_bytes >= {}"),
        (c.max_size, "message.size_bytes < {}"),
    ):
        if value is not None:
            parts.append(test.format(sql.value(value)))
    if c.all_in_thread is not None:
        parts.append(_in_thread(sql, c.all_in_thread, every=True))
    if c.some_in_thread is not None:
        parts.append(_in_thread(sql, c.some_in_thread, every=False))
    if c.none_in_thread is not None:
        parts.append("NOT " + _in_thread(sql, c.none_in_thread, every=False))
    if c.has_keyword is not None:
        parts.append(has_keyword(sql, c.has_keyword))
    if c.not_keyword is not None:
        # Most rows have an empty list, and no index is asked for those.
        parts.append(
            UNREAD
            if c.not_keyword == "$seen"
            else f"(message.keywords = '[]' OR NOT ({has_keyword(sql, c.not_keyword)}))"
        )
    if c.has_attachment is not None:
        parts.append(HAS_ATTACHMENT if c.has_attachment else f"NOT {HAS_ATTACHMENT}")
    words = words_of(c)
    if words:
        parts.append(indexed(sql, index_query.Combined("AND", words)))
    if c.header is not None:
        parts.append(f"message.id IN ({sql.value(sql.headers[c.header])})")
    return "(" + " AND ".join(parts) + ")" if parts else "TRUE"


def condition_of(sql: Sql, node: Filter) -> str:
    """A filter as a condition on `message`."""
    words = as_words(node)
    if words is not None:
        return indexed(sql, words)
    if isinstance(node, Condition):
        return _condition(sql, node)
    inner = [condition_of(sql, each) for each in node.conditions]
    if node.operator == "NOT":
        return "NOT (" + " OR ".join(inner) + ")" if inner else "TRUE"
    if not inner:
        return "TRUE" if node.operator == "AND" else "FALSE"
    return "(" + f" {node.operator} ".join(inner) + ")"


def conditions_of(node: Filter) -> list[Condition]:
    """All conditions of a filter, wherever they stand."""
    if isinstance(node, Condition):
        return [node]
    return [condition for each in node.conditions for condition in conditions_of(each)]


_pairs = msgspec.json.Decoder(list[tuple[str, str]])
_person_lists = msgspec.json.Decoder(list[Person])


async def _with_header(tx: Tx, account_id: str, header: tuple[str, ...]) -> list[str]:
    """Messages that have a header field, perhaps with a text in its value. Looks at every message."""
    name = header[0].lower()
    rows = await tx.all(
        """SELECT message_body.message_id, message_body.headers FROM message_body
           JOIN message ON message.id = message_body.message_id
           WHERE message.account_id = :account_id AND lower(message_body.headers) LIKE :pattern ESCAPE '\\'""",
        account_id=account_id, pattern="%[" + _pattern(dump(name))[1:-1] + ",%",
    )  # fmt: skip
    if len(header) == 1:
        return [row["message_id"] for row in rows]
    sought = header[1].casefold()
    return [
        row["message_id"]
        for row in rows
        if any(
            key.lower() == name and sought in decode_text(value).casefold()
            for key, value in _pairs.decode(row["headers"])
        )
    ]


async def new_sql(tx: Tx, account_id: str, node: Filter | None) -> Sql:
    """A statement about a filter, with what has to be looked up for it first."""
    sql = Sql(tx.engine, account_id)
    for condition in conditions_of(node) if node is not None else ():
        if condition.header is not None:
            sql.headers[condition.header] = await _with_header(tx, account_id, condition.header)
    return sql


def split_mailbox(node: Filter | None) -> tuple[str | None, Filter | None]:
    """The one mailbox a filter asks for at its top, and the rest of the filter (None: nothing else)."""
    if isinstance(node, Condition) and node.in_mailbox is not None:
        rest = without(node, "in_mailbox")
        return node.in_mailbox, None if rest == Condition() else rest
    if isinstance(node, Operator) and node.operator == "AND":
        for index, each in enumerate(node.conditions):
            mailbox_id, rest_of = split_mailbox(each)
            if mailbox_id is not None:
                others = [*node.conditions[:index], *([rest_of] if rest_of else []), *node.conditions[index + 1 :]]
                return mailbox_id, Operator("AND", tuple(others)) if others else None
    return None, None if node == Condition() else node


class Source(NamedTuple):
    """Where messages are read from: the tables and the condition that joins and narrows them."""

    tables: str
    where: str


def source_of(sql: Sql, node: Filter | None) -> Source:
    """All messages under a filter; those of one mailbox by its members."""
    mailbox_id, rest = split_mailbox(node)
    if mailbox_id is not None:
        where = f"message.id = m.message_id AND m.mailbox_id = {sql.value(mailbox_id)} AND m.expunged_modseq IS NULL"
        where += f" AND m.account_id = {sql.value(sql.account_id)}"
        tables = "membership m CROSS JOIN message"
    else:
        tables, where = "message", f"message.account_id = {sql.value(sql.account_id)}"
    return Source(tables, where + (f" AND {condition_of(sql, rest)}" if rest is not None else ""))


_SQL_ORDERS = {"receivedAt": "message.received_at", "size": "message.size_bytes",
               "sentAt": "coalesce(message.sent_at, message.received_at)"}  # fmt: skip
_TEXT_ORDERS = {"from": "from_list", "to": "to_list", "subject": "subject"}


def _first_person(text: str) -> str:
    people = _person_lists.decode(text)
    return (people[0].name or people[0].email) if people else ""


_TEXT_KEYS: dict[str, Callable[[str], str]] = {
    "from": _first_person,
    "to": _first_person,
    "subject": lambda text: base_subject(text)[0],
}


def whole(sort: Sequence[Comparator]) -> tuple[Comparator, ...]:
    """An order with nothing left to chance but the id: what is equal otherwise goes by its arrival."""
    if any(comparator.property == "receivedAt" for comparator in sort):
        return tuple(sort)
    return (*sort, Comparator("receivedAt", sort[-1].is_ascending))


def term(sql: Sql, comparator: Comparator) -> str:
    """What a comparator compares, as SQL; a text as it is stored."""
    name = comparator.property
    if name in _TEXT_ORDERS:
        return f"message.{_TEXT_ORDERS[name]}"
    if name in _SQL_ORDERS:
        return _SQL_ORDERS[name]
    if name == "hasKeyword":
        test = has_keyword(sql, comparator.keyword)
    else:
        test = _in_thread(sql, comparator.keyword, every=name.startswith("all"))
    return f"CASE WHEN {test} THEN 1 ELSE 0 END"


def columns(sql: Sql, sort: Sequence[Comparator]) -> str:
    """What `arranged` needs of a row."""
    terms = [f"{term(sql, comparator)} AS c{index}" for index, comparator in enumerate(sort)]
    return ", ".join(["message.id", "message.thread_id", *terms])


def arranged(rows: Sequence[Row], sort: Sequence[Comparator]) -> list[Row]:
    """Rows in the order of the comparators; what is equal goes by its id, in the direction of the last."""
    found = sorted(rows, key=lambda row: row["id"], reverse=not sort[-1].is_ascending)
    for index in range(len(sort) - 1, -1, -1):
        comparator, name = sort[index], f"c{index}"
        read = _TEXT_KEYS.get(comparator.property)
        if read is None:
            found.sort(key=lambda row, name=name: row[name], reverse=not comparator.is_ascending)  # type: ignore[misc]
        else:
            keys = {row["id"]: comparator.fold(read(row[name])) for row in found}
            found.sort(key=lambda row, keys=keys: keys[row["id"]], reverse=not comparator.is_ascending)  # type: ignore[misc]
    return found


async def ids(tx: Tx, account_id: str, node: Filter | None, sort: Sequence[Comparator]) -> list[Match]:
    """All messages that match, in order."""
    sql = await new_sql(tx, account_id, node)
    return await sorted_of(tx, sql, source_of(sql, node), whole(sort))


async def sorted_of(tx: Tx, sql: Sql, source: Source, sort: Sequence[Comparator]) -> list[Match]:
    """All messages of a source, sorted: by the engine where it can, here where a collation is needed."""
    if any(comparator.property in _TEXT_ORDERS for comparator in sort):
        rows = await tx.all(f"SELECT {columns(sql, sort)} FROM {source.tables} WHERE {source.where}", **sql.values)
        return [Match(row["id"], row["thread_id"]) for row in arranged(rows, sort)]
    order = [f"{term(sql, each)} {'ASC' if each.is_ascending else 'DESC'}" for each in sort]
    order.append(f"message.id {'ASC' if sort[-1].is_ascending else 'DESC'}")
    rows = await tx.all(
        f"SELECT message.id, message.thread_id FROM {source.tables} WHERE {source.where} ORDER BY {', '.join(order)}",
        **sql.values,
    )
    return [Match(row["id"], row["thread_id"]) for row in rows]


async def count(tx: Tx, account_id: str, node: Filter | None, *, collapse: bool) -> int:
    """How many messages match, or threads with one that does."""
    mailbox_id, rest = split_mailbox(node)
    if mailbox_id is not None and rest is None:
        row = await tx.one(
            """SELECT total_messages, total_threads FROM mailbox
               WHERE id = :id AND account_id = :account_id""",
            id=mailbox_id, account_id=account_id,
        )  # fmt: skip
        return 0 if row is None else int(row["total_threads" if collapse else "total_messages"])
    sql = await new_sql(tx, account_id, node)
    source = source_of(sql, node)
    what = "count(DISTINCT message.thread_id)" if collapse else "count(*)"
    row = await tx.one(f"SELECT {what} AS total FROM {source.tables} WHERE {source.where}", **sql.values)
    return int(row["total"]) if row else 0
