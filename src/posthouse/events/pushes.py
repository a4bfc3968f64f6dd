"""Push subscriptions: where to tell of an account's changes (RFC 8620 §7.2), kept and told.

The verification goes first, then each change of state. A subscription belongs to the credential it was made with.

What has been told is kept with the subscription, and what there is to tell is read from the change log: a
wake-up that is lost, or a restart, delays a telling and loses none.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from posthouse.kit import log
from posthouse.kit.clock import HOUR, MINUTE, SECOND, Clock
from posthouse.kit.errors import Invalid, NotFound, OverQuota, PosthouseError
from posthouse.kit.ids import new_id, new_secret, same
from posthouse.kit.principal import Principal
from posthouse.net.dialer import DialFailed, DialRefused, GuardedDialer
from posthouse.store import accounts, changes, push
from posthouse.store.database import Database, Tx
from posthouse.store.push import PushSubscription
from posthouse.wire import web_push

_log = log.get("push")

_LEASE_MS = MINUTE
_BATCH = 50
_TIMEOUT_S = 15.0
_RETRY_MS = (10 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 4 * HOUR)
_TTL_S = 86_400
_MAX_SUBSCRIPTIONS = 20


@dataclass(frozen=True, slots=True)
class PushDialect:
    """How subscriptions are told.

    Attributes:
        kinds: the types that are told of, each with the name that the change log has for it.
        verification: the body that asks a subscription for its code.
        change: the body that says of an account which types have changed: (the account's id, change number by type).
    """

    kinds: Mapping[str, str]
    verification: Callable[[PushSubscription], bytes]
    change: Callable[[str, Mapping[str, int]], bytes]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription to be made.

    Attributes:
        keys: p256dh and auth to encrypt with (RFC 8291); None sends clear text.
        types: the types it is told of; None for all.
    """

    device_client_id: str
    url: str
    keys: tuple[str, str] | None
    types: list[str] | None
    expires_at: int


# --- Keeping them


def check_keys(p256dh: str, auth: str) -> None:
    """Raises `Invalid` for keys that nothing can be encrypted with (RFC 8291)."""
    web_push.check_keys(p256dh, auth)


async def all_of(tx: Tx, principal: Principal, account_id: str, at: int) -> list[PushSubscription]:
    """The caller's own subscriptions to an account that have not expired."""
    return [each for each in await push.all_of(tx, account_id, at) if each.key_id == principal.key_id]


async def find(tx: Tx, principal: Principal, account_id: str, subscription_id: str, at: int) -> PushSubscription:
    """One of them. Raises `NotFound`."""
    for each in await all_of(tx, principal, account_id, at):
        if each.id == subscription_id:
            return each
    raise NotFound("there is no such subscription")


async def add(tx: Tx, principal: Principal, account_id: str, wanted: Wanted, at: int) -> PushSubscription:
    """Make a subscription; its verification is posted soon.

    Raises:
        OverQuota: the caller has as many as it may.
    """
    if len(await all_of(tx, principal, account_id, at)) >= _MAX_SUBSCRIPTIONS:
        raise OverQuota(f"at most {_MAX_SUBSCRIPTIONS} subscriptions a credential")
    p256dh, auth = wanted.keys or (None, None)
    made = PushSubscription(
        id=new_id(), account_id=account_id, key_id=principal.key_id, device_client_id=wanted.device_client_id,
        url=wanted.url, p256dh=p256dh, auth=auth, verification_code=new_secret("", 16), is_verified=False,
        types=wanted.types, expires_at=wanted.expires_at, pushed_modseq=0, verify_due=True, leased=False, due_at=at,
        failures=0, created_at=at,
    )  # fmt: skip
    await push.add(tx, made)
    return made


def is_code(subscription: PushSubscription, code: str) -> bool:
    """Whether somebody was told the code that was posted to a subscription."""
    return same(code, subscription.verification_code)


async def change(
    tx: Tx, before: PushSubscription, *, types: Sequence[str] | None, expires_at: int, code: str | None
) -> None:
    """Change what a subscription is told of and until when; with the code it was asked for, it is told from now on.

    Raises:
        Invalid: it is not the code.
    """
    if code is not None and not is_code(before, code):
        raise Invalid("this is not the code", field="verificationCode")
    verified_at = None
    if code is not None and not before.is_verified:
        # What happened before nobody asked to be told of.
        account = await accounts.get(tx, before.account_id)
        verified_at = account.modseq if account is not None else 0
    await push.update(tx, before.id, types=types, expires_at=expires_at, verified_at_modseq=verified_at)


async def end(tx: Tx, subscription: PushSubscription) -> None:
    """End a subscription."""
    await push.delete(tx, subscription.account_id, subscription.id)


# --- Telling them


class PushWorker:
    """Posts what is due; `run_once` is a worker's round."""

    def __init__(self, db: Database, dialer: GuardedDialer, dialect: PushDialect, clock: Clock) -> None:
        self._db = db
        self._dialect = dialect
        self._dialer = dialer
        self._clock = clock

    async def next_due(self) -> int | None:
        """When there is something to post."""
        return await self._db.read(lambda tx: push.next_due(tx, self._clock()))

    async def run_once(self) -> int:
        """Post what is due; returns how many subscriptions were taken up."""
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
        modseq, body = await self._db.read(lambda tx: _what(tx, self._dialect, subscription))
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


async def _what(tx: Tx, dialect: PushDialect, subscription: PushSubscription) -> tuple[int, bytes | None]:
    """The change number this telling leads to, and its body; None when nothing asked for has changed."""
    if subscription.verify_due:
        return 0, dialect.verification(subscription)
    account = await accounts.get(tx, subscription.account_id)
    if account is None:
        return 0, None
    found = await changes.current(tx, account.id, sorted(set(dialect.kinds.values())))
    changed = {
        kind: found[logged]
        for kind, logged in dialect.kinds.items()
        if found[logged] > subscription.pushed_modseq and (subscription.types is None or kind in subscription.types)
    }
    return account.modseq, dialect.change(account.id, changed) if changed else None
