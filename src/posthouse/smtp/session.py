"""A session of the server as those see it who decide about it: who it is, and what they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from posthouse.kit import ids
from posthouse.wire.smtp import SmtpMachine
from posthouse.wire.smtp_events import Envelope, Tls
from posthouse.wire.smtp_parameters import MailParameters, RecipientParameters
from posthouse.wire.smtp_replies import Reply


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end: an IP address without brackets (IPv4 also when it came mapped into IPv6), and a port."""

    address: str
    port: int


class Session:
    """What is known of a connection by now; the door may read all of it.

    Attributes:
        id: for logs, new with each connection.
        peer: who connected.
        principal: what `MailDoor.authenticate` returned; None before, and again after STARTTLS.
    """

    __slots__ = ("_machine", "id", "peer", "principal")

    def __init__(self, peer: Peer, machine: SmtpMachine) -> None:
        self.id = ids.new_id()
        self.peer = peer
        self.principal: object | None = None
        self._machine = machine

    @property
    def helo(self) -> str:
        """The client's name for itself, "" before EHLO."""
        return self._machine.helo

    @property
    def tls(self) -> Tls | None:
        """How the connection is encrypted, None for not."""
        return self._machine.tls

    @property
    def identity(self) -> str | None:
        """The user name that authenticated."""
        return self._machine.identity


class MailDoor(Protocol):
    """Who decides. Every method may raise a `PosthouseError`, which becomes the reply of `smtp/errors.py`; any
    other exception is logged and becomes 451. The door bounds its own time.
    """

    async def connection_opened(self, peer: Peer) -> Reply | None:
        """Before the greeting: None to go on, or a refusal (554 or 421), after which the connection ends."""
        ...

    async def check_sender(self, session: Session, mail_from: str, params: MailParameters) -> Reply:
        """MAIL: `SENDER_OK`, or why not. `mail_from` is "" for the null path."""
        ...

    async def check_recipient(self, session: Session, address: str, params: RecipientParameters) -> Reply:
        """RCPT: `RECIPIENT_OK`, or why not. `postmaster` may come without a domain (RFC 5321 §4.5.1)."""
        ...

    async def authenticate(self, session: Session, identity: str, secret: str) -> object | None:
        """AUTH: the principal, or None for a credential that is not good."""
        ...

    async def receive(self, session: Session, envelope: Envelope, raw: bytes) -> Reply:
        """Take the message on. A positive reply is a promise (RFC 5321 §4.2.5): return it after the commit.

        Not cancelled when the client goes away meanwhile; nobody hears the reply then.
        """
        ...
