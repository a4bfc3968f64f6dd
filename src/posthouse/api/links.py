"""Signed links to bytes: they open without a credential, for a while, and die with the key or the inbox."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from posthouse.kit.errors import Gone, NotFound

LIFETIME_MS = 3_600_000
_MAC_BYTES = 24


@dataclass(frozen=True, slots=True)
class LinkTarget:
    """What a link opens.

    Attributes:
        part: an attachment's part id, or "" for the whole message.
        key_id: the key it was made with; the link dies with it. "" for the owner's own.
        expires_at: milliseconds since 1970.
    """

    account_id: str
    message_id: str
    part: str
    key_id: str
    expires_at: int


class Links:
    """Makes and opens link tokens with the installation's secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode("ascii")

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._secret, b"files\x00" + body, sha256).digest()[:_MAC_BYTES]

    def token(self, target: LinkTarget) -> str:
        """A token for `/files/{token}`."""
        body = msgspec.json.encode(
            [target.account_id, target.message_id, target.part, target.key_id, target.expires_at]
        )
        return base64.urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode("ascii")

    def open(self, token: str, at: int) -> LinkTarget:
        """What a token opens.

        Raises:
            NotFound: not one of ours.
            Gone: its time is over.
        """
        try:
            data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise NotFound("there is no such file") from error
        mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)):
            raise NotFound("there is no such file")
        target = LinkTarget(*msgspec.json.decode(body, type=tuple[str, str, str, str, int]))
        if target.expires_at <= at:
            raise Gone("the link has expired")
        return target
