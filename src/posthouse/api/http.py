"""HTTP on a socket: uvicorn inside this process, on a loop that is not its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from posthouse.api.newcomers import BELIEVED


class HttpServer:
    """One listener. Connections under way are finished when it stops."""

    def __init__(self, app: Any, *, trusted_proxies: str = "", grace_s: int = 10) -> None:
        self._config = uvicorn.Config(
            _TrustedProxies(app, trusted_proxies) if trusted_proxies else app,
            loop="none",
            http=_OneWrite,
            ws="websockets-sansio",
            ws_ping_interval=30,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=grace_s,
            h11_max_incomplete_event_size=65_536,
        )
        self._server = _Embedded(self._config)
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen; answers the port.

        Raises:
            OSError: the address is taken or not ours.
        """
        listener = socket.create_server((host, port), backlog=2048, reuse_port=False)
        listener.setblocking(False)
        self._config.load()
        if context is not None:
            self._config.ssl = context
        bound = int(listener.getsockname()[1])
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=f"posthouse-http-{bound}")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise OSError("the HTTP server did not start")
            await asyncio.sleep(0.005)
        return bound

    async def stop(self) -> None:
        """Listen no more, finish what is under way."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _TrustedProxies:
    """Takes the word of trusted proxies for who calls, and notes for sign-up that it was taken."""

    def __init__(self, app: Any, trusted: str) -> None:
        self._app = app
        self._believing: Any = ProxyHeadersMiddleware(self._noting, trusted)
        # With everybody trusted, everybody may call themselves what they like.
        self._notes = trusted.strip() != "*"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one connection."""
        if scope["type"] != "lifespan":
            scope[BELIEVED] = scope.get("client")
        await self._believing(scope, receive, send)

    async def _noting(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            scope[BELIEVED] = self._notes and scope[BELIEVED] != scope.get("client")
        await self._app(scope, receive, send)


class _OneWrite(HttpToolsProtocol):
    """Sends an answer's head and body in one packet."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection was opened."""
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]


class _Joined:
    """A transport that joins writes; everything else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send with what comes next, a body after its head, or with the next turn when nothing does."""
        self._pieces.append(data)
        if len(self._pieces) > 1:
            self._flush()
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def close(self) -> None:
        """Send what was written, and close."""
        self._flush()
        self._transport.close()


class _Embedded(uvicorn.Server):
    """Signals are for whoever runs the process, not for one of its servers."""

    def install_signal_handlers(self) -> None:  # older uvicorn
        pass

    def capture_signals(self) -> Any:
        import contextlib

        return contextlib.nullcontext()
