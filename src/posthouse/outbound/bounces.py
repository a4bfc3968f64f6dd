"""What comes back: delivery reports and complaints settle the delivery they speak of.

Every recipient outside is written to with a reverse-path of its own, `name+b-<token>@domain`, which nobody else is
told. A report is believed for the recipient whose token it comes to, or holds, and for no other: whoever got one
copy of a mail cannot speak for those who got another. What has no token is kept as mail, and suppresses nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posthouse.events import outbox
from posthouse.kit.errors import Malformed
from posthouse.mail import filing
from posthouse.mail.journal import Journal
from posthouse.outbound import suppressions
from posthouse.outbound.telling import tell
from posthouse.store import submissions
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire import bounce_text
from posthouse.wire.address import normalize, split
from posthouse.wire.dsn import Dsn, DsnRecipient, parse_dsn
from posthouse.wire.feedback import FeedbackReport, parse_feedback
from posthouse.wire.message import ParsedMessage

# The tag of a reverse-path: `name+b-<token>@domain`.
_TAG = "+b-"
_TOKEN = re.compile(r"\+b-([0-9a-f]{16})@", re.IGNORECASE)
# A report names the mail it is about near its beginning; further down nobody looks for tokens.
_MAX_TOKENS = 5
# RFC 5965 §3.1, RFC 6650 §4.4: what says that the recipient wants no more. `not-spam` says the contrary.
_COMPLAINTS = frozenset({"abuse", "fraud", "opt-out", "virus", "other"})


def return_path(address: str, token: str | None) -> str:
    """The reverse-path of one recipient: the sender's address with the token that recognises what comes back.

    An address too long for the token (RFC 5321 §4.5.3.1.1: 64 octets) is used as it is.
    """
    local, domain = split(address)
    tagged = f"{local}{_TAG}{token}"
    return f"{tagged}@{domain}" if address and token and len(tagged.encode()) <= 64 else address


def untagged(mail_from: str) -> str:
    """The reverse-path without a token of ours."""
    local, domain = split(mail_from)
    return f"{local.partition(_TAG)[0]}@{domain}" if domain else ""


@dataclass(frozen=True, slots=True)
class Report:
    """A report, and the tokens that were known to whoever made it."""

    content: Dsn | FeedbackReport
    tokens: tuple[str, ...]


def read_report(raw: bytes, parsed: ParsedMessage, mail_from: str, recipients: Sequence[str]) -> Report | None:
    """A delivery or feedback report, if the mail is one; never raises.

    A bounce in prose is read as one only where it comes to an address with a token.
    """
    came_to = _tokens(" ".join(recipients))
    content: Dsn | FeedbackReport | None = None
    if parsed.structure.content_type == "multipart/report":
        kinds = {part.content_type for part in parsed.structure.parts}
        try:
            if kinds & {"message/delivery-status", "message/global-delivery-status"}:
                content = parse_dsn(raw)
            elif "message/feedback-report" in kinds:
                content = parse_feedback(raw)
        except Malformed:
            content = None
    if content is None:
        content = bounce_text.read(raw, parsed, mail_from) if came_to else None
        return Report(content, came_to) if content is not None else None
    known = content.original_mail_from if isinstance(content, FeedbackReport) else content.original_envelope_id
    held = _tokens(f"{known} {content.returned.decode('latin-1')}")
    return Report(content, tuple(dict.fromkeys((*came_to, *held)))[:_MAX_TOKENS])


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token.lower() for token in _TOKEN.findall(text)))[:_MAX_TOKENS]


async def is_about_ours(tx: Tx, account: Account, report: Report) -> bool:
    """Whether a report speaks of something this account really sent."""
    return await _concerned(tx, account, report) is not None


async def settle(tx: Tx, journal: Journal, account: Account, report: Report) -> str | None:
    """Apply a report that came to this account, in the unit that files it; the submission it speaks of."""
    concerned = await _concerned(tx, account, report)
    if concerned is None:
        return None
    submission, delivery, is_proved = concerned
    if delivery is not None and isinstance(report.content, Dsn):
        await _bounce(tx, journal, account, submission, report.content, delivery, suppresses=is_proved)
    elif delivery is not None and isinstance(report.content, FeedbackReport) and is_proved:
        await _complaint(tx, journal, account, submission, report.content, delivery)
    return submission.id


async def _concerned(tx: Tx, account: Account, report: Report) -> tuple[StoredSubmission, Delivery | None, bool] | None:
    """The submission a report is about, the one delivery it may settle, and whether a token proves it.

    Without a token the Message-ID of the returned mail tells which submission it is; everybody who got that mail
    knows it. It settles a delivery only where there was one alone, and no room for a token in its reverse-path.
    """
    found = await submissions.by_tokens(tx, account.id, report.tokens) if report.tokens else []
    if found:
        submission = await submissions.get(tx, found[0].submission_id)
        return None if submission is None else (submission, found[0], True)
    original = report.content.original_message_id
    if not original:
        return None
    submission = await submissions.by_header_message_id(tx, account.id, original)
    if submission is None:
        return None
    deliveries = await submissions.deliveries(tx, submission.id)
    is_bare = return_path(submission.mail_from, "0" * 16) == submission.mail_from
    return submission, deliveries[0] if is_bare and len(deliveries) == 1 else None, False


def _spoken_of(dsn: Dsn, delivery: Delivery) -> DsnRecipient:
    """What a report that came to a delivery's own address says of it.

    Where the mail was passed on, the address it failed for is another one than we know (RFC 3464 §2.3.2).
    """
    key = normalize(delivery.recipient)
    for reported in dsn.recipients:
        if key in (normalize(reported.original_recipient), normalize(reported.final_recipient)):
            return reported
    return next((one for one in dsn.recipients if one.action == "failed"), dsn.recipients[0])


async def _bounce(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    dsn: Dsn,
    delivery: Delivery,
    *,
    suppresses: bool,
) -> None:
    reported = _spoken_of(dsn, delivery)
    if delivery.state in ("bounced", "suppressed", "held", "canceled"):
        return
    if reported.action != "failed":
        return  # delayed, relayed, expanded: the journey goes on elsewhere
    heard = reported.diagnostic or "reported as failed"
    remote_mta = reported.remote_mta or dsn.reporting_mta or None
    await _end(tx, delivery, "bounced", reported.status, heard, remote_mta, journal.at)
    if suppresses:
        await suppressions.after_failure(
            tx, account.id, delivery.recipient, reported.status, reported.diagnostic, journal.at
        )
    facts = {"recipients": [{"address": delivery.recipient, "status": reported.status}]}
    await note_outcome(tx, journal, account, submission, outbox.MESSAGE_BOUNCED, facts)


async def _complaint(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    feedback: FeedbackReport,
    delivery: Delivery,
) -> None:
    if feedback.feedback_type not in _COMPLAINTS:
        return
    heard = f"complaint: {feedback.feedback_type}"
    await _end(tx, delivery, "complained", delivery.status, heard, delivery.remote_mta, journal.at)
    await suppressions.after_complaint(tx, account.id, delivery.recipient, feedback.feedback_type, journal.at)
    facts = {"recipients": [delivery.recipient], "type": feedback.feedback_type}
    await note_outcome(tx, journal, account, submission, outbox.MESSAGE_COMPLAINED, facts)


async def _end(
    tx: Tx, delivery: Delivery, state: str, status: str | None, diagnostic: str, remote_mta: str | None, at: int
) -> None:
    """Write down what became of a delivery in the end: there is no further attempt."""
    await submissions.settle(
        tx,
        delivery.id,
        state=state,
        due_at=None,
        status=status,
        diagnostic=diagnostic,
        remote_mta=remote_mta,
        delay_noticed=delivery.delay_noticed,
        at=at,
    )


# What deliveries amount to: the first of these states that one of them is in.
_SUMMARY = ("complained", "bounced", "failed", "suppressed", "deferred", "queued", "held", "delivered")


async def note_outcome(
    tx: Tx,
    journal: Journal,
    account: Account,
    submission: StoredSubmission,
    event_type: str,
    facts: Mapping[str, object],
) -> None:
    """Bring the sent message's state up to date and tell what happened to its deliveries."""
    states = {delivery.state for delivery in await submissions.deliveries(tx, submission.id)}
    summary = next((state for state in _SUMMARY if state in states), "queued")
    await filing.set_delivery_state(tx, journal, submission.message_id, summary)
    if not states & {"queued", "deferred", "held"}:
        await submissions.set_state(tx, submission.id, "done")
    await tell(tx, journal, account, submission, event_type, facts)
