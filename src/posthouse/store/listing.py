"""Pages of messages and threads under a filter, in keyset order: newest first, or oldest first when asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from posthouse.store.database import Row, Tx
from posthouse.store.filter_sql import Sql, condition_of, new_sql
from posthouse.store.filters import Filter
from posthouse.store.messages import SELECT, Message, message_of
from posthouse.store.records import load
from posthouse.store.threads import Thread


def _keyset(sql: Sql, columns: str, after: tuple[int, str] | None, *, ascending: bool) -> str:
    if after is None:
        return ""
    return f" AND ({columns}) {'>' if ascending else '<'} ({sql.value(after[0])}, {sql.value(after[1])})"


class Within(NamedTuple):
    """A span of time: `after` ≤ the instant < `before`; None does not bound."""

    after: int | None = None
    before: int | None = None

    def has(self, at: int) -> bool:
        """Whether an instant lies in it."""
        return (self.after is None or self.after <= at) and (self.before is None or at < self.before)


async def messages(
    tx: Tx,
    account_id: str,
    filter_: Filter,
    *,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[Message]:
    """A page of the account's messages; `after` is the (received_at, id) of the last one seen."""
    sql = await new_sql(tx, account_id, filter_)
    where = f"message.account_id = {sql.value(account_id)} AND {condition_of(sql, filter_)}"
    where += _keyset(sql, "message.received_at, message.id", after, ascending=ascending)
    order = "ASC" if ascending else "DESC"
    rows = await tx.tuples(
        f"{SELECT} WHERE {where} ORDER BY message.received_at {order}, message.id {order} LIMIT {int(limit)}",
        **sql.values,
    )
    return [message_of(row) for row in rows]


async def threads_as_of(
    tx: Tx,
    account_ids: Sequence[str],
    filter_: Filter,
    *,
    within: Within,
    as_of: str,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[tuple[int, Thread]]:
    """A page of threads in the order they had when a walk through the pages began.

    A thread that mail has reached since then would jump to the top: the walk would never come to it. So it
    keeps the place its older messages give it, and one that has no older message is left for the next walk.

    Args:
        filter_: one of a thread's messages has to match.
        within: where the thread's place has to lie.
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
        found += await _still(tx, account_id, filter_, within, moved, after=after, ascending=ascending, limit=limit)
        if moved:
            found += await _moved(tx, account_id, filter_, within, moved, as_of)
    kept = [
        (at, thread)
        for at, thread in found
        if after is None or ((at, thread.id) > after if ascending else (at, thread.id) < after)
    ]
    return sorted(kept, key=lambda pair: (pair[0], pair[1].id), reverse=sign < 0)[:limit]


async def _with_a_match(tx: Tx, account_id: str, filter_: Filter) -> tuple[Sql, str]:
    """A condition on `thread`: one of its messages matches."""
    sql = await new_sql(tx, account_id, filter_)
    matches = condition_of(sql, filter_)
    return sql, f"EXISTS (SELECT 1 FROM message WHERE message.thread_id = thread.id AND {matches})"


async def _still(
    tx: Tx,
    account_id: str,
    filter_: Filter,
    within: Within,
    moved: list[str],
    *,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
) -> list[tuple[int, Thread]]:
    sql, matches = await _with_a_match(tx, account_id, filter_)
    where = f"thread.account_id = {sql.value(account_id)}"
    if moved:
        where += f" AND thread.id NOT IN ({sql.value(moved)})"
    if within.after is not None:
        where += f" AND thread.last_message_at >= {sql.value(within.after)}"
    if within.before is not None:
        where += f" AND thread.last_message_at < {sql.value(within.before)}"
    where += _keyset(sql, "thread.last_message_at, thread.id", after, ascending=ascending)
    order = "ASC" if ascending else "DESC"
    rows = await tx.all(
        f"SELECT thread.* FROM thread WHERE {where} AND {matches} "
        f"ORDER BY thread.last_message_at {order}, thread.id {order} LIMIT {int(limit)}",
        **sql.values,
    )
    return [(row["last_message_at"], load(Thread, row)) for row in rows]


async def _moved(
    tx: Tx, account_id: str, filter_: Filter, within: Within, moved: list[str], as_of: str
) -> list[tuple[int, Thread]]:
    sql, matches = await _with_a_match(tx, account_id, filter_)
    older = f"(SELECT max(m.received_at) FROM message m WHERE m.thread_id = thread.id AND m.id <= {sql.value(as_of)})"
    rows = await tx.all(
        f"SELECT thread.*, {older} AS place_at FROM thread WHERE thread.id IN ({sql.value(moved)}) AND {matches}",
        **sql.values,
    )
    found = []
    for row in rows:
        values = dict(row)
        at = values.pop("place_at")
        if at is not None and within.has(at):
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
