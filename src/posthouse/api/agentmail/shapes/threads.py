"""Threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import msgspec

from posthouse.api.agentmail.shapes.labels import labels_of
from posthouse.api.agentmail.shapes.messages import Attachment, Highlights, Message, attachment_of, message_of
from posthouse.api.agentmail.shapes.values import MESSAGE_PREFIX, THREAD_PREFIX, people, time
from posthouse.mail.filing import DRAFT
from posthouse.mail.reading import FullThread
from posthouse.store.messages import Message as StoredMessage
from posthouse.store.messages import MessageBody, Person


class ThreadItem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A conversation in a list. `participants` and `last_message_at` are the older names."""

    inbox_id: str
    thread_id: str
    labels: list[str]
    timestamp: str
    senders: list[str]
    recipients: list[str]
    participants: list[str]
    last_message_id: str
    last_message_at: str
    message_count: int
    size: int
    created_at: str
    updated_at: str
    received_timestamp: str | None = None
    sent_timestamp: str | None = None
    subject: str | None = None
    preview: str | None = None
    attachments: list[Attachment] | None = None


class Thread(ThreadItem, omit_defaults=True, kw_only=True):
    """A conversation with its messages, oldest first."""

    messages: list[Message]
    count: int


class ThreadList(msgspec.Struct, omit_defaults=True):
    """A page of threads; `count` is of this page."""

    count: int
    limit: int
    threads: list[ThreadItem]
    next_page_token: str | None = None


class FoundThread(ThreadItem, omit_defaults=True, kw_only=True):
    """A conversation found by a search."""

    highlights: Highlights


class FoundThreads(msgspec.Struct, omit_defaults=True):
    """A page of what a search found, best first."""

    count: int
    limit: int
    threads: list[FoundThread]
    next_page_token: str | None = None


class UpdateThread(msgspec.Struct):
    """Labels to add to and remove from every message; one that is in both is removed."""

    add_labels: str | list[str] | None = None
    remove_labels: str | list[str] | None = None


class UpdatedThread(msgspec.Struct):
    """A conversation's labels after a change."""

    thread_id: str
    labels: list[str]


def item_of(thread: FullThread, inbox_id: str, messages: list[StoredMessage]) -> ThreadItem:
    """A conversation in a list; `messages` are those that are shown, at least one."""
    last = messages[-1]
    stored = thread.thread
    # What a key does not see tells it nothing: neither what the thread was called then nor when it moved.
    if len(messages) < sum(DRAFT not in message.keywords for message in thread.messages):
        first = min(message.created_at for message in messages)
        stored = replace(stored, subject=messages[0].subject, created_at=first, updated_at=first)
    received = [message.received_at for message in messages if message.direction == "in"]
    sent = [message.received_at for message in messages if message.direction == "out"]
    senders = _unique(person for message in messages for person in message.from_list)
    recipients = _unique(person for message in messages for person in _recipients(message))
    return ThreadItem(
        inbox_id=inbox_id,
        thread_id=THREAD_PREFIX + thread.thread.id,
        labels=sorted({label for message in messages for label in labels_of(message)}),
        timestamp=time(last.received_at),
        senders=people(senders),
        recipients=people(recipients),
        participants=[person.email for person in _unique((*senders, *recipients))],
        last_message_id=MESSAGE_PREFIX + last.id,
        last_message_at=time(last.received_at),
        message_count=len(messages),
        size=sum(message.size_bytes for message in messages),
        created_at=time(stored.created_at),
        updated_at=time(max(stored.updated_at, *(message.updated_at for message in messages))),
        received_timestamp=time(max(received)) if received else None,
        sent_timestamp=time(max(sent)) if sent else None,
        subject=stored.subject or None,
        preview=last.preview or None,
        attachments=[attachment_of(message, part) for message in messages for part in message.attachments] or None,
    )


def thread_of(
    thread: FullThread,
    inbox_id: str,
    messages: list[StoredMessage],
    bodies: Mapping[str, MessageBody],
    known: Mapping[str, str],
) -> Thread:
    """A conversation with its messages."""
    item = item_of(thread, inbox_id, messages)
    return Thread(
        **{field: getattr(item, field) for field in item.__struct_fields__},
        messages=[message_of(message, bodies[message.id], inbox_id, known) for message in messages],
        count=len(messages),
    )


def _recipients(message: StoredMessage) -> tuple[Person, ...]:
    return (*message.to_list, *message.cc_list, *message.bcc_list)


def _unique(persons: Iterable[Person]) -> list[Person]:
    """Each address once, with the first name given to it."""
    found: dict[str, Person] = {}
    for person in persons:
        key = person.email.lower()
        if key and (key not in found or (person.name and not found[key].name)):
            found[key] = person if key not in found else Person(person.name, found[key].email)
    return list(found.values())
