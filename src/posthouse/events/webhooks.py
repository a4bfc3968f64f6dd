"""Carrying webhooks out: claim what is due, render once, sign, post through the guarded dialer, write down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from posthouse.kit import log
from posthouse.kit.clock import HOUR, MINUTE, SECOND, Clock
from posthouse.kit.errors import PosthouseError
from posthouse.net.dialer import DialFailed, DialRefused, GuardedDialer
from posthouse.store import events, webhook_health, webhooks
from posthouse.store.database import Database, Tx
from posthouse.store.webhooks import WebhookDelivery, WebhookEndpoint

_log = log.get("webhooks")

_LEASE_MS = MINUTE
_BATCH = 200
_RESPONSE_BYTES = 4_096
# The circuit breaker: after so many failures in a row an endpoint is left alone for a while.
BREAKER_FAILURES = 10
BREAKER_PAUSE_MS = MINUTE
# A telling says the same at every try: its body is rendered once and kept.
MAX_BODY_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one surface tells.

    Attributes:
        render: the body of an event for an endpoint; None when there is nothing left to tell.
        headers: of one attempt at a body: (endpoint, delivery, attempt, instant, body) → headers with the
            signature, fresh at each attempt.
        retry_ms: delays between attempts; after the last one the delivery is dead.
        timeout_s: for one attempt.
    """

    render: Callable[[Tx, WebhookEndpoint, events.Event], Awaitable[bytes | None]]
    headers: Callable[[WebhookEndpoint, WebhookDelivery, int, bytes], Mapping[str, str]]
    retry_ms: Sequence[int] = (
        5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR,
    )  # fmt: skip
    timeout_s: float = 15.0


class WebhookWorker:
    """Posts what is due. Dialects are registered by surface in `app.py`."""

    def __init__(
        self,
        db: Database,
        dialer: GuardedDialer,
        dialects: Mapping[str, Dialect],
        clock: Clock,
        *,
        in_flight: int = 64,
    ) -> None:
        self._db = db
        self._dialer = dialer
        self._dialects = dialects
        self._clock = clock
        self._room = asyncio.Semaphore(in_flight)
        self._running: set[asyncio.Task[None]] = set()

    async def run_once(self) -> int:
        """Claim what is due and start it; answers how many. Waits while too many are under way."""
        async with self._room:
            now = self._clock()
            claimed = await self._db.write(lambda tx: webhooks.claim(tx, now, now + _LEASE_MS, _BATCH))
        for delivery in claimed:
            await self._room.acquire()
            task = asyncio.create_task(self._one(delivery))
            self._running.add(task)
            task.add_done_callback(self._finished)
        return len(claimed)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._room.release()

    async def drain(self, timeout_s: float | None = None) -> None:
        """Wait for the attempts under way."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    async def _one(self, delivery: WebhookDelivery) -> None:
        try:
            await self._attempt(delivery)
        except Exception as error:  # a worker's outer loop: log with the ids and go on; the lease runs out
            _log.error(
                "webhook attempt failed here",
                delivery_id=delivery.id,
                exc_info=not isinstance(error, PosthouseError),
            )

    async def _attempt(self, delivery: WebhookDelivery) -> None:
        endpoint, body = await self._db.read(lambda tx: self._prepare(tx, delivery))
        if endpoint is None or body is None or not endpoint.is_enabled:
            await self._settle(delivery, "dead", None, "the endpoint or what it was to hear of is gone", 0, None)
            return
        health = await self._db.read(lambda tx: webhook_health.get(tx, endpoint.id))
        if health is not None and health.paused_until > self._clock():
            # Jitter, so that the pile does not fall on the receiver in one moment.
            due_at = health.paused_until + int(random.uniform(0, 5 * SECOND))
            await self._db.write(lambda tx: webhooks.postpone(tx, delivery.id, due_at))
            return
        if delivery.body is None:
            await self._db.write(lambda tx: webhooks.set_body(tx, delivery.id, body))
        dialect = self._dialects[endpoint.surface]
        at = self._clock()
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
        elapsed_ms = elapsed_ms or self._clock() - at
        if error is None:
            await self._settle(delivery, "delivered", status, None, elapsed_ms, None)
            return
        if delivery.attempts > len(dialect.retry_ms) or refused:
            await self._settle(delivery, "dead", status, error, elapsed_ms, None)
            return
        delay = dialect.retry_ms[delivery.attempts - 1]
        due_at = self._clock() + int(delay * random.uniform(1.0, 1.25))
        await self._settle(delivery, "failed", status, error, elapsed_ms, due_at)

    async def _prepare(self, tx: Tx, delivery: WebhookDelivery) -> tuple[WebhookEndpoint | None, bytes | None]:
        endpoint = await webhooks.get(tx, delivery.organization_id, delivery.endpoint_id)
        if endpoint is None or delivery.body is not None:
            return endpoint, delivery.body
        event = await events.get(tx, delivery.organization_id, delivery.event_id)
        if event is None:
            return endpoint, None
        return endpoint, await self._dialects[endpoint.surface].render(tx, endpoint, event)

    async def _settle(
        self,
        delivery: WebhookDelivery,
        state: str,
        status: int | None,
        error: str | None,
        elapsed_ms: int,
        due_at: int | None,
    ) -> None:
        at = self._clock()

        async def unit(tx: Tx) -> None:
            await webhooks.settle(
                tx, delivery, state=state, due_at=due_at, status=status, error=error, elapsed_ms=elapsed_ms, at=at
            )
            if due_at is not None:
                tx.wake("webhooks")  # the loop went to sleep meanwhile, and knows nothing of the new time
            if state == "delivered":
                await webhook_health.succeeded(tx, delivery.endpoint_id, at)
            elif error is not None:
                await webhook_health.failed(
                    tx, delivery.endpoint_id, error, at, threshold=BREAKER_FAILURES, pause_ms=BREAKER_PAUSE_MS
                )

        await self._db.write(unit)
