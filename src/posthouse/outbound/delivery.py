"""The queue's worker: claims what is due, has it carried, writes down what became of it.

Deliveries of one submission to one domain are taken up together; what leaves the house goes in a transaction for
each recipient, with that recipient's own reverse-path. Each attempt ends in one unit: states, events,
suppressions, the report to the sender and, for mail that stays here, the deposit itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from posthouse.events import outbox
from posthouse.kit import log
from posthouse.kit.aside import UNDERWAY, aside
from posthouse.kit.clock import HOUR, MINUTE, SECOND, Clock
from posthouse.kit.errors import PosthouseError
from posthouse.mail import threading
from posthouse.mail.journal import changing
from posthouse.outbound import suppressions
from posthouse.outbound.bounces import note_outcome, return_path
from posthouse.outbound.courier import DeliveryResult, Parcel
from posthouse.outbound.departure import ask
from posthouse.outbound.reports import Reporter
from posthouse.outbound.route import Deposit, Router
from posthouse.outbound.signing import Signer
from posthouse.outbound.submission import WAKE
from posthouse.store import accounts, pauses, submissions
from posthouse.store.blobfiles import Blobs
from posthouse.store.blobs import digest
from posthouse.store.database import Database, Tx
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire.address import is_ascii
from posthouse.wire.compose import needs_utf8

_log = log.get("delivery")

# Short, so that what a process had in hand when it died is soon taken up by another; renewed while it lives.
_LEASE_MS = MINUTE
_RENEW_S = 20.0
_ATTEMPT_S = 15 * 60
# A longer message is hashed on a thread: the loop has other callers.
_INLINE_DIGEST_BYTES = 256 * 1024
_BATCH = 200
# When a mail is late by this, its sender is told, once.
DELAY_NOTICE_MS = 4 * HOUR
# Minutes between attempts (RFC 5321 §4.5.4.1: at least 30 minutes in the long run).
DEFAULT_SCHEDULE_MS = tuple(
    minutes * MINUTE for minutes in (1, 5, 15, 30, 60, 120, 240, 480, 480, 480, 480, 480, 480, 480, 480, 480, 480)
)


@dataclass(frozen=True, slots=True)
class _Group:
    """Deliveries of one submission to one domain."""

    submission: StoredSubmission
    domain: str
    deliveries: tuple[Delivery, ...]


class DeliveryWorker:
    """Carries what is due. `run_once` claims a batch and starts it; `drain` waits for what was started."""

    def __init__(
        self,
        db: Database,
        blobs: Blobs,
        router: Router,
        signer: Signer,
        reporter: Reporter,
        clock: Clock,
        *,
        schedule_ms: Sequence[int] = DEFAULT_SCHEDULE_MS,
        in_flight: int = 100,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._router = router
        self._signer = signer
        self._reporter = reporter
        self._clock = clock
        self._schedule = tuple(schedule_ms)
        self._room = asyncio.Semaphore(in_flight)
        self._running: set[asyncio.Task[None]] = set()
        self._in_hand: set[str] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def run_once(self) -> int:
        """Claim what is due and start it; answers how many deliveries. Waits while too many are under way."""
        async with self._room:
            now = self._clock()
            claimed = await self._db.write(lambda tx: submissions.claim(tx, now, now + _LEASE_MS, _BATCH))
        self._in_hand.update(delivery.id for delivery in claimed)
        if claimed and self._renewing is None:
            self._renewing = asyncio.create_task(self._renew(), name="posthouse-renew-leases")
        groups = await self._leaving(await self._db.read(lambda tx: _group(tx, claimed)))
        grouped = {delivery.id for group in groups for delivery in group.deliveries}
        self._in_hand -= {delivery.id for delivery in claimed} - grouped
        for group in groups:
            await self._room.acquire()
            task = asyncio.create_task(self._carry(group))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(claimed)

    async def _leaving(self, groups: list[_Group]) -> list[_Group]:
        """Without what was planned and may not leave after all, now that its time has come."""
        answers: dict[str, bool] = {}
        for submission in {group.submission.id: group.submission for group in groups}.values():
            if submission.state == "scheduled":
                try:
                    answers[submission.id] = await self._db.write(
                        partial(ask, submission_id=submission.id, at=self._clock())
                    )
                except PosthouseError as error:
                    # The lease runs out by itself, and it is asked again.
                    _log.error("planned mail could not be asked about", submission_id=submission.id, error=str(error))
                    answers[submission.id] = False
        return [group for group in groups if answers.get(group.submission.id, True)]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._room.release()

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the attempts under way; what is not done in time is tried again when its lease ends."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)
        if self._renewing is not None and not self._running:
            self._renewing.cancel()

    async def _renew(self) -> None:
        """Keep the leases of what is in hand, until nothing is."""
        try:
            while self._in_hand:
                await asyncio.sleep(_RENEW_S)
                ids, until = sorted(self._in_hand), self._clock() + _LEASE_MS
                try:
                    await self._db.write(partial(submissions.extend, delivery_ids=ids, lease_until=until))
                except PosthouseError as error:
                    _log.warning("leases could not be renewed", error=str(error))
        finally:
            self._renewing = None

    async def _carry(self, group: _Group) -> None:
        try:
            await self._carry_one(group)
        finally:
            self._in_hand.difference_update(delivery.id for delivery in group.deliveries)

    async def _carry_one(self, group: _Group) -> None:
        try:
            if not await self._db.read(lambda tx: pauses.is_running(tx, group.submission.account_id)):
                await self._wait(group)
                return
            outcome, raw = await asyncio.wait_for(self._attempt(group), _ATTEMPT_S)
            await self._db.write(lambda tx: self._settle(tx, group, outcome, raw))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a worker's outer loop: log with the ids and go on
            expected = isinstance(error, PosthouseError | TimeoutError)
            _log.error("delivery failed", submission_id=group.submission.id, domain=group.domain, exc_info=not expected)
            await self._put_back(group, "4.3.0 the attempt could not be completed here")

    async def _wait(self, group: _Group) -> None:
        """Its sender was paused since this was claimed: no attempt has been made."""
        ids, at = [delivery.id for delivery in group.deliveries], self._clock()
        await self._db.write(lambda tx: submissions.unclaim(tx, ids, at))

    async def _put_back(self, group: _Group, diagnostic: str) -> None:
        at = self._clock()

        async def unit(tx: Tx) -> None:
            for delivery in group.deliveries:
                await submissions.settle(
                    tx, delivery.id, state="deferred", due_at=at + self._delay(delivery), status="4.3.0",
                    diagnostic=diagnostic, remote_mta=None, delay_noticed=delivery.delay_noticed, at=at,
                )  # fmt: skip
            tx.wake(WAKE)

        try:
            await self._db.write(unit)
        except PosthouseError as error:
            # The lease runs out by itself, and the deliveries are taken up again.
            _log.error("putting back failed", submission_id=group.submission.id, error=str(error))

    async def _attempt(self, group: _Group) -> tuple[Deposit | Sequence[DeliveryResult], bytes]:
        submission = group.submission
        raw = await self._blobs.read(submission.blob_hash)
        if not await _is_unchanged(raw, submission.blob_hash):
            _log.error("the stored bytes are not those taken on", submission_id=submission.id)
            return [_damaged(delivery) for delivery in group.deliveries], raw
        if await self._router.is_local(group.domain):
            caught = await self._router.is_caught(group.domain)
            parcel = _parcel(group, raw, group.submission.mail_from, group.deliveries)
            return await self._router.local.prepare(parcel, caught=caught), raw
        signed = await self._signer.sign(raw)
        together: dict[str, list[Delivery]] = {}
        for delivery in group.deliveries:
            together.setdefault(return_path(group.submission.mail_from, delivery.token), []).append(delivery)
        parcels = [_parcel(group, signed, path, deliveries) for path, deliveries in together.items()]
        return await self._carry_out(parcels), raw

    async def _carry_out(self, parcels: Sequence[Parcel]) -> list[DeliveryResult]:
        """One transaction for each reverse-path. Where the first finds nobody to talk to, the others are not tried."""
        courier = self._router.outside
        assert courier is not None
        first, *others = parcels
        results = list(await courier.deliver(first))
        if all(result.outcome == "deferred" and result.smtp_code is None for result in results):
            told = results[0]
            return results + [replace(told, recipient=address) for each in others for address in each.recipients]
        for more in await asyncio.gather(*(courier.deliver(parcel) for parcel in others)):
            results += more
        return results

    async def _settle(self, tx: Tx, group: _Group, outcome: Deposit | Sequence[DeliveryResult], raw: bytes) -> None:
        at = self._clock()
        submission = await submissions.get(tx, group.submission.id)
        account = await accounts.get(tx, group.submission.account_id)
        if submission is None or account is None:
            return  # the account went away with all that was its own
        # The account's row first, then the deposit's: the order every unit keeps.
        async with changing(tx, account.id, at) as journal:
            results = await outcome(tx) if callable(outcome) else outcome
            by_recipient = {result.recipient: result for result in results}
            delivered, bounced, late, told_success = [], [], [], []
            for delivery in group.deliveries:
                result = by_recipient.get(delivery.recipient) or DeliveryResult(
                    delivery.recipient, "deferred", "4.3.0", "the courier gave no answer"
                )
                if result.outcome == "deferred" and at + self._delay(delivery) >= submission.expires_at:
                    result = DeliveryResult(
                        result.recipient, "failed", "4.4.7", f"given up after days of trying: {result.diagnostic}",
                        result.remote_mta, result.smtp_code,
                    )  # fmt: skip
                noticed = delivery.delay_noticed
                if result.outcome == "deferred":
                    due_at: int | None = at + self._delay(delivery)
                    if not noticed and at - submission.created_at >= DELAY_NOTICE_MS:
                        noticed = True
                        late.append((delivery, result))
                else:
                    due_at = None
                state = {"delivered": "delivered", "deferred": "deferred", "failed": "bounced"}[result.outcome]
                await submissions.settle(
                    tx, delivery.id, state=state, due_at=due_at, status=result.status,
                    diagnostic=result.diagnostic, remote_mta=result.remote_mta, delay_noticed=noticed, at=at,
                )  # fmt: skip
                if result.outcome == "delivered":
                    delivered.append(delivery.recipient)
                    await threading.renamed(tx, account.id, submission.thread_id, result.given_ids)
                    # RFC 3461 §5.2.1: one report of success, from the last who understands the wish.
                    if "SUCCESS" in delivery.notify.split(",") and not result.reports_success:
                        told_success.append((delivery, result))
                elif result.outcome == "failed":
                    bounced.append((delivery, result))
                    await suppressions.after_failure(
                        tx, account.id, delivery.recipient, result.status, result.diagnostic, at
                    )
            for event_type, facts in (
                (outbox.MESSAGE_DELIVERED, {"recipients": delivered} if delivered else None),
                (
                    outbox.MESSAGE_BOUNCED,
                    {"recipients": [{"address": d.recipient, "status": r.status} for d, r in bounced]}
                    if bounced
                    else None,
                ),
                (
                    outbox.MESSAGE_DELAYED,
                    {"recipients": [d.recipient for d, _ in late]} if late else None,
                ),
            ):
                if facts is not None:
                    await note_outcome(tx, journal, account, submission, event_type, dict(facts))
            if any(result.outcome == "deferred" for result in results):
                tx.wake(WAKE)  # the loop went to sleep while this was under way, and knows nothing of its new time
            await self._reporter.report(
                tx, account, submission, raw, at, failed=bounced, delayed=late, delivered=told_success
            )

    def _delay(self, delivery: Delivery) -> int:
        step = self._schedule[min(max(delivery.attempts, 1), len(self._schedule)) - 1]
        # A tenth of jitter: what failed together is not tried together again.
        return max(SECOND, int(step * random.uniform(0.95, 1.05)))


async def _is_unchanged(raw: bytes, hash_: str) -> bool:
    """Whether these are the bytes that were taken on, looked at and perhaps approved."""
    return await aside(len(raw), digest, raw, above=_INLINE_DIGEST_BYTES, room=UNDERWAY) == hash_


def _damaged(delivery: Delivery) -> DeliveryResult:
    return DeliveryResult(delivery.recipient, "failed", "5.3.0", "the message was changed where it is stored")


def _parcel(group: _Group, raw: bytes, mail_from: str, deliveries: Sequence[Delivery]) -> Parcel:
    submission = group.submission
    return Parcel(
        mail_from=mail_from,
        recipients=tuple(delivery.recipient for delivery in deliveries),
        raw=raw,
        domain=group.domain,
        envelope_id=submission.envelope_id,
        dsn_return=submission.dsn_return,
        notify={delivery.recipient: delivery.notify for delivery in deliveries},
        original_recipients={delivery.recipient: delivery.original_recipient for delivery in deliveries},
        requires_8bit=not raw.isascii(),
        requires_utf8=needs_utf8(raw) or not all(map(is_ascii, (mail_from, *(each.recipient for each in deliveries)))),
        sender_account_id=submission.account_id,
        sender_organization_id=submission.organization_id,
    )


async def _group(tx: Tx, claimed: Sequence[Delivery]) -> list[_Group]:
    together: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in claimed:
        together.setdefault((delivery.submission_id, delivery.domain), []).append(delivery)
    groups = []
    for (submission_id, domain), deliveries in together.items():
        submission = await submissions.get(tx, submission_id)
        if submission is not None:
            groups.append(_Group(submission, domain, tuple(deliveries)))
    return groups
