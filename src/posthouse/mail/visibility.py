"""Mail that not everybody is shown: what lies in Junk or Trash, what a list blocked, what nobody vouched for."""

from __future__ import annotations

from collections.abc import Collection

from posthouse.mail import filing, mailboxes
from posthouse.store.messages import Message

JUNK = "junk"
BLOCKED = "blocked"
UNAUTHENTICATED = "unauthenticated"
TRASH = "trash"
KINDS = (JUNK, BLOCKED, UNAUTHENTICATED, TRASH)


def kinds_of(message: Message) -> frozenset[str]:
    """Which of the kinds a message is. What a list blocked lies in Junk, and is blocked mail, not junk."""
    found = set()
    if filing.BLOCKED in message.keywords:
        found.add(BLOCKED)
    elif mailboxes.JUNK in message.roles:
        found.add(JUNK)
    if filing.UNAUTHENTICATED in message.keywords:
        found.add(UNAUTHENTICATED)
    if mailboxes.TRASH in message.roles:
        found.add(TRASH)
    return frozenset(found)


def shows(message: Message, hidden: Collection[str]) -> bool:
    """Whether somebody from whom these kinds are hidden sees a message. Drafts are seen as drafts, not as messages."""
    return filing.DRAFT not in message.keywords and (not hidden or kinds_of(message).isdisjoint(hidden))
