"""One origin for all surfaces: which app a path belongs to, and what is answered before any of them.

Paths are matched by whole segments, never by a prefix of characters. A path nobody owns, a method nobody
takes and a body that is too large are answered in the owner's own format. An answer carries the CORS headers
and whatever headers the surface left for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from posthouse.api import files, root
from posthouse.api.services import Services
from posthouse.api.surface import App, Message, Receive, Scope, Send, Surface
from posthouse.kit.errors import TooLarge

_EXPOSED = (
    "Authorization, Retry-After, Idempotency-Replayed, X-RateLimit-Limit, X-RateLimit-Remaining, "
    "X-RateLimit-Reset, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
)
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED.encode()),
)
_PREFLIGHT = (
    *_CORS,
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"*, Authorization, Content-Type, Idempotency-Key, X-API-Key"),
    (b"access-control-max-age", b"86400"),
    (b"content-length", b"0"),
)
_NO_PREFLIGHT = ((b"allow", b"POST"), (b"content-length", b"0"))
_NO_FRAME_OCTETS = 1_024
# A Message-ID in a path may have a slash between its angle brackets; it is one segment all the same.
_BRACKETED = re.compile(r"<[^<>]*/[^<>]*>")


class _Owner(NamedTuple):
    surface: Surface
    app: App


class Dispatcher:
    """The ASGI application that uvicorn serves."""

    def __init__(self, services: Services, surfaces: Sequence[Surface]) -> None:
        self._services = services
        # Base64 is a third longer than what it carries; the rest of the body is small.
        self._max_body = services.settings.max_message_bytes * 3 // 2 + 1_048_576
        apps = {surface.name: surface.create(services, self._max_body) for surface in surfaces}
        self._owners = {steps: _Owner(surface, apps[surface.name]) for surface in surfaces for steps in surface.paths}
        self._longest = max(map(len, self._owners), default=0)
        self._sockets = {path: apps[surface.name] for surface in surfaces for path in surface.frames}
        self._newcomers = frozenset().union(*(surface.newcomers for surface in surfaces))
        self._root = root.Root(services, surfaces, apps)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        path: str = scope["path"]
        scope["state"] = {}
        # Who needs no key is not asked by other sites' pages: they get neither a preflight's yes nor the answer.
        is_for_pages = tuple(step for step in path.split("/") if step) not in self._newcomers
        if scope["method"] == "OPTIONS":
            asked = _PREFLIGHT if is_for_pages else _NO_PREFLIGHT
            await send({"type": "http.response.start", "status": 204 if is_for_pages else 405, "headers": list(asked)})
            await send({"type": "http.response.body", "body": b""})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = () if _is_tried_again(message["status"]) else scope["state"].get("answer_headers", ())
                cors = _CORS if is_for_pages else ()
                message["headers"] = [*message["headers"], *cors, *extra]
            await send(message)

        owner = self._owner(path)
        if owner is None:
            first = path.split("/", 2)[1]
            if first == "files":
                status, headers, body = await files.serve(self._services, path.removeprefix("/files/"))
            else:
                status, headers, body = await self._root.answer(scope)
            await _answer(send_with_headers, status, headers, body, scope["method"])
            return
        if _declared_length(scope) > self._max_body:
            status, body = owner.surface.error(TooLarge(f"a request body has at most {self._max_body} octets"))
            await _answer(send_with_headers, status, {"content-type": "application/json"}, body, scope["method"])
            return
        if "<" in path:
            scope["path"] = _BRACKETED.sub(lambda found: found.group().replace("/", "%2F"), path)
        await owner.app(scope, receive, send_with_headers)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._sockets.get(scope["path"].rstrip("/"))
        if app is not None:
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1000})

    def _owner(self, path: str) -> _Owner | None:
        steps = tuple(path.split("/", self._longest + 1)[1:])
        for length in range(1, self._longest + 1):
            owner = self._owners.get(steps[:length])
            if owner is not None:
                return owner
        return None


def frame_octets(surfaces: Sequence[Surface]) -> Callable[[str], int]:
    """What says how long a WebSocket message may be at a path."""
    longest = {path: octets for surface in surfaces for path, octets in surface.frames.items()}
    return lambda path: longest.get(path.rstrip("/"), _NO_FRAME_OCTETS)


def _is_tried_again(status: int) -> bool:
    """Published clients try these again by themselves, and would first wait for the end of the rate's window."""
    return status in (408, 409) or status >= 500


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0


async def _answer(send: Send, status: int, headers: dict[str, str], body: bytes, method: str) -> None:
    listed = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    listed.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def _lifespan(receive: Receive, send: Send) -> None:
    """The apps have nothing of their own to start: `app.py` starts and stops the parts."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
