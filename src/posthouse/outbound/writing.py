"""Writing a message: a new one, an answer to one that lies in the account, or one that passes it on.

What a caller leaves out of an answer comes from the message answered: whom it goes to, the subject, the thread. What
it gives goes before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from posthouse.accounts import identities
from posthouse.outbound import answers
from posthouse.outbound.answers import Parent
from posthouse.outbound.request import Composition
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blobs
from posthouse.store.messages import Message
from posthouse.wire.address import Address
from posthouse.wire.compose import Attachment, Outgoing


@dataclass(frozen=True, slots=True)
class Words:
    """What a caller says of a message; empty and None are not said.

    Attributes:
        headers: (name, value) of further fields.
    """

    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Writing:
    """A message written, and the one that it answers or passes on."""

    kind: Literal["new", "reply", "reply_all", "forward"]
    outgoing: Outgoing
    parent: Message | None = None

    def composition(self, labels: Sequence[str] = ()) -> Composition:
        """What `Submitter.submit` takes. An answer stays in the thread of what it answers."""
        parent, is_forward = self.parent, self.kind == "forward"
        return Composition(
            outgoing=self.outgoing,
            labels=labels,
            thread_id=parent.thread_id if parent and not is_forward else None,
            answered_message_id=parent.id if parent and not is_forward else None,
            forwarded_message_id=parent.id if parent and is_forward else None,
        )


def new(account: Account, words: Words) -> Writing:
    """A message that answers nothing."""
    return Writing("new", _outgoing(account, words))


def reply(account: Account, parent: Parent, words: Words, *, everyone: bool) -> Writing:
    """An answer, to the sender or to everyone on the message (`answers.parent` makes it ready)."""
    fields = answers.reply(parent, everyone=everyone)
    outgoing = replace(
        _outgoing(account, words),
        to=words.to or fields.to,
        cc=words.cc or fields.cc,
        subject=words.subject or fields.subject,
        in_reply_to=fields.in_reply_to,
        references=fields.references,
    )
    return Writing("reply_all" if everyone else "reply", outgoing, parent.message)


async def forward(blobs: Blobs, account: Account, message: Message, words: Words) -> Writing:
    """A message of the account passed on, the caller's words before it. Raises `NotFound`: it is a draft."""
    fields = await answers.forward(message, blobs, text=words.text, html=words.html)
    outgoing = replace(
        _outgoing(account, words),
        subject=words.subject or fields.subject,
        text=fields.text,
        html=fields.html,
        attachments=(*fields.attachments, *words.attachments),
    )
    return Writing("forward", outgoing, message)


def _outgoing(account: Account, words: Words) -> Outgoing:
    return Outgoing(
        identities.own_address(account),
        to=words.to,
        cc=words.cc,
        bcc=words.bcc,
        reply_to=words.reply_to,
        subject=words.subject,
        text=words.text,
        html=words.html,
        attachments=words.attachments,
        headers=words.headers,
    )
