"""Asking the owner about held mail by mail, and taking the answer.

The question shows all that would leave. An answer counts when three things are true together: it refers to the
question, whose Message-ID holds a secret of this hold alone; it is shown to be from the owner's address (DMARC); and
its first line, as a whole, is one of a few phrases. "Ok, but …" is no approval: it is answered with what would count.
A hold nobody answers is rejected in the end, never approved.

The house sends the question and keeps no copy of it, so that nobody who reads mail here finds the secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from posthouse.kit import log
from posthouse.kit.clock import Clock, iso
from posthouse.kit.errors import Conflict, Forbidden, NotFound
from posthouse.kit.ids import new_secret
from posthouse.kit.principal import Principal
from posthouse.mail import filing
from posthouse.mail.journal import changing
from posthouse.outbound import approvals
from posthouse.outbound.approvals import Shown
from posthouse.outbound.request import Also, Composition, Submitted
from posthouse.outbound.submission import Submitter
from posthouse.store import accounts, holds, jobs, keys, messages
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.holds import Hold
from posthouse.store.jobs import Job
from posthouse.wire.address import Address, clean, normalize
from posthouse.wire.compose import Outgoing
from posthouse.wire.message import ParsedMessage

_log = log.get("asking")

ANSWER_JOB = "hold-answer"

Answer = Literal["approve", "reject"]
_PHRASES: dict[str, Answer] = {
    **dict.fromkeys(("approve", "approved", "yes", "lgtm", "go ahead", "send", "send it", "ok", "okay"), "approve"),
    **dict.fromkeys(
        ("reject", "rejected", "no", "deny", "denied", "don't send", "do not send", "cancel", "block", "blocked"),
        "reject",
    ),
}  # fmt: skip
_WHAT_COUNTS = (
    "Answer with one line that says nothing but approve, yes, lgtm, go ahead, send or ok to send it,\n"
    "or reject, no, deny, don't send, cancel or block to discard it."
)
# A body longer than this is shown by the command.
_SHOWN_CHARS = 20_000
_CITED_CHARS = 200


@dataclass(frozen=True, slots=True)
class OwnerMail:
    """How the owner is reached.

    Attributes:
        owner: the owner's address; "" asks nobody.
        operator: the account the house writes from; answers come to it.
        leaves: mail leaves this machine. Otherwise a question would only come back.
    """

    owner: str
    operator: str
    leaves: bool

    @property
    def is_asked(self) -> bool:
        """Whether questions are mailed."""
        return bool(self.owner) and self.leaves


def answer_in(parsed: ParsedMessage) -> tuple[Answer | None, str]:
    """What an answer says, and its first line that is not quoted. None: it does not say it plainly."""
    lines = (line.strip() for line in parsed.plain.split("\n"))
    first = next((line for line in lines if line and not line.startswith(">")), "")
    phrase = first.replace("\u2019", "'").casefold().rstrip(" .!,;:")
    return _PHRASES.get(phrase), first


async def consider(
    tx: Tx, owner_mail: OwnerMail, account: Account, parsed: ParsedMessage, *, dmarc: str | None, at: int
) -> None:
    """Whether a mail that has just been filed answers a question; if so, the rest is a job.

    Args:
        dmarc: its result for this mail; None where nobody was asked.
    """
    if not owner_mail.is_asked or account.main_address != owner_mail.operator or parsed.is_auto_submitted:
        return
    if dmarc != "pass" or [normalize(each.email) for each in parsed.from_] != [normalize(owner_mail.owner)]:
        return
    hold = await holds.by_asked_id(tx, [*parsed.in_reply_to, *parsed.references])
    if hold is None:
        return
    answer, said = answer_in(parsed)
    payload = {
        "hold_id": hold.id, "organization_id": hold.organization_id, "answer": answer, "said": said[:_CITED_CHARS],
        "message_id": parsed.message_id,
    }  # fmt: skip
    await jobs.add(tx, ANSWER_JOB, payload=payload, account_id=account.id, due_at=at, at=at)


class Asker:
    """Mails questions, takes answers, ends what nobody answered."""

    def __init__(self, db: Database, blobs: Blobs, submitter: Submitter, clock: Clock, owner_mail: OwnerMail) -> None:
        self._db = db
        self._blobs = blobs
        self._submitter = submitter
        self._clock = clock
        self.owner_mail = owner_mail

    async def ask(self, job: Job) -> None:
        """Put one hold before the owner."""
        hold = await self._pending(job)
        if hold is None or hold.asked_id is not None or not self.owner_mail.is_asked:
            return
        shown = await approvals.shown(self._db, self._blobs, hold)
        domain = self.owner_mail.operator.partition("@")[2]
        token = new_secret("", 24)
        asked_id = f"hold.{hold.id}.{token}@{domain}"
        name = ", ".join(shown.from_) or shown.inbox
        outgoing = Outgoing(
            Address(self.owner_mail.operator, "Posthouse"),
            to=(Address(self.owner_mail.owner),),
            subject=clean(f'[Approval Required] Blocked email from "{name}" — "{shown.subject}" [{token[:8]}]'),
            text=_question(hold, shown),
            headers=(("Auto-Submitted", "auto-generated"),),  # RFC 3834 §5
            message_id=asked_id,
        )
        hold_id = hold.id

        async def also(tx: Tx, sent: Submitted) -> None:
            await holds.set_asked(tx, hold_id, asked_id)
            await self._forget(tx, sent)

        await self._mail(outgoing, also)

    async def take(self, job: Job) -> None:
        """Do what an answer says, and tell the owner what became of it."""
        hold = await self._pending(job)
        answer, said = job.payload["answer"], str(job.payload["said"])
        if hold is None:
            outcome = "This mail has been decided on already, or its sender took it back. Nothing was done."
        elif await self._db.read(self._is_read_by_agents):
            outcome = (
                "Answers by mail are not taken: your address is an inbox of this house, and a key that is not yours "
                f"opens it. Decide with: posthouse approve {hold.id}, or posthouse reject {hold.id}"
            )
        elif answer is None:
            outcome = f'"{said}" does not plainly say what to do, so the mail waits on.\n{_WHAT_COUNTS}'
        else:
            outcome = await self._decide(hold, answer)
        await self._mail(
            Outgoing(
                Address(self.owner_mail.operator, "Posthouse"),
                to=(Address(self.owner_mail.owner),),
                subject="Re: your answer on held mail",
                text=outcome + "\n",
                in_reply_to=job.payload["message_id"],
                references=tuple(filter(None, (job.payload["message_id"],))),
                headers=(("Auto-Submitted", "auto-replied"),),
            )
        )

    async def expire(self, job: Job) -> None:
        """Nobody has answered in time: that is a no."""
        hold = await self._pending(job)
        if hold is not None:
            owner = Principal(hold.organization_id, is_owner=True)
            await approvals.reject(self._db, owner, hold.id, "nobody decided in time", self._clock, by="expiry")

    async def _decide(self, hold: Hold, answer: Answer) -> str:
        owner = Principal(hold.organization_id, is_owner=True)
        try:
            if answer == "approve":
                await approvals.approve(self._db, self._blobs, owner, hold.id, self._clock, by="owner-reply")
                return "Approved: exactly what you were shown has been sent."
            await approvals.reject(self._db, owner, hold.id, "rejected by the owner", self._clock, by="owner-reply")
            return "Rejected: it will not be sent."
        except (Conflict, Forbidden, NotFound) as error:
            return f"Nothing was done: {error.message}."

    async def _pending(self, job: Job) -> Hold | None:
        organization_id, hold_id = str(job.payload["organization_id"]), str(job.payload["hold_id"])
        hold = await self._db.read(lambda tx: holds.get(tx, organization_id, hold_id))
        return hold if hold is not None and hold.state == "pending" else None

    async def _is_read_by_agents(self, tx: Tx) -> bool:
        account = await accounts.by_address(tx, normalize(self.owner_mail.owner))
        if account is None:
            return False
        return await keys.is_open(tx, account.organization_id, account.pod_id, account.id, self._clock())

    async def _forget(self, tx: Tx, sent: Submitted) -> None:
        operator = await accounts.by_address(tx, self.owner_mail.operator)
        assert operator is not None  # it has just sent this
        message = await messages.get(tx, operator.id, sent.message_id)
        if message is not None:
            async with changing(tx, operator.id, self._clock()) as journal:
                await filing.destroy(tx, journal, message, bury=False)

    async def _mail(self, outgoing: Outgoing, also: Also | None = None) -> None:
        operator = await self._db.read(lambda tx: accounts.by_address(tx, self.owner_mail.operator))
        if operator is None:
            _log.warning("the owner cannot be written to: the operator's inbox is gone")
            return
        house = Principal.house(operator.organization_id)
        await self._submitter.submit(house, operator.id, Composition(outgoing), also=also or self._forget)


def _question(hold: Hold, shown: Shown) -> str:
    """The body of a question: why, what, and how to answer."""
    lines = [f"{shown.inbox} wants to send a mail that waits for your decision.", ""]
    for finding in hold.findings:
        matched = f" (matched: {finding['match']})" if finding.get("match") else ""
        lines.append(f"[{str(finding.get('severity', 'level')).upper()}] {finding['rule']}: {finding['text']}{matched}")
    lines.append("")
    for name, people in (
        ("From", shown.from_), ("To", shown.to), ("Cc", shown.cc), ("Bcc", shown.bcc), ("Reply-To", shown.reply_to),
        ("Goes to", shown.recipients), ("Not sent to (suppressed)", shown.suppressed),
    ):  # fmt: skip
        if people:
            lines.append(f"{name}: {', '.join(people)}")
    lines.append(f"Subject: {shown.subject}")
    lines += [f"{name}: {value}" for name, value in shown.directing if name.lower() != "reply-to"]
    for file in shown.attachments:
        lines.append(f"Attached: {file.name} ({file.content_type}, {file.size_bytes} octets, sha256 {file.sha256})")
    for title, text in (("Text", shown.text), ("HTML, as its reader sees it", shown.html_text or "")):
        if text:
            lines += ["", f"--- {title}", text[:_SHOWN_CHARS]]
            if len(text) > _SHOWN_CHARS:
                lines.append(f"({len(text) - _SHOWN_CHARS} more characters: posthouse pending {hold.id})")
    lines += [f"HIDDEN {what}: {text[:_SHOWN_CHARS]}" for what, text in shown.hidden]
    lines += ["", f"Pending id: {hold.id}", f"SHA-256 of what would be sent: {shown.digest}", ""]
    lines.append("Reply approve to send, or reject to discard. " + _WHAT_COUNTS)
    if hold.expires_at is not None:
        lines.append(f"Without an answer until {iso(hold.expires_at)} it is discarded.")
    return "\n".join(lines) + "\n"
