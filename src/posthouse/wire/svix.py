"""Webhook signatures in the Standard Webhooks scheme, which Svix began and its clients verify.

The signed content is `<id>.<timestamp>.<body>`; the key is what the secret holds in base64. Every try of
one delivery sends the same id and body, and a timestamp and signature of its own.

Source: Standard Webhooks 1.0.0, "Signature scheme" and "Verifying webhook authenticity".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from posthouse.kit.errors import Invalid

PREFIX = "whsec_"
TOLERANCE_S = 300  # five minutes either way, what the published clients allow


def new_secret() -> str:
    """A new secret: `whsec_` and 32 random octets in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, msg_id: str, timestamp_s: int, body: bytes) -> str:
    """Sign one delivery.

    While a secret is being replaced, the header carries one signature per secret, joined by a space.

    Args:
        secret: from `new_secret`, or any base64 of 24 to 64 octets, with or without the prefix.
        msg_id: the header `webhook-id` (or `svix-id`), without a full stop.
        timestamp_s: seconds since 1970 UTC, the header `webhook-timestamp`.
        body: the octets sent.

    Returns:
        `v1,` and the signature in base64, for the header `webhook-signature`.

    Raises:
        Invalid: the secret cannot be read, or the id holds a full stop, which would let part of the id
            be taken for the timestamp.
    """
    if not msg_id or "." in msg_id:
        raise Invalid("A webhook message id is not empty and holds no full stop.", field="msg_id")
    signed = f"{msg_id}.{timestamp_s}.".encode() + body
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


def verify(
    secret: str,
    msg_id: str,
    timestamp_s: int,
    body: bytes,
    signatures: str,
    *,
    now_s: int,
    tolerance_s: int = TOLERANCE_S,
) -> bool:
    """Say whether one of the signatures is ours and its timestamp is near `now_s`.

    Args:
        signatures: the header `webhook-signature`: one or more, separated by spaces, of any version.
        now_s: seconds since 1970 UTC.
        tolerance_s: a timestamp further away than this is refused: no replay of an old delivery.

    Raises:
        Invalid: the secret cannot be read.
    """
    key = _key(secret)
    if abs(now_s - timestamp_s) > tolerance_s or not msg_id or "." in msg_id:
        return False
    expected = hmac.digest(key, f"{msg_id}.{timestamp_s}.".encode() + body, hashlib.sha256)
    good = False
    for signature in signatures.split():
        version, _, text = signature.partition(",")
        if version != "v1":
            continue
        try:
            given = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            continue
        # Constant time: no guessing a signature by its prefix.
        good |= hmac.compare_digest(expected, given)
    return good


def _key(secret: str) -> bytes:
    text = secret.removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("A webhook secret is whsec_ and base64.", field="secret") from error
    if not 24 <= len(key) <= 64:
        raise Invalid(f"A webhook secret holds 24 to 64 octets, not {len(key)}.", field="secret")
    return key
