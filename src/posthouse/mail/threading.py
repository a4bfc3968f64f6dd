"""Which thread a message joins.

Threads belong to one account. A message joins by References and In-Reply-To; by its base subject only when
it carries a reply prefix, shares a correspondent with the thread, and the thread moved within 30 days. A
thread's id never changes: a parent that comes late joins the thread that names it, and merges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from posthouse.kit.clock import DAY
from posthouse.kit.ids import new_id
from posthouse.mail.journal import THREAD, Journal
from posthouse.store import accounts, messages, threads
from posthouse.store.database import Tx
from posthouse.wire.address import normalize, untagged
from posthouse.wire.message import ParsedMessage
from posthouse.wire.thread_subject import base_subject

SUBJECT_WINDOW = 30 * DAY
# References read of one message: the first names the thread's root, the last its parent.
_MAX_REFERENCES = 50
# A stored Message-ID is an index key (PostgreSQL's B-tree ends at 2,704 octets).
_MAX_REFERENCE_CHARS = 600
_MAX_SUBJECT_KEY_CHARS = 500
# Messages of a thread that are looked at for who takes part in it, the latest first.
_MAX_LOOKED_AT = 50


def references_of(parsed: ParsedMessage) -> list[str]:
    """The Message-IDs a message names, its parent last, each once."""
    named = [*parsed.references, *parsed.in_reply_to]
    if len(named) > _MAX_REFERENCES:
        named = [named[0], *named[1 - _MAX_REFERENCES :]]
    kept = [reference[:_MAX_REFERENCE_CHARS] for reference in named if reference]
    return list(dict.fromkeys(reversed(kept)))[::-1]


async def join(
    tx: Tx, journal: Journal, parsed: ParsedMessage, received_at: int, *, thread_id: str | None = None
) -> str:
    """The thread for a message, made when none fits; its count and its references are brought up to date.

    Args:
        thread_id: a thread the caller knows it belongs to (a reply made here); ignored when it is gone.
    """
    account_id = journal.account_id
    references = references_of(parsed)
    base, is_reply = base_subject(parsed.subject)
    base = base[:_MAX_SUBJECT_KEY_CHARS]
    if thread_id is not None and await threads.get(tx, account_id, thread_id) is None:
        thread_id = None
    own = [] if parsed.message_id is None else [parsed.message_id[:_MAX_REFERENCE_CHARS]]
    if thread_id is None:
        # Its own id comes last: an answer to it may have been here before it, or another copy of it.
        thread_id = await threads.by_references(tx, account_id, [*own, *_with_relays(references)])
    if thread_id is None and is_reply and base:
        thread_id = await _by_subject(tx, account_id, base, parsed, received_at)
    if thread_id is None:
        thread_id = new_id()
        await threads.add(
            tx,
            threads.Thread(
                id=thread_id,
                account_id=account_id,
                subject=parsed.subject,
                base_subject=base,
                message_count=0,
                last_message_at=received_at,
                created_at=journal.at,
                updated_at=journal.at,
            ),
        )
        journal.created(THREAD, thread_id)
    else:
        journal.updated(THREAD, thread_id)
    await threads.count_message(tx, thread_id, received_at, journal.at)
    await threads.add_references(tx, account_id, thread_id, own + references)
    return thread_id


async def renamed(tx: Tx, account_id: str, thread_id: str, given_ids: Sequence[str]) -> None:
    """A relay took a message of this thread under a name of its own: what answers that name joins the thread.

    Our Message-ID may be gone from what arrives. The relay's answer names the new one, whole or without its domain,
    which need not be known. Unlike a second id of ours in References it changes nothing in what is sent.
    """
    if given_ids and await threads.get(tx, account_id, thread_id) is not None:
        names = [name if "@" in name else f"{name}@" for name in given_ids]
        await threads.add_references(tx, account_id, thread_id, names)


def _with_relays(references: Iterable[str]) -> list[str]:
    """The ids, each behind the form in which a relay's is known that told it without its domain."""
    found: list[str] = []
    for reference in references:
        local, at, _ = reference.rpartition("@")
        found += [f"{local}@", reference] if at and local else [reference]
    return found


async def _by_subject(tx: Tx, account_id: str, base: str, parsed: ParsedMessage, received_at: int) -> str | None:
    people = _keys(address.email for address in (*parsed.from_, *parsed.to, *parsed.cc, *parsed.reply_to))
    candidates = await threads.by_subject(tx, account_id, base, received_at - SUBJECT_WINDOW)
    if not candidates or not people:
        return None
    own = {untagged(address) for address in await accounts.addresses(tx, account_id)}
    # The account itself is in every one of its threads: sharing it says nothing.
    people -= own
    for thread_id in candidates:
        for message in await messages.latest_of_thread(tx, account_id, thread_id, _MAX_LOOKED_AT):
            present = (*message.from_list, *message.to_list, *message.cc_list, *message.reply_to_list)
            if people & _keys(person.email for person in present):
                return thread_id
    return None


def _keys(emails: Iterable[str]) -> set[str]:
    return {untagged(normalize(email)) for email in emails if email}
