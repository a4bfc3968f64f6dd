"""Changing an account's mail: each unit takes the account's next change number and writes its changes under it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from posthouse.kit.errors import NotFound
from posthouse.store import accounts, changes, mailboxes
from posthouse.store.database import Tx

# The types of the change log, in the words of RFC 8621.
EMAIL, THREAD, MAILBOX = "Email", "Thread", "Mailbox"
SUBMISSION = "EmailSubmission"
IDENTITY, VACATION = "Identity", "VacationResponse"
# Changes whenever mail was delivered to the account from outside (RFC 8621 §1.5).
DELIVERY = "EmailDelivery"
# Beside `MAILBOX`, when more than the counts of a mailbox changed (RFC 8621 §2.2, `updatedProperties`).
MAILBOX_PROPERTIES = "Mailbox.properties"


class Journal:
    """What one unit changes of one account.

    Attributes:
        modseq: the change number; whatever the unit writes carries it.
        at: the unit's instant.
    """

    __slots__ = ("_entries", "_threads", "account_id", "at", "modseq", "organization_id")

    def __init__(self, account_id: str, organization_id: str, modseq: int, at: int) -> None:
        self.account_id = account_id
        self.organization_id = organization_id
        self.modseq = modseq
        self.at = at
        self._entries: dict[tuple[str, str], changes.Action] = {}
        self._threads: dict[str, set[str]] = {}

    def created(self, kind: str, object_id: str) -> None:
        """An object was made."""
        self._entries[kind, object_id] = "created"

    def updated(self, kind: str, object_id: str) -> None:
        """An object was changed."""
        self._entries.setdefault((kind, object_id), "updated")

    def destroyed(self, kind: str, object_id: str) -> None:
        """An object is no more. One made in this very unit has never been, to anybody else (RFC 8620 §5.2)."""
        if self._entries.get((kind, object_id)) == "created":
            del self._entries[kind, object_id]
        else:
            self._entries[kind, object_id] = "destroyed"

    def recount(self, thread_id: str, mailbox_id: str | None = None) -> None:
        """A message of this thread was read, or entered or left a mailbox: mailboxes count their threads anew."""
        touched = self._threads.setdefault(thread_id, set())
        if mailbox_id is not None:
            touched.add(mailbox_id)

    async def write(self, tx: Tx) -> None:
        """Write what was noted."""
        if self._threads:
            for mailbox_id in sorted(await mailboxes.recount_threads(tx, self._threads)):
                self.updated(MAILBOX, mailbox_id)
        if self._entries:
            entries = [(kind, object_id, action) for (kind, object_id), action in self._entries.items()]
            await changes.record(tx, self.account_id, self.modseq, self.at, entries)
            tx.wake(f"account:{self.account_id}")


@asynccontextmanager
async def changing(tx: Tx, account_id: str, at: int, *, added_bytes: int = 0) -> AsyncIterator[Journal]:
    """Open the account's journal; what was noted is written at the end of the block.

    The account's row is locked from here to the end of the unit. A unit that changes several accounts opens
    them in the order of their ids, so that two such units never wait for each other.

    Raises:
        NotFound: the account is gone.
    """
    turn = await accounts.next_modseq(tx, account_id, added_bytes=added_bytes)
    if turn is None:
        raise NotFound("there is no such account")
    journal = Journal(account_id, turn.organization_id, turn.modseq, at)
    yield journal
    await journal.write(tx)
