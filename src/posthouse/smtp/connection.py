"""One connection to the server: between the socket and the state machine, and between that and the door.

A command that needs no question is answered within the callback that brought it; a question starts a task,
which ends when the input at hand is used up. So a silent connection costs a socket and no task.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from dataclasses import dataclass
from typing import Any, Final, cast

from posthouse.kit import log
from posthouse.kit.errors import PosthouseError
from posthouse.net.register import Refusal, Register, network_of
from posthouse.net.room import FREE_OCTETS, Room
from posthouse.smtp.errors import FAILED, Stage, error_reply
from posthouse.smtp.limits import Limits
from posthouse.smtp.session import MailDoor, Peer, Session
from posthouse.wire.smtp import SmtpMachine
from posthouse.wire.smtp_events import (
    Authenticate,
    CheckRecipient,
    CheckSender,
    Close,
    Event,
    MessageReceived,
    SmtpConfig,
    StartTls,
    Tls,
)
from posthouse.wire.smtp_replies import (
    AUTHENTICATED,
    FULL,
    MAKES_ROOM,
    SHUTTING_DOWN,
    TIMED_OUT,
    TOO_MANY_OF_YOURS,
    WRONG_CREDENTIAL,
    Reply,
)

_READ_AHEAD_BYTES: Final = 65_536  # input kept while a question is open; more stays in the kernel
_REFUSALS: Final = {
    Refusal.STOPPING: SHUTTING_DOWN,
    Refusal.FULL: FULL,
    Refusal.CROWDED: TOO_MANY_OF_YOURS,
}
TLS_CLOSE_S: Final = 5.0  # wait for the peer's half of the TLS goodbye


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every connection of one server.

    Attributes:
        ssl_context: for STARTTLS; None when it is not offered.
        room: for the messages on their way in, of all connections.
    """

    door: MailDoor
    config: SmtpConfig
    limits: Limits
    ssl_context: ssl.SSLContext | None
    room: Room


class Connection(asyncio.Protocol):
    """One client: moves bytes between the transport and the machine, and questions to the door.

    Args:
        terms: what holds for every connection of the server.
        register: where it is counted.
    """

    def __init__(self, terms: Terms, register: Register) -> None:
        self._terms = terms
        self._register = register
        self._door = terms.door
        self._limits = terms.limits
        self._loop = asyncio.get_running_loop()
        self.network = ""
        self.heard_at = 0.0
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
        self.network = network_of(peer.address, counts_loopback=self._limits.limits_loopback)
        self._machine = SmtpMachine(self._terms.config, client_address=peer.address, tls=_tls(transport))
        self._session = Session(peer, self._machine)
        self._log = log.get("smtp.server").bind(session=self._session.id, peer=peer.address)
        self._quiet_since = self.heard_at = self._loop.time()
        self._arm()
        refusal = self._register.admit(self, self.network)
        if refusal is not None:
            self._machine.open(_REFUSALS[refusal])
            self._flush()
            self._is_ending = True
            transport.close()  # without lingering, or those turned away would be the many there may not be
        else:
            self._start(self._greet())

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self.heard_at = self._loop.time()
        if self._is_ending:
            return
        if self._early is not None:
            self._early.append(data)
            return
        machine = self._machine
        machine.feed(data)
        if self._task is None:
            self._go_on()
            if not self._terms.room.grow(self, machine.held_bytes, self.heard_at):
                self.shed()
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
        self._register.dismiss(self)
        if self._task is None:
            self._terms.room.leave(self)

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
        self._register.watch(self._task)

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
            if machine.held_bytes <= FREE_OCTETS:
                self._terms.room.leave(self)
            if machine.commands != commands_before:
                self._quiet_since = self._loop.time()
        if self._register.is_stopping:
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
            if self._is_lost:
                self._terms.room.leave(self)
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
        context = self._terms.ssl_context
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
                ssl_shutdown_timeout=TLS_CLOSE_S,
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

    def give_way(self) -> bool:
        """When the server is full: 421 to who has been silent for a while, and the place is free."""
        if self._task is not None or self._loop.time() - self.heard_at < self._limits.patience_s:
            return False
        if not self._is_ending:
            self._machine.shut(MAKES_ROOM)
            self._flush()
        self._is_ending = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.linger_s, self.abort)  # should he not read it
        self._transport.close()
        return True

    def shed(self) -> None:
        """The room for messages is used up: what comes of this one is thrown away, and answered 452 at its end."""
        self._log.info("no room for the message", held=self._machine.held_bytes)
        self._machine.shed()
        self._terms.room.leave(self)

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


def _tls(transport: asyncio.BaseTransport) -> Tls | None:
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    cipher = connection.cipher()
    return Tls(connection.version() or "", cipher[0] if cipher else "")
