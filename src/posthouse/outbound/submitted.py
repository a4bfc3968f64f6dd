"""What is known of what was handed over to be sent: how it was asked for, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posthouse.kit.errors import NotFound
from posthouse.mail.journal import SUBMISSION, Journal
from posthouse.store import submissions
from posthouse.store.database import Tx
from posthouse.store.submissions import Detail, Request


async def all_of(tx: Tx, account_id: str, submission_ids: Sequence[str] | None = None) -> list[Detail]:
    """An account's submissions with their deliveries, oldest first; those that are gone are left out."""
    return await submissions.details(tx, account_id, submission_ids)


async def find(tx: Tx, account_id: str, submission_id: str) -> Detail:
    """One of them. Raises `NotFound`."""
    found = await submissions.details(tx, account_id, [submission_id])
    if not found:
        raise NotFound("there is no such submission")
    return found[0]


async def message_ids(tx: Tx, account_id: str, submission_ids: Sequence[str]) -> dict[str, str]:
    """The messages that an account's submissions are of, those included that are shown no more."""
    found = {}
    for submission_id in submission_ids:
        stored = await submissions.get(tx, submission_id)
        if stored is not None and stored.account_id == account_id:
            found[submission_id] = stored.message_id
    return found


async def note_request(
    tx: Tx, account_id: str, submission_id: str, *, identity_id: str, envelope: dict[str, Any], send_at: int
) -> Detail:
    """Remember how a submission was asked for (RFC 8621 §7); for `Submitter.submit`'s `also`. Returns all there is."""
    await submissions.add_request(tx, Request(submission_id, identity_id, envelope, send_at))
    return await find(tx, account_id, submission_id)


async def forget(tx: Tx, journal: Journal, submission_id: str) -> None:
    """Show a submission no more; what is on its way goes on. Raises `NotFound`."""
    await find(tx, journal.account_id, submission_id)
    await submissions.destroy(tx, submission_id)
    journal.destroyed(SUBMISSION, submission_id)
