"""Telling of a submission: that it changed, to those who ask since when, and what happened, to those who listen."""

from __future__ import annotations

from collections.abc import Mapping

from posthouse.events import outbox
from posthouse.mail.journal import SUBMISSION, Journal
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.submissions import StoredSubmission


async def tell(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    event_type: str,
    facts: Mapping[str, object],
) -> None:
    """Note that a submission has changed, and publish the event with its facts."""
    journal.updated(SUBMISSION, submission.id)
    await outbox.publish(
        tx,
        account,
        event_type,
        modseq=journal.modseq,
        at=journal.at,
        message_id=submission.message_id,
        payload={"thread_id": submission.thread_id, "submission_id": submission.id, **facts},
    )
