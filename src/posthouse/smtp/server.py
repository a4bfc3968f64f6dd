"""The SMTP server: listeners, for mail from anywhere and for submission.

The dialogue is `wire/smtp.py`; whether a sender, a recipient, a credential or a message is taken is for the
`MailDoor` handed over (`session.py`). What lies between, the socket, TLS, time and back-pressure, is in
`connection.py`; who is connected, and how many may be, in `net/register.py`; what is put up with in `limits.py`.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import Any, cast

from posthouse.net.register import Register
from posthouse.net.room import Room
from posthouse.smtp.connection import TLS_CLOSE_S, Connection, Terms
from posthouse.smtp.limits import Limits
from posthouse.smtp.session import MailDoor
from posthouse.wire.smtp_events import SmtpConfig

__all__ = ("Limits", "SmtpServer")


class SmtpServer:
    """Listens, and holds the connections.

    Args:
        door: decides about everything that needs knowledge.
        config: the dialogue's settings. STARTTLS is offered when there is an `ssl_context`, whatever
            `tls_available` says.
        ssl_context: for STARTTLS, or for every connection from its first byte with `implicit_tls`.
        limits: what is put up with.
        room: for messages on their way in, where several servers share one; else of `limits.messages_octets`.
        implicit_tls: RFC 8314 §3.3 (port 465).
    """

    def __init__(
        self,
        door: MailDoor,
        config: SmtpConfig,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        *,
        implicit_tls: bool = False,
        room: Room | None = None,
    ) -> None:
        if implicit_tls and ssl_context is None:
            raise ValueError("implicit TLS needs an SSL context")
        offers_tls = ssl_context is not None and not implicit_tls
        if config.tls_available != offers_tls:
            config = replace(config, tls_available=offers_tls)
        limits = limits or Limits()
        self._terms = Terms(door, config, limits, ssl_context, room or Room(limits.messages_octets))
        self._implicit_tls = implicit_tls
        self._register = Register(self._terms.limits.connections, self._terms.limits.connections_per_address)
        self._listeners: list[asyncio.Server] = []

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._register.guests)

    async def start(self, host: str | None, port: int, *, backlog: int = 512) -> int:
        """Listen; more than one address by more than one call.

        Args:
            host: address or name, None for every interface.
            port: 0 for any free one.

        Returns:
            The port.

        Raises:
            OSError: the address is taken or not ours.
        """
        listener = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._terms, self._register),
            host,
            port,
            backlog=backlog,
            **self._tls_arguments(),
        )
        self._listeners.append(listener)
        return cast(int, listener.sockets[0].getsockname()[1])

    def _tls_arguments(self) -> dict[str, Any]:
        if not self._implicit_tls:
            return {}
        return {
            "ssl": self._terms.ssl_context,
            "ssl_handshake_timeout": self._terms.limits.handshake_s,
            "ssl_shutdown_timeout": TLS_CLOSE_S,
        }

    async def stop(self, grace_s: float = 30.0) -> None:
        """Listen no more, tell everyone 421 (RFC 5321 §3.8), and let what the door is doing come to its end.

        Args:
            grace_s: how long to wait for the door and for clients to take their last reply; then
                connections are cut. A `receive` still running is then cancelled: its message was not
                acknowledged, so the client sends it again.
        """
        self._register.is_stopping = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        await self._register.close(grace_s)
