"""Carrying webhooks out: claim what is due, render once, sign, post through the guarded dialer, write down.

Claims, bodies and outcomes are written for many deliveries at a time; only the post is each delivery's own. A body
is made once for all the endpoints that are told the same, and is on the disk before it is first sent.

An endpoint has a bounded number of places (`_Places`). What is due to one whose places are taken stays in the
queue; while it does not answer, it is moved out of the others' way.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from posthouse.kit import log
from posthouse.kit.clock import SECOND, Clock
from posthouse.kit.errors import PosthouseError
from posthouse.net.dialer import DialFailed, DialRefused, GuardedDialer
from posthouse.store import events, webhook_health, webhooks
from posthouse.store.database import Database, Tx
from posthouse.store.events import Event
from posthouse.store.webhooks import Outcome, WebhookDelivery, WebhookEndpoint

_log = log.get("webhooks")

# How many of an endpoint's deliveries are posted at a time, of the dialer's 20 connections to a host; and how many
# are claimed at a time while it answers. One that has not answered yet has no others waiting.
_POSTED = 16
_PLACES = 192
# Bodies held for what is claimed, in octets; beyond, nothing is claimed.
_HELD_OCTETS = 64 << 20
# What waits here until there is less of its lease left than a post may take is put back.
_LEASE_MS = 90 * SECOND
# Due deliveries looked at for one claim.
_WINDOW = 200
# Events rendered in one read: few enough for the event loop, which the read does not leave.
_RENDERED = 4
# How long a claim waits for a place when all that is due has none.
_PATIENCE_S = 0.1
# With its places taken and no answer for so long, an endpoint's deliveries make way for a while.
_STUCK_S = 1.0
_WAY_MS = (2 * SECOND, 4 * SECOND)
# What was read of an endpoint is read again before a post that had to wait so long.
_STALE_S = 1.0
# Outcomes are gathered so long, to be written together.
_GATHER_S = 0.01
_RESPONSE_BYTES = 4_096
# A telling says the same at every try: its body is rendered once and kept.
MAX_BODY_BYTES = 1_000_000
_GONE = "the endpoint or what it was to hear of is gone"


class Breaker(NamedTuple):
    """After so many `failures` in a row an endpoint is left alone for `pause_ms`."""

    failures: int
    pause_ms: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one surface tells. What it says here is its own contract, and no other's.

    Attributes:
        render: the body of an event for an endpoint; None when there is nothing left to tell.
        headers: of one attempt at a body: (endpoint, delivery, instant, body) → headers with the signature, fresh
            at each attempt.
        audience: what of an endpoint its bodies depend on: those with equal answers are sent the same bytes.
        sample: the body of a made-up event: (type, the event's id, instant).
        new_secret: makes what an endpoint's deliveries are signed with.
        standard: the types an endpoint hears that names none.
        own_headers: how the names of headers begin that are the dialect's own, in lower case: no endpoint sets them.
        retry_ms: delays between attempts; after the last one the delivery is dead.
        timeout_s: for one attempt.
        breaker: when an endpoint that fails is left alone.
    """

    render: Callable[[Tx, WebhookEndpoint, Event], Awaitable[bytes | None]]
    headers: Callable[[WebhookEndpoint, WebhookDelivery, int, bytes], Mapping[str, str]]
    audience: Callable[[WebhookEndpoint], Hashable]
    sample: Callable[[str, str, int], bytes]
    new_secret: Callable[[], str]
    standard: tuple[str, ...]
    own_headers: tuple[str, ...]
    retry_ms: Sequence[int]
    timeout_s: float
    breaker: Breaker


@dataclass(slots=True)
class _Places:
    """An endpoint's deliveries under way in this process.

    Attributes:
        taken: claimed and not yet written down.
        posting: who may post now.
        moved_at: when the last of them was done, in monotonic seconds.
        heard: whether the last one was; None before the first.
    """

    taken: int = 0
    posting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_POSTED))
    moved_at: float = field(default_factory=time.monotonic)
    heard: bool | None = None

    @property
    def free(self) -> int:
        """How many more may be claimed."""
        return max(0, (_PLACES if self.heard else _POSTED) - self.taken)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a claim found: deliveries with their endpoints, and how many others were due."""

    deliveries: Sequence[WebhookDelivery]
    endpoints: Mapping[str, WebhookEndpoint]
    postponed: int
    left: int


class _Answered(NamedTuple):
    """What an attempt came to. `heard_by` is the receiver it says something of, with its dialect's breaker."""

    outcome: Outcome
    heard_by: tuple[str, Breaker] | None


class WebhookWorker:
    """Posts what is due. Dialects are registered by surface in `app.py`."""

    def __init__(
        self,
        db: Database,
        dialer: GuardedDialer,
        dialects: Mapping[str, Dialect],
        clock: Clock,
        *,
        in_flight: int = 1_024,
    ) -> None:
        self._db = db
        self._dialer = dialer
        self._dialects = dialects
        self._clock = clock
        self._in_flight = in_flight
        self._running: set[asyncio.Task[None]] = set()
        self._claimed = 0
        self._held_octets = 0
        self._places: dict[str, _Places] = {}
        self._eased = asyncio.Event()
        self._outcomes: list[tuple[_Answered, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def run_once(self) -> int:
        """Claim what is due and start it; answers how many were due. Waits while too many are under way."""
        while self._claimed > self._in_flight // 2 or self._held_octets > _HELD_OCTETS:
            await self._ease()
        now = self._clock()
        room = self._in_flight - self._claimed
        free = {endpoint_id: places.free for endpoint_id, places in self._places.items()}
        moved_since = time.monotonic() - _STUCK_S
        stuck = {
            endpoint_id
            for endpoint_id, places in self._places.items()
            if not places.free and places.moved_at < moved_since
        }
        claim = await self._db.write(lambda tx: _claim(tx, now, room, free, stuck))
        if claim.deliveries:
            for delivery in claim.deliveries:
                self._places.setdefault(delivery.endpoint_id, _Places()).taken += 1
            self._claimed += len(claim.deliveries)
            # The next claim need not wait for these bodies.
            self._go(self._start(claim))
        elif claim.left:
            await self._ease()
        return len(claim.deliveries) + claim.postponed + claim.left

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the attempts under way."""
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        while self._running and (ends is None or time.monotonic() < ends):
            await asyncio.wait(self._running, timeout=None if ends is None else max(0.0, ends - time.monotonic()))

    def _go(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ease(self) -> None:
        """Wait for places to become free, though not for long: something else may have become due."""
        self._eased.clear()
        try:
            await asyncio.wait_for(self._eased.wait(), _PATIENCE_S)
        except TimeoutError:
            pass

    # -- before the post

    async def _start(self, claim: _Claim) -> None:
        read_at = time.monotonic()
        bodies: dict[str, bytes | None] = {}
        try:
            bodies = await self._bodies(claim)
        except Exception as error:  # the leases run out, and the deliveries are claimed again
            self._complain(error, [delivery.id for delivery in claim.deliveries])
        for delivery in claim.deliveries:
            if delivery.id in bodies:
                endpoint, body = claim.endpoints.get(delivery.endpoint_id), bodies[delivery.id]
                self._held_octets += len(body or b"")
                self._go(self._one(delivery, endpoint, body, read_at))
            else:
                self._finished(delivery, None)

    def _finished(self, delivery: WebhookDelivery, body: bytes | None) -> None:
        self._claimed -= 1
        self._held_octets -= len(body or b"")
        places = self._places[delivery.endpoint_id]
        places.taken -= 1
        places.moved_at = time.monotonic()
        if not places.taken:
            del self._places[delivery.endpoint_id]
        # Not at every one: a claim is for many.
        if places.taken <= _PLACES // 2:
            self._eased.set()

    async def _bodies(self, claim: _Claim) -> dict[str, bytes | None]:
        """The body of each delivery, None when there is nothing to tell; those that cannot be made now are missing."""
        bodies: dict[str, bytes | None] = {}
        wanted: dict[str, dict[str, list[WebhookDelivery]]] = {}
        for delivery in claim.deliveries:
            endpoint = claim.endpoints.get(delivery.endpoint_id)
            if delivery.body is not None or endpoint is None or not endpoint.is_enabled:
                bodies[delivery.id] = delivery.body
            else:
                wanted.setdefault(delivery.organization_id, {}).setdefault(delivery.event_id, []).append(delivery)
        made: dict[str, bytes] = {}
        for organization_id, by_event in wanted.items():
            ids = list(by_event)
            for start in range(0, len(ids), _RENDERED):
                some = {event_id: by_event[event_id] for event_id in ids[start : start + _RENDERED]}
                rendered = await self._rendered(organization_id, some, claim.endpoints)
                bodies.update(rendered)
                made.update((delivery_id, body) for delivery_id, body in rendered.items() if body is not None)
                await asyncio.sleep(0)  # a read never leaves the loop by itself
        if made:
            await self._db.write(lambda tx: webhooks.set_bodies(tx, made))
        return bodies

    async def _rendered(
        self,
        organization_id: str,
        by_event: Mapping[str, Sequence[WebhookDelivery]],
        endpoints: Mapping[str, WebhookEndpoint],
    ) -> dict[str, bytes | None]:
        async def unit(tx: Tx) -> dict[str, bytes | None]:
            found = await events.get_many(tx, organization_id, by_event)
            bodies: dict[str, bytes | None] = {}
            for event_id, deliveries in by_event.items():
                once: dict[tuple[str, Hashable], bytes | None] = {}
                for delivery in deliveries:
                    endpoint = endpoints[delivery.endpoint_id]
                    dialect = self._dialects[endpoint.surface]
                    audience = (endpoint.surface, dialect.audience(endpoint))
                    if audience not in once:
                        event = found.get(event_id)
                        once[audience] = None if event is None else await dialect.render(tx, endpoint, event)
                    bodies[delivery.id] = once[audience]
            return bodies

        try:
            return await self._db.read(unit)
        except Exception as error:
            if len(by_event) == 1:
                self._complain(error, [delivery.id for each in by_event.values() for delivery in each])
                return {}
        # One of them does it: the others are still to be told.
        rendered: dict[str, bytes | None] = {}
        for event_id, deliveries in by_event.items():
            rendered |= await self._rendered(organization_id, {event_id: deliveries}, endpoints)
        return rendered

    # -- the post

    async def _one(
        self, delivery: WebhookDelivery, endpoint: WebhookEndpoint | None, body: bytes | None, read_at: float
    ) -> None:
        places = self._places[delivery.endpoint_id]
        try:
            async with places.posting:
                if places.heard is False or time.monotonic() - read_at > _STALE_S:
                    endpoint, paused_until = await self._db.read(lambda tx: _look(tx, delivery))
                    now = self._clock()
                    if paused_until > now or self._expires(delivery, endpoint):
                        due_at = _after_pause(paused_until) if paused_until > now else now
                        await self._db.write(lambda tx: webhooks.give_back(tx, delivery.id, delivery.attempts, due_at))
                        return
                if endpoint is None or body is None or not endpoint.is_enabled:
                    outcome = Outcome(delivery.id, delivery.attempts, "dead", None, None, _GONE, 0, self._clock())
                    endpoint = None
                else:
                    outcome = await self._attempt(delivery, endpoint, body)
                    places.heard = outcome.error is None
                    if not places.heard:
                        # Written down before the next may post: it is to see an open breaker.
                        await self._settle(outcome, endpoint)
                        return
            await self._settle(outcome, endpoint)
        except Exception as error:  # a worker's outer loop: log with the ids and go on; the lease runs out
            self._complain(error, [delivery.id])
        finally:
            self._finished(delivery, body)

    def _expires(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint | None) -> bool:
        """Whether somebody else may claim it before a post begun now has ended."""
        timeout_s = self._dialects[endpoint.surface].timeout_s if endpoint else 0.0
        return delivery.due_at is None or delivery.due_at - self._clock() < timeout_s * SECOND

    async def _attempt(self, delivery: WebhookDelivery, endpoint: WebhookEndpoint, body: bytes) -> Outcome:
        at = self._clock()
        dialect = self._dialects[endpoint.surface]
        headers = {"content-type": "application/json", **endpoint.headers}
        headers.update(dialect.headers(endpoint, delivery, at, body))
        status, error, elapsed_ms, refused = None, None, 0, False
        try:
            response = await self._dialer.post(
                endpoint.url, body, headers, timeout_s=dialect.timeout_s, max_response_bytes=_RESPONSE_BYTES
            )
            status, elapsed_ms = response.status, response.elapsed_ms
            if not 200 <= status < 300:
                error = f"answered {status}"
        except DialRefused as failure:
            error, refused = failure.message, True
        except DialFailed as failure:
            error = failure.message
        done_at = self._clock()
        elapsed_ms = elapsed_ms or done_at - at
        state, due_at = "delivered", None
        if error is not None and (refused or delivery.attempts > len(dialect.retry_ms)):
            state = "dead"
        elif error is not None:
            state = "failed"
            due_at = done_at + int(dialect.retry_ms[delivery.attempts - 1] * random.uniform(1.0, 1.25))
        return Outcome(delivery.id, delivery.attempts, state, due_at, status, error, elapsed_ms, done_at)

    # -- after the post

    async def _settle(self, outcome: Outcome, endpoint: WebhookEndpoint | None) -> None:
        """Have an outcome written down, together with others; `endpoint` when it says something of the receiver."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heard_by = (endpoint.id, self._dialects[endpoint.surface].breaker) if endpoint is not None else None
        self._outcomes.append((_Answered(outcome, heard_by), written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_outcomes(), name="posthouse-webhook-outcomes")
        await written

    async def _write_outcomes(self) -> None:
        try:
            while self._outcomes:
                await asyncio.sleep(_GATHER_S)
                gathered, self._outcomes = self._outcomes, []
                try:
                    await self._write([answered for answered, _ in gathered])
                finally:
                    for _, written in gathered:
                        if not written.done():
                            written.set_result(None)
        finally:
            self._writing = None

    async def _write(self, answered: Sequence[_Answered]) -> None:
        try:
            await self._db.write(lambda tx: _write_down(tx, answered))
            return
        except Exception as error:  # what is not written down is told again when its lease has run out
            if len(answered) == 1 or isinstance(error, PosthouseError):
                self._complain(error, [each.outcome.delivery_id for each in answered])
                return
        for one in answered:  # one of them does it: the others are still to be written down
            await self._write([one])

    def _complain(self, error: Exception, delivery_ids: Sequence[str]) -> None:
        _log.error(
            "webhook attempts failed here",
            delivery_ids=list(delivery_ids[:10]),
            count=len(delivery_ids),
            error=str(error),
            exc_info=not isinstance(error, PosthouseError),
        )


async def _claim(tx: Tx, now: int, room: int, free: Mapping[str, int], stuck: set[str]) -> _Claim:
    """Lease what is due and has a place; leave the rest, or put it off.

    After a pause the breaker is half open: one delivery is tried, and the others wait for what becomes of it.

    Args:
        room: how many at most.
        free: places by endpoint that has some under way.
        stuck: endpoints that do not answer; what is due to them makes way.
    """
    due = await webhooks.due(tx, now, _WINDOW)
    if not due:
        return _Claim((), {}, 0, 0)
    health = await webhook_health.get_many(tx, {endpoint_id for _, endpoint_id in due})
    tried = {endpoint_id for endpoint_id, known in health.items() if known.paused_until > 0}
    # Each endpoint's free places; while it is tried, one if none is under way.
    places = {
        endpoint_id: free.get(endpoint_id, _POSTED) if endpoint_id not in tried else int(endpoint_id not in free)
        for _, endpoint_id in due
    }
    mine: list[str] = []
    later: dict[str, int] = {}
    for delivery_id, endpoint_id in due:
        known = health.get(endpoint_id)
        if known is not None and known.paused_until > now:
            later[delivery_id] = _after_pause(known.paused_until)
        elif len(mine) < room and places[endpoint_id] > 0:
            places[endpoint_id] -= 1
            mine.append(delivery_id)
        elif endpoint_id in stuck or endpoint_id in tried:
            later[delivery_id] = now + random.randint(*_WAY_MS)
    await webhooks.postpone(tx, later)
    claimed = await webhooks.take(tx, mine, now + _LEASE_MS) if mine else []
    endpoints: dict[str, WebhookEndpoint] = {}
    for organization_id in {delivery.organization_id for delivery in claimed}:
        wanted = {delivery.endpoint_id for delivery in claimed if delivery.organization_id == organization_id}
        endpoints |= await webhooks.get_many(tx, organization_id, wanted)
    return _Claim(claimed, endpoints, len(later), len(due) - len(later) - len(claimed))


async def _look(tx: Tx, delivery: WebhookDelivery) -> tuple[WebhookEndpoint | None, int]:
    """The endpoint as it is now, and until when it is to be left alone."""
    health = await webhook_health.get(tx, delivery.endpoint_id)
    endpoint = await webhooks.get(tx, delivery.organization_id, delivery.endpoint_id)
    return endpoint, health.paused_until if health else 0


def _after_pause(paused_until: int) -> int:
    # Jitter, so that the pile does not fall on the receiver in one moment.
    return paused_until + random.randint(0, 5 * SECOND)


async def _write_down(tx: Tx, answered: Sequence[_Answered]) -> None:
    """Outcomes in the order they came in, and what they say of the endpoints named beside them."""
    await webhooks.settle(tx, [each.outcome for each in answered])
    by_endpoint: dict[str, tuple[Breaker, list[Outcome]]] = {}
    for outcome, heard_by in answered:
        if heard_by is not None:
            endpoint_id, breaker = heard_by
            by_endpoint.setdefault(endpoint_id, (breaker, []))[1].append(outcome)
    for endpoint_id, (breaker, those) in sorted(by_endpoint.items(), key=lambda each: each[0]):
        heard = [outcome for outcome in those if outcome.state == "delivered"]
        unheard = those[those.index(heard[-1]) + 1 :] if heard else those
        if heard:
            await webhook_health.succeeded(tx, endpoint_id, heard[-1].at)
        if unheard:
            last = unheard[-1]
            await webhook_health.failed(
                tx, endpoint_id, last.error or "", last.at, times=len(unheard), threshold=breaker.failures,
                pause_ms=breaker.pause_ms,
            )  # fmt: skip
