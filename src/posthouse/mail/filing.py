"""Putting messages where they belong: filing, moving, marking, destroying.

Every function runs inside a unit, under the account's journal. A message never changes; what changes is
where it lies, its keywords and what is known of its delivery.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from posthouse.kit.clock import DAY
from posthouse.kit.errors import Invalid, NotFound
from posthouse.kit.ids import new_id
from posthouse.mail import threading
from posthouse.mail.journal import EMAIL, MAILBOX, THREAD, Journal
from posthouse.mail.mailboxes import JUNK, LASTING, TRASH
from posthouse.store import accounts, graveyard, jobs, mailboxes, markings, messages, search, threads
from posthouse.store.blobfiles import Blob
from posthouse.store.database import Tx
from posthouse.store.messages import INLINE, Message, MessageBody, Person, StoredAttachment
from posthouse.store.records import dump
from posthouse.wire.address import Address
from posthouse.wire.message import File, ParsedMessage
from posthouse.wire.opened import UNVERIFIED

SEEN, FLAGGED, DRAFT, ANSWERED, FORWARDED = "$seen", "$flagged", "$draft", "$answered", "$forwarded"
JUNKED, NOT_JUNK = "$junk", "$notjunk"
HELD, BLOCKED, UNAUTHENTICATED = "$held", "$blocked", "$unauthenticated"
# The text stood in an S/MIME signature that was not checked.
SIGNATURE_UNCHECKED = "$signature-unchecked"

# Put on and taken off by the house alone: what was found about a mail is not for its reader to say.
HOUSE_MARKS = frozenset({HELD, BLOCKED, UNAUTHENTICATED, SIGNATURE_UNCHECKED})

# How long the owner can bring back what a caller destroyed.
GRAVEYARD_DAYS = 30
INDEX_JOB = "index"
# Mail that comes in a burst is indexed together; a search in between catches up by itself.
INDEX_DELAY_MS = 1_000

_MAX_KEYWORD_CHARS = 255
_MAX_KEYWORDS = 200
# An index key on PostgreSQL ends at 2,704 octets.
_MAX_HEADER_ID_CHARS = 600


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message about to be filed.

    Attributes:
        mailbox_roles, mailbox_ids: the mailboxes it goes to, at least one in all.
        thread_id: the thread the caller knows it belongs to; None asks `threading`.
        bcc: blind copies of a message sent here, which its bytes do not name.
        handed_in: how it came; empty for mail made here.
    """

    parsed: ParsedMessage
    blob: Blob
    direction: str
    mailbox_roles: Sequence[str]
    received_at: int
    keywords: Collection[str] = ()
    thread_id: str | None = None
    delivery_state: str | None = None
    bcc: Sequence[Address] = ()
    handed_in: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    mailbox_ids: Sequence[str] = ()


def check_keywords(keywords: Collection[str], name: str = "keywords") -> tuple[str, ...]:
    """Labels fit to be stored, sorted and each once.

    Raises:
        Invalid: one is empty, too long or has a control character; or there are too many.
    """
    for keyword in keywords:
        if not keyword.strip() or len(keyword) > _MAX_KEYWORD_CHARS or any(ord(c) < 32 for c in keyword):
            raise Invalid(f"a label has 1 to {_MAX_KEYWORD_CHARS} characters and no control characters", field=name)
    if len(keywords) > _MAX_KEYWORDS:
        raise Invalid(f"a message has at most {_MAX_KEYWORDS} labels", field=name)
    return tuple(sorted(set(keywords)))


def _people(addresses: Sequence[Address]) -> tuple[Person, ...]:
    return tuple(Person(address.name, address.email) for address in addresses)


def _attachment(file: File) -> StoredAttachment:
    part = file.part
    return StoredAttachment(
        part.part_id, part.content_type, part.filename, INLINE if file.in_text else _apart(part.disposition),
        part.content_id, part.size_bytes, part.encoding, part.start, part.end, part.disposition,
    )  # fmt: skip


def _apart(disposition: str | None) -> str | None:
    return None if disposition == INLINE else disposition


async def file(tx: Tx, journal: Journal, new: NewMessage) -> Message:
    """Store a message, thread it, put it into its mailboxes and ask for it to be indexed.

    With `$junk` it goes to the junk mailbox alone; in the junk mailbox it has `$junk` (`set_keywords`).

    The caller opened the journal with the message's size as `added_bytes`.
    """
    parsed = new.parsed
    await new.blob.store(tx, journal.at)
    thread_id = await threading.join(tx, journal, parsed, new.received_at, thread_id=new.thread_id)
    into = [await mailboxes.by_role(tx, journal.account_id, role) for role in new.mailbox_roles]
    into += [await mailboxes.get(tx, journal.account_id, mailbox_id) for mailbox_id in new.mailbox_ids]
    if None in into:
        raise NotFound("there is no such mailbox")
    targets = [mailbox for mailbox in into if mailbox is not None]
    keywords = set(new.keywords)
    if UNVERIFIED in parsed.defects:
        keywords.add(SIGNATURE_UNCHECKED)
    if JUNKED in keywords and (junk := await mailboxes.by_role(tx, journal.account_id, JUNK)) is not None:
        targets = [junk]
    if any(mailbox.role == JUNK for mailbox in targets):
        keywords = _as_junk(keywords)
    message = Message(
        id=new.id or new_id(),
        account_id=journal.account_id,
        thread_id=thread_id,
        blob_hash=new.blob.hash,
        size_bytes=new.blob.size_bytes,
        direction=new.direction,
        header_message_id=parsed.message_id[:_MAX_HEADER_ID_CHARS] if parsed.message_id else None,
        in_reply_to=tuple(parsed.in_reply_to),
        refs=tuple(parsed.references),
        subject=parsed.subject,
        from_list=_people(parsed.from_),
        to_list=_people(parsed.to),
        cc_list=_people(parsed.cc),
        bcc_list=_people(new.bcc or parsed.bcc),
        reply_to_list=_people(parsed.reply_to),
        preview=parsed.preview,
        sent_at=parsed.sent_at,
        received_at=new.received_at,
        keywords=tuple(sorted(keywords)),
        attachments=tuple(_attachment(file) for file in parsed.files),
        delivery_state=new.delivery_state,
        origin_mailbox_id=None,
        modseq=journal.modseq,
        created_at=journal.at,
        updated_at=journal.at,
        roles=LASTING.intersection(mailbox.role or "" for mailbox in targets),
        sent_zone=parsed.sent_zone,
    )
    body = MessageBody(
        message_id=message.id,
        headers=list(parsed.headers),
        # The top's headers are the message's own, kept beside; twice is not needed.
        structure=dump(replace(parsed.structure, headers=())),
        text_body=parsed.text,
        html_body=parsed.html,
        extracted_text=parsed.extracted_text,
        extracted_html=parsed.extracted_html,
        defects=list(parsed.defects),
        handed_in=new.handed_in,
    )
    await messages.add(tx, message, body)
    for mailbox in targets:
        await _enter(tx, journal, message, mailbox.id)
    journal.created(EMAIL, message.id)
    await jobs.add(
        tx,
        INDEX_JOB,
        account_id=message.account_id,
        dedup_key=message.account_id,
        due_at=journal.at + INDEX_DELAY_MS,
        at=journal.at,
    )
    return message


def is_unread(keywords: Collection[str]) -> bool:
    """Neither read nor still being written (RFC 8621 §2, `unreadEmails`)."""
    return SEEN not in keywords and DRAFT not in keywords


async def _enter(tx: Tx, journal: Journal, message: Message, mailbox_id: str) -> None:
    uid = await mailboxes.add_member(
        tx,
        account_id=journal.account_id,
        mailbox_id=mailbox_id,
        message_id=message.id,
        received_at=message.received_at,
        modseq=journal.modseq,
        unread=is_unread(message.keywords),
    )
    if uid is None:
        raise NotFound("there is no such mailbox")
    journal.updated(MAILBOX, mailbox_id)
    journal.recount(message.thread_id, mailbox_id)


async def _leave(tx: Tx, journal: Journal, message: Message, mailbox_id: str) -> None:
    await mailboxes.expunge(
        tx,
        account_id=journal.account_id,
        mailbox_id=mailbox_id,
        message_id=message.id,
        modseq=journal.modseq,
        unread=is_unread(message.keywords),
    )
    journal.updated(MAILBOX, mailbox_id)
    journal.recount(message.thread_id, mailbox_id)


def _as_junk(keywords: Collection[str]) -> set[str]:
    return (set(keywords) | {JUNKED}) - {NOT_JUNK}


async def set_keywords(tx: Tx, journal: Journal, message: Message, keywords: Collection[str]) -> Message:
    """Replace a message's keywords; the message as it is then.

    `$junk` and the junk mailbox say the same thing, and follow each other: a message that is given the keyword goes
    there, one that loses it, or is given `$notjunk`, goes back to where it came from; and `move` sets the keyword.

    Source: RFC 8621 §4.1.1, the IANA registry of IMAP and JMAP keywords (`$Junk`, `$NotJunk`).
    """
    wanted, before = set(keywords), set(message.keywords)
    is_there = JUNK in message.roles
    if JUNKED in wanted - before:
        message = await _mark(tx, journal, message, _as_junk(wanted))
        junk = None if is_there else await mailboxes.by_role(tx, message.account_id, JUNK)
        return message if junk is None else await _place(tx, journal, message, [junk.id])
    if NOT_JUNK in wanted - before:
        wanted -= {JUNKED}
    message = await _mark(tx, journal, message, wanted)
    if is_there and (JUNKED in before - wanted or NOT_JUNK in wanted - before):
        return await restore(tx, journal, message, {JUNK})
    return message


async def _mark(tx: Tx, journal: Journal, message: Message, keywords: Collection[str]) -> Message:
    wanted = check_keywords(keywords)
    if wanted == message.keywords:
        return message
    await messages.set_keywords(tx, message, wanted, journal.modseq, journal.at)
    before, after = set(message.keywords), set(wanted)
    await markings.add(tx, message.account_id, message.id, sorted(after - before), sorted(before - after), journal.at)
    here = (await mailboxes.places(tx, message.account_id, [message.id]))[message.id]
    unread = is_unread(wanted)
    if is_unread(message.keywords) != unread and here:
        await mailboxes.count_unread(tx, [place.mailbox_id for place in here], 1 if unread else -1)
        for place in here:
            journal.updated(MAILBOX, place.mailbox_id)
        journal.recount(message.thread_id)
    await mailboxes.touch_members(tx, message.id, journal.modseq)
    journal.updated(EMAIL, message.id)
    return msgspec.structs.replace(message, keywords=wanted, modseq=journal.modseq, updated_at=journal.at)


async def move(tx: Tx, journal: Journal, message: Message, mailbox_ids: Collection[str]) -> Message:
    """Have a message lie in exactly these mailboxes; the message as it is then.

    When it goes to trash or junk, where it came from is kept, so that `restore` can put it back. In the junk mailbox
    it has `$junk`, elsewhere it has not.

    Raises:
        Invalid: no mailbox is left; a message lies in at least one (RFC 8621 §4.1.1).
        NotFound: a mailbox is not the account's.
    """
    was_there = JUNK in message.roles
    message = await _place(tx, journal, message, mailbox_ids)
    is_there = JUNK in message.roles
    if is_there and not was_there:
        return await _mark(tx, journal, message, _as_junk(message.keywords))
    if was_there and not is_there:
        return await _mark(tx, journal, message, set(message.keywords) - {JUNKED})
    return message


async def _place(tx: Tx, journal: Journal, message: Message, mailbox_ids: Collection[str]) -> Message:
    if not mailbox_ids:
        raise Invalid("a message lies in at least one mailbox", field="mailboxIds")
    here = {place.mailbox_id for place in (await mailboxes.places(tx, message.account_id, [message.id]))[message.id]}
    wanted = set(mailbox_ids)
    if here == wanted:
        return message
    roles = {mailbox.id: mailbox.role for mailbox in await mailboxes.all_of(tx, message.account_id)}
    if wanted - roles.keys():
        raise NotFound("there is no such mailbox")
    for mailbox_id in sorted(here - wanted):
        await _leave(tx, journal, message, mailbox_id)
    for mailbox_id in sorted(wanted - here):
        await _enter(tx, journal, message, mailbox_id)
    await markings.add(
        tx,
        message.account_id,
        message.id,
        [f"role:{role}" for role in (roles[mailbox_id] for mailbox_id in wanted - here) if role],
        [f"role:{role}" for role in (roles[mailbox_id] for mailbox_id in here - wanted) if role],
        journal.at,
    )
    aside = {JUNK, TRASH}
    origin = message.origin_mailbox_id
    if any(roles[mailbox_id] in aside for mailbox_id in wanted):
        left = sorted(mailbox_id for mailbox_id in here if roles.get(mailbox_id) not in aside)
        origin = left[0] if left else origin
    else:
        origin = None
    lasting = LASTING.intersection(roles[mailbox_id] or "" for mailbox_id in wanted)
    await messages.set_place(tx, message.id, journal.modseq, journal.at, roles=lasting, origin_mailbox_id=origin)
    journal.updated(EMAIL, message.id)
    return msgspec.structs.replace(
        message, roles=lasting, origin_mailbox_id=origin, modseq=journal.modseq, updated_at=journal.at
    )


async def move_to_role(tx: Tx, journal: Journal, message: Message, role: str) -> Message:
    """Have a message lie in the mailbox with this role and nowhere else."""
    mailbox = await mailboxes.by_role(tx, message.account_id, role)
    if mailbox is None:
        raise NotFound(f"the account has no {role} mailbox")
    return await move(tx, journal, message, [mailbox.id])


async def restore(
    tx: Tx, journal: Journal, message: Message, roles: Collection[str] = frozenset({JUNK, TRASH})
) -> Message:
    """Take a message out of trash or junk: it stays where it also lies, else goes back to where it came from."""
    known = await mailboxes.all_of(tx, message.account_id)
    left = {mailbox.id for mailbox in known if mailbox.role in roles}
    places = (await mailboxes.places(tx, message.account_id, [message.id]))[message.id]
    rest = {place.mailbox_id for place in places} - left
    if rest:
        return await move(tx, journal, message, rest)
    fallback = {"in": "inbox", "out": "sent", "draft": "drafts"}[message.direction]
    target = next((mailbox.id for mailbox in known if mailbox.id == message.origin_mailbox_id), None) or next(
        mailbox.id for mailbox in known if mailbox.role == fallback
    )
    return await move(tx, journal, message, [target])


async def set_delivery_state(tx: Tx, journal: Journal, message_id: str, state: str) -> None:
    """What the deliveries of a sent message amount to now; nothing happens to one that was destroyed meanwhile."""
    if await messages.set_delivery_state(tx, message_id, state, journal.modseq, journal.at):
        journal.updated(EMAIL, message_id)


async def destroy(tx: Tx, journal: Journal, message: Message, *, bury: bool = True) -> None:
    """Take a message out of every surface at once.

    Args:
        bury: keep it in the graveyard, where only the owner finds it; a draft's older text needs no grave.
    """
    here = (await mailboxes.places(tx, message.account_id, [message.id]))[message.id]
    if bury:
        await graveyard.add(
            tx,
            graveyard.Grave(
                id=new_id(),
                organization_id=journal.organization_id,
                account_id=message.account_id,
                kind="message",
                blob_hash=message.blob_hash,
                payload={
                    "subject": message.subject,
                    "direction": message.direction,
                    "keywords": message.keywords,
                    "received_at": message.received_at,
                    "mailbox_ids": [place.mailbox_id for place in here],
                    "delivery_state": message.delivery_state,
                    "bcc": [list(person) for person in message.bcc_list],
                },
                destroyed_at=journal.at,
                expires_at=journal.at + GRAVEYARD_DAYS * DAY,
            ),
        )
    for place in here:
        await _leave(tx, journal, message, place.mailbox_id)
    await search.remove(tx, [message.id])
    await messages.delete(tx, message.account_id, message.id)
    await accounts.add_used_bytes(tx, message.account_id, -message.size_bytes)
    journal.destroyed(EMAIL, message.id)
    if await threads.uncount_message(tx, message.thread_id, journal.at):
        journal.destroyed(THREAD, message.thread_id)
    else:
        journal.updated(THREAD, message.thread_id)
