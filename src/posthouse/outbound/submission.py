"""Handing a message over to be sent: the one way out, for every door.

`Submitter.submit` takes what a door hands over (`request`): a composition, bytes that a client made (SMTP), or a
message that lies in the account (JMAP). It goes four steps: it is prepared (`preparation`: bytes and an envelope),
looked at (`guard`: off the loop, before any lock is held), decided on (`_decide`: sender, level, rate, suppressions,
lists) and taken on (`taking_on`): one unit stores the message, its deliveries, its hold, the event and the answer to
an idempotency key. The id that it returns is a promise: the commit has been made.
"""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import identities, rights
from posthouse.accounts.rights import Right
from posthouse.events import outbox
from posthouse.kit.clock import DAY, Clock
from posthouse.kit.errors import Forbidden, Invalid, TooLarge, TooMany
from posthouse.kit.ids import new_id
from posthouse.kit.principal import Principal, strictest
from posthouse.mail.journal import SUBMISSION, changing
from posthouse.outbound import guard, holding, policy, replays, strangers, suppressions, taking_on
from posthouse.outbound.departure import EXPIRES_MS
from posthouse.outbound.guard import Findings, Guard
from posthouse.outbound.preparation import Ready, prepare, sender_of
from posthouse.outbound.request import Also, Composition, Idempotency, Limits, RawMail, StoredMail, Submitted
from posthouse.outbound.telling import tell
from posthouse.scan.verdict import Finding
from posthouse.store import accounts, drafts, submissions
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.submissions import StoredSubmission
from posthouse.store.suppressions import Suppression
from posthouse.wire.address import normalize

WAKE = "deliveries"
# A count this near its limit is taken again under the account's lock.
_COUNT_MARGIN = 1_000


@dataclass(frozen=True, slots=True)
class _Asked:
    """Who sends, as it was before the message was prepared.

    Attributes:
        own: the account's addresses, normalised.
        sent_lately: how many messages it has sent in a day, as far as there is a limit.
    """

    account: Account
    level: str
    own: set[str]
    sent_lately: int


@dataclass(frozen=True, slots=True)
class _Decision:
    """What becomes of a message.

    Attributes:
        state: `queued`, `held` or `scheduled`.
        send_at: not to be carried before this.
        barred: the suppressions in the way of some of its recipients, by address.
        why_held: the reasons to be put before the owner; None when it does not wait for him.
    """

    account: Account
    state: str
    send_at: int
    barred: dict[str, Suppression]
    why_held: Findings | None


class Submitter:
    """Takes messages to be sent."""

    def __init__(self, db: Database, blobs: Blobs, clock: Clock, limits: Limits, guard: Guard | None = None) -> None:
        self._db = db
        self._blobs = blobs
        self._clock = clock
        self._guard = guard or Guard()
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
            Forbidden: the caller lacks the right to send (`missing_permission`), the account is paused (`paused`), its
                level is `read_only` (`read_only`), a From that is not the account's (`sender_not_allowed`), every
                recipient is suppressed (`suppressed`), a list keeps one out (`list_blocked`), or the organisation
                has not proved its human's address (`unverified`).
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
        if once is not None and (earlier := await self.earlier(principal, once)) is not None:
            return earlier
        asked = await self._db.read(lambda tx: self._ask(tx, principal, account_id, mail, at))
        ready = await prepare(self._db, self._blobs, asked.account, mail, asked.own, at)
        self._check_size(ready)
        seen = await self._look(asked, principal, ready)
        blob = await self._blobs.prepare(ready.raw)

        async def unit(tx: Tx) -> Submitted:
            return await self._take_on(tx, principal, asked, ready, seen, blob, at, once, also)

        return await self._db.write(unit)

    async def earlier(self, principal: Principal, once: Idempotency) -> Submitted | None:
        """The answer to an earlier, identical request, before any work is done for this one.

        Raises:
            Conflict: the key was used for another request.
        """
        at = self._clock()
        return await self._db.read(lambda tx: replays.earlier(tx, principal, once, at))

    async def _ask(
        self, tx: Tx, principal: Principal, account_id: str, mail: Composition | RawMail | StoredMail, at: int
    ) -> _Asked:
        account = await account_rules.get_in_scope(tx, principal, account_id)
        sender, field = sender_of(mail)
        if sender:
            await identities.check_sender(tx, account, sender, field)
        await policy.check_running(tx, account, principal)
        sent_lately = await self._check_rate(tx, account, at)
        level = await policy.level_of(tx, account, principal)
        if level == "read_only":
            raise Forbidden("this account may read and not send", reason="read_only")
        return _Asked(account, level, set(await accounts.addresses(tx, account.id)), sent_lately)

    def _check_size(self, ready: Ready) -> None:
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

    async def _check_rate(self, tx: Tx, account: Account, at: int) -> int:
        """How many messages the account has sent in a day, as far as there is a limit. Raises `TooMany`."""
        limit = self.limits.submissions_a_day
        if limit is None:
            return 0
        sent = await submissions.count_since(tx, account.id, at - DAY, limit)
        if sent >= limit:
            raise TooMany(f"an inbox sends at most {limit} messages a day", retry_after_s=3600, reason="send_rate")
        return sent

    async def _look(self, asked: _Asked, principal: Principal, ready: Ready) -> Findings | None:
        """What the guard finds; None where it does not look."""
        if asked.level not in guard.LOOKED_AT:
            return None
        recipients = [email for email, _ in ready.recipients]

        async def unit(tx: Tx) -> list[Finding] | None:
            if await policy.stays_inside(tx, asked.account, recipients):
                return None
            answers = ready.parsed.in_reply_to
            return await strangers.findings(tx, asked.account, recipients, answers=answers, own=asked.own)

        of_recipients = await self._db.read(unit)
        if of_recipients is None:
            return []
        return [
            *guard.written_down(of_recipients),
            *await self._guard.look(ready.raw, ready.parsed, recipients),
        ]

    async def _take_on(
        self,
        tx: Tx,
        principal: Principal,
        asked: _Asked,
        ready: Ready,
        seen: Findings | None,
        blob: Blob,
        at: int,
        once: Idempotency | None,
        also: Also | None,
    ) -> Submitted:
        if once is not None and (earlier := await replays.earlier(tx, principal, once, at)) is not None:
            return earlier  # somebody was faster between our look and this unit
        filed = blob if ready.stored is None else None if ready.copy is None else ready.copy.blob
        async with changing(tx, asked.account.id, at, added_bytes=filed.size_bytes if filed else 0) as journal:
            decision = await self._decide(tx, principal, asked, ready, seen, at)
            account, state = decision.account, decision.state
            message = await taking_on.file(tx, journal, account, ready, blob, state)
            submission = StoredSubmission(
                id=new_id(),
                organization_id=account.organization_id,
                account_id=account.id,
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
                expires_at=decision.send_at + EXPIRES_MS,
                level=principal.level,
                findings=seen,
            )
            await submissions.add(tx, submission)
            deliveries = [
                taking_on.delivery(
                    submission, email, options, at,
                    send_at=decision.send_at, barred=normalize(email) in decision.barred,
                )
                for email, options in ready.recipients
            ]  # fmt: skip
            await submissions.add_deliveries(tx, deliveries)
            if state == "queued":  # what waits is remembered when it goes
                await taking_on.remember_recipients(tx, account.id, deliveries, at)
            journal.created(SUBMISSION, submission.id)
            hold_id = None
            if decision.why_held is not None:
                hold_id = await holding.hold(
                    tx, submission, deliveries, decision.why_held, at, is_automatic=ready.is_automatic
                )
            if state != "scheduled":  # that is told when it leaves
                event = outbox.MESSAGE_HELD if state == "held" else outbox.MESSAGE_SENT
                facts = {"recipients": [email for email, _ in ready.recipients]}
                await tell(tx, journal, account, submission, event, facts)
            if state != "held":
                tx.wake(WAKE)
        outcome = Submitted(
            submission_id=submission.id,
            message_id=message.id,
            thread_id=message.thread_id,
            header_message_id=submission.header_message_id,
            held=state == "held",
            suppressed=tuple(email for email, _ in ready.recipients if normalize(email) in decision.barred),
            hold_id=hold_id,
        )
        if once is not None:
            await replays.remember(tx, principal, once, outcome, at)
        if also is not None:
            await also(tx, outcome)
        return outcome

    async def _decide(
        self, tx: Tx, principal: Principal, asked: _Asked, ready: Ready, seen: Findings | None, at: int
    ) -> _Decision:
        """Whether it goes, waits or is refused. Under the account's lock: what was tightened meanwhile holds."""
        account = await accounts.get(tx, asked.account.id)
        assert account is not None  # the journal holds its row
        await policy.check_running(tx, account, principal)
        level = await policy.level_of(tx, account, principal)
        if level == "read_only":
            raise Forbidden("this account may read and not send", reason="read_only")
        if ready.stored is not None:
            written = await drafts.level_of_message(tx, account.id, ready.stored.message_id)
            # Words of a key that may not send wait for the owner, whoever sends them.
            level = strictest(level, "gated" if written == "read_only" else written)
        limit = self.limits.submissions_a_day
        if limit is not None and asked.sent_lately >= limit - _COUNT_MARGIN:
            await self._check_rate(tx, account, at)  # others may have been sending since it was counted
        recipients = [email for email, _ in ready.recipients]
        barred = await suppressions.among(tx, account.id, recipients, at)
        if all(normalize(email) in barred for email in recipients):
            reasons = sorted({suppression.reason for suppression in barred.values()})
            raise Forbidden(f"every recipient is suppressed ({', '.join(reasons)})", field="to", reason="suppressed")
        await policy.check(tx, account, principal, recipients, at, ladder=self.limits.ladder)
        send_at = at if ready.stored is None or ready.stored.send_at is None else max(at, ready.stored.send_at)
        why_held = guard.why_held(level, seen)
        state = "held" if why_held is not None else "scheduled" if send_at > at else "queued"
        return _Decision(account, state, send_at, barred, why_held)
