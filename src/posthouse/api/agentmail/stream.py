"""AgentMail's WebSocket at `/v0`: subscribe, and hear the events a webhook would be told, as they happen.

A bare ASGI handler: what it does is loop over a queue. Follows RFC 6455; pings are the server's (uvicorn).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import msgspec

from posthouse.accounts import hearing, pods
from posthouse.accounts.leases import Lease
from posthouse.accounts.rights import hidden_from
from posthouse.api.agentmail import auth, errors, events, scope
from posthouse.api.agentmail.auth import REQUESTS_A_MINUTE
from posthouse.api.agentmail.permissions import need, need_to_hear
from posthouse.api.agentmail.shapes.webhooks import check_event_types
from posthouse.api.request import bearer
from posthouse.api.services import Services
from posthouse.events.streams import Told
from posthouse.kit import log
from posthouse.kit.errors import Malformed, PosthouseError, TooMany, Unauthenticated, Unavailable
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx
from posthouse.store.events import Event

_log = log.get("agentmail")

Message = MutableMapping[str, Any]
MAX_FRAME = 65_536
_MAX_FILTER = 100
# Streams open at once, whatever the rates are.
_STREAMS_OF_A_KEY = 100
_STREAMS_OF_AN_ORGANIZATION = 1_000
_TRY_AGAIN_LATER, _POLICY = 1013, 1008


class Subscribe(msgspec.Struct, tag_field="type", tag="subscribe"):
    """What a client wants to hear; nothing named is everything but the kinds that must be named."""

    event_types: list[str] | None = None
    inbox_ids: list[str] | None = None
    pod_ids: list[str] | None = None


class Subscribed(msgspec.Struct, tag_field="type", tag="subscribed", omit_defaults=True):
    """What a client hears from now on."""

    event_types: list[str] | None = None
    inbox_ids: list[str] | None = None
    pod_ids: list[str] | None = None


class Refused(msgspec.Struct, tag_field="type", tag="error"):
    """A frame that could not be followed; the filter before it stays."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class _Filter:
    """A subscription, with the ids of the core."""

    types: frozenset[str]
    account_ids: frozenset[str] = frozenset()
    pod_ids: frozenset[str] = frozenset()

    def takes(self, event: Event) -> bool:
        if event.type not in self.types:
            return False
        if self.account_ids or self.pod_ids:
            return event.account_id in self.account_ids or event.pod_id in self.pod_ids
        return True


@dataclass(slots=True)
class _Session:
    services: Services
    lease: Lease
    filter: _Filter | None = None
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)


async def serve(
    services: Services,
    connection: Mapping[str, Any],
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """One WebSocket, from its upgrade to its end."""
    await receive()  # websocket.connect
    try:
        principal = await _who(services, connection)
    except PosthouseError as error:
        await _refuse(send, error)
        return
    limits = {
        f"a key:{principal.key_id}": _STREAMS_OF_A_KEY,
        f"an organization:{principal.organization_id}": _STREAMS_OF_AN_ORGANIZATION,
    }
    try:
        with services.open_streams.one_more(limits):
            await _serve(_Session(services, services.leases.take(principal)), principal, receive, send)
    except TooMany as error:
        await _refuse(send, error)


async def _serve(
    session: _Session,
    principal: Principal,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    services = session.services
    subscription = await services.streams.subscribe(principal.organization_id)
    try:
        await send({"type": "websocket.accept"})
        tasks = [
            asyncio.create_task(_listen(session, receive, send)),
            asyncio.create_task(_tell(session, subscription.next, send)),
            asyncio.create_task(session.lease.ended()),
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                # A caller that went away while it was told something is no fault of ours.
                if task.exception() is not None and not isinstance(task.exception(), OSError):
                    _log.error("a stream ended by itself", exc_info=task.exception())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if session.lease.is_over:
            await send({"type": "websocket.close", "code": _POLICY, "reason": "the key was revoked or has expired"})
    finally:
        await services.streams.unsubscribe(principal.organization_id, subscription)


async def _who(services: Services, connection: Mapping[str, Any]) -> Principal:
    headers = connection["headers"]
    named = parse_qs(connection["query_string"].decode("latin-1")).get("api_key", [""])[0]
    other = next((value.decode("latin-1") for name, value in headers if name == b"x-api-key"), "")
    secret = bearer(headers) or other or named
    if not secret:
        raise Unauthenticated("the request carries no API key", reason="missing_authorization")
    principal = await services.keys.check(secret, services.clock())
    if principal.surface != auth.SURFACE:
        raise Unauthenticated("this key is for another API of this server", reason="invalid_token_type")
    need(principal, "message_read")
    _count(services, principal)
    return principal


def _count(services: Services, principal: Principal) -> None:
    """A connection, or a frame on it, is a request like any other. Raises `TooMany`."""
    if services.limiter.take(f"agentmail:{principal.key_id}", REQUESTS_A_MINUTE, 60).exceeded:
        raise TooMany("too many requests with this key", retry_after_s=60)


async def _refuse(send: Callable[[Message], Awaitable[None]], error: PosthouseError) -> None:
    """Answer the upgrade with plain HTTP: clients look for its 401."""
    row = errors.row_of(error)
    body = msgspec.json.encode(errors.body(row, error.message, reason=error.reason))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "websocket.http.response.start", "status": row.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


async def _listen(
    session: _Session, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            principal = await session.lease.check()
            need(principal, "message_read")
            _count(session.services, principal)
            answer: msgspec.Struct = await _subscribe(session, principal, message)
        except Unauthenticated:
            return
        except PosthouseError as error:
            answer = Refused(errors.row_of(error).name, error.message)
        except Exception as error:
            _log.error("a frame could not be followed", exc_info=error)
            answer = Refused("InternalServerError", "something went wrong here")
        await _send(session, send, msgspec.json.encode(answer).decode())


async def _subscribe(session: _Session, principal: Principal, message: Message) -> Subscribed:
    text = message.get("text") or message.get("bytes") or b""
    if len(text) > MAX_FRAME:
        raise Malformed(f"a frame has at most {MAX_FRAME} octets")
    try:
        wanted = msgspec.json.decode(text, type=Subscribe)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeError) as error:
        raise Malformed('expected {"type":"subscribe", …}') from error
    if max(len(wanted.inbox_ids or ()), len(wanted.pod_ids or ())) > _MAX_FILTER:
        raise Malformed(f"at most {_MAX_FILTER} inboxes and pods")
    types = check_event_types(wanted.event_types)
    need_to_hear(principal, types)

    async def unit(tx: Tx) -> _Filter:
        account_ids = [(await scope.inbox(tx, principal, each)).id for each in wanted.inbox_ids or ()]
        pod_ids = [(await pods.find_in_scope(tx, principal, each)).id for each in wanted.pod_ids or ()]
        heard = frozenset(types or events.DIALECT.standard)
        return _Filter(heard, frozenset(account_ids), frozenset(pod_ids))

    session.filter = await session.services.db.read(unit)
    return Subscribed(wanted.event_types, wanted.inbox_ids, wanted.pod_ids)


async def _tell(
    session: _Session,
    next_event: Callable[[], Awaitable[Told | None]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    while True:
        told = await next_event()
        if told is None:
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": "too far behind"})
            return
        event = told.event
        if session.filter is None or not session.filter.takes(event):
            continue
        try:
            principal = await session.lease.check()
        except Unauthenticated:
            return
        if not hearing.hears(principal, event):
            continue
        try:
            # Made once for all who see the same.
            hidden = hidden_from(principal)
            audience = ",".join(sorted(hidden))
            made: str | None = await told.once(f"agentmail {audience}", _making(session.services, hidden))
        except Unavailable as error:
            _log.error("an event could not be told", event_id=event.id, error=str(error))
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": "try again later"})
            return
        if made is not None:
            await _send(session, send, made)


def _making(services: Services, hidden: frozenset[str]) -> Callable[[Event], Awaitable[str | None]]:
    async def make(event: Event) -> str | None:
        body = await services.db.read(lambda tx: events.body_of(tx, event, hidden))
        return None if body is None else events.encoded(body).decode()

    return make


async def _send(session: _Session, send: Callable[[Message], Awaitable[None]], text: str) -> None:
    async with session.sending:
        await send({"type": "websocket.send", "text": text})
