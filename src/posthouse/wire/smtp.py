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

Source: RFC 5321 (SMTP), 2920 (PIPELINING), 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 2034 and 3463
(enhanced status codes), 3030 (CHUNKING), 3207 (STARTTLS), 4954 (AUTH), 3461 (DSN), 3848 (protocol names).
Its questions are in `smtp_events.py`, the grammar in `smtp_syntax.py`, the end of data in `smtp_data.py`, the
AUTH exchange in `smtp_auth.py`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from posthouse.kit.errors import Invalid, Malformed, TooLarge, Unauthenticated
from posthouse.wire.smtp_auth import MECHANISMS, SaslExchange
from posthouse.wire.smtp_data import Content, DotReader, is_smuggling
from posthouse.wire.smtp_events import (
    WRONG_CREDENTIAL,
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
)
from posthouse.wire.smtp_syntax import (
    MailParameters,
    Reply,
    parse_mail_parameters,
    parse_path,
    parse_recipient_parameters,
)

# RFC 5321 §4.5.3.1.4 says 512 octets with CRLF, each extension adds to it; no honest client needs more.
COMMAND_MAX: Final = 2_048
AUTH_MAX: Final = 12_288  # RFC 4954 §4: base64 of any sensible exchange
HELO_MAX: Final = 255  # RFC 5321 §4.5.3.1.2


class _NeedMore:
    """The one value that says: nothing to do until more input comes."""


_NEED_MORE: Final = _NeedMore()
_Step = Event | _NeedMore | None

_START_TLS: Final = StartTls()
_CLOSE: Final = Close()

_GO_AHEAD: Final = b"354 Send the message, end with a dot alone on a line\r\n"
_FLUSHED: Final = Reply(250, "2.0.0", "Ok")
_BYE: Final = Reply(221, "2.0.0", "Bye")
_BARE_LINE_END: Final = Reply(554, "5.6.0", "A dot between line ends that are not CRLF: refused as smuggling")
_TOO_BIG: Final = Reply(552, "5.3.4", "Message is larger than this server takes")
_ENDLESS: Final = Reply(552, "5.3.4", "Message is larger than this server takes", close=True)
_NO_HELO: Final = Reply(503, "5.5.1", "Say EHLO first")
_NO_MAIL: Final = Reply(503, "5.5.1", "Say MAIL first")
_NO_RECIPIENT: Final = Reply(503, "5.5.1", "Say RCPT first")
_NONE_VALID: Final = Reply(554, "5.5.1", "No recipient was accepted")
_MIXED: Final = Reply(503, "5.5.1", "The message was begun with BDAT, end it with BDAT LAST or say RSET")
_NO_ARGUMENT: Final = Reply(501, "5.5.4", "This command takes no argument")
_NOT_HERE: Final = Reply(502, "5.5.1", "Command not available here")

_BDAT_ARGUMENT = re.compile(rb"([0-9]{1,20})(?: +([Ll][Aa][Ss][Tt]))?")
# Browsers and programs tricked into posting to this port: an HTTP header line is no command of ours, and the
# body behind it would be (RFC 5321 has no such verb; a page could otherwise send mail).
_OTHER_PROTOCOLS: Final = frozenset([b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT", b"DELETE", b"PATCH"])


@dataclass(slots=True)
class _Transaction:
    """From MAIL to the end of the message."""

    mail_from: str
    parameters: MailParameters
    recipients: list[Recipient] = field(default_factory=list)
    asked: bool = False  # some RCPT was tried
    chunks: bytearray | None = None  # set by the first BDAT
    broken: bool = False  # a chunk was refused: only RSET helps, RFC 3030 §2


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
        self.identity: str | None = None
        self.commands = 0
        self.messages_begun = 0
        self._extended = False  # EHLO, not HELO
        self._transaction: _Transaction | None = None
        self._buffer = bytearray()
        self._scanned = 0  # this far no end was found: no byte is searched twice
        self._dropped = 0  # bytes of the present line thrown away for being too many
        self._output = bytearray()
        self._read: Callable[[], _Step] = self._read_command
        self._pending: Event | None = None
        self._closed = False
        self._bad_commands = 0
        self._refused_recipients = 0
        self._auth_failures = 0
        self._exchange = SaslExchange("PLAIN")
        self._dots = DotReader(config.max_size_bytes)
        self._chunk_left = 0
        self._chunk_last = False
        self._chunk_refusal: Reply | None = None
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
            step = self._read()
            if step is None:
                continue
            if isinstance(step, _NeedMore):
                return None
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
                self._transaction = _Transaction(event.address, event.parameters)
        elif isinstance(event, CheckRecipient):
            assert transaction is not None
            if reply.is_positive:
                transaction.recipients.append(Recipient(event.address, event.parameters))
            elif reply.code >= 500:
                self._refused_recipients += 1
                if self._refused_recipients > self.config.max_refused_recipients:
                    reply = Reply(421, "4.7.0", "Too many recipients were refused")
        elif isinstance(event, MessageReceived):
            self._transaction = None  # RFC 5321 §4.1.1.4: whatever the answer
        elif isinstance(event, Authenticate):
            self._settle_authentication(event.identity, reply)
            return
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
        self.identity = None
        self._extended = False
        self._transaction = None
        self._buffer.clear()
        self._scanned = 0

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
    def in_data(self) -> bool:
        """Whether the next bytes belong to a message, not to a command."""
        return self._read in (self._read_data, self._read_chunk)

    @property
    def buffered_bytes(self) -> int:
        """Input not yet looked at, or held for the message being received."""
        return len(self._buffer)

    @property
    def is_closed(self) -> bool:
        """Whether the last word was said."""
        return self._closed

    # Replies

    def _say(self, reply: Reply) -> None:
        self._output += reply.encode()
        if reply.ends_session:
            self._closed = True

    def _bad(self, reply: Reply) -> None:
        """A reply to something no proper client says. Past the limit it is the last one."""
        self._bad_commands += 1
        if self._bad_commands > self.config.max_bad_commands:
            reply = Reply(421, "4.7.0", "Too many bad commands")
        self._say(reply)

    # Commands

    def _take_line(self, longest: int) -> bytes | _NeedMore | None:
        """The next line without its end, None for one that was too long (and is gone)."""
        buffer = self._buffer
        # A bare LF ends a command too: people type into netcat, and no attack needs it (RFC 5321 §2.3.8 is
        # about the message; there it is obeyed).
        end = buffer.find(b"\n", self._scanned)
        if end < 0:
            if len(buffer) > AUTH_MAX:
                # Keep the verb, which decides on the limit; drop the rest.
                self._dropped += len(buffer) - 16
                del buffer[16:]
            self._scanned = len(buffer)
            return _NEED_MORE
        length = self._dropped + end + 1
        self._scanned = self._dropped = 0
        if longest < AUTH_MAX and buffer[:5].upper() == b"AUTH ":
            longest = AUTH_MAX
        if length > longest:
            del buffer[: end + 1]
            return None
        line = bytes(buffer[: end - 1 if end and buffer[end - 1] == 13 else end])
        del buffer[: end + 1]
        return line

    def _read_command(self) -> _Step:
        line = self._take_line(COMMAND_MAX)
        if isinstance(line, _NeedMore):
            return line
        self.commands += 1
        if self.commands > self.config.max_commands:
            self._say(Reply(421, "4.7.0", "Too many commands in one session"))
            return None
        if line is None:
            self._bad(Reply(500, "5.5.2", f"Line is longer than {COMMAND_MAX} octets"))
            return None
        if b"\0" in line or b"\r" in line:
            self._bad(Reply(500, "5.5.2", "NUL or bare CR in a command"))
            return None
        verb, _, argument = line.partition(b" ")
        verb = verb.upper()
        command = _COMMANDS.get(verb)
        if command is not None:
            return command(self, argument.strip(b" \t"))
        if verb in _OTHER_PROTOCOLS:
            self._say(Reply(554, "5.5.1", "This is SMTP", close=True))
        else:
            self._bad(Reply(500, "5.5.1", "Command not known"))
        return None

    def _hello(self, argument: bytes) -> bool:
        try:
            name = argument.decode("utf-8")
        except UnicodeDecodeError:
            name = ""
        if not name or not name.isprintable() or " " in name or len(argument) > HELO_MAX:
            # One there must be, and any will do: a wrong name is no ground to refuse (RFC 5321 §4.1.4).
            self._bad(Reply(501, "5.5.4", "Expected a host name or an address literal"))
            return False
        self.helo = name
        self._transaction = None  # RFC 5321 §4.1.4: as RSET
        return True

    def _do_helo(self, argument: bytes) -> _Step:
        if self._hello(argument):
            self._extended = False
            self._output += b"250 %s\r\n" % self.config.hostname.encode("ascii", "replace")
        return None

    def _do_ehlo(self, argument: bytes) -> _Step:
        if self._hello(argument):
            self._extended = True
            lines = [
                self.config.hostname,
                "PIPELINING",
                f"SIZE {self.config.max_size_bytes}",
                "8BITMIME",
                "SMTPUTF8",
                "ENHANCEDSTATUSCODES",
                "CHUNKING",
                "DSN",
            ]
            if self.config.tls_available and self.tls is None:
                lines.append("STARTTLS")
            if self.config.submission and self._may_authenticate():
                lines.append("AUTH PLAIN LOGIN")
            text = "".join(f"250-{line}\r\n" for line in lines[:-1]) + f"250 {lines[-1]}\r\n"
            self._output += text.encode("ascii", "replace")
        return None

    def _do_mail(self, argument: bytes) -> _Step:
        if argument[:5].upper() != b"FROM:":
            self._bad(Reply(501, "5.5.4", "Expected MAIL FROM:<address>"))
            return None
        if not self.helo:
            self._bad(_NO_HELO)
            return None
        if self.config.submission and self.identity is None:
            self._bad(Reply(530, "5.7.0", "Authentication required"))  # RFC 4954 §6
            return None
        if self._transaction is not None:
            self._bad(Reply(503, "5.5.1", "A message is open already, say RSET first"))
            return None
        try:
            address, rest = parse_path(argument[5:].decode("utf-8"))
        except (Malformed, UnicodeDecodeError) as error:
            self._bad(Reply(501, "5.1.7", f"Bad sender: {_sentence(error)}"))  # RFC 3463 §3.2
            return None
        try:
            parameters = parse_mail_parameters(rest)
        except (Malformed, Invalid) as error:
            self._bad(_parameter_reply(error))
            return None
        if not (address.isascii() or parameters.smtputf8):
            self._bad(Reply(553, "5.6.7", "This sender needs SMTPUTF8"))  # RFC 6531 §3.5
            return None
        if parameters.size_bytes > self.config.max_size_bytes:
            self._say(_TOO_BIG)  # RFC 1870 §6.1
            return None
        return CheckSender(address, parameters)

    def _do_rcpt(self, argument: bytes) -> _Step:
        if argument[:3].upper() != b"TO:":
            self._bad(Reply(501, "5.5.4", "Expected RCPT TO:<address>"))
            return None
        transaction = self._transaction
        if transaction is None:
            self._bad(_NO_MAIL if self.helo else _NO_HELO)
            return None
        if transaction.chunks is not None:
            self._bad(_MIXED)
            return None
        transaction.asked = True
        try:
            address, rest = parse_path(argument[3:].decode("utf-8"))
            if not address:
                raise Malformed("the null path is for senders only")
        except (Malformed, UnicodeDecodeError) as error:
            self._bad(Reply(501, "5.1.3", f"Bad recipient: {_sentence(error)}"))
            return None
        try:
            parameters = parse_recipient_parameters(rest)
        except (Malformed, Invalid) as error:
            self._bad(_parameter_reply(error))
            return None
        if not (address.isascii() or transaction.parameters.smtputf8):
            self._bad(Reply(553, "5.6.7", "This recipient needs SMTPUTF8 in MAIL"))
            return None
        if len(transaction.recipients) >= self.config.max_recipients:
            self._say(Reply(452, "4.5.3", "Too many recipients, send the message again for the rest"))
            return None
        return CheckRecipient(address, parameters)

    def _missing(self) -> Reply | None:
        """What keeps a message from being begun."""
        if self._transaction is None:
            return _NO_MAIL if self.helo else _NO_HELO
        if not self._transaction.recipients:
            return _NONE_VALID if self._transaction.asked else _NO_RECIPIENT  # RFC 2920 §3.1
        return None

    def _do_data(self, argument: bytes) -> _Step:
        refusal = _NO_ARGUMENT if argument else self._missing()
        transaction = self._transaction
        if refusal is None and transaction is not None and transaction.chunks is not None:
            refusal = _MIXED  # RFC 3030 §2
        if refusal is not None:
            if refusal is _NONE_VALID:
                self._say(refusal)  # a proper client that pipelines gets here
            else:
                self._bad(refusal)
            return None
        self.messages_begun += 1
        self._output += _GO_AHEAD
        self._read = self._read_data
        return None

    def _read_data(self) -> _Step:
        try:
            content = self._dots.read(self._buffer)
        except TooLarge:
            self._say(_ENDLESS)
            return None
        if content is None:
            return _NEED_MORE
        self._read = self._read_command
        return self._complete(content)

    def _complete(self, content: Content) -> _Step:
        """The message is here: refuse it for what it is, or ask about it."""
        transaction = self._transaction
        assert transaction is not None
        if content.is_too_big or content.is_smuggling:
            self._transaction = None
            if content.is_too_big:
                self._say(_TOO_BIG)
            else:
                self._bad(_BARE_LINE_END)
            return None
        envelope = Envelope(
            transaction.mail_from,
            transaction.parameters,
            tuple(transaction.recipients),
            self.helo,
            self._protocol(transaction.parameters),
            self.client_address,
            self.tls,
            self.identity,
        )
        return MessageReceived(envelope, content.raw)

    def _protocol(self, parameters: MailParameters) -> str:
        """RFC 3848; with SMTPUTF8, RFC 6531 §4.3."""
        suffix = ("S" if self.tls else "") + ("A" if self.identity is not None else "")
        if parameters.smtputf8:
            return "UTF8SMTP" + suffix
        return "ESMTP" + suffix if self._extended or suffix else "SMTP"

    def _do_bdat(self, argument: bytes) -> _Step:
        match = _BDAT_ARGUMENT.fullmatch(argument)
        if match is None:
            # How many octets follow is not known, so what comes next is message text, not commands.
            self._say(Reply(501, "5.5.4", "Expected BDAT size [LAST]", close=True))
            return None
        size, last = int(match[1]), match[2] is not None
        if size > self._swallow_max:
            self._say(_ENDLESS)
            return None
        refusal = self._missing()
        transaction = self._transaction
        if refusal is None:
            assert transaction is not None
            if transaction.chunks is None:
                self.messages_begun += 1
                transaction.chunks = bytearray()
            if transaction.broken:
                refusal = Reply(503, "5.5.1", "A chunk of this message was refused, say RSET")
            elif len(transaction.chunks) + size > self.config.max_size_bytes:
                refusal = _TOO_BIG
        self._chunk_left, self._chunk_last, self._chunk_refusal = size, last, refusal
        self._read = self._read_chunk
        return None

    def _read_chunk(self) -> _Step:
        buffer, transaction, refusal = self._buffer, self._transaction, self._chunk_refusal
        if self._chunk_left and not buffer:
            return _NEED_MORE
        taken = min(self._chunk_left, len(buffer))
        if refusal is None and taken:
            assert transaction is not None
            assert transaction.chunks is not None
            with memoryview(buffer) as view:
                transaction.chunks += view[:taken]
        del buffer[:taken]
        self._chunk_left -= taken
        if self._chunk_left:
            return _NEED_MORE
        self._read = self._read_command
        if refusal is not None:
            if transaction is not None and transaction.chunks is not None:
                transaction.broken = True
                transaction.chunks = bytearray()
                if self._chunk_last:
                    self._transaction = None
            # Chunks are pipelined before their refusal can be known: no misbehaviour.
            self._say(refusal)
            return None
        if not self._chunk_last:
            self._say(Reply(250, "2.0.0", "Chunk received"))
            return None
        assert transaction is not None
        assert transaction.chunks is not None
        raw = bytes(transaction.chunks)
        transaction.chunks = bytearray()
        return self._complete(Content(raw, False, is_smuggling(raw)))

    def _do_rset(self, argument: bytes) -> _Step:
        if argument:
            self._bad(_NO_ARGUMENT)
        else:
            self._transaction = None
            self._say(_FLUSHED)
        return None

    def _do_noop(self, argument: bytes) -> _Step:
        self._say(_FLUSHED)
        return None

    def _do_help(self, argument: bytes) -> _Step:
        self._say(Reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT: RFC 5321"))
        return None

    def _do_vrfy(self, argument: bytes) -> _Step:
        # RFC 5321 §3.5.3: no list of our addresses for whoever asks.
        if argument:
            self._say(Reply(252, "2.1.5", "Will not say, send a message and see"))
        else:
            self._bad(Reply(501, "5.5.4", "Expected an address"))
        return None

    def _do_unavailable(self, argument: bytes) -> _Step:
        self._bad(_NOT_HERE)
        return None

    def _do_quit(self, argument: bytes) -> _Step:
        if argument:
            self._bad(_NO_ARGUMENT)
        else:
            self._say(_BYE)
            self._closed = True
        return None

    # TLS and authentication

    def _do_starttls(self, argument: bytes) -> _Step:
        if not self.config.tls_available:
            self._bad(_NOT_HERE)
        elif self.tls is not None:
            self._bad(Reply(503, "5.5.1", "TLS is on already"))
        elif argument:
            self._bad(_NO_ARGUMENT)  # RFC 3207 §4
        elif not self._extended:
            self._bad(_NO_HELO)
        elif self._buffer:
            # Written before the handshake, it would run after it as if it had been protected: whoever sits in
            # between could put commands there. RFC 3207 §5 leaves no room for it, so no reading on.
            self._say(Reply(503, "5.5.1", "Nothing may follow STARTTLS before the handshake", close=True))
        else:
            self._say(Reply(220, "2.0.0", "Ready to start TLS"))
            return _START_TLS
        return None

    def _may_authenticate(self) -> bool:
        if self.identity is not None:
            return False
        if self.tls is not None or not self.config.auth_needs_tls:
            return True
        return self.config.trusts_loopback and _is_loopback(self.client_address)

    def _do_auth(self, argument: bytes) -> _Step:
        if not self.config.submission:
            self._bad(_NOT_HERE)
            return None
        if not self._extended:
            self._bad(_NO_HELO)
            return None
        if self.identity is not None or self._transaction is not None:
            self._bad(Reply(503, "5.5.1", "AUTH comes once, and before MAIL"))  # RFC 4954 §4
            return None
        if not self._may_authenticate():
            self._bad(Reply(538, "5.7.11", "Encryption required, say STARTTLS first"))  # RFC 4954 §6
            return None
        word, _, initial = argument.partition(b" ")
        mechanism = word.decode("ascii", "replace").upper()
        if mechanism not in MECHANISMS:
            self._bad(Reply(504, "5.5.4", f"Mechanisms are {' and '.join(MECHANISMS)}"))
            return None
        self._exchange = SaslExchange(mechanism)
        if initial := initial.strip(b" "):
            return self._respond(initial)
        self._challenge()
        return None

    def _challenge(self) -> None:
        self._output += b"334 %s\r\n" % self._exchange.challenge()
        self._read = self._read_response

    def _read_response(self) -> _Step:
        line = self._take_line(AUTH_MAX)
        if isinstance(line, _NeedMore):
            return line
        self._read = self._read_command
        if line is None:
            self._bad(Reply(500, "5.5.6", "Authentication exchange line is too long"))  # RFC 4954 §4
        elif line == b"*":
            self._bad(Reply(501, "5.7.0", "Authentication cancelled"))
        else:
            return self._respond(line)
        return None

    def _respond(self, line: bytes) -> _Step:
        try:
            credential = self._exchange.respond(line)
        except Malformed as error:
            self._bad(Reply(501, "5.5.2", f"Bad response: {error.message}"))
        except Unauthenticated:
            self._settle_authentication(None, WRONG_CREDENTIAL)
        else:
            if credential is not None:
                return Authenticate(self._exchange.mechanism, credential.identity, credential.secret)
            self._challenge()
        return None

    def _settle_authentication(self, identity: str | None, reply: Reply) -> None:
        if identity is not None and reply.code == 235:
            self.identity = identity
        elif reply.code >= 500:
            self._auth_failures += 1
            if self._auth_failures >= self.config.max_auth_failures:
                reply = Reply(421, "4.7.0", "Too many wrong credentials")
        self._say(reply)


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, Malformed) else "not UTF-8"


def _parameter_reply(error: Malformed | Invalid) -> Reply:
    return Reply(501 if isinstance(error, Malformed) else 555, "5.5.4", error.message)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


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
