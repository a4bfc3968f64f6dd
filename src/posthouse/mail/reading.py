"""Reading mail: messages and threads, one at a time or in pages.

A page goes on from where the one before ended, and mail that arrives meanwhile disturbs none. Who turns to a page by
its number asks `windows`; both take the same filters (`store.filters`). `searching` finds by words, best first, and
`fields` reads some fields of many messages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from posthouse.kit.errors import NotFound
from posthouse.mail import visibility
from posthouse.store import listing, messages, threads
from posthouse.store.database import Tx
from posthouse.store.filters import Filter
from posthouse.store.listing import Within
from posthouse.store.messages import Message, MessageBody
from posthouse.store.threads import Thread
from posthouse.wire.headers import decode_text


@dataclass(frozen=True, slots=True)
class FullThread:
    """A thread and its messages, oldest first."""

    thread: Thread
    messages: tuple[Message, ...]

    def seen(self, hidden: Collection[str]) -> list[Message]:
        """Those of the messages that somebody sees from whom these kinds are hidden; drafts are none of them."""
        return [message for message in self.messages if visibility.shows(message, hidden)]


async def get(tx: Tx, account_id: str, message_id: str) -> tuple[Message, MessageBody]:
    """One message with its body.

    Raises:
        NotFound: the account has no such message.
    """
    found = await messages.get_whole(tx, account_id, message_id)
    if found is None:
        raise NotFound("there is no such message", field="message_id")
    return found


async def get_shown(tx: Tx, account_id: str, message_id: str, hidden: Collection[str]) -> tuple[Message, MessageBody]:
    """The same for somebody from whom these kinds of mail (`visibility`) are hidden. Drafts are read as drafts.

    Raises:
        NotFound: the account has no such message, or it is not to be seen.
    """
    message, body = await get(tx, account_id, message_id)
    if not visibility.shows(message, hidden):
        raise NotFound("there is no such message", field="message_id")
    return message, body


async def find(tx: Tx, account_id: str, message_id: str) -> Message | None:
    """One message without its body, or None."""
    return await messages.get(tx, account_id, message_id)


async def bodies(tx: Tx, account_id: str, found: Sequence[Message]) -> dict[str, MessageBody]:
    """The bodies of messages, by id."""
    return await messages.get_bodies(tx, account_id, [message.id for message in found])


def header_fields(body: MessageBody, most: int) -> Iterator[tuple[str, str]]:
    """The first header fields of a message: their names, and their values decoded."""
    for name, raw in body.headers[:most]:
        yield name, decode_text(raw)


async def id_of_header(tx: Tx, account_id: str, header_message_id: str) -> str:
    """Our id of the message with a Message-ID (RFC 5322 §3.6.4), brackets or none; of several the oldest.

    Raises:
        NotFound: the account has no such message.
    """
    message = await messages.by_header_message_id(tx, account_id, header_message_id.strip().strip("<>"))
    if message is None:
        raise NotFound("there is no such message", field="message_id")
    return message.id


async def named_by(tx: Tx, account_id: str, found: Sequence[Message]) -> dict[str, str]:
    """Our ids of the Message-IDs that messages name as what they answer, of those that lie in the account."""
    named: dict[str, None] = {}
    for message in found:
        if message.in_reply_to or message.refs:
            named.update(dict.fromkeys((*message.in_reply_to[:1], *message.refs)))
    return await messages.ids_by_header(tx, account_id, list(named)) if named else {}


async def page(
    tx: Tx,
    account_id: str,
    filter_: Filter,
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


async def members(tx: Tx, account_id: str, thread_ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the messages of each of the threads that exist, oldest first."""
    return await messages.thread_members(tx, account_id, thread_ids)


async def thread_walk(
    tx: Tx,
    account_ids: Sequence[str],
    filter_: Filter,
    *,
    within: Within = Within(),
    as_of: str,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
) -> tuple[list[FullThread], tuple[int, str] | None]:
    """A page of a walk through threads that mail reaching them does not disturb (`listing.threads_as_of`)."""
    found = await listing.threads_as_of(
        tx, account_ids, filter_, within=within, as_of=as_of, after=after, ascending=ascending, limit=limit + 1
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
