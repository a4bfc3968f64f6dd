"""Handing a message over to be sent: the one way out, for every door.

`Submitter.submit` takes what a door understood (a composition) or the bytes a client made (SMTP, JMAP). It
checks the sender, the recipients, suppressions, the rate and the account's oversight level, composes, and in
one unit stores the message, its deliveries, the event and the answer to an idempotency key. The id it
answers with is a promise: the commit has been made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import identities, rights
from posthouse.accounts.rights import Right
from posthouse.events import outbox
from posthouse.kit.aside import aside
from posthouse.kit.clock import DAY, Clock
from posthouse.kit.config import LADDER, Ladder
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound, TooLarge, TooMany
from posthouse.kit.ids import new_id, new_secret
from posthouse.kit.principal import Principal, strictest
from posthouse.mail import filing
from posthouse.mail.filing import NewMessage
from posthouse.mail.journal import SUBMISSION, Journal, changing
from posthouse.mail.mailboxes import DRAFTS, INBOX, SENT
from posthouse.outbound import holding, policy, suppressions
from posthouse.outbound.departure import EXPIRES_MS
from posthouse.store import accounts, drafts, idempotency, mailboxes, messages, submissions
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.messages import Message
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire import raw_headers
from posthouse.wire.address import MAX_LIST_CHARS, Address, normalize, split, untagged
from posthouse.wire.canonical import INLINE_BYTES, canonical
from posthouse.wire.compose import Outgoing, compose, new_message_id
from posthouse.wire.header_encode import message_ids
from posthouse.wire.message import ParsedMessage, parse, parse_headers_only

WAKE = "deliveries"
# A count this near its limit is taken again under the account's lock.
_COUNT_MARGIN = 1_000
# How long an answer to an idempotency key is given again.
REMEMBER_MS = DAY
_BLIND = frozenset({b"bcc", b"resent-bcc"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one submission, and one account a day, may be. None: no limit."""

    recipients: int = 50
    message_bytes: int = 25 * 1024 * 1024
    submissions_a_day: int | None = 10_000
    ladder: Ladder = LADDER


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
        draft: the draft this is the sending of, and the message that held its text; both go in the same unit.
        is_automatic: written by a program in answer to mail: it has a null reverse-path, and nobody is told when
            it does not arrive (RFC 3834 §3.3).
        outgoing: everything that becomes the message; its From, Message-ID and date are set here.
    """

    outgoing: Outgoing
    from_: Address | None = None
    labels: Sequence[str] = ()
    thread_id: str | None = None
    answered_message_id: str | None = None
    forwarded_message_id: str | None = None
    draft: tuple[str, str] | None = None
    is_automatic: bool = False


@dataclass(frozen=True, slots=True)
class RawMail:
    """What to send, as bytes a client made.

    Attributes:
        mail_from: the reverse-path it named; an address of the account, or "": nobody is told of a failure then
            (RFC 5321 §4.5.5).
        rcpt_to: the recipients it named, with what it asked for each.
        envelope_id, dsn_return: ENVID and RET (RFC 3461 §4.3–4.4).
    """

    raw: bytes
    mail_from: str
    rcpt_to: Sequence[tuple[str, RecipientOptions]]
    envelope_id: str = ""
    dsn_return: str = ""


@dataclass(frozen=True, slots=True)
class StoredMail:
    """What to send: a message that lies in the account already. It is not filed a second time, but where something
    has to be written into its header: then a message with these bytes takes its place.

    Attributes:
        message_id: our id of the message.
        mail_from, rcpt_to, envelope_id, dsn_return: as in `RawMail`.
        send_at: not to be carried before this instant; None is at once.
        references: written into the message where it has no References of its own.
        files_itself: put it where sent mail lies, as if it had been sent at once: no draft any more, read, out
            of Inbox and Drafts into Sent. False leaves that to the caller.
    """

    message_id: str
    mail_from: str
    rcpt_to: Sequence[tuple[str, RecipientOptions]]
    envelope_id: str = ""
    dsn_return: str = ""
    send_at: int | None = None
    references: Sequence[str] = ()
    files_itself: bool = True


@dataclass(frozen=True, slots=True)
class Submitted:
    """The outcome. `held` True: it waits for the owner; that is an outcome, not an error.

    Attributes:
        message_id: what lies in the account; another than `StoredMail.message_id` when its bytes had to change.
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


Also = Callable[[Tx, Submitted], Awaitable[None]]


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
    draft: tuple[str, str] | None = None
    envelope_id: str = ""
    dsn_return: str = ""
    stored: StoredMail | None = None
    is_automatic: bool = False
    sent_lately: int = 0
    copy: _Copy | None = None


@dataclass(frozen=True, slots=True)
class _Copy:
    """What takes the place of the stored message."""

    parsed: ParsedMessage
    blob: Blob


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
        mail: Composition | RawMail | StoredMail,
        *,
        once: Idempotency | None = None,
        also: Also | None = None,
    ) -> Submitted:
        """Send, hold for the owner, or keep until its time, as the account's level and the mail say.

        Args:
            also: run at the end of the unit that takes the message on, so that what a door writes down about it is
                there when the message is, or neither. Like the unit it may be run again. Not for a replay.

        Raises:
            NotFound: no such account in the caller's scope.
            Invalid: no recipient (reason `no_recipients`), too many, a bad address or header.
            Forbidden: the caller lacks the right to send (`missing_permission`), the level is `read_only`
                (`read_only`), a From that is not the account's (`sender_not_allowed`), every recipient is suppressed
                (`suppressed`), a list keeps one out (`list_blocked`), or the organisation has not proved its human's
                address (`unverified`).
            TooLarge: the message is over the limit, or its header (reason `header`).
            TooMany: over the day's number of submissions, or to more people elsewhere than a newcomer may write to.
            OverQuota: it would be held, and too much waits for the owner already (`too_many_held`).
            Conflict: the idempotency key was used for another request (`idempotency`), or the draft was changed
                or sent meanwhile (`changed_meanwhile`).
            Unavailable: it could not be stored; nothing was sent.
        """
        is_draft = isinstance(mail, Composition) and mail.draft is not None
        rights.need(principal, Right.DRAFT_SEND if is_draft else Right.MESSAGE_SEND, "this key may not send")
        at = self._clock()
        if once is not None:
            earlier = await self._db.read(lambda tx: _remembered(tx, principal, once, at))
            if earlier is not None:
                return _replay(earlier, once)

        async def prepare(tx: Tx) -> tuple[Account, str, set[str], int]:
            account = await account_rules.get_in_scope(tx, principal, account_id)
            sender = _sender_of(mail)
            if sender:
                await identities.check_sender(
                    tx, account, sender, "from" if isinstance(mail, Composition) else "mail_from"
                )
            sent_lately = await self._check_rate(tx, account, at)
            level = await policy.level_of(tx, account, principal)
            return account, level, set(await accounts.addresses(tx, account.id)), sent_lately

        account, level, own, sent_lately = await self._db.read(prepare)
        if level == "read_only":
            raise Forbidden("this account may read and not send", reason="read_only")
        if isinstance(mail, Composition):
            size = len(mail.outgoing.text or "") + len(mail.outgoing.html or "")
            ready = await aside(size, self._compose, account, mail, at)
        elif isinstance(mail, StoredMail):
            ready = await self._stored(account, mail, own)
        else:
            ready = await _read(account, replace(mail, raw=await _canonical(mail.raw)), own)
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
        ready = replace(ready, sent_lately=sent_lately)
        blob = await self._blobs.prepare(ready.raw)
        return await self._db.write(lambda tx: self._store(tx, principal, account.id, ready, blob, at, once, also))

    async def earlier(self, principal: Principal, once: Idempotency) -> Submitted | None:
        """The answer an earlier, identical request was given; None when there was none.

        Raises:
            Conflict: the key was used for another request.
        """
        at = self._clock()
        found = await self._db.read(lambda tx: _remembered(tx, principal, once, at))
        return None if found is None else _replay(found, once)

    async def _stored(self, account: Account, mail: StoredMail, own: set[str]) -> _Ready:
        message = await self._db.read(lambda tx: messages.get(tx, account.id, mail.message_id))
        if message is None:
            raise NotFound("there is no such message", field="message_id")
        raw = await _canonical(await self._blobs.read(message.blob_hash))
        names = {name.lower() for name, _ in parse_headers_only(raw)}
        head = b"" if "message-id" in names else _new_message_id(account)
        if mail.references and "references" not in names:
            head += message_ids("References", mail.references, field="references")
        handed = RawMail(head + raw, mail.mail_from, mail.rcpt_to, mail.envelope_id, mail.dsn_return)
        ready = replace(await _read(account, handed, own), stored=mail)
        if not head:
            return ready
        # The writer's own copy is what was sent, and still says who got a blind copy.
        return replace(ready, copy=_Copy(parse(handed.raw), await self._blobs.prepare(handed.raw)))

    async def _check_rate(self, tx: Tx, account: Account, at: int) -> int:
        """How many messages the account has sent in a day, as far as there is a limit. Raises `TooMany`."""
        limit = self.limits.submissions_a_day
        if limit is None:
            return 0
        sent = await submissions.count_since(tx, account.id, at - DAY, limit)
        if sent >= limit:
            raise TooMany(f"an inbox sends at most {limit} messages a day", retry_after_s=3600, reason="send_rate")
        return sent

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
            mail_from="" if mail.is_automatic else account.main_address,
            recipients=tuple(
                (email, RecipientOptions("NEVER" if mail.is_automatic else "")) for email in envelope.values()
            ),
            bcc=outgoing.bcc,
            labels=filing.check_keywords(mail.labels, "labels"),
            thread_id=mail.thread_id,
            answered_message_id=mail.answered_message_id,
            forwarded_message_id=mail.forwarded_message_id,
            draft=mail.draft,
            is_automatic=mail.is_automatic,
            dsn_return="HDRS",  # RFC 3461 §4.3: its text lies in Sent; no report need bring it back
        )

    async def _store(
        self,
        tx: Tx,
        principal: Principal,
        account_id: str,
        ready: _Ready,
        blob: Blob,
        at: int,
        once: Idempotency | None,
        also: Also | None,
    ) -> Submitted:
        if once is not None:
            earlier = await _remembered(tx, principal, once, at)
            if earlier is not None:  # somebody was faster between our look and this unit
                return _replay(earlier, once)
        filed = blob if ready.stored is None else None if ready.copy is None else ready.copy.blob
        async with changing(tx, account_id, at, added_bytes=filed.size_bytes if filed else 0) as journal:
            account = await accounts.get(tx, account_id)
            assert account is not None  # the journal holds its row
            # Asked again under the account's lock: what the owner has tightened meanwhile holds.
            level = await policy.level_of(tx, account, principal)
            if level == "read_only":
                raise Forbidden("this account may read and not send", reason="read_only")
            if ready.stored is not None:
                written = await drafts.level_of_message(tx, account_id, ready.stored.message_id)
                # Words of a key that may not send wait for the owner, whoever sends them.
                level = strictest(level, "gated" if written == "read_only" else written)
            held = level == "gated"
            limit = self.limits.submissions_a_day
            if limit is not None and ready.sent_lately >= limit - _COUNT_MARGIN:
                await self._check_rate(tx, account, at)  # others may have been sending since it was counted
            barred = await suppressions.among(tx, account_id, [email for email, _ in ready.recipients], at)
            stopped = tuple(email for email, _ in ready.recipients if normalize(email) in barred)
            if len(stopped) == len(ready.recipients):
                reasons = sorted({suppression.reason for suppression in barred.values()})
                raise Forbidden(
                    f"every recipient is suppressed ({', '.join(reasons)})", field="to", reason="suppressed"
                )
            await policy.check(
                tx, account, principal, [email for email, _ in ready.recipients], at, ladder=self.limits.ladder
            )
            text = await _draft_text(tx, account.id, ready.draft) if ready.draft is not None else None
            submission_id = new_id()
            send_at = at if ready.stored is None or ready.stored.send_at is None else max(at, ready.stored.send_at)
            state = "held" if held else "scheduled" if send_at > at else "queued"
            if ready.stored is not None:
                message = await _take_stored(tx, journal, account, ready, ready.stored, blob, state)
            else:
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
            if ready.draft is not None and text is not None:
                # The draft ends where its sending begins, in one unit: no crash sends it twice or loses it. After
                # the filing: a thread whose last message went would be gone.
                await drafts.delete(tx, account.id, ready.draft[0])
                await filing.destroy(tx, journal, text, organization_id=account.organization_id, bury=False)
            submission = StoredSubmission(
                id=submission_id,
                organization_id=account.organization_id,
                account_id=account_id,
                message_id=message.id,
                thread_id=message.thread_id,
                blob_hash=blob.hash,
                header_message_id=ready.parsed.message_id or "",
                mail_from=ready.mail_from,
                envelope_id=ready.envelope_id,
                dsn_return=ready.dsn_return,
                state=state,
                key_id=principal.key_id,
                surface=principal.surface,
                created_at=at,
                expires_at=send_at + EXPIRES_MS,
                level=principal.level,
            )
            await submissions.add(tx, submission)
            deliveries = [
                _delivery(submission, email, options, at, send_at=send_at, held=held, barred=normalize(email) in barred)
                for email, options in ready.recipients
            ]
            await submissions.add_deliveries(tx, deliveries)
            journal.created(SUBMISSION, submission_id)
            await _mark_parent(tx, journal, ready)
            hold_id = None
            if held:
                hold_id = await holding.hold(
                    tx, submission, deliveries, [holding.GATED], at, is_automatic=ready.is_automatic
                )
            if state != "scheduled":  # that is told when it leaves
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
                tx, principal.organization_id, _own_key(principal, once), once.scope, once.digest, answer, at,
                at + REMEMBER_MS,
            ):  # fmt: skip
                raise Conflict("the same idempotency key is being used just now", reason="idempotency")
        if also is not None:
            await also(tx, outcome)
        return outcome


def _sender_of(mail: Composition | RawMail | StoredMail) -> str:
    if isinstance(mail, Composition):
        return mail.from_.email if mail.from_ else ""
    return mail.mail_from


async def _canonical(raw: bytes) -> bytes:
    return canonical(raw) if len(raw) <= INLINE_BYTES else await asyncio.to_thread(canonical, raw)


async def _read(account: Account, mail: RawMail, own: set[str]) -> _Ready:
    return await aside(len(mail.raw), _raw, account, mail, own)


def _raw(account: Account, mail: RawMail, own: set[str]) -> _Ready:
    """A canonical message, checked, and as it is sent."""
    parsed = parse(mail.raw)
    # RFC 6409 §6.1: the From of the header is the account's too, tagged or not; it is what readers believe.
    for author in (*parsed.from_, *parsed.sender):
        key = normalize(author.email)
        if not {key, untagged(key)} & own:
            raise Forbidden(
                f"{author.email or 'an empty From'} is not an address of this account",
                field="from",
                reason="sender_not_allowed",
            )
    names = [name.lower() for name, _ in parsed.headers]
    if any(len(value) > MAX_LIST_CHARS and name.lower() in ("from", "sender") for name, value in parsed.headers):
        raise Invalid(f"From and Sender have at most {MAX_LIST_CHARS} characters", field="from")
    # Two of them, and each reader believes another one (RFC 5322 §3.6).
    if not parsed.from_ or names.count("from") != 1 or names.count("sender") > 1:
        raise Invalid("the message has one From, and one Sender at most", field="from")
    head = b""
    if "message-id" not in names:
        head += _new_message_id(account)
    # RFC 5322 §3.6.3: who got a blind copy is nobody else's business, though a client may have written it down.
    raw = head + raw_headers.without(mail.raw, lambda field: raw_headers.name_of(field) in _BLIND)
    seen: dict[str, tuple[str, RecipientOptions]] = {}
    for email, options in mail.rcpt_to:
        seen.setdefault(normalize(email), (email, options))
    visible = {normalize(address.email) for address in (*parsed.to, *parsed.cc)}
    return _Ready(
        raw=raw,
        parsed=parsed if raw == mail.raw else parse(raw),
        mail_from=mail.mail_from,
        recipients=tuple(seen.values()),
        bcc=tuple(Address(email) for key, (email, _) in seen.items() if key not in visible),
        envelope_id=mail.envelope_id,
        dsn_return=mail.dsn_return,
    )


def _new_message_id(account: Account) -> bytes:
    # RFC 6409 §8.3
    return f"Message-ID: <{new_message_id(split(account.main_address)[1])}>\r\n".encode("ascii")


def _delivery(
    submission: StoredSubmission,
    email: str,
    options: RecipientOptions,
    at: int,
    *,
    send_at: int,
    held: bool,
    barred: bool,
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
        due_at=send_at if state == "queued" else None,
        leased=False,
        delay_noticed=False,
        status=None,
        diagnostic="suppressed after an earlier bounce or complaint" if barred else None,
        remote_mta=None,
        created_at=at,
        updated_at=at,
        token=new_secret("", 8) if submission.mail_from else None,
    )


async def _draft_text(tx: Tx, account_id: str, draft: tuple[str, str]) -> Message:
    """The message of a draft about to be sent. Raises `Conflict` when it is not what it was."""
    draft_id, message_id = draft
    row = await drafts.get(tx, account_id, draft_id)
    text = await messages.get(tx, account_id, message_id)
    if row is None or row.message_id != message_id or text is None:
        raise Conflict("the draft was changed or sent meanwhile", reason="changed_meanwhile")
    return text


async def _take_stored(
    tx: Tx, journal: Journal, account: Account, ready: _Ready, mail: StoredMail, blob: Blob, state: str
) -> Message:
    """The stored message becomes a sent one, or one that waits; its bytes as sent are kept beside it."""
    message = await messages.get(tx, journal.account_id, mail.message_id)
    if message is None:
        raise NotFound("the message was destroyed meanwhile", field="message_id")
    await blob.store(tx, journal.at)
    await drafts.delete_of_message(tx, journal.account_id, message.id)
    if ready.copy is not None:
        message = await _replace(tx, journal, account, message, ready.copy)
    await messages.set_direction(tx, message.id, "out")
    await filing.set_delivery_state(tx, journal, message.id, state)
    keywords = {*message.keywords, *((filing.HELD,) if state == "held" else ())}
    if mail.files_itself:
        keywords = (keywords | {filing.SEEN}) - {filing.DRAFT}
    message = await filing.set_keywords(tx, journal, message, keywords)
    if mail.files_itself or state != "queued":
        roles = {mailbox.role: mailbox.id for mailbox in await mailboxes.all_of(tx, journal.account_id)}
        here = {
            place.mailbox_id for place in (await mailboxes.places(tx, journal.account_id, [message.id]))[message.id]
        }
        target = roles[SENT if state == "queued" else DRAFTS]
        # What the caller put elsewhere stays there too.
        await filing.move(tx, journal, message, (here - {roles[INBOX], roles[DRAFTS]}) | {target})
    return message


async def _replace(tx: Tx, journal: Journal, account: Account, message: Message, copy: _Copy) -> Message:
    """The same message with other bytes, since those of a message never change."""
    places = (await mailboxes.places(tx, account.id, [message.id]))[message.id]
    # The new one first: a thread whose last message went would be gone.
    made = await filing.file(
        tx,
        journal,
        NewMessage(
            parsed=copy.parsed,
            blob=copy.blob,
            direction=message.direction,
            mailbox_roles=(),
            mailbox_ids=[place.mailbox_id for place in places],
            received_at=message.received_at,
            keywords=message.keywords,
            thread_id=message.thread_id,
            bcc=[Address(person.email, person.name) for person in message.bcc_list],
        ),
    )
    await filing.destroy(tx, journal, message, organization_id=account.organization_id, bury=False)
    return made


async def _mark_parent(tx: Tx, journal: Journal, ready: _Ready) -> None:
    for parent_id, keyword in (
        (ready.answered_message_id, filing.ANSWERED),
        (ready.forwarded_message_id, filing.FORWARDED),
    ):
        parent = await messages.get(tx, journal.account_id, parent_id) if parent_id else None
        if parent is not None and keyword not in parent.keywords:
            await filing.set_keywords(tx, journal, parent, {*parent.keywords, keyword})


async def _remembered(tx: Tx, principal: Principal, once: Idempotency, at: int) -> idempotency.Remembered | None:
    return await idempotency.get(tx, principal.organization_id, _own_key(principal, once), at)


def _own_key(principal: Principal, once: Idempotency) -> str:
    """The key among those of everybody who reaches as far: nobody else's words can be in its way, nor be found out."""
    return f"{principal.account_id or principal.pod_id or principal.organization_id} {once.key}"


def _replay(earlier: idempotency.Remembered, once: Idempotency) -> Submitted:
    if earlier.answer is None or earlier.scope != once.scope or earlier.digest != once.digest:
        raise Conflict("this idempotency key was used for another request", reason="idempotency")
    values = dict(earlier.answer)
    values["suppressed"] = tuple(values["suppressed"])
    return Submitted(**values, replayed=True)
