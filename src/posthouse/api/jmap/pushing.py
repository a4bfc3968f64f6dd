"""Posting to push subscriptions: the verification first, then each change of state (RFC 8620 §7.2).

What has been told is kept with the subscription, and what there is to tell is read from the change log: a
wake-up that is lost, or a restart, delays a telling and loses none.
"""

from __future__ import annotations

import asyncio
import random

import msgspec

from posthouse.api.jmap import states
from posthouse.kit import log
from posthouse.kit.clock import HOUR, MINUTE, SECOND, Clock
from posthouse.kit.errors import PosthouseError
from posthouse.net.dialer import DialFailed, DialRefused, GuardedDialer
from posthouse.store import accounts, push
from posthouse.store.database import Database, Tx
from posthouse.store.push import PushSubscription
from posthouse.wire import web_push

_log = log.get("push")

_LEASE_MS = MINUTE
_BATCH = 50
_TIMEOUT_S = 15.0
_RETRY_MS = (10 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR)
_TTL_S = 86_400


class PushWorker:
    """Posts what is due; `run_once` is a worker's round."""

    def __init__(self, db: Database, dialer: GuardedDialer, clock: Clock) -> None:
        self._db = db
        self._dialer = dialer
        self._clock = clock

    async def next_due(self) -> int | None:
        """When there is something to post."""
        return await self._db.read(lambda tx: push.next_due(tx, self._clock()))

    async def run_once(self) -> int:
        """Post what is due; answers how many subscriptions were taken up."""
        now = self._clock()
        if not await self._is_due(now):
            return 0
        claimed = await self._db.write(lambda tx: push.claim(tx, now, now + _LEASE_MS, _BATCH))
        await asyncio.gather(*(self._one(each) for each in claimed))
        return len(claimed)

    async def _is_due(self, now: int) -> bool:
        due_at = await self._db.read(lambda tx: push.next_due(tx, now))
        return due_at is not None and due_at <= now

    async def _one(self, subscription: PushSubscription) -> None:
        try:
            await self._tell(subscription)
        except Exception as error:  # a worker's outer loop: log with the id and go on; the lease runs out
            _log.error(
                "push failed here", subscription_id=subscription.id, exc_info=not isinstance(error, PosthouseError)
            )

    async def _tell(self, subscription: PushSubscription) -> None:
        modseq, body = await self._db.read(lambda tx: _what(tx, subscription))
        outcome = "nothing" if body is None else await self._post(subscription, body)
        now = self._clock()
        if outcome == "gone":
            # RFC 8030 §7.3 and RFC 8620 §7.2: who answers 404 or 410 wants no more.
            await self._db.write(lambda tx: push.delete(tx, subscription.account_id, subscription.id))
            return
        failed = outcome == "failed"
        failures = subscription.failures + 1 if failed else 0
        if failures > len(_RETRY_MS):
            await self._db.write(lambda tx: push.delete(tx, subscription.account_id, subscription.id))
            return
        delay = int(_RETRY_MS[failures - 1] * random.uniform(1.0, 1.25)) if failed else 0
        verified_now = subscription.verify_due and not failed
        await self._db.write(
            lambda tx: push.settle(
                tx,
                subscription.id,
                pushed_modseq=0 if failed or subscription.verify_due else modseq,
                verify_due=subscription.verify_due and not verified_now,
                due_at=now + delay,
                failures=failures,
            )
        )

    async def _post(self, subscription: PushSubscription, body: bytes) -> str:
        headers = {"Content-Type": "application/json", "TTL": str(_TTL_S)}
        if subscription.p256dh is not None and subscription.auth is not None:
            body = web_push.encrypt(body, subscription.p256dh, subscription.auth)
            headers |= {"Content-Type": "application/octet-stream", "Content-Encoding": "aes128gcm"}
        try:
            response = await self._dialer.post(
                subscription.url, body, headers, timeout_s=_TIMEOUT_S, max_response_bytes=1_024
            )
        except DialRefused:
            return "gone"
        except DialFailed:
            return "failed"
        if 200 <= response.status < 300:
            return "told"
        return "gone" if response.status in (404, 410) else "failed"


async def _what(tx: Tx, subscription: PushSubscription) -> tuple[int, bytes | None]:
    """The change number this telling leads to, and its body; None when nothing asked for has changed."""
    if subscription.verify_due:
        body = {
            "@type": "PushVerification",
            "pushSubscriptionId": subscription.id,
            "verificationCode": subscription.verification_code,
        }
        return 0, msgspec.json.encode(body)
    account = await accounts.get(tx, subscription.account_id)
    if account is None:
        return 0, None
    found = await states.all_current(tx, subscription.account_id)
    changed = {
        kind: str(modseq)
        for kind, modseq in found.items()
        if modseq > subscription.pushed_modseq and (subscription.types is None or kind in subscription.types)
    }
    if not changed:
        return account.modseq, None
    return account.modseq, msgspec.json.encode({"@type": "StateChange", "changed": {account.id: changed}})
