"""Taking back what was handed over to be sent, while nobody has begun to carry it."""

from __future__ import annotations

from posthouse.kit.errors import Conflict
from posthouse.kit.principal import Principal, tighter
from posthouse.mail import drafts as draft_rules
from posthouse.mail import filing
from posthouse.mail.journal import SUBMISSION, Journal
from posthouse.mail.mailboxes import DRAFTS, SENT
from posthouse.outbound import submitted
from posthouse.store import drafts, holds, mailboxes, messages, submissions
from posthouse.store.database import Tx
from posthouse.store.messages import Message
from posthouse.store.submissions import Detail, StoredSubmission


def may_be_taken_back(detail: Detail, at: int) -> bool:
    """Whether a submission waits: for the owner, or for its time, and nobody has begun to carry it."""
    submission = detail.submission
    if submission.state == "held":
        return True
    is_later = detail.request is not None and detail.request.send_at > at
    is_begun = any(delivery.attempts or delivery.leased for delivery in detail.deliveries)
    return (submission.state == "scheduled" or (submission.state == "queued" and is_later)) and not is_begun


async def take_back(tx: Tx, journal: Journal, principal: Principal, submission_id: str) -> None:
    """Take a submission back: what it was of is a draft again, at every door.

    Raises:
        NotFound: the account has no such submission.
        Conflict: it is on its way already (reason `too_late`).
    """
    detail = await submitted.find(tx, journal.account_id, submission_id)
    if not may_be_taken_back(detail, journal.at) or not await submissions.cancel(tx, submission_id, journal.at):
        raise Conflict("it is on its way already", reason="too_late")
    await holds.withdraw(tx, submission_id, journal.at)
    message = await messages.get(tx, journal.account_id, detail.submission.message_id)
    if message is not None:
        await _become_draft(tx, journal, principal, message, detail.submission)
    journal.updated(SUBMISSION, submission_id)


async def _become_draft(
    tx: Tx, journal: Journal, principal: Principal, message: Message, submission: StoredSubmission
) -> None:
    """What waited for the owner still does when it is sent again, whoever takes it back and sends it."""
    await filing.set_delivery_state(tx, journal, message.id, "canceled")
    await messages.set_direction(tx, message.id, "draft")
    message = await filing.set_keywords(tx, journal, message, (set(message.keywords) - {filing.HELD}) | {filing.DRAFT})
    roles = {mailbox.role: mailbox.id for mailbox in await mailboxes.all_of(tx, message.account_id)}
    here = {place.mailbox_id for place in (await mailboxes.places(tx, message.account_id, [message.id]))[message.id]}
    await filing.move(tx, journal, message, (here - {roles[SENT]}) | {roles[DRAFTS]})
    await drafts.delete_of_message(tx, message.account_id, message.id)
    level = tighter(principal.level, submission.level, "gated" if submission.state == "held" else None)
    await draft_rules.note(tx, journal, message, level)
