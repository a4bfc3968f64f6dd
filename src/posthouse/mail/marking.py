"""Marking a message on a caller's behalf: labels, seen, flagged, and the ways in and out of trash and junk.

What came and went is kept in a log for a while (`log`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from posthouse.kit.pages import Page, PageRequest
from posthouse.mail import filing, visibility
from posthouse.mail.journal import Journal
from posthouse.mail.mailboxes import JUNK, TRASH
from posthouse.store import markings, messages
from posthouse.store.database import Tx
from posthouse.store.markings import Marking
from posthouse.store.messages import Message
from posthouse.wire.text import caseless

# Pages of the log read for one page of what is wanted of it.
_MAX_BATCHES = 20


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


def folded(label: str) -> str:
    """A label as it is compared with others that may not be mistaken for it."""
    return caseless(label).strip()


async def log(
    tx: Tx,
    account_id: str,
    asked: PageRequest,
    *,
    hidden: Collection[str],
    wanted: Callable[[Marking], bool],
) -> Page[Marking]:
    """What was marked in an account, on messages that are seen by whom these kinds of mail are hidden from.

    Args:
        hidden: kinds of mail (`mail.visibility`).
        wanted: which marks are asked for.
    """
    kept: list[Marking] = []
    position = asked.after
    for _ in range(_MAX_BATCHES):
        batch = await markings.page(tx, account_id, after=position, ascending=asked.ascending, limit=asked.size + 1)
        visible = await _visible(tx, account_id, batch, hidden)
        kept += [marking for marking in batch if wanted(marking) and marking.message_id in visible]
        if len(kept) > asked.size or len(batch) <= asked.size:
            break
        position = (batch[-1].at, batch[-1].id)
    shown = kept[: asked.size]
    return Page(shown, (shown[-1].at, shown[-1].id) if len(kept) > asked.size else None)


async def _visible(tx: Tx, account_id: str, batch: Sequence[Marking], hidden: Collection[str]) -> set[str]:
    ids = sorted({marking.message_id for marking in batch})
    stored = await messages.get_many(tx, account_id, ids) if ids else {}
    return {message.id for message in stored.values() if visibility.shows(message, hidden)}


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
