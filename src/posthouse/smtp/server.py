"""The SMTP server on sockets, for mail from anywhere and for submission.

The dialogue is `wire/smtp.py`; whether a sender, a recipient, a credential or a message is taken is for the
`MailDoor` handed over. Here is what lies between: connections, TLS, time, back-pressure and shutting down.

A command that needs no question is answered within the callback that brought it; a question starts a task,
which ends when the input at hand is used up. So a silent connection costs a socket and no task.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast

from posthouse.kit import ids, log
from posthouse.kit.errors import PosthouseError
from posthouse.smtp.errors import FAILED, Stage, error_reply
from posthouse.wire.smtp import SmtpMachine
from posthouse.wire.smtp_events import (
    AUTHENTICATED,
    SHUTTING_DOWN,
    TIMED_OUT,
    WRONG_CREDENTIAL,
    Authenticate,
    CheckRecipient,
    CheckSender,
    Close,
    Envelope,
    Event,
    MessageReceived,
    SmtpConfig,
    StartTls,
    Tls,
)
from posthouse.wire.smtp_syntax import MailParameters, RecipientParameters, Reply

_READ_AHEAD_BYTES: Final = 65_536  # input kept while a question is open; more stays in the kernel
_TLS_CLOSE_S: Final = 5.0  # wait for the peer's half of the TLS goodbye


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server puts up with. A count of None means no limit.

    Attributes:
        connections: open at once, in all.
        connections_per_address: open at once from one IPv4 address or one IPv6 /64, which is one customer.
        limits_loopback: whether peers on this machine are counted per address as well.
        idle_s: from one command to the end of the next; RFC 5321 §4.5.3.2.7 asks for five minutes at least.
            Bytes that complete no command do not count.
        progress_s, progress_bytes: within a message, each span of so many seconds has to bring so many bytes:
            nobody holds a connection with a byte now and then.
        message_s: from the go-ahead to the end of a message, or of a chunk.
        handshake_s: for TLS.
        linger_s: after the last word to someone who is still talking, so that he gets to read it.
    """

    connections: int | None = 1_000
    connections_per_address: int | None = 50
    limits_loopback: bool = False
    idle_s: float = 300.0
    progress_s: float = 60.0
    progress_bytes: int = 1_024
    message_s: float = 3_600.0
    handshake_s: float = 30.0
    linger_s: float = 2.0


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

    @property
    def is_submission(self) -> bool:
        """Whether the listener is for our own users."""
        return self._machine.config.submission


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


class SmtpServer:
    """Listens, and holds the connections.

    Args:
        door: decides about everything that needs knowledge.
        config: the dialogue's settings. STARTTLS is offered when there is an `ssl_context`, whatever
            `tls_available` says.
        ssl_context: for STARTTLS, or for every connection from its first byte with `implicit_tls`.
        limits: what is put up with.
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
    ) -> None:
        if implicit_tls and ssl_context is None:
            raise ValueError("implicit TLS needs an SSL context")
        offers_tls = ssl_context is not None and not implicit_tls
        if config.tls_available != offers_tls:
            config = replace(config, tls_available=offers_tls)
        self.door = door
        self.config = config
        self.ssl_context = ssl_context
        self.limits = limits or Limits()
        self.implicit_tls = implicit_tls
        self.is_stopping = False
        self._listeners: list[asyncio.Server] = []
        self._open: set[_Connection] = set()
        self._per_network: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_gone: asyncio.Event | None = None

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

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
            lambda: _Connection(self),
            host,
            port,
            backlog=backlog,
            **self._tls_arguments(),
        )
        self._listeners.append(listener)
        return cast(int, listener.sockets[0].getsockname()[1])

    def _tls_arguments(self) -> dict[str, Any]:
        if not self.implicit_tls:
            return {}
        return {
            "ssl": self.ssl_context,
            "ssl_handshake_timeout": self.limits.handshake_s,
            "ssl_shutdown_timeout": _TLS_CLOSE_S,
        }

    async def stop(self, grace_s: float = 30.0) -> None:
        """Listen no more, tell everyone 421 (RFC 5321 §3.8), and let what the door is doing come to its end.

        Args:
            grace_s: how long to wait for the door and for clients to take their last reply; then
                connections are cut. A `receive` still running is then cancelled: its message was not
                acknowledged, so the client sends it again.
        """
        self.is_stopping = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self._open):
            connection.say_goodbye()
        if self._open or self._tasks:
            self._all_gone = asyncio.Event()
            try:
                await asyncio.wait_for(self._all_gone.wait(), grace_s)
            except TimeoutError:
                for connection in list(self._open):
                    connection.abort()
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    # For connections

    def admit(self, connection: _Connection, network: str) -> Reply | None:
        """Count a connection in; a reply says why it may not stay."""
        limits = self.limits
        refusal = None
        if self.is_stopping:
            refusal = SHUTTING_DOWN
        elif limits.connections is not None and len(self._open) >= limits.connections:
            refusal = Reply(421, "4.3.2", "Too many connections, try again later")
        elif (
            network
            and limits.connections_per_address is not None
            and self._per_network[network] >= limits.connections_per_address
        ):
            refusal = Reply(421, "4.7.0", "Too many connections from your address")
        self._open.add(connection)
        self._per_network[network] += 1
        return refusal

    def dismiss(self, connection: _Connection, network: str) -> None:
        """Count a connection out."""
        self._open.discard(connection)
        self._per_network[network] -= 1
        if self._per_network[network] <= 0:
            del self._per_network[network]
        self._note_gone()

    def watch(self, task: asyncio.Task[None]) -> None:
        """Hold a connection's task, which may outlive the connection."""
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._note_gone()

    def _note_gone(self) -> None:
        if self._all_gone is not None and not self._open and not self._tasks:
            self._all_gone.set()


class _Connection(asyncio.Protocol):
    """One client: moves bytes between the transport and the machine, and questions to the door."""

    def __init__(self, server: SmtpServer) -> None:
        self._server = server
        self._door = server.door
        self._limits = server.limits
        self._loop = asyncio.get_running_loop()
        self._network = ""
        self._transport: asyncio.Transport
        self._machine: SmtpMachine
        self._session: Session
        self._log: Any = None
        self._task: asyncio.Task[None] | None = None  # there while a question is open
        self._early: list[bytes] | None = None  # input during the TLS upgrade, which ends before we hear of it
        self._timer: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None  # there while the peer does not read
        self._is_lost = False
        self._is_ending = False
        self._got_eof = False
        self._is_paused = False
        self._quiet_since = 0.0
        self._received = 0  # bytes in all
        self._message = 0  # which message is coming in, 0 for none; times below are about it
        self._message_since = 0.0
        self._span_since = 0.0
        self._span_received = 0

    # Called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = _peer(transport)
        self._network = _network(peer.address, self._limits.limits_loopback)
        self._machine = SmtpMachine(self._server.config, client_address=peer.address, tls=_tls(transport))
        self._session = Session(peer, self._machine)
        self._log = log.get("smtp.server").bind(session=self._session.id, peer=peer.address)
        self._quiet_since = self._loop.time()
        self._arm()
        refusal = self._server.admit(self, self._network)
        if refusal is not None:
            self._machine.open(refusal)
            self._flush()
            self._is_ending = True
            transport.close()  # without lingering, or those turned away would be the many there may not be
        else:
            self._start(self._greet())

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._is_ending:
            return
        if self._early is not None:
            self._early.append(data)
            return
        machine = self._machine
        machine.feed(data)
        if self._task is None:
            self._go_on()
        elif machine.buffered_bytes > _READ_AHEAD_BYTES:
            self._pause()

    def eof_received(self) -> bool:
        # A client that has said all and closed its half still gets its replies. TLS has no half-close.
        self._got_eof = True
        if self._task is None:
            self._end()
            return False
        return self._machine.tls is None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_lost:
            return
        self._is_lost = self._is_ending = True
        if self._timer is not None:
            self._timer.cancel()
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._server.dismiss(self, self._network)

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()
        self._pause()

    def resume_writing(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
        if self._task is None and not self._is_ending:
            self._resume()
            self._go_on()

    # The dialogue

    def _start(self, work: Any) -> None:
        self._task = self._loop.create_task(work)
        self._server.watch(self._task)

    def _go_on(self) -> None:
        """Answer what can be answered now; a question becomes a task."""
        if self._writable is not None:
            return  # the peer does not take the replies there are; `resume_writing` comes back here
        before = self._machine.commands
        event = self._machine.next_event()
        if event is None:
            self._settle(before)
        elif isinstance(event, Close):
            self._finish()
        else:
            self._start(self._ask_on(event))

    def _settle(self, commands_before: int) -> None:
        """No more input for now: one write for all replies, and the clocks."""
        self._flush()
        machine = self._machine
        if machine.in_data:
            if self._message != machine.messages_begun:
                self._message = machine.messages_begun
                self._message_since = self._span_since = self._loop.time()
                self._span_received = self._received
        else:
            self._message = 0
            if machine.commands != commands_before:
                self._quiet_since = self._loop.time()
        if self._server.is_stopping:
            self.say_goodbye()

    async def _greet(self) -> None:
        try:
            refusal = await self._door.connection_opened(self._session.peer)
        except PosthouseError as error:
            refusal = error_reply(error, "connection")
        except Exception:
            self._log.exception("the door failed", stage="connection")
            refusal = Reply(421, "4.3.0", FAILED.text)
        self._machine.open(refusal)
        await self._ask_on(self._machine.next_event())

    async def _ask_on(self, event: Event | None) -> None:
        """Take questions to the door until the input at hand is used up."""
        machine = self._machine
        try:
            while event is not None and not self._is_ending:
                if isinstance(event, Close):
                    self._finish()
                    return
                if isinstance(event, StartTls):
                    await self._start_tls()
                else:
                    machine.answer(await self._ask(event))
                    if isinstance(event, MessageReceived):
                        # At once: a client that does not hear of it sends the message again.
                        self._flush()
                while self._writable is not None and not self._is_ending:
                    await self._writable
                event = machine.next_event()
        except Exception:
            self._log.exception("the session failed")
            self.abort()
        finally:
            self._task = None
        if not self._is_ending:
            self._settle(-1)
            self._resume()
            if self._got_eof:
                self._end()

    async def _ask(self, event: Event) -> Reply:
        """The door's answer to one question, whatever happens in there."""
        door, session = self._door, self._session
        stage: Stage = "message"
        try:
            if isinstance(event, CheckRecipient):
                stage = "recipient"
                return await door.check_recipient(session, event.address, event.parameters)
            if isinstance(event, CheckSender):
                stage = "sender"
                return await door.check_sender(session, event.address, event.parameters)
            if isinstance(event, Authenticate):
                stage = "authentication"
                principal = await door.authenticate(session, event.identity, event.secret)
                session.principal = principal
                return WRONG_CREDENTIAL if principal is None else AUTHENTICATED
            assert isinstance(event, MessageReceived)
            return await door.receive(session, event.envelope, event.raw)
        except PosthouseError as error:
            reply = error_reply(error, stage)
            self._log.info("refused", stage=stage, error=error.code, code=reply.code)
            return reply
        except Exception:
            self._log.exception("the door failed", stage=stage)
            return FAILED if stage != "authentication" else Reply(454, "4.7.0", FAILED.text)

    async def _start_tls(self) -> None:
        """RFC 3207. From the reply to the handshake nothing is read in the clear."""
        context = self._server.ssl_context
        assert context is not None
        self._flush()
        self._early = []
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=self._limits.handshake_s,
                ssl_shutdown_timeout=_TLS_CLOSE_S,
            )
        except (OSError, EOFError) as error:  # ssl.SSLError and the timeout are OSErrors
            self._log.info("TLS handshake failed", error=type(error).__name__)
            transport = None
        if transport is None or self._is_lost:
            self.abort()
            self.connection_lost(None)  # of a failed handshake the TLS layer tells nobody
            return
        early, self._early = self._early, None
        self._transport = transport
        self._is_paused = False
        tls = _tls(transport)
        assert tls is not None
        self._machine.tls_started(tls)
        self._session.principal = None
        for data in early:
            self._machine.feed(data)

    # Writing and ending

    def _flush(self) -> None:
        output = self._machine.take_output()
        if output and not self._is_lost:
            self._transport.write(output)

    def _finish(self) -> None:
        """Say the machine's last words and close."""
        self._flush()
        self._end()

    def _end(self) -> None:
        """Close without losing what was written.

        Closing with input unread makes the kernel reset the connection, and the peer may lose the last reply;
        so the writing half is closed first and what still comes is thrown away for a moment.
        """
        if self._is_ending:
            return
        self._is_ending = True
        transport, limits = self._transport, self._limits
        if self._timer is not None:
            self._timer.cancel()
        if self._got_eof or self._machine.tls is not None or not transport.can_write_eof():
            transport.close()
            self._timer = self._loop.call_later(limits.idle_s, self.abort)  # should he not read what is left
            return
        try:
            transport.write_eof()
        except OSError:  # the peer has gone, and we were not told yet
            self.abort()
            return
        self._timer = self._loop.call_later(limits.linger_s, self.abort)
        if self._is_paused:
            self._is_paused = False
            transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection."""
        self._is_ending = True
        self._transport.abort()

    def say_goodbye(self) -> None:
        """Shutting down: 421, unless the door is at work, which then says it afterwards."""
        if self._task is None and not self._is_ending:
            self._machine.shut(SHUTTING_DOWN)
            self._finish()

    def _pause(self) -> None:
        if not self._is_paused and not self._is_ending and self._early is None:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and not self._is_lost and self._writable is None:
            self._is_paused = False
            self._transport.resume_reading()

    # Time

    def _arm(self) -> None:
        limits = self._limits
        self._timer = self._loop.call_later(
            min(limits.idle_s, limits.progress_s, limits.message_s), self._look_at_clock
        )

    def _look_at_clock(self) -> None:
        """One timer a connection, looking now and then: setting one per command costs more than it tells."""
        now, limits = self._loop.time(), self._limits
        if self._task is not None:
            is_late = False  # the door's time, not the client's
        elif self._writable is not None:
            is_late = now - self._quiet_since >= limits.idle_s  # does not read its replies
        elif self._message:
            is_late = now - self._message_since >= limits.message_s
            if now - self._span_since >= limits.progress_s:
                is_late |= self._received - self._span_received < limits.progress_bytes
                self._span_since, self._span_received = now, self._received
        else:
            is_late = now - self._quiet_since >= limits.idle_s
        if not is_late:
            self._arm()
        elif self._writable is not None:
            self.abort()  # more words would not be read either
        else:
            self._log.info("timed out", in_message=bool(self._message))
            self._machine.shut(TIMED_OUT)
            self._finish()


def _peer(transport: asyncio.BaseTransport) -> Peer:
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):  # gone before we looked
        return Peer("", 0)
    text = str(name[0]).partition("%")[0]  # a zone is of no use to anyone else
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return Peer(text, int(name[1]))
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Peer(str(mapped or address), int(name[1]))


def _network(address: str, limits_loopback: bool) -> str:
    """What connections are counted by; "" is not counted."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if parsed.is_loopback and not limits_loopback:
        return ""
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


def _tls(transport: asyncio.BaseTransport) -> Tls | None:
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    cipher = connection.cipher()
    return Tls(connection.version() or "", cipher[0] if cipher else "")
