"""What comes back: delivery reports and complaints settle the delivery they speak of.

A report is believed only for a delivery we really made: it names the submission (by the token in the address
it came to, by ENVID, or by the Message-ID of the returned mail) and a recipient that submission had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.events import outbox
from posthouse.kit.errors import Malformed
from posthouse.mail import filing
from posthouse.mail.journal import SUBMISSION, Journal
from posthouse.outbound import suppressions
from posthouse.store import submissions
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire.address import normalize, split
from posthouse.wire.dsn import Dsn, parse_dsn
from posthouse.wire.feedback import FeedbackReport, parse_feedback
from posthouse.wire.message import ParsedMessage

# The tag of a reverse-path: `name+b-<submission id>@domain`.
_TAG = "b-"


def return_path(address: str, submission_id: str) -> str:
    """The reverse-path of a submission: the sender's address with a token that recognises what comes back.

    An address too long for the token (RFC 5321 §4.5.3.1.1: 64 octets) is used as it is.
    """
    local, domain = split(address)
    tagged = f"{local}+{_TAG}{submission_id}"
    return f"{tagged}@{domain}" if "+" not in local and len(tagged.encode()) <= 64 else address


def submission_of(recipients: Sequence[str]) -> str | None:
    """The submission an envelope recipient's token names."""
    for address in recipients:
        tag = split(address)[0].partition("+")[2] if "@" in address else ""
        if tag.startswith(_TAG):
            return tag.removeprefix(_TAG)
    return None


@dataclass(frozen=True, slots=True)
class Report:
    """A report and the submission the envelope says it is about."""

    content: Dsn | FeedbackReport
    submission_id: str | None


def read_report(raw: bytes, parsed: ParsedMessage, mail_from: str, recipients: Sequence[str]) -> Report | None:
    """A delivery or feedback report, if the mail is one; never raises."""
    if parsed.structure.content_type != "multipart/report":
        return None
    kinds = {part.content_type for part in parsed.structure.parts}
    try:
        if kinds & {"message/delivery-status", "message/global-delivery-status"}:
            return Report(parse_dsn(raw), submission_of(recipients))
        if "message/feedback-report" in kinds:
            return Report(parse_feedback(raw), submission_of(recipients))
    except Malformed:
        return None
    return None


async def is_about_ours(tx: Tx, account: Account, report: Report) -> bool:
    """Whether a report speaks of something this account really sent."""
    return await _submission(tx, account, report) is not None


async def settle(tx: Tx, journal: Journal, account: Account, report: Report) -> str | None:
    """Apply a report that came to this account, in the unit that files it; the submission it speaks of."""
    submission = await _submission(tx, account, report)
    if submission is None:
        return None
    deliveries = {
        normalize(delivery.recipient): delivery for delivery in await submissions.deliveries(tx, submission.id)
    }
    if isinstance(report.content, FeedbackReport):
        await _complaint(tx, journal, account, submission, report.content, deliveries)
    else:
        await _bounce(tx, journal, account, submission, report.content, deliveries)
    return submission.id


async def _submission(tx: Tx, account: Account, report: Report) -> StoredSubmission | None:
    found = None
    if report.submission_id:
        found = await submissions.get(tx, report.submission_id)
    original = report.content.original_message_id
    if found is None and original:
        found = await submissions.by_header_message_id(tx, account.id, original)
    return found if found is not None and found.account_id == account.id else None


async def _bounce(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    dsn: Dsn,
    deliveries: dict[str, Delivery],
) -> None:
    bounced = []
    for reported in dsn.recipients:
        delivery = deliveries.get(normalize(reported.original_recipient or reported.final_recipient)) or (
            deliveries.get(normalize(reported.final_recipient))
        )
        if delivery is None or delivery.state in ("bounced", "suppressed", "held", "canceled"):
            continue
        if reported.action != "failed":
            continue  # delayed, relayed, expanded: the journey goes on elsewhere
        await submissions.settle(
            tx,
            delivery.id,
            state="bounced",
            due_at=None,
            status=reported.status,
            diagnostic=reported.diagnostic or "reported as failed",
            remote_mta=reported.remote_mta or dsn.reporting_mta or None,
            delay_noticed=delivery.delay_noticed,
            at=journal.at,
        )
        await suppressions.after_failure(
            tx, account.id, delivery.recipient, reported.status, reported.diagnostic, journal.at
        )
        bounced.append({"address": delivery.recipient, "status": reported.status})
    if bounced:
        await note_outcome(tx, journal, account, submission, outbox.MESSAGE_BOUNCED, {"recipients": bounced})


async def _complaint(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    feedback: FeedbackReport,
    deliveries: dict[str, Delivery],
) -> None:
    named = [normalize(address) for address in (*feedback.original_recipients, *feedback.original_to)]
    concerned = [delivery for key, delivery in deliveries.items() if key in named]
    if not named and len(deliveries) == 1:
        concerned = list(deliveries.values())  # many reporters redact the address (RFC 6590)
    if feedback.feedback_type not in ("abuse", "fraud", "opt-out", "virus", "other") or not concerned:
        return
    for delivery in concerned:
        await submissions.settle(
            tx,
            delivery.id,
            state="complained",
            due_at=None,
            status=delivery.status,
            diagnostic=f"complaint: {feedback.feedback_type}",
            remote_mta=delivery.remote_mta,
            delay_noticed=delivery.delay_noticed,
            at=journal.at,
        )
        await suppressions.after_complaint(tx, account.id, delivery.recipient, feedback.feedback_type, journal.at)
    await note_outcome(
        tx,
        journal,
        account,
        submission,
        outbox.MESSAGE_COMPLAINED,
        {"recipients": [delivery.recipient for delivery in concerned], "type": feedback.feedback_type},
    )


# What deliveries amount to: the first of these states that one of them is in.
_SUMMARY = ("complained", "bounced", "failed", "suppressed", "deferred", "queued", "held", "delivered")


async def note_outcome(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    event_type: str,
    facts: dict[str, object],
) -> None:
    """Bring the sent message's state up to date and tell what happened to its deliveries."""
    states = {delivery.state for delivery in await submissions.deliveries(tx, submission.id)}
    summary = next((state for state in _SUMMARY if state in states), "queued")
    await filing.set_delivery_state(tx, journal, submission.message_id, summary)
    if not states & {"queued", "deferred", "held"}:
        await submissions.set_state(tx, submission.id, "done")
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
