"""Handing a message over to be sent: the one way out, for every door.

`Submitter.submit` takes what a door understood (a composition) or the bytes a client made (SMTP, JMAP). It
checks the sender, the recipients, suppressions, the rate and the account's oversight level, composes, and in
one unit stores the message, its deliveries, the event and the answer to an idempotency key. The id it
answers with is a promise: the commit has been made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import identities
from posthouse.events import outbox
from posthouse.kit.clock import DAY, Clock
from posthouse.kit.errors import Conflict, Forbidden, Invalid, TooLarge, TooMany
from posthouse.kit.ids import new_id
from posthouse.kit.principal import Principal
from posthouse.mail import filing
from posthouse.mail.filing import NewMessage
from posthouse.mail.journal import SUBMISSION, Journal, changing
from posthouse.mail.mailboxes import DRAFTS, SENT
from posthouse.outbound import suppressions
from posthouse.outbound.bounces import return_path
from posthouse.store import accounts, holds, idempotency, messages, submissions
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.blobs import digest
from posthouse.store.database import Database, Tx
from posthouse.store.records import dump
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire.address import Address, normalize, split
from posthouse.wire.compose import Outgoing, compose, new_message_id
from posthouse.wire.message import ParsedMessage, parse

WAKE = "deliveries"
# Deferred deliveries are given up after this (RFC 5321 §4.5.4.1: at least four to five days).
EXPIRES_MS = 5 * DAY
# How long an answer to an idempotency key is given again.
REMEMBER_MS = DAY


@dataclass(frozen=True, slots=True)
class Limits:
    """What one submission, and one account a day, may be. None: no limit."""

    recipients: int = 50
    message_bytes: int = 25 * 1024 * 1024
    submissions_a_day: int | None = 10_000


@dataclass(frozen=True, slots=True)
class RecipientOptions:
    """What a sender may ask for one recipient (RFC 3461 §4.1–4.2).

    Attributes:
        notify: `NEVER`, or words of `SUCCESS`, `FAILURE`, `DELAY` joined by commas; "" is failure and delay.
        original_recipient: ORCPT as `type;address`, "" for none.
    """

    notify: str = ""
    original_recipient: str = ""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key for a request, and what it must be the same of to be the same request."""

    key: str
    scope: str
    digest: str


@dataclass(frozen=True, slots=True)
class Composition:
    """What to send, as a door understood it.

    Attributes:
        from_: None sends as the account.
        labels: kept with the sent message.
        thread_id: the thread the sent message joins, for a reply or a forward that stays in it.
        answered_message_id: the message this answers; it is marked as answered.
        forwarded_message_id: the message this forwards; it is marked as forwarded.
        outgoing: everything that becomes the message; its From, Message-ID and date are set here.
    """

    outgoing: Outgoing
    from_: Address | None = None
    labels: Sequence[str] = ()
    thread_id: str | None = None
    answered_message_id: str | None = None
    forwarded_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class RawMail:
    """What to send, as bytes a client made.

    Attributes:
        mail_from: the reverse-path it named; has to be an address of the account, or "" for the main one.
        rcpt_to: the recipients it named, with what it asked for each.
        envelope_id, dsn_return: ENVID and RET (RFC 3461 §4.3–4.4).
    """

    raw: bytes
    mail_from: str
    rcpt_to: Sequence[tuple[str, RecipientOptions]]
    envelope_id: str = ""
    dsn_return: str = ""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The outcome. `held` True: it waits for the owner; that is an outcome, not an error.

    Attributes:
        suppressed: recipients it does not go to, because of an earlier bounce or complaint.
        replayed: the answer to an earlier, identical request; nothing was sent anew.
    """

    submission_id: str
    message_id: str
    thread_id: str
    header_message_id: str
    held: bool
    suppressed: tuple[str, ...] = ()
    replayed: bool = False
    hold_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message with its envelope, composed and checked."""

    raw: bytes
    parsed: ParsedMessage
    mail_from: str
    recipients: tuple[tuple[str, RecipientOptions], ...]
    bcc: tuple[Address, ...]
    labels: tuple[str, ...] = ()
    thread_id: str | None = None
    answered_message_id: str | None = None
    forwarded_message_id: str | None = None
    envelope_id: str = ""
    dsn_return: str = ""


class Submitter:
    """The send path. One for the whole installation."""

    def __init__(self, db: Database, blobs: Blobs, clock: Clock, limits: Limits) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self.limits = limits

    async def submit(
        self,
        principal: Principal,
        account_id: str,
        mail: Composition | RawMail,
        *,
        once: Idempotency | None = None,
    ) -> Submitted:
        """Send, or hold for the owner, as the account's level says.

        Raises:
            NotFound: no such account in the caller's scope.
            Invalid: no recipient (reason `no_recipients`), too many, a bad address or header.
            Forbidden: the level is `read_only` (`read_only`), a From that is not the account's
                (`sender_not_allowed`), or every recipient is suppressed (`suppressed`).
            TooLarge: the message is over the limit.
            TooMany: over the day's number of submissions.
            Conflict: the idempotency key was used for another request (`idempotency`).
            Unavailable: it could not be stored; nothing was sent.
        """
        at = self._clock()
        if once is not None:
            earlier = await self._db.read(lambda tx: idempotency.get(tx, principal.organization_id, once.key, at))
            if earlier is not None:
                return _replay(earlier, once)

        async def prepare(tx: Tx) -> tuple[Account, str, set[str]]:
            account = await account_rules.get_in_scope(tx, principal, account_id)
            sender = _sender_of(mail)
            if sender:
                await identities.check_sender(tx, account, sender)
            await self._check_rate(tx, account, at)
            level = await account_rules.effective_level(tx, account, principal.level)
            return account, level, set(await accounts.addresses(tx, account.id))

        account, level, own = await self._db.read(prepare)
        if level == "read_only":
            raise Forbidden("this account may read and not send", reason="read_only")
        ready = self._compose(account, mail, at) if isinstance(mail, Composition) else _raw(account, mail, own)
        if len(ready.raw) > self.limits.message_bytes:
            raise TooLarge(f"a message has at most {self.limits.message_bytes} octets")
        if not ready.recipients:
            raise Invalid("a message needs at least one recipient", field="to", reason="no_recipients")
        if len(ready.recipients) > self.limits.recipients:
            raise Invalid(
                f"a message has at most {self.limits.recipients} recipients, this one {len(ready.recipients)}",
                field="to",
                reason="too_many_recipients",
            )
        blob = await self._blobs.prepare(ready.raw)
        return await self._db.write(lambda tx: self._store(tx, principal, account.id, level, ready, blob, at, once))

    async def _check_rate(self, tx: Tx, account: Account, at: int) -> None:
        limit = self.limits.submissions_a_day
        if limit is not None and await submissions.count_since(tx, account.id, at - DAY, limit) >= limit:
            raise TooMany(f"an inbox sends at most {limit} messages a day", retry_after_s=3600, reason="send_rate")

    def _compose(self, account: Account, mail: Composition, at: int) -> _Ready:
        sender = mail.from_ or identities.own_address(account)
        outgoing = replace(
            mail.outgoing,
            from_=sender,
            message_id=mail.outgoing.message_id or new_message_id(split(account.main_address)[1]),
            sent_at=at,
        )
        raw = compose(outgoing)
        envelope: dict[str, str] = {}
        for address in (*outgoing.to, *outgoing.cc, *outgoing.bcc):
            envelope.setdefault(normalize(address.email), address.email)
        return _Ready(
            raw=raw,
            parsed=parse(raw),
            mail_from=account.main_address,
            recipients=tuple((email, RecipientOptions()) for email in envelope.values()),
            bcc=outgoing.bcc,
            labels=tuple(filing.check_keywords(mail.labels, "labels")),
            thread_id=mail.thread_id,
            answered_message_id=mail.answered_message_id,
            forwarded_message_id=mail.forwarded_message_id,
        )

    async def _store(
        self,
        tx: Tx,
        principal: Principal,
        account_id: str,
        level: str,
        ready: _Ready,
        blob: Blob,
        at: int,
        once: Idempotency | None,
    ) -> Submitted:
        if once is not None:
            earlier = await idempotency.get(tx, principal.organization_id, once.key, at)
            if earlier is not None:  # somebody was faster between our look and this unit
                return _replay(earlier, once)
        held = level == "gated"
        async with changing(tx, account_id, at, added_bytes=blob.size_bytes) as journal:
            account = await accounts.get(tx, account_id)
            assert account is not None  # the journal holds its row
            barred = await suppressions.among(tx, account_id, [email for email, _ in ready.recipients], at)
            stopped = tuple(email for email, _ in ready.recipients if normalize(email) in barred)
            if len(stopped) == len(ready.recipients):
                reasons = sorted({suppression.reason for suppression in barred.values()})
                raise Forbidden(
                    f"every recipient is suppressed ({', '.join(reasons)})", field="to", reason="suppressed"
                )
            submission_id = new_id()
            message = await filing.file(
                tx,
                journal,
                NewMessage(
                    parsed=ready.parsed,
                    blob=blob,
                    direction="out",
                    mailbox_roles=(DRAFTS,) if held else (SENT,),
                    received_at=at,
                    keywords={filing.SEEN, *ready.labels, *((filing.HELD,) if held else ())},
                    thread_id=ready.thread_id,
                    delivery_state="held" if held else "queued",
                    bcc=ready.bcc,
                ),
            )
            submission = StoredSubmission(
                id=submission_id,
                organization_id=account.organization_id,
                account_id=account_id,
                message_id=message.id,
                thread_id=message.thread_id,
                blob_hash=blob.hash,
                header_message_id=message.header_message_id or "",
                mail_from=return_path(ready.mail_from, submission_id),
                envelope_id=ready.envelope_id,
                dsn_return=ready.dsn_return,
                state="held" if held else "queued",
                key_id=principal.key_id,
                surface=principal.surface,
                created_at=at,
                expires_at=at + EXPIRES_MS,
            )
            await submissions.add(tx, submission)
            deliveries = [
                _delivery(submission, email, options, at, held=held, barred=normalize(email) in barred)
                for email, options in ready.recipients
            ]
            await submissions.add_deliveries(tx, deliveries)
            journal.created(SUBMISSION, submission_id)
            await _mark_parent(tx, journal, ready)
            hold_id = None
            if held:
                hold_id = new_id()
                await holds.add(
                    tx,
                    holds.Hold(
                        id=hold_id,
                        organization_id=account.organization_id,
                        account_id=account_id,
                        submission_id=submission_id,
                        digest=held_digest(submission, deliveries),
                        findings=[{"rule": "level_gated", "text": "this account's mail waits for its owner"}],
                        state="pending",
                        reason=None,
                        decided_by=None,
                        decided_at=None,
                        created_at=at,
                    ),
                )
            await outbox.publish(
                tx,
                account,
                outbox.MESSAGE_HELD if held else outbox.MESSAGE_SENT,
                modseq=journal.modseq,
                at=at,
                message_id=message.id,
                payload={
                    "thread_id": message.thread_id,
                    "submission_id": submission_id,
                    "recipients": [email for email, _ in ready.recipients],
                },
            )
            if not held:
                tx.wake(WAKE)
        outcome = Submitted(
            submission_id=submission_id,
            message_id=message.id,
            thread_id=message.thread_id,
            header_message_id=submission.header_message_id,
            held=held,
            suppressed=stopped,
            hold_id=hold_id,
        )
        if once is not None:
            answer = {
                "submission_id": outcome.submission_id,
                "message_id": outcome.message_id,
                "thread_id": outcome.thread_id,
                "header_message_id": outcome.header_message_id,
                "held": outcome.held,
                "suppressed": list(outcome.suppressed),
                "hold_id": outcome.hold_id,
            }
            if not await idempotency.put(
                tx, principal.organization_id, once.key, once.scope, once.digest, answer, at, at + REMEMBER_MS
            ):
                raise Conflict("the same idempotency key is being used just now", reason="idempotency")
        return outcome


def _sender_of(mail: Composition | RawMail) -> str:
    if isinstance(mail, Composition):
        return mail.from_.email if mail.from_ else ""
    return mail.mail_from


def _raw(account: Account, mail: RawMail, own: set[str]) -> _Ready:
    parsed = parse(mail.raw)
    # RFC 6409 §6.1: the From of the header is the account's too, tagged or not; it is what readers believe.
    for author in (*parsed.from_, *parsed.sender):
        local, domain = split(normalize(author.email))
        if not {f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}"} & own:
            raise Forbidden(
                f"{author.email or 'an empty From'} is not an address of this account",
                field="from",
                reason="sender_not_allowed",
            )
    if not parsed.from_:
        raise Invalid("the message has no From", field="from")
    head = b""
    names = {name.lower() for name, _ in parsed.headers}
    if "message-id" not in names:  # RFC 6409 §8.3
        head += f"Message-ID: <{new_message_id(split(account.main_address)[1])}>\r\n".encode("ascii")
    raw = head + mail.raw
    seen: dict[str, tuple[str, RecipientOptions]] = {}
    for email, options in mail.rcpt_to:
        seen.setdefault(normalize(email), (email, options))
    visible = {normalize(address.email) for address in (*parsed.to, *parsed.cc)}
    return _Ready(
        raw=raw,
        parsed=parse(raw) if head else parsed,
        mail_from=mail.mail_from or account.main_address,
        recipients=tuple(seen.values()),
        bcc=tuple(Address(email) for key, (email, _) in seen.items() if key not in visible),
        envelope_id=mail.envelope_id,
        dsn_return=mail.dsn_return,
    )


def _delivery(
    submission: StoredSubmission, email: str, options: RecipientOptions, at: int, *, held: bool, barred: bool
) -> Delivery:
    state = "suppressed" if barred else "held" if held else "queued"
    return Delivery(
        id=new_id(),
        submission_id=submission.id,
        account_id=submission.account_id,
        recipient=email,
        original_recipient=options.original_recipient,
        notify=options.notify,
        domain=split(normalize(email))[1],
        state=state,
        attempts=0,
        due_at=at if state == "queued" else None,
        leased=False,
        delay_noticed=False,
        status=None,
        diagnostic="suppressed after an earlier bounce or complaint" if barred else None,
        remote_mta=None,
        created_at=at,
        updated_at=at,
    )


async def _mark_parent(tx: Tx, journal: Journal, ready: _Ready) -> None:
    for parent_id, keyword in (
        (ready.answered_message_id, filing.ANSWERED),
        (ready.forwarded_message_id, filing.FORWARDED),
    ):
        parent = await messages.get(tx, journal.account_id, parent_id) if parent_id else None
        if parent is not None and keyword not in parent.keywords:
            await filing.set_keywords(tx, journal, parent, {*parent.keywords, keyword})


def held_digest(submission: StoredSubmission, deliveries: Sequence[Delivery]) -> str:
    """What an approval binds to: the bytes and the envelope, nothing less."""
    recipients = sorted(delivery.recipient for delivery in deliveries if delivery.state != "suppressed")
    return digest(dump([submission.blob_hash, submission.mail_from, recipients]).encode())


def _replay(earlier: idempotency.Remembered, once: Idempotency) -> Submitted:
    if earlier.answer is None or earlier.scope != once.scope or earlier.digest != once.digest:
        raise Conflict("this idempotency key was used for another request", reason="idempotency")
    values = dict(earlier.answer)
    values["suppressed"] = tuple(values["suppressed"])
    return Submitted(**values, replayed=True)
