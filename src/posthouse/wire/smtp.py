"""The server's side of SMTP as a state machine: bytes in, replies and questions out. No sockets, no clock.

    machine = SmtpMachine(config, client_address="192.0.2.7")
    machine.open()
    machine.feed(data)
    while (event := machine.next_event()) is not None:
        ...                       # ask someone, then machine.answer(reply)
    transport.write(machine.take_output())

What needs no knowledge from outside is answered at once. Whether a sender or a recipient is welcome, a
credential good or a message stored is asked by an event; until it is answered, further input waits. Input may
come in pieces of any size: the dialogue is the same.

Its settings and questions are in `smtp_events.py`, all it says in `smtp_replies.py`; MAIL, RCPT and BDAT in
`smtp_transaction.py` with the grammar in `smtp_syntax.py` and `smtp_parameters.py`; AUTH in `smtp_auth.py`; where a
line and where a message ends in `smtp_lines.py` and `smtp_data.py`.

Source: RFC 5321 (SMTP), 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 2034 and 3463
(enhanced status codes), 3030 (CHUNKING), 3207 (STARTTLS), 4954 (AUTH), 3461 (DSN), 3848 (protocol names).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from posthouse.kit.errors import Malformed, TooLarge
from posthouse.wire import smtp_replies as replies
from posthouse.wire.smtp_auth import MECHANISMS, Authentication
from posthouse.wire.smtp_data import Content, DotReader, is_smuggling
from posthouse.wire.smtp_events import (
    Authenticate,
    CheckRecipient,
    CheckSender,
    Close,
    Envelope,
    Event,
    MessageReceived,
    Recipient,
    SmtpConfig,
    StartTls,
    Tls,
    protocol_name,
)
from posthouse.wire.smtp_lines import AUTH_MAX, LineReader
from posthouse.wire.smtp_replies import COMMAND_MAX, Misstep, Reply
from posthouse.wire.smtp_syntax import parse_hello
from posthouse.wire.smtp_transaction import Chunk, Transaction, read_bdat, read_mail, read_rcpt


class _Wait(Enum):
    """The one value that says: nothing to do until more input comes."""

    FOR_INPUT = 0


_FOR_INPUT: Final = _Wait.FOR_INPUT
# What a step comes to: something to say, something to ask, nothing to do yet, or (None) the next step.
_Step = Reply | Event | _Wait | None

_ALWAYS_OFFERED: Final = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING")
_START_TLS: Final = StartTls()
_CLOSE: Final = Close()

# Browsers and programs tricked into posting to this port: an HTTP header line is no command of ours, and the
# body behind it would be (RFC 5321 has no such verb; a page could otherwise send mail).
_OTHER_PROTOCOLS: Final = frozenset([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH"])


class SmtpMachine:
    """One session.

    Args:
        config: what is offered.
        client_address: IP address of the peer.
        tls: set when TLS was there from the first byte (RFC 8314 §3.3).
    """

    def __init__(self, config: SmtpConfig, *, client_address: str = "", tls: Tls | None = None) -> None:
        self.config = config
        self.client_address = client_address
        self.tls = tls
        self.helo = ""
        self.commands = 0
        self.messages_begun = 0
        self._extended = False  # EHLO, not HELO
        self._authentication = Authentication(config, client_address)
        self._transaction: Transaction | None = None
        self._buffer = bytearray()
        self._output = bytearray()
        self._read: Callable[[], _Step] = self._read_command
        self._pending: Event | None = None
        self._closed = False
        self._missteps = 0
        self._refused_recipients = 0
        self._lines = LineReader()
        self._dots = DotReader(config.max_size_bytes)
        self._chunk = Chunk(0, last=False)
        # A chunk that is too big is swallowed to keep the session usable, but not one without measure.
        self._swallow_max = 4 * config.max_size_bytes + 1_048_576

    # What the driver calls

    def open(self, refusal: Reply | None = None) -> None:
        """Say the greeting, or `refusal` and no more (554 or 421, RFC 5321 §3.1)."""
        if refusal is not None:
            self._say(refusal)
            self._closed = True
            return
        self._output += f"220 {self.config.hostname} {self.config.banner}\r\n".encode("ascii", "replace")

    def feed(self, data: bytes) -> None:
        """Take in what the peer sent. Nothing is looked at before `next_event`."""
        if not self._closed and self._pending is not _START_TLS:
            self._buffer += data

    def next_event(self) -> Event | None:
        """Go on with the input until a question comes up.

        Returns:
            None when more input, or the answer to the last question, is needed first. After `Close` always
            `Close`.
        """
        if self._pending is not None:
            return None
        while not self._closed:
            try:
                step = self._read()
            except Misstep as misstep:
                self._missteps += 1
                too_many = self._missteps > self.config.max_bad_commands
                step = replies.TOO_MANY_MISSTEPS if too_many else misstep.reply
            if step is _FOR_INPUT:
                return None
            if isinstance(step, Reply):
                self._say(step)
            elif step is not None:
                self._pending = step
                return step
        self._buffer.clear()
        return _CLOSE

    def answer(self, reply: Reply) -> None:
        """Answer the question `next_event` put.

        Raises:
            RuntimeError: no question is open. A mistake of the driver's.
        """
        event, self._pending = self._pending, None
        transaction = self._transaction
        if isinstance(event, CheckSender):
            if reply.is_positive:
                self._transaction = Transaction(event.address, event.parameters)
        elif isinstance(event, CheckRecipient):
            assert transaction is not None
            if reply.is_positive:
                transaction.recipients.append(Recipient(event.address, event.parameters))
            elif reply.code >= 500:
                self._refused_recipients += 1
                if self._refused_recipients > self.config.max_refused_recipients:
                    reply = replies.TOO_MANY_REFUSED
        elif isinstance(event, MessageReceived):
            self._transaction = None  # RFC 5321 §4.1.1.4: whatever the answer
        elif isinstance(event, Authenticate):
            reply = self._authentication.settle(event.identity, reply)
        else:
            self._pending = event
            raise RuntimeError("no question is open")
        self._say(reply)

    def tls_started(self, tls: Tls) -> None:
        """TLS is up: forget everything learnt in the clear (RFC 3207 §4.2).

        Raises:
            RuntimeError: `StartTls` was not the last event.
        """
        if self._pending is not _START_TLS:
            raise RuntimeError("TLS was not asked for")
        self._pending = None
        self.tls = tls
        self.helo = ""
        self._authentication.identity = None
        self._extended = False
        self._transaction = None
        self._buffer.clear()
        self._lines.reset()

    def shut(self, reply: Reply) -> None:
        """End the session from our side at any point: `reply` is the last word (RFC 5321 §3.8)."""
        if not self._closed:
            self._say(reply)
            self._closed = True

    def take_output(self) -> bytes:
        """What is to be written now; it is handed out once."""
        output = bytes(self._output)
        self._output.clear()
        return output

    @property
    def identity(self) -> str | None:
        """Who authenticated, as given to AUTH; None for nobody."""
        return self._authentication.identity

    @property
    def in_data(self) -> bool:
        """Whether the next bytes belong to a message, not to a command."""
        return self._read in (self._read_data, self._read_chunk)

    @property
    def buffered_bytes(self) -> int:
        """Input not yet looked at, or held for the message being received."""
        return len(self._buffer)

    @property
    def held_bytes(self) -> int:
        """All input held: `buffered_bytes`, and the chunks of the message so far."""
        chunks = self._transaction.chunks if self._transaction is not None else None
        return len(self._buffer) + (len(chunks) if chunks is not None else 0)

    def shed(self) -> None:
        """Keep no more of the message on its way: it is swallowed, and answered 452 (RFC 5321 §4.2.2) at its end."""
        transaction = self._transaction
        if self._read == self._read_data:
            self._dots.shed(self._buffer)
        elif transaction is not None and transaction.chunks is not None:
            transaction.broken, transaction.chunks = replies.NO_ROOM, bytearray()
            if self._read == self._read_chunk:
                self._chunk.refusal = replies.NO_ROOM

    @property
    def is_closed(self) -> bool:
        """Whether the last word was said."""
        return self._closed

    def _say(self, reply: Reply) -> None:
        self._output += reply.wire
        if reply.ends_session:
            self._closed = True

    # Lines

    def _read_command(self) -> _Step:
        if self._lines.is_waiting(self._buffer):
            return _FOR_INPUT
        line = self._lines.take(self._buffer, COMMAND_MAX)
        self.commands += 1
        if self.commands > self.config.max_commands:
            return replies.TOO_MANY_COMMANDS
        if line is None:
            raise Misstep(replies.LINE_TOO_LONG)
        if b"\0" in line or b"\r" in line:
            raise Misstep(replies.BAD_OCTETS)
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        command = _COMMANDS.get(verb)
        if command is not None:
            return command(self, argument.strip(b" \t"))
        if verb in _OTHER_PROTOCOLS:
            return replies.NO_SMTP
        raise Misstep(replies.UNKNOWN_COMMAND)

    # The session

    def _hello(self, argument: bytes, *, extended: bool) -> None:
        try:
            self.helo = parse_hello(argument)
        except Malformed as error:
            raise Misstep(replies.NEEDS_NAME) from error
        self._extended = extended
        self._transaction = None  # RFC 5321 §4.1.4: as RSET

    def _do_helo(self, argument: bytes) -> _Step:
        self._hello(argument, extended=False)
        return Reply(250, "", self.config.hostname)

    def _do_ehlo(self, argument: bytes) -> _Step:
        self._hello(argument, extended=True)
        offers = [self.config.hostname, f"SIZE {self.config.max_size_bytes}", *_ALWAYS_OFFERED]
        if self.config.tls_available and self.tls is None:
            offers.append("STARTTLS")
        if self.config.submission:
            # Only here: a report of success to any stranger who asks is backscatter, and offering DSN without
            # sending it would break RFC 3461 §5.2. Not offered, the last hop that has it reports "relayed".
            offers.append("DSN")
        if self.config.submission and self._authentication.may_begin(encrypted=self.tls is not None):
            offers.append(f"AUTH {' '.join(MECHANISMS)}")
        return Reply(250, "", "\n".join(offers))

    def _do_rset(self, argument: bytes) -> _Step:
        if argument:
            raise Misstep(replies.NO_ARGUMENT)
        self._transaction = None
        return replies.OK

    def _do_noop(self, argument: bytes) -> _Step:
        return replies.OK

    def _do_help(self, argument: bytes) -> _Step:
        return replies.HELP

    def _do_vrfy(self, argument: bytes) -> _Step:
        if not argument:
            raise Misstep(replies.NEEDS_ADDRESS)
        return replies.WILL_NOT_SAY  # RFC 5321 §3.5.3: no list of our addresses for whoever asks

    def _do_unavailable(self, argument: bytes) -> _Step:
        raise Misstep(replies.NOT_HERE)

    def _do_quit(self, argument: bytes) -> _Step:
        if argument:
            raise Misstep(replies.NO_ARGUMENT)
        return replies.BYE

    def _do_starttls(self, argument: bytes) -> _Step:
        if not self.config.tls_available:
            raise Misstep(replies.NOT_HERE)
        if self.tls is not None:
            raise Misstep(replies.TLS_IS_ON)
        if argument:
            raise Misstep(replies.NO_ARGUMENT)  # RFC 3207 §4
        if not self._extended:
            raise Misstep(replies.NO_HELLO)
        if self._buffer:
            # Written before the handshake, it would run after it as if it had been protected: whoever sits in
            # between could put commands there. RFC 3207 §5 leaves no room for it, so no reading on.
            return replies.NOTHING_MAY_FOLLOW
        self._say(replies.START_TLS)
        return _START_TLS

    def _do_auth(self, argument: bytes) -> _Step:
        if not self.config.submission:
            raise Misstep(replies.NOT_HERE)
        if not self._extended:
            raise Misstep(replies.NO_HELLO)
        if self.identity is not None or self._transaction is not None:
            raise Misstep(replies.AUTHENTICATES_ONCE)
        if not self._authentication.may_begin(encrypted=self.tls is not None):
            raise Misstep(replies.NEEDS_TLS)
        return self._go_on_with_auth(self._authentication.begin(argument))

    def _read_response(self) -> _Step:
        if self._lines.is_waiting(self._buffer):
            return _FOR_INPUT
        self._read = self._read_command
        return self._go_on_with_auth(self._authentication.respond(self._lines.take(self._buffer, AUTH_MAX)))

    def _go_on_with_auth(self, step: Authenticate | Reply) -> _Step:
        if isinstance(step, Reply) and step.code == 334:
            self._read = self._read_response
        return step

    # The envelope

    def _do_mail(self, argument: bytes) -> _Step:
        if not self.helo:
            raise Misstep(replies.NO_HELLO)
        if self.config.submission and self.identity is None:
            raise Misstep(replies.NEEDS_AUTHENTICATION)
        if self._transaction is not None:
            raise Misstep(replies.OPEN_ALREADY)
        return read_mail(argument, self.config)

    def _do_rcpt(self, argument: bytes) -> _Step:
        if argument[:3].upper() != b"TO:":
            raise Misstep(replies.NEEDS_TO)
        if self._transaction is None:
            raise Misstep(replies.NO_MAIL if self.helo else replies.NO_HELLO)
        return read_rcpt(argument, self._transaction, self.config)

    def _missing(self) -> Reply | None:
        """What keeps a message from being begun."""
        if self._transaction is None:
            return replies.NO_MAIL if self.helo else replies.NO_HELLO
        return self._transaction.missing

    # The message

    def _do_data(self, argument: bytes) -> _Step:
        if argument:
            raise Misstep(replies.NO_ARGUMENT)
        refusal = self._missing()
        if refusal is replies.NONE_VALID:
            return refusal  # a proper client that pipelines gets here
        if refusal is not None:
            raise Misstep(refusal)
        assert self._transaction is not None
        if self._transaction.chunks is not None:
            raise Misstep(replies.MIXED)  # RFC 3030 §2
        self.messages_begun += 1
        self._read = self._read_data
        return replies.GO_AHEAD

    def _read_data(self) -> _Step:
        try:
            content = self._dots.read(self._buffer)
        except TooLarge:
            return replies.ENDLESS
        if content is None:
            return _FOR_INPUT
        self._read = self._read_command
        return self._complete(content)

    def _do_bdat(self, argument: bytes) -> _Step:
        chunk = read_bdat(argument)
        if chunk is None:
            return replies.BAD_CHUNK  # what comes next is message text, not commands
        if chunk.left > self._swallow_max:
            return replies.ENDLESS
        chunk.refusal = self._missing()
        transaction = self._transaction
        if chunk.refusal is None and transaction is not None:
            self.messages_begun += transaction.chunks is None
            chunk.refusal = transaction.begin_chunk(chunk.left, self.config.max_size_bytes)
        self._chunk = chunk
        self._read = self._read_chunk
        return None

    def _read_chunk(self) -> _Step:
        chunk, transaction = self._chunk, self._transaction
        into = None if chunk.refusal is not None or transaction is None else transaction.chunks
        if not chunk.take(self._buffer, into):
            return _FOR_INPUT
        self._read = self._read_command
        if chunk.refusal is not None:
            if transaction is not None and transaction.chunks is not None:
                transaction.broken = transaction.broken or replies.BROKEN_CHUNKS
                transaction.chunks = bytearray()
                if chunk.last:
                    self._transaction = None
            # Chunks are pipelined before their refusal can be known: no misbehaviour.
            return chunk.refusal
        if not chunk.last:
            return replies.CHUNK_OK
        assert transaction is not None
        assert transaction.chunks is not None
        raw = bytes(transaction.chunks)
        transaction.chunks = bytearray()
        return self._complete(Content(raw, False, is_smuggling(raw)))

    def _complete(self, content: Content) -> _Step:
        """The message is here: refuse it for what it is, or ask about it."""
        transaction = self._transaction
        assert transaction is not None
        if content.is_shed or content.is_too_big:
            self._transaction = None
            return replies.NO_ROOM if content.is_shed else replies.TOO_BIG
        if content.is_smuggling:
            self._transaction = None
            raise Misstep(replies.SMUGGLED)
        envelope = Envelope(
            transaction.mail_from,
            transaction.parameters,
            tuple(transaction.recipients),
            self.helo,
            protocol_name(
                extended=self._extended,
                encrypted=self.tls is not None,
                authenticated=self.identity is not None,
                utf8=transaction.parameters.smtputf8,
            ),
            self.client_address,
            self.tls,
            self.identity,
        )
        return MessageReceived(envelope, content.raw)


_COMMANDS: Final[dict[bytes, Callable[[SmtpMachine, bytes], _Step]]] = {
    b"HELO": SmtpMachine._do_helo,
    b"EHLO": SmtpMachine._do_ehlo,
    b"MAIL": SmtpMachine._do_mail,
    b"RCPT": SmtpMachine._do_rcpt,
    b"DATA": SmtpMachine._do_data,
    b"BDAT": SmtpMachine._do_bdat,
    b"RSET": SmtpMachine._do_rset,
    b"NOOP": SmtpMachine._do_noop,
    b"HELP": SmtpMachine._do_help,
    b"VRFY": SmtpMachine._do_vrfy,
    b"QUIT": SmtpMachine._do_quit,
    b"STARTTLS": SmtpMachine._do_starttls,
    b"AUTH": SmtpMachine._do_auth,
    b"EXPN": SmtpMachine._do_unavailable,
    b"TURN": SmtpMachine._do_unavailable,
    b"ETRN": SmtpMachine._do_unavailable,
    b"SEND": SmtpMachine._do_unavailable,
    b"SOML": SmtpMachine._do_unavailable,
    b"SAML": SmtpMachine._do_unavailable,
}
