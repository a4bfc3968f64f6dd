"""JMAP's ASGI application: which path is answered by what. Each answer goes out whole, head and body together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import ExitStack, aclosing
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from posthouse.api.jmap import (
    auth,
    blob,
    blobs,
    budget,
    calls,
    errors,
    json_pieces,
    request,
    session,
    signup,
    streams,
    websocket,
)
from posthouse.api.jmap.calls import Caller, Json
from posthouse.api.jmap.errors import RequestError
from posthouse.api.jmap.registry import CAPABILITIES, METHODS
from posthouse.api.jmap.request import Reply
from posthouse.api.jmap.turns import Aside, Work
from posthouse.api.limits import Allowance
from posthouse.api.services import Services
from posthouse.kit import log
from posthouse.kit.errors import Malformed, NotFound, PosthouseError, TooLarge, TooMany, Unauthenticated

_log = log.get("jmap")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON = "application/json"
_REQUESTS_A_MINUTE = 3_000
_INLINE_JSON = 65_536
_WHOLE_OCTETS = 262_144
_SAFE = (
    (b"x-content-type-options", b"nosniff"),
    # Should a browser show it all the same: no scripts, no frames, no forms, no origin.
    (b"content-security-policy", b"sandbox; default-src 'none'"),
)


class JmapApp:
    """Answers `/.well-known/jmap`, `/jmap/**`, `/api/v1/*` and the key set."""

    def __init__(self, services: Services, max_body_bytes: int) -> None:
        """Its own limits (`calls`) are the narrower ones; `max_body_bytes` bounds all bodies before it."""
        self._services = services
        self._aside = Aside()
        self._busy: dict[tuple[str, str], int] = {}
        self._sessions: dict[tuple[str, str, str], Json] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        try:
            await self._http(scope, receive, send)
        except RequestError as error:
            body = msgspec.json.encode(error.body)
            await _answer(send, error.status, body, "application/problem+json")
        except PosthouseError as error:
            status, body = errors.e1(error)
            extra = [(b"www-authenticate", b'Bearer realm="jmap"')] if status == 401 else []
            if error.retry_after_s:
                extra.append((b"retry-after", str(error.retry_after_s).encode()))
            await _answer(send, status, body, _JSON, extra)
        except _Gone:
            return
        except Exception:  # the connection is told, the log has the rest
            _log.error("a request failed", path=scope["path"], exc_info=True)
            body = msgspec.json.encode({"error": {"message": "something went wrong here", "hint": "Try again.",
                                                  "docs_url": "/docs/errors"}})  # fmt: skip
            await _answer(send, 500, body, _JSON)

    def openapi(self) -> dict[str, Any] | None:
        """JMAP's session object describes it (RFC 8620 §2)."""
        return None

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"].rstrip("/") or "/"
        steps = path.split("/")[1:]
        if steps[:2] == ["api", "v1"]:
            await self._sign(scope, receive, send, method, steps[2:])
            return
        if path == "/.well-known/jwks.json":
            _only(method, "GET")
            await _answer(send, 200, msgspec.json.encode(self._services.tokens.jwks()), _JSON)
            return
        if path == "/.well-known/jmap":
            _only(method, "GET")
            caller = await self._caller(scope)
            await _answer(
                send,
                200,
                msgspec.json.encode(self._session(caller)),
                _JSON,
                [(b"cache-control", b"no-cache, no-store, must-revalidate")],
            )
            return
        if steps[0] != "jmap":
            raise NotFound("there is nothing at this path")
        match steps[1:]:
            case []:
                _only(method, "POST")
                await self._api(scope, receive, send)
            case ["upload", account]:
                _only(method, "POST")
                await self._upload(scope, receive, send, account)
            case ["download", account, blob_id, *name] if name:
                _only(method, "GET")
                await self._download(scope, send, account, blob_id, unquote("/".join(name)))
            case ["eventsource"]:
                _only(method, "GET")
                await self._events(scope, receive, send)
            case _:
                raise NotFound("there is nothing at this path")

    # -- who asks

    async def _caller(self, scope: Scope) -> Caller:
        caller = await auth.caller_of(self._services, scope)
        allowance = self._take(caller)
        if allowance.exceeded:
            wait = max(1, allowance.reset_at_s - self._services.clock() // 1000)
            raise TooMany("too many requests for this inbox", retry_after_s=wait)
        return caller

    def _take(self, caller: Caller) -> Allowance:
        return self._services.limiter.take(f"jmap:{caller.account_id}", _REQUESTS_A_MINUTE, 60)

    def _session(self, caller: Caller) -> Json:
        key = (caller.account_id, caller.address, caller.base_url)
        known = self._sessions.get(key)
        if known is None:
            if len(self._sessions) >= 1_000:
                self._sessions.clear()
            known = self._sessions[key] = session.build(caller)
        return known

    def _enter(self, caller: Caller, what: str, most: int) -> tuple[str, str]:
        """Count a request under way (RFC 8620 §2, `maxConcurrentRequests`, `maxConcurrentUpload`)."""
        key = (caller.account_id, what)
        if self._busy.get(key, 0) >= most:
            raise RequestError("limit", "too many requests at once", status=429, limit=what)
        self._busy[key] = self._busy.get(key, 0) + 1
        return key

    def _leave(self, key: tuple[str, str]) -> None:
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]

    # -- signing up and in

    async def _sign(self, scope: Scope, receive: Receive, send: Send, method: str, steps: list[str]) -> None:
        services = self._services
        match steps:
            case ["challenge"]:
                _only(method, "POST")
                await _body(scope, receive, 65_536)
                reply = await signup.challenge(services, scope)
            case ["session"]:
                _only(method, "POST")
                body = b"".join(await _body(scope, receive, 65_536))
                reply = await signup.session(services, scope, body)
            case ["capability"]:
                _only(method, "POST")
                await _body(scope, receive, 65_536)
                reply = await signup.capability(services, scope)
            case _:
                raise NotFound("there is nothing at this path")
        extra = [(b"authorization", f"Bearer {reply.token}".encode()), (b"cache-control", b"no-store")]
        await _answer(send, 200, msgspec.json.encode(reply.body), _JSON, extra)

    # -- JMAP

    async def _api(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._caller(scope)
        key = self._enter(caller, "maxConcurrentRequests", calls.MAX_CONCURRENT_REQUESTS)
        try:
            content_type = _header(scope, b"content-type").partition(";")[0].strip().lower()
            if content_type != _JSON:
                raise RequestError("notJSON", "the request is application/json")
            try:
                body = b"".join(await _body(scope, receive, calls.MAX_SIZE_REQUEST))
            except TooLarge as error:
                raise RequestError("limit", error.message, limit="maxSizeRequest") from error
            async with self._aside.request(caller.account_id) as work:
                asked = await _read(work, body)
                reply = await self._respond(caller, request.check(asked), work, len(body))
                await _answer(send, 200, reply.pieces(), _JSON, [(b"cache-control", b"no-store")])
        finally:
            self._leave(key)

    async def _respond(self, caller: Caller, asked: Json, work: Work, size_bytes: int) -> Reply:
        """The Response to a Request, wherever it came by."""
        state = self._session(caller)["state"]
        return await request.answer(self._services, caller, asked, METHODS, CAPABILITIES, state, work, size_bytes)

    async def read(self, caller: Caller, body: bytes) -> Any:
        """JSON that came by a WebSocket."""
        async with self._aside.request(caller.account_id) as work:
            return await _read(work, body)

    async def respond_on_socket(
        self, caller: Caller, asked: Json, size_bytes: int, tell: Callable[[Reply], Awaitable[None]]
    ) -> None:
        """The Response to a Request on a WebSocket, which counts against the same rates and bounds as others.

        Raises:
            RequestError: as `request.answer`; `limit`: over a rate.
        """
        if self._take(caller).exceeded:
            raise RequestError("limit", "too many requests for this inbox", status=429, limit="requestsPerMinute")
        key = self._enter(caller, "maxConcurrentRequests", calls.MAX_CONCURRENT_REQUESTS)
        try:
            async with self._aside.request(caller.account_id) as work:
                await tell(await self._respond(caller, request.check(asked), work, size_bytes))
        finally:
            self._leave(key)

    async def _upload(self, scope: Scope, receive: Receive, send: Send, account: str) -> None:
        caller = await self._caller(scope)
        account_id = _account(caller, account)
        key = self._enter(caller, "maxConcurrentUpload", calls.MAX_CONCURRENT_UPLOAD)
        try:
            try:
                pieces = await _body(scope, receive, calls.MAX_SIZE_UPLOAD)
            except TooLarge as error:
                raise RequestError("limit", error.message, status=413, limit="maxSizeUpload") from error
            content_type = _header(scope, b"content-type") or "application/octet-stream"
            made = await blob.store(self._services, account_id, pieces, content_type)
        finally:
            self._leave(key)
        body = {"accountId": account_id, "blobId": made["id"], "type": made["type"], "size": made["size"]}
        await _answer(send, 201, msgspec.json.encode(body), _JSON)

    async def _download(self, scope: Scope, send: Send, account: str, blob_id: str, name: str) -> None:
        caller = await self._caller(scope)
        account_id = _account(caller, account)
        found = await blobs.look_up(self._services.db, account_id, [blob_id])
        if blob_id not in found:
            raise NotFound("there is no such blob")
        content_type = _query(scope).get("accept") or _query(scope).get("type") or "application/octet-stream"
        if not content_type.isascii() or not content_type.isprintable() or len(content_type) > 255:
            raise Malformed("accept is a media type")
        shown = "".join(c if 32 <= ord(c) < 127 and c not in '"\\' else "_" for c in name)
        disposition = f"attachment; filename=\"{shown}\"; filename*=UTF-8''{quote(name, safe='')}"  # RFC 6266 §4.3
        extra = [
            (b"content-disposition", disposition.encode("latin-1")),
            # RFC 8620 §6.2: a blob never changes.
            (b"cache-control", b"private, immutable, max-age=31536000"),
            *_SAFE,
        ]
        async with self._aside.request(account_id) as work:
            data = await blobs.Reader(self._services.blobs, budget.new(), work).read(found[blob_id])
            await _answer(send, 200, _cut(data), content_type, extra)

    async def _events(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = await self._caller(scope)
        asked = streams.Asked(_query(scope), _header(scope, b"last-event-id") or None)
        with streams.room(self._services, caller):
            await self._stream(caller, asked, receive, send)

    async def _stream(self, caller: Caller, asked: streams.Asked, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(_until_gone(receive))
        lease = self._services.leases.take(caller.principal)
        ended = asyncio.create_task(lease.ended())
        try:
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with aclosing(streams.events(self._services, caller, asked)) as pieces:
                while True:
                    following = asyncio.ensure_future(anext(pieces, None))
                    await asyncio.wait({following, gone, ended}, return_when=asyncio.FIRST_COMPLETED)
                    if gone.done() or ended.done():
                        following.cancel()
                        await asyncio.gather(following, return_exceptions=True)
                        break
                    piece = following.result()
                    if piece is None:
                        break
                    try:
                        await auth.still(caller, lease)
                    except Unauthenticated:
                        break
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            ended.cancel()
            await asyncio.gather(gone, ended, return_exceptions=True)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].rstrip("/") != "/jmap/ws":
            await send({"type": "websocket.close", "code": 1000})
            return
        with ExitStack() as held:
            try:
                caller = await self._caller(scope)
                held.enter_context(streams.room(self._services, caller))
            except PosthouseError as error:
                status, body = errors.e1(error)
                await websocket.refuse(scope, send, status, body)
                return
            await websocket.serve(self._services, caller, self, scope, receive, send)


class _Gone(Exception):
    """The caller hung up."""


def _only(method: str, wanted: str) -> None:
    if method != wanted and not (wanted == "GET" and method == "HEAD"):
        raise NotFound(f"this path takes {wanted}", reason="method")


def _account(caller: Caller, named: str) -> str:
    found = caller.find(unquote(named))
    if found is None:
        raise NotFound("there is no such account")
    return found


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _query(scope: Scope) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))


async def _body(scope: Scope, receive: Receive, limit: int) -> list[bytes]:
    """The whole body, as it came: putting megabytes together takes the time of all others.

    Raises:
        TooLarge: it is longer than `limit`; the rest is not read.
    """
    declared = _header(scope, b"content-length")
    if declared.isdecimal() and int(declared) > limit:
        raise TooLarge(f"a body has at most {limit} octets here")
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise TooLarge(f"a body has at most {limit} octets here")
        pieces.append(piece)
        if not message.get("more_body"):
            return pieces


async def _read(work: Work, body: bytes) -> Any:
    return await work.run(len(body), json_pieces.read, body, above=_INLINE_JSON)


def _cut(data: bytes) -> list[bytes]:
    """Pieces of some size: each is sent before the next is copied."""
    return [data[start : start + _WHOLE_OCTETS] for start in range(0, len(data), _WHOLE_OCTETS)]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(
    send: Send,
    status: int,
    body: bytes | list[bytes],
    content_type: str,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    pieces = body if isinstance(body, list) else [body]
    size = sum(map(len, pieces))
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(size).encode()),
        *(extra or ()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if size <= _WHOLE_OCTETS:
        await send({"type": "http.response.body", "body": b"".join(pieces)})
        return
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
