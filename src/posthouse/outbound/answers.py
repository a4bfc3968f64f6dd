"""Replies and forwards: who they go to, what they are called, what they quote."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from posthouse.accounts import identities
from posthouse.kit.aside import aside
from posthouse.kit.errors import Invalid, NotFound
from posthouse.mail.filing import DRAFT
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Tx
from posthouse.store.messages import Message, Person
from posthouse.wire.address import Address, clean, normalize, split
from posthouse.wire.compose import (
    Attachment,
    forward_subject,
    quote_forward,
    reply_references,
    reply_subject,
)
from posthouse.wire.header_encode import wire_address
from posthouse.wire.message import Contents, parse

# RFC 1035 §2.3.4, with the underscore that some hosts have; or an address literal (RFC 5321 §4.1.3).
_DOMAIN = re.compile(
    r"(?=.{1,255}\Z)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*|\[[0-9a-z.:]{1,60}\]", re.IGNORECASE
)
# RFC 5322 §2.1.1: with its brackets an id fits on a line.
_ID = re.compile(r"[!-;=?-~]{1,900}")


@dataclass(frozen=True, slots=True)
class Parent:
    """The message an answer is to, with what is needed to answer it.

    Attributes:
        own: those of the addresses on it, normalised, that lead to the account itself.
    """

    message: Message
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


async def parent(tx: Tx, message: Message) -> Parent:
    """A message, ready to be answered. Raises `NotFound`: it is a draft."""
    check(message)
    people = (*message.from_list, *message.reply_to_list, *message.to_list, *message.cc_list)
    return Parent(message, await identities.own_among(tx, message.account_id, [person.email for person in people]))


def check(message: Message) -> None:
    """Whether a message can be answered or passed on. Raises `NotFound`: a draft is no message yet."""
    if DRAFT in message.keywords:
        raise NotFound("there is no such message", field="message_id")


def reply(to: Parent, *, everyone: bool) -> ReplyFields:
    """The fields of an answer to the sender, or to everyone on the message.

    An answer to what the account itself sent goes to whom it was sent to. The account's own addresses are left
    out of the rest, and of Reply-To. What a stranger wrote refuses no answer: an address nobody can write to is
    left out too, a Reply-To without any other counts as absent (RFC 5322 §3.6.2), and so does an id that could
    not be written down.
    """
    message, own = to.message, to.own
    if message.direction == "out":
        to_list = _people(message.to_list)
        first = _without(to_list, own) or to_list
    else:
        first = _without(_people(message.reply_to_list), own) or _people(message.from_list)
    rest: tuple[Address, ...] = ()
    if everyone:
        others = (
            (*_people(message.to_list), *_people(message.cc_list))
            if message.direction == "in"
            else (_people(message.cc_list))
        )
        rest = _without(others, {*own, *(normalize(address.email) for address in first)})
    in_reply_to, references = ancestry(message)
    return ReplyFields(
        to=_without(first, set()),
        cc=rest,
        subject=clean(reply_subject(message.subject)),
        in_reply_to=in_reply_to,
        references=references,
    )


def ancestry(message: Message) -> tuple[str | None, tuple[str, ...]]:
    """In-Reply-To and References of an answer to a message (RFC 5322 §3.6.4), as far as they can be written down."""
    references = reply_references(message.header_message_id, tuple(message.refs or message.in_reply_to[:1]))
    return next(iter(_ids((message.header_message_id or "",))), None), _ids(references)


async def forward(message: Message, blobs: Blobs, *, text: str | None, html: str | None) -> ForwardFields:
    """A message passed on: the sender's own words, then the original with its attachments.

    Args:
        text, html: the words before it; None for none.

    Raises:
        NotFound: it is a draft.
    """
    check(message)
    raw = await blobs.read(message.blob_hash)
    quoted_text, quoted_html = quote_forward(await aside(len(raw), parse, raw), text, html)
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
    return tuple(Address(person.email, person.name) for person in people if _is_writable(person.email))


def _is_writable(email: str) -> bool:
    """Whether an address has a form that an envelope and a header field can carry."""
    try:
        domain = split(wire_address(email, "to"))[1]
    except Invalid:
        return False
    return _DOMAIN.fullmatch(domain) is not None


def _ids(ids: Sequence[str]) -> tuple[str, ...]:
    """Those that may stand in a field; one beyond ASCII would ask for SMTPUTF8 on all the way (RFC 6532 §3.2)."""
    return tuple(each for each in ids if _ID.fullmatch(each))


def _without(addresses: Sequence[Address], left_out: Collection[str]) -> tuple[Address, ...]:
    kept: dict[str, Address] = {}
    for address in addresses:
        key = normalize(address.email)
        if key not in left_out:
            kept.setdefault(key, address)
    return tuple(kept.values())
