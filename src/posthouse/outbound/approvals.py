"""The owner's decisions on what is held, and what he is shown before. Only the owner decides, and never by a mere
GET of anything.

`shown` is the one form in which held mail is put before him: everything that leaves, out of the very bytes that
would be sent, in strings that a terminal can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.kit.aside import aside
from posthouse.kit.clock import Clock
from posthouse.kit.errors import Conflict, Forbidden, NotFound, TooLarge
from posthouse.kit.ids import same
from posthouse.kit.principal import Principal
from posthouse.mail.journal import changing
from posthouse.outbound import holding
from posthouse.outbound.departure import EXPIRES_MS, leave, refuse
from posthouse.outbound.submission import WAKE
from posthouse.store import accounts, holds, messages, submissions
from posthouse.store.blobfiles import Blobs
from posthouse.store.blobs import digest
from posthouse.store.database import Database, Tx
from posthouse.store.holds import Hold
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire.address import Address, format_address
from posthouse.wire.canonical import canonical
from posthouse.wire.headers import decode_text
from posthouse.wire.html import to_text
from posthouse.wire.html_beside import beside
from posthouse.wire.message import Part, decode_part, parse
from posthouse.wire.text import printable

# Fields that say where answers, reports and clicks go, beside those of the List- family and what is shown anyway.
_DIRECTING = frozenset(
    {"sender", "reply-to", "return-path", "errors-to", "disposition-notification-to", "return-receipt-to",
     "x-confirm-reading-to", "mail-followup-to", "mail-reply-to", "auto-submitted", "precedence", "in-reply-to"}
)  # fmt: skip

# Every door makes mail canonical before it is held; mail held before that was so is not sent.
_NOT_CANONICAL = "Its line ends or its header may be read in two ways; reject it and have it sent again."


@dataclass(frozen=True, slots=True)
class ShownAttachment:
    """A file that leaves, with the digest of its content."""

    name: str
    content_type: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Shown:
    """Held mail as the owner is shown it. All strings are `printable`, those of several lines line by line.

    Attributes:
        recipients: everybody it goes to, whatever its header says; `suppressed` are left out of it.
        from_, to, cc, reply_to: of the header; `bcc` are recipients the header does not name, as the sender gave
            them.
        text: the plain text, "" when there is none.
        html_text: the HTML as its reader sees it; None without HTML.
        hidden: what the HTML has beside that, as (what, text).
        directing: header fields that direct answers, reports or programs, as (name, value).
        headers: all fields, as (name, value).
        defects: what could not be read or was cut when it was.
        digest: SHA-256 of the bytes that would be sent.
        send_at: not before this instant, if it was planned.
    """

    hold: Hold
    inbox: str
    mail_from: str
    recipients: tuple[str, ...]
    suppressed: tuple[str, ...]
    from_: tuple[str, ...]
    to: tuple[str, ...]
    cc: tuple[str, ...]
    bcc: tuple[str, ...]
    reply_to: tuple[str, ...]
    subject: str
    preview: str
    text: str
    html_text: str | None
    hidden: tuple[tuple[str, str], ...]
    attachments: tuple[ShownAttachment, ...]
    directing: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    defects: tuple[str, ...]
    digest: str
    size_bytes: int
    surface: str
    send_at: int | None


async def waiting(
    db: Database, principal: Principal, *, after: tuple[int, str] | None = None, limit: int = 20
) -> tuple[list[Hold], int]:
    """What waits for a decision, what waits longest first, after a position (created_at, id); and how much in all."""

    async def unit(tx: Tx) -> tuple[list[Hold], int]:
        found = await holds.pending(tx, principal.organization_id, after=after, limit=limit)
        return found, await holds.count(tx, organization_id=principal.organization_id)

    return await db.read(unit)


async def find(db: Database, principal: Principal, hold_id: str) -> Hold:
    """A hold that waits for a decision.

    Raises:
        NotFound: there is none under this name, or it was decided.
    """
    hold = await db.read(lambda tx: holds.get(tx, principal.organization_id, hold_id))
    if hold is None or hold.state != "pending":
        raise NotFound("there is no such message waiting")
    return hold


async def shown(db: Database, blobs: Blobs, hold: Hold) -> Shown:
    """Everything that leaves when this is approved.

    Raises:
        NotFound: the mail is gone.
        Forbidden: the stored bytes are not those that were held (reason `tampered`).
    """

    async def look(tx: Tx) -> tuple[StoredSubmission, list[Delivery], str, tuple[str, ...]]:
        submission = await submissions.get(tx, hold.submission_id)
        account = await accounts.get(tx, hold.account_id)
        message = await messages.get(tx, hold.account_id, submission.message_id) if submission else None
        if submission is None or account is None or message is None:
            raise NotFound("the held message is gone")
        blind = tuple(_line(format_address(Address(each.email, each.name))) for each in message.bcc_list)
        deliveries = await submissions.deliveries(tx, submission.id)
        return submission, deliveries, account.main_address, blind

    submission, deliveries, inbox, blind = await db.read(look)
    send_at = _planned_for(submission)
    raw = await _held_bytes(blobs, hold, submission, deliveries)
    made = await aside(len(raw), _read, raw)
    return Shown(
        hold=hold,
        inbox=inbox,
        mail_from=submission.mail_from.replace(f"+b-{submission.id}", ""),
        recipients=tuple(_line(each.recipient) for each in deliveries),
        suppressed=tuple(_line(each.recipient) for each in deliveries if each.state == "suppressed"),
        bcc=blind,
        digest=submission.blob_hash,
        size_bytes=len(raw),
        surface=submission.surface,
        send_at=send_at if send_at > hold.created_at else None,
        **made,
    )


def _planned_for(submission: StoredSubmission) -> int:
    """From when on it was to be carried; it was to be tried for so long."""
    return submission.expires_at - EXPIRES_MS


async def _held_bytes(blobs: Blobs, hold: Hold, submission: StoredSubmission, deliveries: Sequence[Delivery]) -> bytes:
    raw = await blobs.read(submission.blob_hash)
    is_same = await aside(len(raw), digest, raw) == submission.blob_hash
    if not is_same or not same(hold.digest, holding.held_digest(submission, deliveries)):
        raise Forbidden("the stored message is not the one that was held", reason="tampered")
    return raw


def _read(raw: bytes) -> dict[str, Any]:
    parsed = parse(raw)
    html = parsed.html
    fields = tuple((_line(name), _line(decode_text(value))) for name, value in parsed.headers)
    return {
        "from_": _people(parsed.from_),
        "to": _people(parsed.to),
        "cc": _people(parsed.cc),
        "reply_to": _people(parsed.reply_to),
        "subject": _line(parsed.subject),
        "preview": _line(parsed.preview),
        "text": _lines(parsed.text or ""),
        "html_text": None if html is None else _lines(to_text(html)),
        "hidden": () if html is None else tuple((part.what, _line(part.text)) for part in beside(html)),
        "attachments": tuple(_attachment(raw, part) for part in parsed.attachments),
        "directing": tuple(field for field in fields if _directs(field[0].lower())),
        "headers": fields,
        "defects": (
            *(() if _is_canonical(raw) else (_NOT_CANONICAL,)),
            *(_line(defect) for defect in parsed.defects),
        ),
    }


def _is_canonical(raw: bytes) -> bool:
    try:
        return canonical(raw) == raw
    except TooLarge:
        return False


def _directs(name: str) -> bool:
    return name in _DIRECTING or name.startswith(("list-", "resent-"))


def _people(addresses: Sequence[Address]) -> tuple[str, ...]:
    return tuple(_line(format_address(address)) for address in addresses)


def _attachment(raw: bytes, part: Part) -> ShownAttachment:
    content = decode_part(raw, part)
    return ShownAttachment(_line(part.filename or ""), _line(part.content_type), len(content), digest(content))


def _line(text: str) -> str:
    return printable(" ".join(text.splitlines()))


def _lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.replace("\t", "    ").split("\n"))


async def approve(
    db: Database, blobs: Blobs, principal: Principal, hold_id: str, clock: Clock, *, by: str = "owner"
) -> Hold:
    """Send the very bytes that were held.

    Args:
        by: how it was decided, kept with the decision: `owner`, `owner-reply`.

    Raises:
        Forbidden: the caller is not the owner, or what is stored is not what was held (reason `tampered`).
        NotFound: no such hold.
        Conflict: it was decided before; or its bytes may say one thing to us and another to its reader, as only mail
            that was held by an earlier version can (reason `not_canonical`).
    """

    async def look(tx: Tx) -> tuple[Hold, StoredSubmission | None, list[Delivery]]:
        hold = await _of_owner(tx, principal, hold_id)
        return hold, await submissions.get(tx, hold.submission_id), await submissions.deliveries(tx, hold.submission_id)

    hold, submission, deliveries = await db.read(look)
    if hold.state == "pending" and submission is not None:
        raw = await _held_bytes(blobs, hold, submission, deliveries)
        if not await aside(len(raw), _is_canonical, raw):
            raise Conflict(_NOT_CANONICAL, reason="not_canonical")
    return await db.write(lambda tx: _decide(tx, principal, hold_id, "approved", None, clock(), by))


async def reject(
    db: Database, principal: Principal, hold_id: str, reason: str | None, clock: Clock, *, by: str = "owner"
) -> Hold:
    """Never send it. Raises as `approve` does."""
    return await db.write(lambda tx: _decide(tx, principal, hold_id, "rejected", reason, clock(), by))


async def _of_owner(tx: Tx, principal: Principal, hold_id: str) -> Hold:
    if not principal.is_owner:
        raise Forbidden("only the owner decides on held mail", reason="owner_only")
    hold = await holds.get(tx, principal.organization_id, hold_id)
    if hold is None:
        raise NotFound("there is no such held message")
    return hold


async def _decide(tx: Tx, principal: Principal, hold_id: str, state: str, reason: str | None, at: int, by: str) -> Hold:
    hold = await _of_owner(tx, principal, hold_id)
    if not await holds.decide(tx, hold.id, state, by, reason, at):
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
            due_at = max(at, _planned_for(submission))  # planned for later, it still is
            await submissions.release(tx, submission.id, "queued", due_at, at)
            await leave(tx, journal, account, submission, deliveries)
            await submissions.set_state(tx, submission.id, "queued", expires_at=due_at + EXPIRES_MS)
            tx.wake(WAKE)
    decided = await holds.get(tx, principal.organization_id, hold_id)
    assert decided is not None
    return decided
