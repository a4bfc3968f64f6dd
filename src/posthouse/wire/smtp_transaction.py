"""One mail transaction as the server keeps it: the arguments of MAIL and RCPT, and the chunks of BDAT.

Source: RFC 5321 §3.3 and §4.1.1, RFC 1870 §6.1 (SIZE), RFC 6531 §3.5 (SMTPUTF8), RFC 3030 §2 (BDAT).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from posthouse.kit.errors import Invalid, Malformed
from posthouse.wire import smtp_replies as replies
from posthouse.wire.smtp_events import CheckRecipient, CheckSender, Recipient, SmtpConfig
from posthouse.wire.smtp_parameters import MailParameters, parse_mail_parameters, parse_recipient_parameters
from posthouse.wire.smtp_replies import Misstep, Reply
from posthouse.wire.smtp_syntax import parse_path

_BDAT_ARGUMENT = re.compile(rb"([0-9]{1,20})(?: +([Ll][Aa][Ss][Tt]))?")


@dataclass(slots=True)
class Transaction:
    """From MAIL to the end of the message.

    Attributes:
        recipients: accepted, in the order they were named.
        asked: some RCPT was tried.
        chunks: the message so far; set by the first BDAT.
        broken: a chunk was refused: only RSET helps (RFC 3030 §2), and this is what each further one is told.
    """

    mail_from: str
    parameters: MailParameters
    recipients: list[Recipient] = field(default_factory=list)
    asked: bool = False
    chunks: bytearray | None = None
    broken: Reply | None = None

    @property
    def missing(self) -> Reply | None:
        """What keeps the message from being begun."""
        if self.recipients:
            return None
        return replies.NONE_VALID if self.asked else replies.NO_RECIPIENT  # RFC 2920 §3.1

    def begin_chunk(self, size_bytes: int, max_size_bytes: int) -> Reply | None:
        """Make room for a chunk, or say why not."""
        if self.chunks is None:
            self.chunks = bytearray()
        if self.broken is not None:
            return self.broken
        if len(self.chunks) + size_bytes > max_size_bytes:
            return replies.TOO_BIG
        return None


@dataclass(slots=True)
class Chunk:
    """One BDAT: octets that are counted, not searched.

    Attributes:
        left: octets to come.
        last: the message ends with it.
        refusal: it is swallowed, and this is the answer: chunks are sent along before it can be known.
    """

    left: int
    last: bool
    refusal: Reply | None = None

    def take(self, buffer: bytearray, into: bytearray | None) -> bool:
        """Take what is there of it off the front of the buffer; whether it is complete."""
        taken = min(self.left, len(buffer))
        if into is not None and taken:
            with memoryview(buffer) as view:
                into += view[:taken]
        del buffer[:taken]
        self.left -= taken
        return self.left == 0


def read_mail(argument: bytes, config: SmtpConfig) -> CheckSender | Reply:
    """Read what follows MAIL.

    Returns:
        The question, or a refusal an honest client may earn.

    Raises:
        Misstep: not the command's grammar.
    """
    if argument[:5].upper() != b"FROM:":
        raise Misstep(replies.NEEDS_FROM)
    try:
        address, rest = parse_path(argument[5:].decode("utf-8"))
        if address == "postmaster":  # RFC 5321 §4.5.1 lets recipients, and only them, go without a domain
            raise Malformed("expected local-part@domain")
    except (Malformed, UnicodeDecodeError) as error:
        raise Misstep(Reply(501, "5.1.7", f"Bad sender: {_sentence(error)}")) from error  # RFC 3463 §3.2
    try:
        parameters = parse_mail_parameters(rest)
    except (Malformed, Invalid) as error:
        raise Misstep(_parameter_reply(error)) from error
    if not (address.isascii() or parameters.smtputf8):
        raise Misstep(replies.SENDER_NEEDS_UTF8)
    if parameters.size_bytes > config.max_size_bytes:
        return replies.TOO_BIG  # RFC 1870 §6.1
    return CheckSender(address, parameters)


def read_rcpt(argument: bytes, transaction: Transaction, config: SmtpConfig) -> CheckRecipient | Reply:
    """Read what follows RCPT; returns and raises as `read_mail`."""
    if transaction.chunks is not None:
        raise Misstep(replies.MIXED)
    transaction.asked = True
    try:
        address, rest = parse_path(argument[3:].decode("utf-8"))
        if not address:
            raise Malformed("the null path is for senders only")
    except (Malformed, UnicodeDecodeError) as error:
        raise Misstep(Reply(501, "5.1.3", f"Bad recipient: {_sentence(error)}")) from error
    try:
        parameters = parse_recipient_parameters(rest)
    except (Malformed, Invalid) as error:
        raise Misstep(_parameter_reply(error)) from error
    if not (address.isascii() or transaction.parameters.smtputf8):
        raise Misstep(replies.RECIPIENT_NEEDS_UTF8)
    if len(transaction.recipients) >= config.max_recipients:
        return replies.TOO_MANY_RECIPIENTS  # RFC 5321 §4.5.3.1.10
    return CheckRecipient(address, parameters)


def read_bdat(argument: bytes) -> Chunk | None:
    """Read what follows BDAT; None for what is no size, so that nobody knows where the chunk ends."""
    match = _BDAT_ARGUMENT.fullmatch(argument)
    return None if match is None else Chunk(int(match[1]), match[2] is not None)


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, Malformed) else "not UTF-8"


def _parameter_reply(error: Malformed | Invalid) -> Reply:
    return Reply(501 if isinstance(error, Malformed) else 555, "5.5.4", error.message)
