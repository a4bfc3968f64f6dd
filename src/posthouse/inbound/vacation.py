"""Answering for somebody who is away (RFC 3834, RFC 8621 §8).

Whether a mail is answered is decided, and noted, in the unit that files it; the answer itself is sent by a job,
through the one send path, with the rights of whoever wrote it (`outbound/automatic.py`).
"""

from __future__ import annotations

import re

from posthouse.accounts import identities
from posthouse.kit.clock import DAY, HOUR, Clock
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import filing
from posthouse.mail.mailboxes import JUNK
from posthouse.outbound import answers, automatic
from posthouse.outbound.bounces import untagged
from posthouse.outbound.request import Composition
from posthouse.outbound.submission import Submitter
from posthouse.store import accounts, jobs, messages, vacations
from posthouse.store.accounts import Account
from posthouse.store.database import Database, Tx
from posthouse.store.jobs import Job
from posthouse.store.messages import Message
from posthouse.store.vacations import Vacation
from posthouse.wire.address import Address, clean, normalize, split
from posthouse.wire.compose import Outgoing
from posthouse.wire.message import ParsedMessage

JOB = "vacation"
# RFC 5230 §4.1: seven days between answers to the same sender, where nothing else is said.
INTERVAL_MS = 7 * DAY
# Answers of one account an hour, and those to one domain among them.
MAX_AN_HOUR = 30
MAX_A_DOMAIN = 10
# Mail that is kept out of sight is not answered: the answer would tell its sender that it arrived.
_NEVER = frozenset({filing.BLOCKED, filing.UNAUTHENTICATED, "$junk"})
# RFC 3834 §2, RFC 5230 §4.6: lists and programs, recognised by their addresses.
_ROBOTS = re.compile(
    r"^(?:owner-.*|.*-(?:request|owner|relay|bounces?|admin)|mailer-daemon|postmaster|listserv|majordomo|"
    r"no-?reply|do-?not-?reply|root|daemon|bounces?)(?:[+=].*)?$"
)


async def consider(tx: Tx, account: Account, message: Message, parsed: ParsedMessage, mail_from: str, at: int) -> None:
    """Ask for an answer to a mail that has just been filed, if it is to have one."""
    vacation = await vacations.get(tx, account.id)
    if not is_away(vacation, at):
        return
    sender = untagged(mail_from)
    if _NEVER & set(message.keywords) or JUNK in message.roles or not may_answer(parsed, sender):
        return
    people = (*parsed.to, *parsed.cc, *parsed.bcc)
    if await identities.own_among(tx, account.id, [sender]):
        return
    # RFC 5230 §4.5: one to us by name.
    if not await identities.own_among(tx, account.id, [person.email for person in people]):
        return
    if not await _has_room(tx, account.id, sender, at):
        return
    if await vacations.claim_answer(tx, account.id, normalize(sender), at - INTERVAL_MS, at):
        await jobs.add(
            tx,
            JOB,
            account_id=account.id,
            payload={"message_id": message.id, "to": sender},
            due_at=at,
            at=at,
        )


async def _has_room(tx: Tx, account_id: str, sender: str, at: int) -> bool:
    """Whether the account may answer one more sender this hour, and one more of the sender's domain.

    Whoever forges senders by the hundred makes us write to hundreds who never wrote (RFC 3834 §6).
    """
    recent = await vacations.answered_since(tx, account_id, at - HOUR, MAX_AN_HOUR)
    domain = split(normalize(sender))[1]
    same = sum(split(address)[1] == domain for address in recent)
    return len(recent) < MAX_AN_HOUR and same < MAX_A_DOMAIN


def is_away(vacation: Vacation, at: int) -> bool:
    """Whether the response is enabled and its time is now."""
    return (
        vacation.is_enabled
        and (vacation.from_at is None or vacation.from_at <= at)
        and (vacation.to_at is None or at < vacation.to_at)
    )


def may_answer(parsed: ParsedMessage, sender: str) -> bool:
    """Whether a mail may be answered by a machine: not one from a machine, a list or nobody.

    Source: RFC 3834 §2, RFC 5230 §4.6.
    """
    return bool(sender) and not parsed.is_auto_submitted and not _ROBOTS.match(split(normalize(sender))[0])


class VacationResponder:
    """Sends the answers that were asked for."""

    def __init__(self, db: Database, submitter: Submitter, clock: Clock) -> None:
        self._db = db
        self._submitter = submitter
        self._clock = clock

    async def answer(self, job: Job) -> None:
        """Do one job of `JOB`."""
        await self._answer(str(job.account_id), job.payload["message_id"], job.payload["to"])

    async def _answer(self, account_id: str, message_id: str, to: str) -> None:
        async def look(tx: Tx) -> tuple[Account, Message, Vacation, Principal]:
            account = await accounts.get(tx, account_id)
            message = await messages.get(tx, account_id, message_id)
            if account is None or message is None:
                raise NotFound("the mail to answer is gone")
            vacation = await vacations.get(tx, account_id)
            return account, message, vacation, await automatic.speaker(tx, account, vacation, self._clock())

        account, message, vacation, principal = await self._db.read(look)
        if not is_away(vacation, self._clock()):
            return
        subject = vacation.subject or (f"Auto: {message.subject}" if message.subject else "Automatic reply")
        in_reply_to, references = answers.ancestry(message)
        # RFC 3834 §2: mail with Auto-Submitted is never answered; §3.1.7: this answer has that field.
        outgoing = Outgoing(
            from_=Address(account.main_address, account.display_name or ""),
            to=(Address(to),),
            subject=clean(subject),
            text=vacation.text_body if vacation.text_body or vacation.html_body else "I am away at the moment.",
            html=vacation.html_body,
            in_reply_to=in_reply_to,
            references=references,
            headers=(("Auto-Submitted", "auto-replied"), ("Precedence", "bulk")),
        )
        await self._submitter.submit(
            principal, account.id, Composition(outgoing, thread_id=message.thread_id, is_automatic=True)
        )
