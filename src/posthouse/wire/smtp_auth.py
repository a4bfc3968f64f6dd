"""The exchange of AUTH: SASL PLAIN and LOGIN, line by line.

Both carry the secret itself, so both are for encrypted connections; what is better would need the secret
stored in a form it can be read from. LOGIN is not a standard, and is what many clients try first.

Source: RFC 4954 §4, RFC 4616 (PLAIN).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from posthouse.kit.errors import Malformed, Unauthenticated

MECHANISMS: Final = ("PLAIN", "LOGIN")
_USER_NAME: Final = b"VXNlcm5hbWU6"  # "Username:"
_PASSWORD: Final = b"UGFzc3dvcmQ6"  # "Password:"


@dataclass(frozen=True, slots=True)
class Credential:
    """What the client claims and the proof it brings; never to be logged."""

    identity: str
    secret: str = field(repr=False)


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
