"""Which messages match a filter, in which order: the queries behind RFC 8621 §4.4 `Email/query`.

A filter is a tree of conditions. Where it asks for one mailbox and the order is that of arrival, the index of
that mailbox's members answers page by page, however many messages there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from posthouse.store import search
from posthouse.store.database import Tx
from posthouse.store.messages import Person
from posthouse.store.records import dump
from posthouse.wire.headers import decode_text
from posthouse.wire.thread_subject import base_subject


@dataclass(frozen=True, slots=True)
class Condition:
    """All that is given must hold. Instants are `after` ≤ received_at < `before`; texts are words to find.

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


class _Sql:
    def __init__(self, engine: str, account_id: str) -> None:
        self.engine = engine
        self.account_id = account_id
        self.values: dict[str, Any] = {}

    def value(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}..." if isinstance(value, list) else f":{name}"


def has_keyword(sql: _Sql, keyword: str, message: str = "message") -> str:
    """Keywords are compared without regard to case (RFC 8621 §4.1.1); those of the system are lower-case."""
    column = "k.keyword" if keyword.startswith("$") else "lower(k.keyword)"
    return (
        f"EXISTS (SELECT 1 FROM message_keyword k WHERE k.message_id = {message}.id "
        f"AND {column} = {sql.value(keyword)})"
    )


def _in_thread(sql: _Sql, keyword: str, *, every: bool) -> str:
    inner = has_keyword(sql, keyword, "other")
    exists = "NOT EXISTS" if every else "EXISTS"
    test = f"NOT {inner}" if every else inner
    return f"{exists} (SELECT 1 FROM message other WHERE other.thread_id = message.thread_id AND {test})"


# A list on a row is JSON text: one `],["` less than it has parts, and each part's disposition is its own word.
# Inside a string both would have their quotes escaped.
HAS_ATTACHMENT = """(message.attachments <> '[]' AND
  (length(message.attachments) - length(replace(message.attachments, '],["', ''))) / 4 + 1 >
  (length(message.attachments) - length(replace(message.attachments, ',"inline",', ''))) / 10)"""


def _pattern(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


def _people(sql: _Sql, column: str, text: str) -> str:
    """Names and addresses are matched by any part of them; every word has to occur."""
    words = [word.strip("\"'") for word in text.split()] or [""]
    parts = []
    for word in words:
        value = sql.value(_pattern(dump(word)[1:-1]))
        parts.append(f"lower(message.{column}) LIKE lower({value}) ESCAPE '\\'")
    return "(" + " AND ".join(parts) + ")"


def _indexed(sql: _Sql, text: str, field: str | None) -> str:
    condition, values = search.condition(sql.engine, sql.account_id, text, field, f"t{len(sql.values)}")
    sql.values |= values
    return condition


def _condition(sql: _Sql, c: Condition, headers: Mapping[tuple[str, ...], list[str]]) -> str:
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
        parts.append(f"(message.keywords = '[]' OR NOT {has_keyword(sql, c.not_keyword)})")
    if c.has_attachment is not None:
        parts.append(HAS_ATTACHMENT if c.has_attachment else f"NOT {HAS_ATTACHMENT}")
    for text, field in ((c.text, None), (c.subject, "subject"), (c.body, "body")):
        if text is not None:
            parts.append(_indexed(sql, text, field))
    for text, column in ((c.from_, "from_list"), (c.to, "to_list"), (c.cc, "cc_list"), (c.bcc, "bcc_list")):
        if text is not None:
            parts.append(_people(sql, column, text))
    if c.header is not None:
        parts.append(f"message.id IN ({sql.value(headers[c.header])})")
    return "(" + " AND ".join(parts) + ")" if parts else "TRUE"


def _filter(sql: _Sql, node: Filter, headers: Mapping[tuple[str, ...], list[str]]) -> str:
    if isinstance(node, Condition):
        return _condition(sql, node, headers)
    inner = [_filter(sql, each, headers) for each in node.conditions]
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


class _Query:
    """A filter and an order as SQL."""

    def __init__(self, sql: _Sql, source: str, where: str, on_member: bool, is_plain: bool) -> None:
        self.sql = sql
        self.source = source
        self.where = where
        self.on_member = on_member
        self.is_plain = is_plain


def _split_mailbox(node: Filter | None) -> tuple[str | None, Filter | None]:
    """The one mailbox a filter asks for at its top, and the rest of the filter (None: nothing else)."""
    if isinstance(node, Condition) and node.in_mailbox is not None:
        rest = Condition(**{name: getattr(node, name) for name in Condition.__slots__ if name != "in_mailbox"})
        return node.in_mailbox, None if rest == Condition() else rest
    if isinstance(node, Operator) and node.operator == "AND":
        for index, each in enumerate(node.conditions):
            mailbox_id, rest_of = _split_mailbox(each)
            if mailbox_id is not None:
                others = [*node.conditions[:index], *([rest_of] if rest_of else []), *node.conditions[index + 1 :]]
                return mailbox_id, Operator("AND", tuple(others)) if others else None
    return None, None if node == Condition() else node


async def _query(tx: Tx, account_id: str, node: Filter | None, *, by_arrival: bool) -> _Query:
    sql = _Sql(tx.engine, account_id)
    headers = {
        condition.header: await _with_header(tx, account_id, condition.header)
        for condition in (conditions_of(node) if node is not None else ())
        if condition.header is not None
    }
    mailbox_id, rest = _split_mailbox(node)
    if mailbox_id is not None:
        where = f"m.mailbox_id = {sql.value(mailbox_id)} AND m.expunged_modseq IS NULL"
        where += f" AND m.account_id = {sql.value(account_id)}"
        source = "membership m JOIN message ON message.id = m.message_id"
        if rest is not None:
            where += " AND " + _filter(sql, rest, headers)
        return _Query(sql, source, where, by_arrival, rest is None)
    where = f"message.account_id = {sql.value(account_id)}"
    if rest is not None:
        where += " AND " + _filter(sql, rest, headers)
    return _Query(sql, "message", where, False, False)


_SQL_ORDERS = {"receivedAt": "message.received_at", "size": "message.size_bytes",
               "sentAt": "coalesce(message.sent_at, message.received_at)"}  # fmt: skip
_KEYWORD_ORDERS = ("hasKeyword", "allInThreadHaveKeyword", "someInThreadHaveKeyword")
_TEXT_ORDERS = {"from": "from_list", "to": "to_list", "subject": "subject"}


def _first_person(text: str) -> str:
    people = _person_lists.decode(text)
    return (people[0].name or people[0].email) if people else ""


_TEXT_KEYS: dict[str, Callable[[str], str]] = {
    "from": _first_person,
    "to": _first_person,
    "subject": lambda text: base_subject(text)[0],
}


def _order(sql: _Sql, sort: Sequence[Comparator], *, on_member: bool) -> str:
    terms = []
    for comparator in sort:
        name = comparator.property
        if name == "receivedAt" and on_member:
            term = "m.received_at"
        elif name in _SQL_ORDERS:
            term = _SQL_ORDERS[name]
        else:
            test = (
                has_keyword(sql, comparator.keyword)
                if name == "hasKeyword"
                else _in_thread(sql, comparator.keyword, every=name.startswith("all"))
            )
            term = f"CASE WHEN {test} THEN 1 ELSE 0 END"
        terms.append(f"{term} {'ASC' if comparator.is_ascending else 'DESC'}")
    last = "ASC" if sort[-1].is_ascending else "DESC"
    terms.append(f"{'m.message_id' if on_member else 'message.id'} {last}")
    return ", ".join(terms)


def is_by_text(sort: Sequence[Comparator]) -> bool:
    """Whether the order needs a collation, which is ours and not the engine's."""
    return any(comparator.property in _TEXT_ORDERS for comparator in sort)


async def ids(
    tx: Tx,
    account_id: str,
    node: Filter | None,
    sort: Sequence[Comparator],
    *,
    offset: int = 0,
    limit: int | None = None,
) -> list[Match]:
    """The messages that match, in order; `limit` None for all after `offset`."""
    by_arrival = len(sort) == 1 and sort[0].property == "receivedAt"
    query = await _query(tx, account_id, node, by_arrival=by_arrival)
    if is_by_text(sort):
        return (await _sorted_here(tx, query, sort))[offset : None if limit is None else offset + limit]
    order = _order(query.sql, sort, on_member=query.on_member)
    window = "" if limit is None else f" LIMIT {int(limit)} OFFSET {int(offset)}"
    if limit is None and offset:
        window = f" LIMIT 9223372036854775807 OFFSET {int(offset)}"
    rows = await tx.all(
        f"SELECT message.id, message.thread_id FROM {query.source} WHERE {query.where} ORDER BY {order}{window}",
        **query.sql.values,
    )
    return [Match(row["id"], row["thread_id"]) for row in rows]


async def _sorted_here(tx: Tx, query: _Query, sort: Sequence[Comparator]) -> list[Match]:
    columns, sql = [], query.sql
    for index, comparator in enumerate(sort):
        if comparator.property in _TEXT_ORDERS:
            columns.append(f"message.{_TEXT_ORDERS[comparator.property]} AS c{index}")
        elif comparator.property in _SQL_ORDERS:
            columns.append(f"{_SQL_ORDERS[comparator.property]} AS c{index}")
        else:
            flag = _order(sql, [comparator], on_member=False).rpartition(",")[0].rpartition(" ")[0]
            columns.append(f"{flag} AS c{index}")
    rows = list(
        await tx.all(
            f"SELECT message.id, message.thread_id, {', '.join(columns)} FROM {query.source} WHERE {query.where} "
            "ORDER BY message.received_at DESC, message.id DESC",
            **sql.values,
        )
    )
    for index in range(len(sort) - 1, -1, -1):
        comparator = sort[index]
        read = _TEXT_KEYS.get(comparator.property)
        name = f"c{index}"
        keys = {row["id"]: comparator.fold(read(row[name])) if read else row[name] for row in rows}
        rows.sort(key=lambda row, keys=keys: keys[row["id"]], reverse=not comparator.is_ascending)  # type: ignore[misc]
    return [Match(row["id"], row["thread_id"]) for row in rows]


async def count(tx: Tx, account_id: str, node: Filter | None, *, collapse: bool) -> int:
    """How many messages match, or threads with one that does."""
    mailbox_id, rest = _split_mailbox(node)
    if mailbox_id is not None and rest is None:
        row = await tx.one(
            """SELECT total_messages, total_threads FROM mailbox
               WHERE id = :id AND account_id = :account_id""",
            id=mailbox_id, account_id=account_id,
        )  # fmt: skip
        return 0 if row is None else int(row["total_threads" if collapse else "total_messages"])
    query = await _query(tx, account_id, node, by_arrival=False)
    what = "count(DISTINCT message.thread_id)" if collapse else "count(*)"
    row = await tx.one(f"SELECT {what} AS total FROM {query.source} WHERE {query.where}", **query.sql.values)
    return int(row["total"]) if row else 0
