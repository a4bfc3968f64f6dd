"""Replies and forwards: who they go to, what they are called, what they quote."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from posthouse.kit.errors import NotFound
from posthouse.mail.filing import DRAFT
from posthouse.store import accounts, messages
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.messages import Message, MessageBody, Person
from posthouse.wire.address import Address, normalize
from posthouse.wire.compose import (
    Attachment,
    forward_subject,
    quote_forward,
    reply_references,
    reply_subject,
)
from posthouse.wire.message import Contents, parse


@dataclass(frozen=True, slots=True)
class Parent:
    """The message an answer is to, with what is needed to answer it."""

    message: Message
    body: MessageBody
    own: frozenset[str]


@dataclass(frozen=True, slots=True)
class ReplyFields:
    """What an answer inherits (RFC 5322 §3.6.3–3.6.5)."""

    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    in_reply_to: str | None
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ForwardFields:
    """What a forward carries along."""

    subject: str
    text: str
    html: str | None
    attachments: tuple[Attachment, ...]


async def parent(db: Database, account_id: str, message_id: str) -> Parent:
    """Load the message to answer.

    Raises:
        NotFound: the account has no such message, or it is a draft.
    """

    async def unit(tx: Tx) -> Parent:
        found = await messages.get_whole(tx, account_id, message_id)
        if found is None or DRAFT in found[0].keywords:
            raise NotFound("there is no such message", field="message_id")
        return Parent(*found, frozenset(await accounts.addresses(tx, account_id)))

    return await db.read(unit)


def reply(to: Parent, *, everyone: bool) -> ReplyFields:
    """The fields of an answer to the sender, or to everyone on the message.

    An answer to what the account itself sent goes to whom it was sent to. The account's own addresses are
    left out of the rest.
    """
    message = to.message
    if message.direction == "out":
        first = _people(message.to_list)
    else:
        first = _people(message.reply_to_list) or _people(message.from_list)
    rest: tuple[Address, ...] = ()
    if everyone:
        others = (
            (*_people(message.to_list), *_people(message.cc_list))
            if message.direction == "in"
            else (_people(message.cc_list))
        )
        rest = _without(others, {*to.own, *(normalize(address.email) for address in first)})
    return ReplyFields(
        to=_without(first, set()),
        cc=rest,
        subject=reply_subject(message.subject),
        in_reply_to=message.header_message_id,
        references=reply_references(message.header_message_id, tuple(message.refs or message.in_reply_to[:1])),
    )


async def forward(of: Parent, blobs: Blobs, *, text: str | None, html: str | None) -> ForwardFields:
    """A message passed on: the sender's own words, then the original with its attachments.

    Args:
        text, html: the words before it; None for none.
    """
    message = of.message
    raw = await blobs.read(message.blob_hash)
    quoted_text, quoted_html = quote_forward(parse(raw), text, html)
    contents = Contents(raw)
    return ForwardFields(
        subject=forward_subject(message.subject),
        text=quoted_text,
        html=quoted_html,
        attachments=tuple(
            Attachment(
                filename=part.filename or f"part-{part.part_id}",
                content_type=part.content_type,
                data=contents.span(part.start, part.end, part.encoding),
                disposition="inline" if part.is_inline else "attachment",
                content_id=part.content_id,
            )
            for part in message.attachments
        ),
    )


def _people(people: Sequence[Person]) -> tuple[Address, ...]:
    return tuple(Address(person.email, person.name) for person in people if person.email)


def _without(addresses: Sequence[Address], left_out: Collection[str]) -> tuple[Address, ...]:
    kept: dict[str, Address] = {}
    for address in addresses:
        key = normalize(address.email)
        if key not in left_out:
            kept.setdefault(key, address)
    return tuple(kept.values())
