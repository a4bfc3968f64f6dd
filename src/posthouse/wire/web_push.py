"""Encrypting a push message for its subscriber (RFC 8291), as one record of RFC 8188 `aes128gcm`."""

from __future__ import annotations

import base64
import binascii
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from posthouse.kit.errors import Invalid

_RECORD_BYTES = 65_536


def read_key(text: str, length: int, field: str) -> bytes:
    """A key of a subscription: base64url, with or without padding.

    Raises:
        Invalid: not base64url, or not of that many octets.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("not base64url", field=field) from error
    if len(data) != length:
        raise Invalid(f"expected {length} octets, got {len(data)}", field=field)
    return data


def check_keys(p256dh: str, auth: str) -> None:
    """Whether keys can be encrypted for.

    Raises:
        Invalid: a key is not what RFC 8291 §2 says.
    """
    read_key(auth, 16, "keys")
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), read_key(p256dh, 65, "keys"))
    except ValueError as error:
        raise Invalid("p256dh is not a point of the curve P-256", field="keys") from error


def encrypt(
    plaintext: bytes,
    p256dh: str,
    auth: str,
    *,
    salt: bytes | None = None,
    private_key: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """The body to post, with `Content-Encoding: aes128gcm`.

    Args:
        salt, private_key: made anew for each message; given by tests.

    Source: RFC 8291 §3.4, RFC 8188 §2.
    """
    receiver_point = read_key(p256dh, 65, "keys")
    secret = read_key(auth, 16, "keys")
    receiver = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), receiver_point)
    sender = private_key or ec.generate_private_key(ec.SECP256R1())
    sender_point = sender.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    salt = salt or os.urandom(16)
    shared = sender.exchange(ec.ECDH(), receiver)
    key_material = _hkdf(shared, secret, b"WebPush: info\x00" + receiver_point + sender_point, 32)
    key = _hkdf(key_material, salt, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(key_material, salt, b"Content-Encoding: nonce\x00", 12)
    header = salt + _RECORD_BYTES.to_bytes(4, "big") + bytes([len(sender_point)]) + sender_point
    # RFC 8188 §2: the delimiter 0x02 ends the last record.
    return header + AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)


def _hkdf(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(material)
