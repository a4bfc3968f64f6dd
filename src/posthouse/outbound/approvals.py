"""The owner's decisions on what is held. Only the owner decides, and never by a mere GET of anything."""

from __future__ import annotations

from posthouse.kit.clock import Clock
from posthouse.kit.errors import Conflict, Forbidden, NotFound
from posthouse.kit.ids import same
from posthouse.kit.principal import Principal
from posthouse.mail.journal import changing
from posthouse.outbound import holding
from posthouse.outbound.departure import EXPIRES_MS, leave, refuse
from posthouse.outbound.submission import WAKE
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
    if not same(hold.digest, holding.held_digest(submission, deliveries)):
        raise Forbidden("the stored message is not the one that was held", reason="tampered")
    async with changing(tx, account.id, at) as journal:
        if await messages.get(tx, account.id, submission.message_id) is None:
            raise NotFound("the held message is gone")
        if state == "rejected":
            await refuse(tx, journal, account, submission, deliveries, reason or "rejected by the owner")
        else:
            asked = await submissions.request_of(tx, submission.id)
            due_at = at if asked is None else max(at, asked.send_at)  # planned for later, it still is
            await submissions.release(tx, submission.id, "queued", due_at, at)
            await leave(tx, journal, account, submission, deliveries)
            await submissions.set_state(tx, submission.id, "queued", expires_at=due_at + EXPIRES_MS)
            tx.wake(WAKE)
    decided = await holds.get(tx, principal.organization_id, hold_id)
    assert decided is not None
    return decided
