"""HTTP on a socket: uvicorn inside this process, on a loop that is not its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import uvicorn


class HttpServer:
    """One listener. Connections under way are finished when it stops."""

    def __init__(self, app: Any, *, trusted_proxies: str = "", grace_s: int = 10) -> None:
        self._config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=trusted_proxies or None,
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


class _Embedded(uvicorn.Server):
    """Signals are for whoever runs the process, not for one of its servers."""

    def install_signal_handlers(self) -> None:  # older uvicorn
        pass

    def capture_signals(self) -> Any:
        import contextlib

        return contextlib.nullcontext()
