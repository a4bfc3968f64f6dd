"""Saving a message at the wish of its reader: imported, copied, or written as a draft (RFC 8621 §4.6–4.8).

Mail that comes in or goes out is filed by `inbound` and `outbound`, which decide where it lies.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from posthouse.kit.errors import OverQuota
from posthouse.mail import drafts, filing
from posthouse.mail.filing import NewMessage
from posthouse.mail.journal import Journal
from posthouse.mail.mailboxes import SENT
from posthouse.store import accounts, mailboxes, messages
from posthouse.store.blobfiles import Blob
from posthouse.store.database import Tx
from posthouse.store.mailboxes import Mailbox
from posthouse.store.messages import Message
from posthouse.wire.address import Address
from posthouse.wire.message import ParsedMessage


async def save(
    tx: Tx,
    journal: Journal,
    parsed: ParsedMessage,
    blob: Blob,
    into: Sequence[Mailbox],
    *,
    keywords: Collection[str],
    received_at: int | None,
    bcc: Sequence[Address],
    quota_bytes: int,
    level: str | None,
) -> Message:
    """File a message in mailboxes of the account. With `$draft` it is a draft at every door; in Sent it was sent.

    Args:
        received_at: None for now.
        quota_bytes: how much the account may have if it has no limit of its own.
        level: the writer's own oversight level.

    Raises:
        OverQuota: there is no room for it.
    """
    if not await accounts.take_room(tx, journal.account_id, blob.size_bytes, quota_bytes):
        raise OverQuota("the mailbox is full")
    is_draft = filing.DRAFT in keywords
    in_sent = any(mailbox.role == SENT for mailbox in into)
    new = NewMessage(
        parsed=parsed,
        blob=blob,
        direction="draft" if is_draft else "out" if in_sent else "in",
        mailbox_roles=(),
        mailbox_ids=sorted(mailbox.id for mailbox in into),
        received_at=received_at if received_at is not None else journal.at,
        keywords=keywords,
        bcc=bcc,
    )
    message = await filing.file(tx, journal, new)
    if is_draft:
        await drafts.note(tx, journal, message, level)
    return message


async def mark(tx: Tx, journal: Journal, message: Message, keywords: Collection[str], *, level: str | None) -> Message:
    """Give a message other keywords. One that gets `$draft` is a draft, by a writer of this level; without it none."""
    filing.check_keywords(keywords)
    was_draft, is_draft = filing.DRAFT in message.keywords, filing.DRAFT in keywords
    message = await filing.set_keywords(tx, journal, message, keywords)
    if is_draft and not was_draft:
        await drafts.note(tx, journal, message, level)
    elif was_draft and not is_draft:
        await drafts.forget(tx, message)
    return message


async def find(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, tuple[Message, frozenset[str]]]:
    """Those of the messages that exist, each with the mailboxes it lies in."""
    found = await messages.get_many(tx, account_id, message_ids)
    places = await mailboxes.places(tx, account_id, list(found))
    return {id_: (message, frozenset(place.mailbox_id for place in places[id_])) for id_, message in found.items()}


async def destroy(tx: Tx, journal: Journal, message: Message) -> None:
    """Take a message out of every door; the owner can bring it back for a while, a draft excepted."""
    is_draft = filing.DRAFT in message.keywords
    await filing.destroy(tx, journal, message, bury=not is_draft)
