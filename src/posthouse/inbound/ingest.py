"""From the spool into the mailbox: parse, recognise reports, file. Runs beside the doors, woken at once.

Filing and the end of the spool row are one unit, so that each mail is filed exactly once. A mail that makes
this fail three times is filed unparsed, with the reason: no parser and no hanging look-up can lose it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from posthouse.events import outbox
from posthouse.inbound import screening, vacation
from posthouse.inbound.authenticate import Authentication, Authenticator
from posthouse.kit import log
from posthouse.kit.aside import UNDERWAY, aside
from posthouse.kit.clock import MINUTE, SECOND, Clock
from posthouse.kit.errors import NotFound, PosthouseError
from posthouse.kit.ids import new_id
from posthouse.kit.pace import Pace
from posthouse.mail import filing
from posthouse.mail.filing import NewMessage
from posthouse.mail.journal import DELIVERY, SUBMISSION, changing
from posthouse.mail.mailboxes import INBOX, JUNK
from posthouse.outbound import asking, bounces
from posthouse.outbound.asking import OwnerMail
from posthouse.store import accounts, graveyard, spool, submissions
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.spool import Spooled
from posthouse.wire.dsn import Dsn
from posthouse.wire.message import ParsedMessage, parse
from posthouse.wire.mime import Limits

_log = log.get("ingest")

# Longer than a mail takes whose look-ups hang.
_LEASE_MS = MINUTE
_BATCH = 64
_TRIES = 3
_RETRY_MS = (5 * SECOND, MINUTE, 5 * MINUTE)
# What a mail filed unparsed is looked at: its headers, nothing below.
_HEADERS_ONLY = Limits(depth=0, parts=1, text_bytes=0)


class Ingester:
    """Files what the spool holds. `run_once` takes up what is due; `drain` waits for what was taken up."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        clock: Clock,
        authenticator: Authenticator,
        *,
        pace: Pace | None = None,
        in_flight: int = 128,
        owner_mail: OwnerMail | None = None,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._authenticator = authenticator
        self._owner_mail = owner_mail
        self._pace = pace or Pace()
        # A mail whose look-ups hang keeps its place here and nobody else waiting.
        self._room = asyncio.Semaphore(in_flight)
        self._running: set[asyncio.Task[None]] = set()

    async def run_once(self) -> int:
        """Claim a batch and begin to file it; answers how many mails. Waits while too many are under way, and
        for a burst at the door to pass."""
        while self._pace.should_yield():  # noqa: ASYNC110 - time passing is what ends it
            await asyncio.sleep(0.02)
        async with self._room:
            now = self._clock()
            rows = await self._db.write(lambda tx: spool.claim(tx, now, now + _LEASE_MS, _BATCH))
        for row in rows:
            await self._room.acquire()
            task = asyncio.create_task(self._one(row))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(rows)

    @property
    def under_way(self) -> int:
        """How many mails are being filed just now."""
        return len(self._running)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._room.release()

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the mails under way; what is not done in time is taken up again when its lease ends."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    async def _one(self, row: Spooled) -> None:
        try:
            raw = await self._blobs.read(row.blob_hash)
            parsed = await self._parse(row, raw)
            report = bounces.read_report(raw, parsed, row.mail_from, row.recipients)
            # A mail that keeps failing is not asked about again: what hangs may be the asking.
            if row.attempts > _TRIES:
                known = self._authenticator.unasked(row)
            else:
                known = await self._authenticator.check(row, raw, parsed)
            await self._db.write(lambda tx: self._file(tx, row, parsed, report, known))
        except Exception as error:  # a worker's outer loop: log with the ids and go on
            _log.error("filing failed", spool_id=row.id, account_id=row.account_id, exc_info=not _expected(error))
            delay = _RETRY_MS[min(row.attempts, len(_RETRY_MS)) - 1]
            due_at, reason = self._clock() + delay, str(error)[:500]
            try:
                await self._db.write(lambda tx: spool.postpone(tx, row.id, due_at, reason))
            except PosthouseError as second:
                # The lease runs out by itself, and the row is taken up again.
                _log.error("postponing failed", spool_id=row.id, error=str(second))

    async def _parse(self, row: Spooled, raw: bytes) -> ParsedMessage:
        if row.attempts > _TRIES:
            parsed = parse(raw, _HEADERS_ONLY)
            reason = f"filed unparsed after {_TRIES} failures: {row.last_error or 'the process ended'}"
            return replace(parsed, defects=(*parsed.defects, reason))
        return await aside(len(raw), parse, raw, room=UNDERWAY)

    async def _file(
        self,
        tx: Tx,
        row: Spooled,
        parsed: ParsedMessage,
        report: bounces.Report | None,
        known: Authentication | None,
    ) -> None:
        if not await spool.remove(tx, row.id):
            return  # filed meanwhile by whoever had the lease before
        at = self._clock()
        account = await accounts.get(tx, row.account_id)
        if account is None:
            await self._bury(tx, row, parsed, at)
            return
        judgement = _judge(known)
        if await screening.is_barred(tx, account, parsed, row.mail_from, report):
            judgement = _BARRED
        handed_in = row.handed_in | {"mail_from": row.mail_from, "recipients": row.recipients}
        if known is not None:
            parsed = replace(parsed, headers=(("Authentication-Results", known.header), *parsed.headers))
            handed_in["authentication"] = known.summary
        try:
            async with changing(tx, account.id, at, added_bytes=row.size_bytes) as journal:
                new = NewMessage(
                    parsed=parsed,
                    blob=Blob(row.blob_hash, row.size_bytes, None, is_held=True),
                    direction="in",
                    mailbox_roles=(judgement.mailbox_role,),
                    received_at=row.received_at,
                    keywords=judgement.keywords,
                    handed_in=handed_in,
                )
                message = await filing.file(tx, journal, new)
                await outbox.publish(
                    tx,
                    account,
                    judgement.event_type,
                    modseq=journal.modseq,
                    at=at,
                    message_id=message.id,
                    payload={"thread_id": message.thread_id},
                )
                journal.created(DELIVERY, message.id)
                if report is not None:
                    submission_id = await bounces.settle(tx, journal, account, report)
                    if submission_id is not None:
                        kind = "dsn" if isinstance(report.content, Dsn) else "complaint"
                        await submissions.add_report(tx, submission_id, message.id, kind)
                        journal.updated(SUBMISSION, submission_id)
                if self._owner_mail is not None and judgement is not _BARRED:
                    dmarc = None if known is None else known.summary.get("dmarc")
                    await asking.consider(tx, self._owner_mail, account, parsed, dmarc=dmarc, at=at)
                # Mail of this machine and its own accounts is known by how it was handed in.
                if known is None or known.proves_sender:
                    await vacation.consider(tx, account, message, parsed, row.mail_from, at)
        except NotFound as error:
            raise RuntimeError("the account changed while its mail was filed") from error

    async def _bury(self, tx: Tx, row: Spooled, parsed: ParsedMessage, at: int) -> None:
        """The account went away after the 250: the mail goes to its grave, never back to the sender."""
        _log.warning("mail for a deleted account goes to the graveyard", spool_id=row.id, account_id=row.account_id)
        graves = await graveyard.of_account(tx, row.account_id)
        organization_id = graves[0].organization_id if graves else ""
        await graveyard.add(
            tx,
            graveyard.Grave(
                id=new_id(),
                organization_id=organization_id,
                account_id=row.account_id,
                kind="message",
                blob_hash=row.blob_hash,
                payload={
                    "subject": parsed.subject,
                    "direction": "in",
                    "keywords": [],
                    "received_at": row.received_at,
                    "mailbox_ids": [],
                    "delivery_state": None,
                    "bcc": [],
                },
                destroyed_at=at,
                expires_at=at + filing.GRAVEYARD_DAYS * 24 * 60 * MINUTE,
            ),
        )


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is thought of a mail when it is filed: where it goes, what it carries, how it is told."""

    mailbox_role: str = INBOX
    keywords: frozenset[str] = frozenset()
    event_type: str = outbox.MESSAGE_RECEIVED


# What a list of the account's keeps out: stored, out of sight, told only to those who ask for it.
_BARRED = Judgement(JUNK, frozenset({filing.BLOCKED}), outbox.RECEIVED_BLOCKED)


def _judge(known: Authentication | None) -> Judgement:
    if known is not None and known.failed:
        return Judgement(keywords=frozenset({filing.UNAUTHENTICATED}), event_type=outbox.RECEIVED_UNAUTHENTICATED)
    return Judgement()


def _expected(error: Exception) -> bool:
    return isinstance(error, PosthouseError)
