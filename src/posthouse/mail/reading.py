"""Reading mail: messages and threads, one at a time or in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.kit.errors import NotFound
from posthouse.store import listing, messages, threads
from posthouse.store.database import Tx
from posthouse.store.listing import MessageFilter
from posthouse.store.messages import Message, MessageBody
from posthouse.store.threads import Thread


@dataclass(frozen=True, slots=True)
class FullThread:
    """A thread and its messages, oldest first."""

    thread: Thread
    messages: tuple[Message, ...]


async def get(tx: Tx, account_id: str, message_id: str) -> tuple[Message, MessageBody]:
    """One message with its body.

    Raises:
        NotFound: the account has no such message.
    """
    found = await messages.get_whole(tx, account_id, message_id)
    if found is None:
        raise NotFound("there is no such message", field="message_id")
    return found


async def page(
    tx: Tx,
    account_id: str,
    filter_: MessageFilter,
    *,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
) -> tuple[list[Message], tuple[int, str] | None]:
    """A page of messages, and the position to go on from when there are more."""
    found = await listing.messages(tx, account_id, filter_, after=after, ascending=ascending, limit=limit + 1)
    more = len(found) > limit
    found = found[:limit]
    position = (found[-1].received_at, found[-1].id) if more else None
    return found, position


async def get_thread(tx: Tx, account_id: str, thread_id: str) -> FullThread:
    """One thread with all its messages.

    Raises:
        NotFound: the account has no such thread.
    """
    thread = await threads.get(tx, account_id, thread_id)
    if thread is None:
        raise NotFound("there is no such thread", field="thread_id")
    return (await _with_messages(tx, [thread]))[0]


async def thread_walk(
    tx: Tx,
    account_ids: Sequence[str],
    filter_: MessageFilter,
    *,
    as_of: str,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
) -> tuple[list[FullThread], tuple[int, str] | None]:
    """A page of a walk through threads that mail reaching them does not disturb (`listing.threads_as_of`)."""
    found = await listing.threads_as_of(
        tx, account_ids, filter_, as_of=as_of, after=after, ascending=ascending, limit=limit + 1
    )
    more = len(found) > limit
    found = found[:limit]
    position = (found[-1][0], found[-1][1].id) if more else None
    return await _with_messages(tx, [thread for _, thread in found]), position


async def _with_messages(tx: Tx, found: Sequence[Thread]) -> list[FullThread]:
    by_account: dict[str, list[Thread]] = {}
    for thread in found:
        by_account.setdefault(thread.account_id, []).append(thread)
    members: dict[str, list[Message]] = {thread.id: [] for thread in found}
    for account_id, own in by_account.items():
        all_messages = await messages.of_threads(tx, account_id, [thread.id for thread in own])
        for message in all_messages:
            members[message.thread_id].append(message)
    return [FullThread(thread, tuple(members[thread.id])) for thread in found]
