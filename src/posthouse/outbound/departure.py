"""Mail that was kept back, when its time has come: what was planned is asked about again, what was held is decided.

What is to be sent later carries the level of the key it was handed in with, and leaves only if it might be handed
in now: the key is alive, the account may send, no list keeps a recipient out. A plan ends with its key.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.accounts import keys as key_rules
from posthouse.events import outbox
from posthouse.kit import log
from posthouse.kit.clock import DAY, HOUR
from posthouse.kit.errors import Forbidden, OverQuota, Unauthenticated
from posthouse.mail import filing
from posthouse.mail.journal import Journal, changing
from posthouse.mail.mailboxes import DRAFTS, SENT
from posthouse.outbound import guard, holding, policy, taking_on
from posthouse.outbound.guard import Findings
from posthouse.outbound.telling import tell
from posthouse.store import accounts, mailboxes, messages, submissions
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.submissions import Delivery, StoredSubmission

_log = log.get("departure")

# Deferred deliveries are given up after this (RFC 5321 §4.5.4.1: at least four to five days).
EXPIRES_MS = 5 * DAY
# Where the owner's list is full, the question is put again after this.
_ASK_AGAIN_MS = HOUR


async def ask(tx: Tx, submission_id: str, at: int) -> bool:
    """Whether a submission whose time has come may be carried now. What may not is held, or refused for good."""
    submission = await submissions.get(tx, submission_id)
    account = await accounts.get(tx, submission.account_id) if submission is not None else None
    if submission is None or account is None:
        return False
    async with changing(tx, account.id, at) as journal:
        submission = await submissions.get(tx, submission_id)
        if submission is None or submission.state != "scheduled":
            return submission is not None and submission.state == "queued"  # somebody else has asked
        deliveries = await submissions.deliveries(tx, submission.id)
        try:
            why_held = await _why_held(tx, account, submission, deliveries, at)
            if why_held is not None:
                await holding.hold(tx, submission, deliveries, why_held, at)
        except OverQuota:
            await submissions.put_off(tx, submission.id, at + _ASK_AGAIN_MS, at)
            return False
        except (Forbidden, Unauthenticated) as error:
            _log.warning("planned mail does not leave", submission_id=submission.id, reason=error.reason or error.code)
            await refuse(tx, journal, account, submission, deliveries, error.message)
            return False
        if why_held is not None:
            await _keep(tx, journal, account, submission, deliveries)
            return False
        await leave(tx, journal, account, submission, deliveries)
        return True


async def _why_held(
    tx: Tx, account: Account, submission: StoredSubmission, deliveries: Sequence[Delivery], at: int
) -> Findings | None:
    principal = await key_rules.bearer_later(
        tx, account.organization_id, submission.key_id, surface=submission.surface, level=submission.level, at=at
    )
    level = await policy.level_of(tx, account, principal)
    if level == "read_only":
        raise Forbidden("this account may read and not send", reason="read_only")
    recipients = [delivery.recipient for delivery in deliveries if delivery.state == "queued"]
    await policy.check(tx, account, principal, recipients, at, ladder=())  # these were counted when it came in
    return guard.why_held(level, submission.findings)


async def _keep(
    tx: Tx, journal: Journal, account: Account, submission: StoredSubmission, deliveries: Sequence[Delivery]
) -> None:
    await submissions.stop(tx, submission.id, "held", journal.at)
    await submissions.set_state(tx, submission.id, "held")
    message = await messages.get(tx, account.id, submission.message_id)
    if message is not None:
        await filing.set_delivery_state(tx, journal, message.id, "held")
        await filing.set_keywords(tx, journal, message, {*message.keywords, filing.HELD})
    await _note(tx, journal, account, submission, deliveries, outbox.MESSAGE_HELD)


async def leave(
    tx: Tx, journal: Journal, account: Account, submission: StoredSubmission, deliveries: Sequence[Delivery]
) -> None:
    """Write down that kept mail goes: it lies in Sent now, and its sending is told. Deliveries are the caller's."""
    await taking_on.remember_recipients(tx, account.id, deliveries, journal.at)
    await submissions.set_state(tx, submission.id, "queued")
    message = await messages.get(tx, account.id, submission.message_id)
    if message is not None:
        message = await filing.set_keywords(tx, journal, message, set(message.keywords) - {filing.HELD})
        await filing.set_delivery_state(tx, journal, message.id, "queued")
        roles = {mailbox.role: mailbox.id for mailbox in await mailboxes.all_of(tx, account.id)}
        here = {place.mailbox_id for place in (await mailboxes.places(tx, account.id, [message.id]))[message.id]}
        if roles[DRAFTS] in here:  # what the caller put elsewhere stays there
            await filing.move(tx, journal, message, (here - {roles[DRAFTS]}) | {roles[SENT]})
    await _note(tx, journal, account, submission, deliveries, outbox.MESSAGE_SENT)


async def refuse(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    deliveries: Sequence[Delivery],
    reason: str,
) -> None:
    """Write down that kept mail never goes: it lies in Drafts, whatever its sender did with it meanwhile."""
    await submissions.release(tx, submission.id, "canceled", None, journal.at)
    await submissions.stop(tx, submission.id, "canceled", journal.at)
    await submissions.set_state(tx, submission.id, "rejected")
    message = await messages.get(tx, account.id, submission.message_id)
    if message is not None:
        message = await filing.set_keywords(tx, journal, message, set(message.keywords) - {filing.HELD})
        await filing.set_delivery_state(tx, journal, message.id, "rejected")
        await filing.move_to_role(tx, journal, message, DRAFTS)
    await _note(tx, journal, account, submission, deliveries, outbox.MESSAGE_REJECTED, reason)


async def _note(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    deliveries: Sequence[Delivery],
    event_type: str,
    reason: str = "",
) -> None:
    recipients = [delivery.recipient for delivery in deliveries]
    await tell(tx, journal, account, submission, event_type, {"recipients": recipients, "reason": reason})
