"""Replies of the server: their form on the wire, and the table of those that need no word from elsewhere.

Source: RFC 5321 §4.2 (form and codes), RFC 2034 and RFC 3463 (enhanced status codes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# 512 octets with the line end by RFC 5321 §4.5.3.1.5; less code, blanks and status.
REPLY_TEXT_MAX: Final = 480
# RFC 5321 §4.5.3.1.4 says 512 octets with CRLF, each extension adds to it; no honest client needs more.
COMMAND_MAX: Final = 2_048


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server says to one command.

    Attributes:
        code: 200–599, RFC 5321 §4.2.1. 421 always ends the session.
        status: enhanced status code such as `5.1.1` (RFC 3463), "" where none is due (RFC 2034 §4).
        text: for people; `\\n` starts a new line of the same reply. Control and non-ASCII characters are
            replaced on the wire, so text from elsewhere cannot forge a second reply.
        close: end the session after it, whatever the code.
        wire: as it goes over the wire, one or more lines of at most 512 octets, each with CRLF.
    """

    code: int
    status: str
    text: str
    close: bool = False
    wire: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"a reply code is 200–599, not {self.code}")
        # Once for the replies of the table, which are said a million times.
        object.__setattr__(self, "wire", _encode(self.code, self.status, self.text))

    @property
    def is_positive(self) -> bool:
        """Whether the command was accepted."""
        return self.code < 400

    @property
    def ends_session(self) -> bool:
        """Whether the connection is closed after it (RFC 5321 §3.8)."""
        return self.close or self.code == 421


def _encode(code: int, status: str, text: str) -> bytes:
    blank = " " if status else ""
    if len(text) <= REPLY_TEXT_MAX and text.isascii() and text.isprintable():
        return f"{code} {status}{blank}{text}\r\n".encode("ascii")
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        clean = "".join(c if c.isascii() and c.isprintable() else "?" for c in line)
        lines += [clean[i : i + REPLY_TEXT_MAX] for i in range(0, len(clean), REPLY_TEXT_MAX)] or [""]
    last = len(lines) - 1
    return "".join(f"{code}{'-' if i < last else ' '}{status}{blank}{line}\r\n" for i, line in enumerate(lines)).encode(
        "ascii"
    )


class Misstep(Exception):
    """Something no proper client says: `reply` is the answer, and one more is counted against the session."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


# Answers to a driver's questions.
SENDER_OK: Final = Reply(250, "2.1.0", "Sender ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "Recipient ok")
MESSAGE_OK: Final = Reply(250, "2.0.0", "Message accepted")
AUTHENTICATED: Final = Reply(235, "2.7.0", "Authentication succeeded")
WRONG_CREDENTIAL: Final = Reply(535, "5.7.8", "Credential not accepted")  # RFC 4954 §6

# The last word of a session.
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "Shutting down, try again later")
FULL: Final = Reply(421, "4.3.2", "Too many connections, try again later")
TOO_MANY_OF_YOURS: Final = Reply(421, "4.7.0", "Too many connections from your address")
MAKES_ROOM: Final = Reply(421, "4.3.2", "Too many connections, and this one was silent")
TIMED_OUT: Final = Reply(421, "4.4.2", "Nothing came for too long")
BYE: Final = Reply(221, "2.0.0", "Bye", close=True)
NO_SMTP: Final = Reply(554, "5.5.1", "This is SMTP", close=True)
TOO_MANY_COMMANDS: Final = Reply(421, "4.7.0", "Too many commands in one session")
TOO_MANY_MISSTEPS: Final = Reply(421, "4.7.0", "Too many bad commands")
TOO_MANY_REFUSED: Final = Reply(421, "4.7.0", "Too many recipients were refused")
TOO_MANY_GUESSES: Final = Reply(421, "4.7.0", "Too many wrong credentials")

# Commands of any kind.
OK: Final = Reply(250, "2.0.0", "Ok")
HELP: Final = Reply(214, "2.0.0", "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT: RFC 5321")
WILL_NOT_SAY: Final = Reply(252, "2.1.5", "Will not say, send a message and see")
UNKNOWN_COMMAND: Final = Reply(500, "5.5.1", "Command not known")
LINE_TOO_LONG: Final = Reply(500, "5.5.2", f"Line is longer than {COMMAND_MAX} octets")
BAD_OCTETS: Final = Reply(500, "5.5.2", "NUL or bare CR in a command")
NOT_HERE: Final = Reply(502, "5.5.1", "Command not available here")
NO_ARGUMENT: Final = Reply(501, "5.5.4", "This command takes no argument")
NEEDS_ADDRESS: Final = Reply(501, "5.5.4", "Expected an address")
NEEDS_NAME: Final = Reply(501, "5.5.4", "Expected a host name or an address literal")

# The order of commands, RFC 5321 §4.1.4.
NO_HELLO: Final = Reply(503, "5.5.1", "Say EHLO first")
NO_MAIL: Final = Reply(503, "5.5.1", "Say MAIL first")
NO_RECIPIENT: Final = Reply(503, "5.5.1", "Say RCPT first")
OPEN_ALREADY: Final = Reply(503, "5.5.1", "A message is open already, say RSET first")
NONE_VALID: Final = Reply(554, "5.5.1", "No recipient was accepted")
MIXED: Final = Reply(503, "5.5.1", "The message was begun with BDAT, end it with BDAT LAST or say RSET")

# MAIL and RCPT.
NEEDS_FROM: Final = Reply(501, "5.5.4", "Expected MAIL FROM:<address>")
NEEDS_TO: Final = Reply(501, "5.5.4", "Expected RCPT TO:<address>")
SENDER_NEEDS_UTF8: Final = Reply(553, "5.6.7", "This sender needs SMTPUTF8")  # RFC 6531 §3.5
RECIPIENT_NEEDS_UTF8: Final = Reply(553, "5.6.7", "This recipient needs SMTPUTF8 in MAIL")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Too many recipients, send the message again for the rest")

# The message.
GO_AHEAD: Final = Reply(354, "", "Send the message, end with a dot alone on a line")
CHUNK_OK: Final = Reply(250, "2.0.0", "Chunk received")
BAD_CHUNK: Final = Reply(501, "5.5.4", "Expected BDAT size [LAST]", close=True)
BROKEN_CHUNKS: Final = Reply(503, "5.5.1", "A chunk of this message was refused, say RSET")
SMUGGLED: Final = Reply(554, "5.6.0", "A dot between line ends that are not CRLF: refused as smuggling")
NO_ROOM: Final = Reply(452, "4.3.1", "Too much mail is coming in just now, send this again later")
TOO_BIG: Final = Reply(552, "5.3.4", "Message is larger than this server takes")
ENDLESS: Final = Reply(552, "5.3.4", "Message is larger than this server takes", close=True)

# TLS and authentication.
START_TLS: Final = Reply(220, "2.0.0", "Ready to start TLS")
TLS_IS_ON: Final = Reply(503, "5.5.1", "TLS is on already")
NOTHING_MAY_FOLLOW: Final = Reply(503, "5.5.1", "Nothing may follow STARTTLS before the handshake", close=True)
NEEDS_AUTHENTICATION: Final = Reply(530, "5.7.0", "Authentication required")  # RFC 4954 §6
NEEDS_TLS: Final = Reply(538, "5.7.11", "Encryption required, say STARTTLS first")  # RFC 4954 §6
NEEDS_MECHANISM: Final = Reply(501, "5.5.4", "Expected AUTH mechanism")
AUTHENTICATES_ONCE: Final = Reply(503, "5.5.1", "AUTH comes once, and before MAIL")  # RFC 4954 §4
CANCELLED: Final = Reply(501, "5.7.0", "Authentication cancelled")  # RFC 4954 §4
RESPONSE_TOO_LONG: Final = Reply(500, "5.5.6", "Authentication exchange line is too long")  # RFC 4954 §4
