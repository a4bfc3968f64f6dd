"""Holding mail for the owner: the question put, what the answer binds to, and how many may wait.

What waits for an answer is bounded, for an account and for a key: whoever fills the owner's list with what does
not matter hides what does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posthouse.kit.clock import DAY
from posthouse.kit.errors import OverQuota
from posthouse.kit.ids import new_id
from posthouse.store import holds, jobs
from posthouse.store.blobs import digest
from posthouse.store.database import Tx
from posthouse.store.holds import Hold
from posthouse.store.records import dump
from posthouse.store.submissions import Delivery, StoredSubmission

# More than a person looks through in a sitting.
MAX_OF_ACCOUNT = 100
# A key may speak for many accounts.
MAX_OF_KEY = 500
# Answers that strangers cause by writing take no more than this of the account's room.
MAX_AUTOMATIC = 25
# What nobody decides on in this time is rejected.
EXPIRES_MS = 14 * DAY
# Jobs: the owner is asked by mail; nobody having answered is a no.
ASK_JOB = "hold-ask"
EXPIRE_JOB = "hold-expire"


async def hold(
    tx: Tx,
    submission: StoredSubmission,
    deliveries: Sequence[Delivery],
    findings: list[dict[str, Any]],
    at: int,
    *,
    is_automatic: bool = False,
) -> str:
    """Put the question to the owner; answers the hold's id. The caller holds the account's row.

    Raises:
        OverQuota: too many wait already (reason `too_many_held`).
    """
    await _check_room(tx, submission, is_automatic=is_automatic)
    hold_id = new_id()
    await holds.add(
        tx,
        Hold(
            id=hold_id,
            organization_id=submission.organization_id,
            account_id=submission.account_id,
            submission_id=submission.id,
            digest=held_digest(submission, deliveries),
            findings=findings,
            state="pending",
            reason=None,
            decided_by=None,
            decided_at=None,
            created_at=at,
            key_id=submission.key_id,
            expires_at=at + EXPIRES_MS,
        ),
    )
    payload = {"hold_id": hold_id, "organization_id": submission.organization_id}
    await jobs.add(tx, ASK_JOB, payload=payload, account_id=submission.account_id, due_at=at, at=at)
    await jobs.add(tx, EXPIRE_JOB, payload=payload, account_id=submission.account_id, due_at=at + EXPIRES_MS, at=at)
    return hold_id


async def _check_room(tx: Tx, submission: StoredSubmission, *, is_automatic: bool) -> None:
    at_most = MAX_AUTOMATIC if is_automatic else MAX_OF_ACCOUNT
    waiting = await holds.count(tx, account_id=submission.account_id)
    if waiting >= at_most:
        raise OverQuota(f"at most {at_most} messages of an inbox wait for the owner at once", reason="too_many_held")
    if submission.key_id is not None and await holds.count(tx, key_id=submission.key_id) >= MAX_OF_KEY:
        raise OverQuota(f"at most {MAX_OF_KEY} messages of a key wait for the owner at once", reason="too_many_held")


def held_digest(submission: StoredSubmission, deliveries: Sequence[Delivery]) -> str:
    """What an approval binds to: the bytes and the envelope, nothing less."""
    recipients = sorted(delivery.recipient for delivery in deliveries if delivery.state != "suppressed")
    return digest(dump([submission.blob_hash, submission.mail_from, recipients]).encode())
