"""AUTH on the server's side: who may use it and when, and the exchange of SASL PLAIN and LOGIN, line by line.

Both carry the secret itself, so both are for encrypted connections; what is better would need the secret
stored in a form it can be read from. LOGIN is not a standard, and is what many clients try first.

Source: RFC 4954 §4, RFC 4616 (PLAIN).
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass, field
from typing import Final

from posthouse.kit.errors import Malformed, Unauthenticated
from posthouse.wire import smtp_replies as replies
from posthouse.wire.smtp_events import Authenticate, SmtpConfig
from posthouse.wire.smtp_replies import Misstep, Reply

MECHANISMS: Final = ("PLAIN", "LOGIN")
_USER_NAME: Final = b"VXNlcm5hbWU6"  # "Username:"
_PASSWORD: Final = b"UGFzc3dvcmQ6"  # "Password:"


@dataclass(frozen=True, slots=True)
class Credential:
    """What the client claims and the proof it brings; never to be logged."""

    identity: str
    secret: str = field(repr=False)


class Authentication:
    """AUTH within one session.

    Attributes:
        identity: who authenticated, as given to AUTH; None for nobody.
    """

    def __init__(self, config: SmtpConfig, client_address: str) -> None:
        self.identity: str | None = None
        self._config = config
        self._client_address = client_address
        self._exchange = SaslExchange("PLAIN")
        self._failures = 0

    def may_begin(self, *, encrypted: bool) -> bool:
        """Whether AUTH is to be offered, and may be used, on such a connection."""
        if self.identity is not None:
            return False
        if encrypted or not self._config.auth_needs_tls:
            return True
        return self._config.trusts_loopback and _is_loopback(self._client_address)

    def begin(self, argument: bytes) -> Authenticate | Reply:
        """Read what follows AUTH, maybe with an initial response.

        Returns:
            The question, a refusal, or a challenge (334): the next line is then for `respond`.

        Raises:
            Misstep: no mechanism, one not known here, or a response that is none.
        """
        word, _, initial = argument.partition(b" ")
        mechanism = word.decode("ascii", "replace").upper()
        if not mechanism:
            raise Misstep(replies.NEEDS_MECHANISM)
        if mechanism not in MECHANISMS:
            raise Misstep(Reply(504, "5.5.4", f"Mechanisms are {' and '.join(MECHANISMS)}"))
        self._exchange = SaslExchange(mechanism)
        if initial := initial.strip(b" "):
            return self._take(initial)
        return self._challenge()

    def respond(self, line: bytes | None) -> Authenticate | Reply:
        """Take the client's next line, None for one that was too long; returns and raises as `begin`."""
        if line is None:
            raise Misstep(replies.RESPONSE_TOO_LONG)
        if line == b"*":
            raise Misstep(replies.CANCELLED)
        return self._take(line)

    def _take(self, line: bytes) -> Authenticate | Reply:
        try:
            credential = self._exchange.respond(line)
        except Malformed as error:
            raise Misstep(Reply(501, "5.5.2", f"Bad response: {error.message}")) from error
        except Unauthenticated:
            return self.settle(None, replies.WRONG_CREDENTIAL)
        if credential is None:
            return self._challenge()
        return Authenticate(self._exchange.mechanism, credential.identity, credential.secret)

    def _challenge(self) -> Reply:
        return Reply(334, "", self._exchange.challenge().decode("ascii"))

    def settle(self, identity: str | None, reply: Reply) -> Reply:
        """Note the outcome; what to say of it, which is 421 after one failure too many."""
        if identity is not None and reply.code == 235:
            self.identity = identity
        elif reply.code >= 500:
            self._failures += 1
            if self._failures >= self._config.max_auth_failures:
                return replies.TOO_MANY_GUESSES
        return reply


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


class SaslExchange:
    """One AUTH command from its mechanism to the credential.

    Args:
        mechanism: one of `MECHANISMS`.
    """

    def __init__(self, mechanism: str) -> None:
        self.mechanism = mechanism
        self._identity: str | None = None

    def challenge(self) -> bytes:
        """What to ask next, in base64."""
        if self.mechanism == "PLAIN":
            return b""
        return _USER_NAME if self._identity is None else _PASSWORD

    def respond(self, line: bytes) -> Credential | None:
        """Take the client's answer, in base64; also its initial response.

        Returns:
            The credential, or None when there is another challenge.

        Raises:
            Malformed: not base64, or not of the mechanism's form.
            Unauthenticated: well-formed, and no credential that could ever be good.
        """
        response = decode_base64(line)
        if self.mechanism == "PLAIN":
            acting_as, identity, secret = parse_plain(response)
            if acting_as not in ("", identity):
                raise Unauthenticated("nobody acts as another here")
            return Credential(identity, secret)
        try:
            text = response.decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed("the credentials are not UTF-8") from None
        if self._identity is None:
            self._identity = text
            return None
        if not self._identity or not text or "\0" in self._identity + text:
            raise Unauthenticated("an empty user name or password")
        return Credential(self._identity, text)


def decode_base64(text: bytes) -> bytes:
    """Decode one line of an AUTH exchange; `=` stands for an empty response (RFC 4954 §4).

    Raises:
        Malformed: not base64.
    """
    if text == b"=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("expected base64") from None


def parse_plain(response: bytes) -> tuple[str, str, str]:
    """Read the response of SASL PLAIN.

    Returns:
        Authorization identity ("" for the same), authentication identity, password.

    Raises:
        Malformed: not two NULs and UTF-8, or an empty identity or password.

    Source: RFC 4616 §2.
    """
    try:
        parts = response.decode("utf-8").split("\0")
    except UnicodeDecodeError:
        raise Malformed("the credentials are not UTF-8") from None
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise Malformed("expected an identity and a password, each after a NUL")
    return parts[0], parts[1], parts[2]
