"""All messages under a filter, sorted: each is looked at, so that the cost grows with what matches.

For the first of them `walking` is far cheaper; it falls back to this where no index has the order that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from posthouse.store.database import Row, Tx
from posthouse.store.filter_sql import Source, Sql, has_keyword, in_thread, new_sql, source_of, split_mailbox
from posthouse.store.filters import Comparator, Filter, Match
from posthouse.store.messages import Person
from posthouse.wire.thread_subject import base_subject

_person_lists = msgspec.json.Decoder(list[Person])

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
        test = in_thread(sql, comparator.keyword, every=name.startswith("all"))
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
