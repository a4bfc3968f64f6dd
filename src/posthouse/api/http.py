"""HTTP on a socket: uvicorn inside this process, on a loop that is not its own. The connections are `connection.py`."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from posthouse.api.connection import House, HttpConnection, TlsDoor
from posthouse.api.newcomers import BELIEVED


class HttpServer:
    """One listener. Connections under way are finished when it stops."""

    def __init__(self, app: Any, house: House, *, trusted_proxies: str = "", grace_s: int = 10) -> None:
        self._house = house
        self._context: ssl.SSLContext | None = None
        make: Any = self._connection  # uvicorn calls it as it would the class
        self._config = uvicorn.Config(
            _TrustedProxies(app, trusted_proxies) if trusted_proxies else app,
            loop="none",
            http=make,
            ws="websockets-sansio",
            ws_ping_interval=30,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            timeout_keep_alive=int(house.limits.idle_s),
            timeout_graceful_shutdown=grace_s,
        )
        self._server = _Embedded(self._config)
        self._task: asyncio.Task[None] | None = None

    def _connection(self, *arguments: Any, **named: Any) -> asyncio.Protocol:
        connection = HttpConnection(*arguments, house=self._house, **named)
        return connection if self._context is None else TlsDoor(connection, self._context, self._house.limits)

    async def start(self, host: str, port: int, context: ssl.SSLContext | None) -> int:
        """Listen; answers the port.

        Raises:
            OSError: the address is taken or not ours.
        """
        listener = socket.create_server((host, port), backlog=2048, reuse_port=False)
        listener.setblocking(False)
        self._context = context
        self._config.load()
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


class _Embedded(uvicorn.Server):
    """Signals are for whoever runs the process, not for one of its servers."""

    def install_signal_handlers(self) -> None:  # older uvicorn
        pass

    def capture_signals(self) -> Any:
        import contextlib

        return contextlib.nullcontext()
