"""The owner's decisions on what is held. Only the owner decides, and never by a mere GET of anything."""

from __future__ import annotations

from posthouse.events import outbox
from posthouse.kit.clock import Clock
from posthouse.kit.errors import Conflict, Forbidden, NotFound
from posthouse.kit.ids import same
from posthouse.kit.principal import Principal
from posthouse.mail import filing
from posthouse.mail.journal import SUBMISSION, changing
from posthouse.mail.mailboxes import SENT
from posthouse.outbound.submission import EXPIRES_MS, WAKE, held_digest
from posthouse.store import accounts, holds, messages, submissions
from posthouse.store.database import Database, Tx
from posthouse.store.holds import Hold


async def approve(db: Database, principal: Principal, hold_id: str, clock: Clock) -> Hold:
    """Send the very bytes that were held.

    Raises:
        Forbidden: the caller is not the owner, or what is stored is not what was held (reason `tampered`).
        NotFound: no such hold.
        Conflict: it was decided before.
    """
    return await db.write(lambda tx: _decide(tx, principal, hold_id, "approved", None, clock()))


async def reject(db: Database, principal: Principal, hold_id: str, reason: str | None, clock: Clock) -> Hold:
    """Never send it. Raises as `approve` does."""
    return await db.write(lambda tx: _decide(tx, principal, hold_id, "rejected", reason, clock()))


async def _decide(tx: Tx, principal: Principal, hold_id: str, state: str, reason: str | None, at: int) -> Hold:
    if not principal.is_owner:
        raise Forbidden("only the owner decides on held mail", reason="owner_only")
    hold = await holds.get(tx, principal.organization_id, hold_id)
    if hold is None:
        raise NotFound("there is no such held message")
    if not await holds.decide(tx, hold.id, state, "owner", reason, at):
        raise Conflict(f"it was {hold.state} already", reason="decided")
    submission = await submissions.get(tx, hold.submission_id)
    account = await accounts.get(tx, hold.account_id)
    if submission is None or account is None:
        raise NotFound("the held message is gone")
    deliveries = await submissions.deliveries(tx, submission.id)
    if not same(hold.digest, held_digest(submission, deliveries)):
        raise Forbidden("the stored message is not the one that was held", reason="tampered")
    approved = state == "approved"
    async with changing(tx, account.id, at) as journal:
        message = await messages.get(tx, account.id, submission.message_id)
        if message is None:
            raise NotFound("the held message is gone")
        await submissions.release(tx, submission.id, "queued" if approved else "canceled", at if approved else None, at)
        await submissions.set_state(
            tx, submission.id, "queued" if approved else "rejected", expires_at=at + EXPIRES_MS if approved else None
        )
        message = await filing.set_keywords(tx, journal, message, set(message.keywords) - {filing.HELD})
        await filing.set_delivery_state(tx, journal, message.id, "queued" if approved else "rejected")
        if approved:
            await filing.move_to_role(tx, journal, message, SENT)
        journal.updated(SUBMISSION, submission.id)
        await outbox.publish(
            tx,
            account,
            outbox.MESSAGE_SENT if approved else outbox.MESSAGE_REJECTED,
            modseq=journal.modseq,
            at=at,
            message_id=message.id,
            payload={
                "thread_id": message.thread_id,
                "submission_id": submission.id,
                "recipients": [delivery.recipient for delivery in deliveries],
                "reason": reason or ("" if approved else "rejected by the owner"),
            },
        )
        if approved:
            tx.wake(WAKE)
    decided = await holds.get(tx, principal.organization_id, hold_id)
    assert decided is not None
    return decided
