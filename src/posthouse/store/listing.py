"""Pages of messages and threads under a filter, in keyset order: newest first, or oldest first when asked."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from posthouse.store.database import Row, Tx
from posthouse.store.messages import SELECT, Message, message_of
from posthouse.store.records import dump, load
from posthouse.store.threads import Thread


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages. All conditions must hold; an empty one holds always.

    Attributes:
        keywords: it has all of these; `without_keywords`: none of these.
        roles: it lies in a mailbox of each of these roles (`Message.roles`); `without_roles`: in none of these.
        without_role_unless: (role, keyword): it lies in no mailbox of the role, unless it has the keyword.
        directions: `in`, `out`, `draft`.
        delivery_states: it is in one of these; `without_delivery_states`: in none of these.
        after, before: `after` ≤ received_at < `before`.
        from_contains, to_contains (to, cc and bcc), subject_contains: each text occurs, ASCII letters in
            either case.
    """

    keywords: Sequence[str] = ()
    without_keywords: Sequence[str] = ()
    roles: Sequence[str] = ()
    without_roles: Sequence[str] = ()
    without_role_unless: tuple[str, str] | None = None
    directions: Sequence[str] = ()
    delivery_states: Sequence[str] = ()
    without_delivery_states: Sequence[str] = ()
    after: int | None = None
    before: int | None = None
    from_contains: Sequence[str] = ()
    to_contains: Sequence[str] = ()
    subject_contains: Sequence[str] = ()


@dataclass(slots=True)
class _Where:
    """Conditions with their values; names are numbered so that none meets another."""

    parts: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def value(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return ":" + name

    def add(self, part: str) -> None:
        self.parts.append(part)

    @property
    def text(self) -> str:
        return " AND ".join(self.parts) if self.parts else "TRUE"


def _pattern(text: str) -> str:
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    return f"%{text}%"


def _conditions(where: _Where, filter_: MessageFilter) -> None:
    for keyword in filter_.keywords:
        where.add(
            "EXISTS (SELECT 1 FROM message_keyword k WHERE k.account_id = message.account_id "
            f"AND k.keyword = {where.value(keyword)} AND k.received_at = message.received_at "
            "AND k.message_id = message.id)"
        )
    if filter_.without_keywords:
        # The list is JSON text on the row itself: most rows have an empty one, and no index is asked.
        marks = ", ".join(where.value(keyword) for keyword in filter_.without_keywords)
        where.add(
            "(message.keywords = '[]' OR NOT EXISTS (SELECT 1 FROM message_keyword k "
            f"WHERE k.message_id = message.id AND k.keyword IN ({marks})))"
        )
    for role in filter_.roles:
        where.add(f"message.roles LIKE {where.value(f'% {role} %')}")
    for role in filter_.without_roles:
        where.add(f"message.roles NOT LIKE {where.value(f'% {role} %')}")
    if filter_.without_role_unless is not None:
        role, keyword = filter_.without_role_unless
        where.add(
            f"(message.roles NOT LIKE {where.value(f'% {role} %')} OR EXISTS (SELECT 1 FROM message_keyword k "
            f"WHERE k.message_id = message.id AND k.keyword = {where.value(keyword)}))"
        )
    if filter_.directions:
        marks = ", ".join(where.value(direction) for direction in filter_.directions)
        where.add(f"message.direction IN ({marks})")
    if filter_.delivery_states:
        marks = ", ".join(where.value(state) for state in filter_.delivery_states)
        where.add(f"message.delivery_state IN ({marks})")
    if filter_.without_delivery_states:
        marks = ", ".join(where.value(state) for state in filter_.without_delivery_states)
        where.add(f"coalesce(message.delivery_state, '') NOT IN ({marks})")
    if filter_.after is not None:
        where.add(f"message.received_at >= {where.value(filter_.after)}")
    if filter_.before is not None:
        where.add(f"message.received_at < {where.value(filter_.before)}")
    for text in filter_.from_contains:
        where.add(_contains(where, "message.from_list", text, quoted=True))
    for text in filter_.to_contains:
        columns = ("message.to_list", "message.cc_list", "message.bcc_list")
        where.add("(" + " OR ".join(_contains(where, column, text, quoted=True) for column in columns) + ")")
    for text in filter_.subject_contains:
        where.add(_contains(where, "message.subject", text, quoted=False))


# The columns are in byte order, where `lower` knows ASCII only; a value's `lower` would follow the server's locale.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def _contains(where: _Where, column: str, text: str, *, quoted: bool) -> str:
    sought = (dump(text)[1:-1] if quoted else text).translate(_LOWER)
    return f"lower({column}) LIKE {where.value(_pattern(sought))} ESCAPE '\\'"


def _keyset(where: _Where, columns: str, after: tuple[int, str] | None, *, ascending: bool) -> None:
    if after is not None:
        sign = ">" if ascending else "<"
        where.add(f"({columns}) {sign} ({where.value(after[0])}, {where.value(after[1])})")


async def messages(
    tx: Tx,
    account_id: str,
    filter_: MessageFilter,
    *,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[Message]:
    """A page of the account's messages; `after` is the (received_at, id) of the last one seen."""
    where = _Where()
    where.add(f"message.account_id = {where.value(account_id)}")
    _conditions(where, filter_)
    _keyset(where, "message.received_at, message.id", after, ascending=ascending)
    order = "ASC" if ascending else "DESC"
    rows = await tx.tuples(
        f"{SELECT} WHERE {where.text} ORDER BY message.received_at {order}, message.id {order} LIMIT {int(limit)}",
        **where.values,
    )
    return [message_of(row) for row in rows]


async def threads_as_of(
    tx: Tx,
    account_ids: Sequence[str],
    filter_: MessageFilter,
    *,
    as_of: str,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[tuple[int, Thread]]:
    """A page of threads in the order they had when a walk through the pages began.

    A thread that mail has reached since then would jump to the top: the walk would never come to it. So it
    keeps the place its older messages give it, and one that has no older message is left for the next walk.

    Args:
        as_of: messages with a greater id came after the walk began (`kit.ids.latest_id`).
        after: the (instant, id) of the last one seen, the instant as this answers it.

    Returns:
        Each thread with the instant its place goes by.
    """
    sign = 1 if ascending else -1
    found: list[tuple[int, Thread]] = []
    for account_id in account_ids:
        # Account by account, each by its own index: the cost grows with the accounts, not with their mail.
        rows = await tx.all(
            "SELECT DISTINCT thread_id FROM message WHERE account_id = :account_id AND id > :as_of",
            account_id=account_id, as_of=as_of,
        )  # fmt: skip
        moved = [row["thread_id"] for row in rows]
        inner = _Where()
        inner.add("message.thread_id = thread.id")
        _conditions(inner, replace(filter_, after=None, before=None))
        found += await _still(tx, account_id, filter_, inner, moved, after=after, ascending=ascending, limit=limit)
        if moved:
            found += await _moved(tx, filter_, inner, moved, as_of)
    kept = [
        (at, thread)
        for at, thread in found
        if after is None or ((at, thread.id) > after if ascending else (at, thread.id) < after)
    ]
    return sorted(kept, key=lambda pair: (pair[0], pair[1].id), reverse=sign < 0)[:limit]


async def _still(
    tx: Tx,
    account_id: str,
    filter_: MessageFilter,
    inner: _Where,
    moved: list[str],
    *,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
) -> list[tuple[int, Thread]]:
    where = _Where(values=dict(inner.values))
    where.add(f"thread.account_id = {where.value(account_id)}")
    if moved:
        where.add(f"thread.id NOT IN ({where.value(moved)}...)")
    if filter_.after is not None:
        where.add(f"thread.last_message_at >= {where.value(filter_.after)}")
    if filter_.before is not None:
        where.add(f"thread.last_message_at < {where.value(filter_.before)}")
    _keyset(where, "thread.last_message_at, thread.id", after, ascending=ascending)
    order = "ASC" if ascending else "DESC"
    rows = await tx.all(
        f"SELECT thread.* FROM thread WHERE {where.text} AND EXISTS (SELECT 1 FROM message WHERE {inner.text}) "
        f"ORDER BY thread.last_message_at {order}, thread.id {order} LIMIT {int(limit)}",
        **where.values,
    )
    return [(row["last_message_at"], load(Thread, row)) for row in rows]


async def _moved(
    tx: Tx, filter_: MessageFilter, inner: _Where, moved: list[str], as_of: str
) -> list[tuple[int, Thread]]:
    where = _Where(values=dict(inner.values))
    older = f"(SELECT max(m.received_at) FROM message m WHERE m.thread_id = thread.id AND m.id <= {where.value(as_of)})"
    where.add(f"thread.id IN ({where.value(moved)}...)")
    rows = await tx.all(
        f"SELECT thread.*, {older} AS place_at FROM thread WHERE {where.text} "
        f"AND EXISTS (SELECT 1 FROM message WHERE {inner.text})",
        **where.values,
    )
    found = []
    for row in rows:
        values = dict(row)
        at = values.pop("place_at")
        if at is None or not (filter_.after or at) <= at < (at + 1 if filter_.before is None else filter_.before):
            continue
        found.append((int(at), load(Thread, values)))
    return found


async def columns(tx: Tx, account_id: str, message_ids: Sequence[str], names: Sequence[str]) -> list[Row]:
    """Columns of those of the messages that exist, as they are stored: lists are JSON text."""
    listed = ", ".join(names)
    return await tx.all(
        f"SELECT {listed} FROM message WHERE id IN (:ids...) AND account_id = :account_id",
        ids=list(message_ids), account_id=account_id,
    )  # fmt: skip


async def mailbox_ids(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, list[str]]:
    """The mailboxes each of the messages lies in."""
    found: dict[str, list[str]] = {}
    for row in await tx.all(
        """SELECT message_id, mailbox_id FROM membership WHERE message_id IN (:ids...)
             AND account_id = :account_id AND expunged_modseq IS NULL""",
        ids=list(message_ids), account_id=account_id,
    ):  # fmt: skip
        found.setdefault(row["message_id"], []).append(row["mailbox_id"])
    return found
