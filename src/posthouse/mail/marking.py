"""Marking a message on a caller's behalf: labels, seen, flagged, and the ways in and out of trash and junk."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from posthouse.mail import filing
from posthouse.mail.journal import Journal
from posthouse.mail.mailboxes import JUNK, TRASH
from posthouse.store.database import Tx
from posthouse.store.messages import Message


@dataclass(frozen=True, slots=True)
class Patch:
    """What to change of a message.

    Attributes:
        add, remove: keywords; what is in both is removed.
        move_to: the mailbox it goes to, with all others left; None leaves it where it is.
        take_from: of trash and junk, what it leaves if it lies there; from its last place it goes back to where
            it came from.
    """

    add: Collection[str] = ()
    remove: Collection[str] = ()
    move_to: Literal["trash", "junk"] | None = None
    take_from: Collection[str] = ()


async def apply(tx: Tx, journal: Journal, message: Message, patch: Patch) -> None:
    """Change a message.

    Raises:
        Invalid: a label is not acceptable.
    """
    keywords = (set(message.keywords) | set(patch.add)) - set(patch.remove)
    message = await filing.set_keywords(tx, journal, message, keywords)
    if patch.move_to is not None:
        await filing.move_to_role(tx, journal, message, {"trash": TRASH, "junk": JUNK}[patch.move_to])
    elif message.roles & set(patch.take_from):
        await filing.restore(tx, journal, message, patch.take_from)
