"""JMAP over WebSocket (RFC 8887): requests side by side on one connection, and changes told on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol

import msgspec

from posthouse.accounts.leases import Lease
from posthouse.api.jmap import auth, calls, streams
from posthouse.api.jmap.calls import Caller, Json
from posthouse.api.jmap.errors import RequestError
from posthouse.api.jmap.request import Reply
from posthouse.api.services import Services
from posthouse.kit.errors import Unauthenticated

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Door(Protocol):
    """What reads and answers requests, whichever connection they came by."""

    async def read(self, caller: Caller, body: bytes) -> Any:
        """JSON. Raises `RequestError`."""
        ...

    async def respond_on_socket(
        self, caller: Caller, asked: Json, size_bytes: int, tell: Callable[[Reply], Awaitable[None]]
    ) -> None:
        """Tell the Response to a Request. Raises `RequestError`."""
        ...


PROTOCOL = "jmap"
_UNSUPPORTED_DATA, _POLICY, _TOO_BIG = 1003, 1008, 1009


async def refuse(scope: Mapping[str, Any], send: Send, status: int, body: bytes) -> None:
    """Answer the handshake with an HTTP error."""
    if "websocket.http.response" in scope.get("extensions", {}):
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close", "code": 1008})


async def serve(
    services: Services, caller: Caller, door: Door, scope: Mapping[str, Any], receive: Receive, send: Send
) -> None:
    """Serve one connection until it ends."""
    await receive()  # websocket.connect
    if PROTOCOL not in scope.get("subprotocols", ()):
        # RFC 8887 §4.1: without the subprotocol it is not ours to speak.
        await refuse(scope, send, 400, msgspec.json.encode({"error": {"message": "the subprotocol is jmap"}}))
        return
    await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
    lease = services.leases.take(caller.principal)
    tasks = [
        asyncio.create_task(_Connection(services, caller, lease, door, send).run(receive)),
        asyncio.create_task(lease.ended()),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if lease.is_over:
        await send({"type": "websocket.close", "code": _POLICY, "reason": "the key was revoked or has expired"})


class _Connection:
    """One connection: the requests under way on it, and whether changes are told."""

    def __init__(self, services: Services, caller: Caller, lease: Lease, door: Door, send: Send) -> None:
        self._services = services
        self._caller = caller
        self._lease = lease
        self._door = door
        self._send_raw = send
        self._tasks: set[asyncio.Task[None]] = set()
        self._push: asyncio.Task[None] | None = None

    async def run(self, receive: Receive) -> None:
        try:
            while True:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    return
                text = message.get("text")
                if text is None:
                    # RFC 8887 §4.2: binary messages are not for JMAP.
                    await self._send_raw({"type": "websocket.close", "code": _UNSUPPORTED_DATA})
                    return
                body = text.encode("utf-8", "replace")
                if len(body) > calls.MAX_SIZE_REQUEST:
                    await self._send_raw({"type": "websocket.close", "code": _TOO_BIG})
                    return
                await self._take(body)
        finally:
            waiting = [*self._tasks, *([self._push] if self._push else [])]
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _take(self, body: bytes) -> None:
        try:
            value = await self._door.read(self._caller, body)
        except RequestError as error:
            await self._error(None, error)
            return
        kind = value.get("@type") if isinstance(value, dict) else None
        id_ = value.get("id") if isinstance(value, dict) and isinstance(value.get("id"), str) else None
        if kind == "WebSocketPushEnable":
            await self._enable(value)
        elif kind == "WebSocketPushDisable":
            await self._disable()
        elif kind != "Request":
            await self._error(id_, RequestError("notRequest", "@type is Request or one of the push messages"))
        elif len(self._tasks) >= calls.MAX_CONCURRENT_REQUESTS:
            await self._error(id_, RequestError("limit", "too many requests at once", limit="maxConcurrentRequests"))
        else:
            task = asyncio.create_task(self._request(value, id_, len(body)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _request(self, value: Json, id_: str | None, size_bytes: int) -> None:
        async def tell(reply: Reply) -> None:
            head = {"@type": "Response", **({"requestId": id_} if id_ is not None else {})}
            await self._send_raw({"type": "websocket.send", "text": b"".join(reply.pieces(head)).decode()})

        try:
            caller = await auth.still(self._caller, self._lease)
            await self._door.respond_on_socket(caller, value, size_bytes, tell)
        except Unauthenticated:
            return  # the lease has ended, and with it the connection
        except RequestError as error:
            await self._error(id_, error)

    async def _error(self, id_: str | None, error: RequestError) -> None:
        await self._tell({"@type": "RequestError", "requestId": id_, **error.body})

    async def _tell(self, body: Json) -> None:
        await self._send_raw({"type": "websocket.send", "text": msgspec.json.encode(body).decode()})

    # -- changes (RFC 8887 §4.3.5)

    async def _enable(self, value: Json) -> None:
        types, push_state = value.get("dataTypes"), value.get("pushState")
        if not (types is None or (isinstance(types, list) and all(isinstance(each, str) for each in types))):
            await self._error(None, RequestError("notRequest", "dataTypes is a list of types, or null"))
            return
        await self._disable()
        since = (
            int(push_state) if isinstance(push_state, str) and push_state.isascii() and push_state.isdecimal() else None
        )
        wanted = None if types is None else frozenset(types)
        watch = streams.Watch(self._services, self._caller.account_id, wanted, since)
        await watch.start()
        self._push = asyncio.create_task(self._tell_changes(watch))

    async def _disable(self) -> None:
        if self._push is not None:
            self._push.cancel()
            await asyncio.gather(self._push, return_exceptions=True)
            self._push = None

    async def _tell_changes(self, watch: streams.Watch) -> None:
        try:
            while True:
                found = await watch.changed(None)
                if found is not None:
                    await auth.still(self._caller, self._lease)
                    reached, changed = found
                    body = streams.state_change(self._caller.account_id, changed)
                    await self._tell({**body, "pushState": str(reached)})
        finally:
            watch.close()
