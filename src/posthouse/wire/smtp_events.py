"""What the SMTP machine is told and what it asks: settings, envelope and events."""

from __future__ import annotations

from dataclasses import dataclass, field

from posthouse.wire.smtp_parameters import MailParameters, RecipientParameters


@dataclass(frozen=True, slots=True)
class SmtpConfig:
    """What one listener offers and tolerates.

    Attributes:
        hostname: our name in the greeting and the answer to EHLO.
        banner: the rest of the greeting.
        max_size_bytes: largest message, dot-stuffing not counted (RFC 1870).
        max_recipients: recipients of one message; RFC 5321 §4.5.3.1.8 asks for at least 100.
        max_refused_recipients: unknown recipients in one session, after which a dictionary is assumed.
        max_bad_commands: unknown, malformed and misplaced commands in one session.
        max_commands: commands of any kind in one session.
        max_auth_failures: wrong credentials in one session.
        tls_available: offer STARTTLS.
        submission: for our own users: AUTH is offered and needed before MAIL (RFC 6409 §4.3), and DSN is offered.
        auth_needs_tls: no AUTH in the clear (RFC 4954 §4).
        trusts_loopback: a peer on this machine may use AUTH in the clear: nobody listens in between.
    """

    hostname: str
    banner: str = "ESMTP Posthouse"
    max_size_bytes: int = 26_214_400
    max_recipients: int = 1_000
    max_refused_recipients: int = 100
    max_bad_commands: int = 20
    max_commands: int = 10_000
    max_auth_failures: int = 3
    tls_available: bool = False
    submission: bool = False
    auth_needs_tls: bool = True
    trusts_loopback: bool = True


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection is encrypted, in the library's words: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`."""

    version: str
    cipher: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted recipient, in the order they were named."""

    address: str
    parameters: RecipientParameters


@dataclass(frozen=True, slots=True)
class Envelope:
    """What SMTP said about a message, never its header (RFC 5321 §2.3.1).

    Attributes:
        mail_from: the reverse-path, "" for null (RFC 5321 §4.5.5).
        parameters: what came with it.
        rcpt_to: the accepted recipients, at least one. The same address may be there twice.
        helo: the client's name for itself, unchecked.
        protocol: for `with` in `Received:` (RFC 3848, RFC 6531 §4.3): SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA,
            UTF8SMTP, UTF8SMTPS, UTF8SMTPA, UTF8SMTPSA.
        client_address: IP address of the peer, without brackets.
        tls: None for plain text.
        identity: who authenticated, as given to AUTH; None for nobody.
    """

    mail_from: str
    parameters: MailParameters
    rcpt_to: tuple[Recipient, ...]
    helo: str
    protocol: str
    client_address: str
    tls: Tls | None
    identity: str | None


def protocol_name(*, extended: bool, encrypted: bool, authenticated: bool, utf8: bool) -> str:
    """The name of the dialogue a message came by (RFC 3848; with SMTPUTF8, RFC 6531 §4.3).

    Args:
        extended: EHLO was said, not HELO.
    """
    suffix = ("S" if encrypted else "") + ("A" if authenticated else "")
    if utf8:
        return "UTF8SMTP" + suffix
    return "ESMTP" + suffix if extended or suffix else "SMTP"


@dataclass(frozen=True, slots=True)
class CheckSender:
    """MAIL: is this sender welcome? A positive answer opens the transaction."""

    address: str
    parameters: MailParameters


@dataclass(frozen=True, slots=True)
class CheckRecipient:
    """RCPT: do we take mail for this address? A positive answer adds it to the envelope."""

    address: str
    parameters: RecipientParameters


@dataclass(frozen=True, slots=True)
class Authenticate:
    """AUTH: is the secret good? The answer `AUTHENTICATED` (235) makes the session this identity's.

    Attributes:
        mechanism: `PLAIN` or `LOGIN`.
        identity: the user name as sent.
        secret: the password or key as sent; never to be logged.
    """

    mechanism: str
    identity: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """The whole message is here. A positive answer takes on the duty to deliver it (RFC 5321 §4.2.5).

    Attributes:
        envelope: sender and recipients.
        raw: dots unstuffed, line ends as they came. A message by BDAT may lack the last line end.
    """

    envelope: Envelope
    raw: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """Write the output, start TLS, then call `tls_started`. What the peer sends in the clear is dropped."""


@dataclass(frozen=True, slots=True)
class Close:
    """Write the output and close. Nothing more is read or said."""


Event = CheckSender | CheckRecipient | Authenticate | MessageReceived | StartTls | Close
