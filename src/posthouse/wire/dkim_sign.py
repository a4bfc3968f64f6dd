"""DKIM signatures on outgoing mail (RFC 6376, RFC 8301, RFC 8463), and the keys that make them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from posthouse.kit.errors import Invalid, Malformed
from posthouse.wire import dkim, raw_headers
from posthouse.wire.dkim import Algorithm

PrivateKey = rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

OVERSIGNED = (
    "From", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
    "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
)  # fmt: skip
"""Fields signed once more often than they occur, so none can be added, replaced or hidden behind a second
one without breaking the signature (RFC 6376 §5.4, §8.15)."""

SIGNED = ("Sender", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post")
"""Fields signed as often as they occur. A list may add its own. RFC 8058 §4 requires the last two."""

_DNS_STRING = 255  # RFC 1035 §3.3: one character-string


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A key ready to sign with.

    Attributes:
        domain: the signing domain (`d=`), lower-case A-labels.
        selector: names the public key under `<selector>._domainkey.<domain>`.
        algorithm: `rsa-sha256` every verifier knows; `ed25519-sha256` is small and fast, known to some.
        private_key: of the algorithm's kind.
    """

    domain: str
    selector: str
    algorithm: Algorithm
    private_key: PrivateKey


def generate_key(algorithm: Algorithm, *, rsa_bits: int = dkim.RSA_BITS) -> tuple[bytes, str]:
    """Make a new key pair.

    Returns:
        The private key (PKCS #8, PEM, not encrypted) and the text of its DNS record.
    """
    private: PrivateKey
    if algorithm == "rsa-sha256":
        private = rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, _record(private)


def load_key(domain: str, selector: str, private: bytes) -> DkimKey:
    """Read a private key from PEM, DER, or the 32 octets of an Ed25519 seed.

    Raises:
        Invalid: not such a key, encrypted, of another kind, RSA of fewer than 1,024 bits (RFC 8301
            §3.2), or a domain or selector that is no DNS name.
    """
    domain = domain.rstrip(".").lower()
    for what, name in (("domain", domain), ("selector", selector)):
        if not name or not all(_is_label(label) for label in name.split(".")):
            raise Invalid(f"A DKIM {what} is a DNS name of letters, digits and hyphens.", field=what)
    key: object
    try:
        if len(private) == 32:
            key = ed25519.Ed25519PrivateKey.from_private_bytes(private)
        elif b"-----BEGIN" in private:
            key = serialization.load_pem_private_key(private, password=None)
        else:
            key = serialization.load_der_private_key(private, password=None)
    except (ValueError, TypeError) as error:
        raise Invalid("The DKIM key is no unencrypted private key in PEM or DER.") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return DkimKey(domain, selector, "ed25519-sha256", key)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Invalid("A DKIM key is RSA or Ed25519.")
    if key.key_size < dkim.MINIMUM_RSA_BITS:
        raise Invalid(f"A DKIM key of RSA has at least {dkim.MINIMUM_RSA_BITS} bits, not {key.key_size}.")
    return DkimKey(domain, selector, "rsa-sha256", key)


def dns_name(key: DkimKey) -> str:
    """Where the record of `dns_record` is published (RFC 6376 §3.6.2.1)."""
    return f"{key.selector}._domainkey.{key.domain}"


def dns_record(key: DkimKey) -> str:
    """The TXT record that publishes the public half (RFC 6376 §3.6.1, RFC 8463 §4), as one text."""
    return _record(key.private_key)


def split_record(record: str) -> list[str]:
    """A TXT record's text cut into the strings DNS carries, at most 255 octets each."""
    return [record[start : start + _DNS_STRING] for start in range(0, len(record), _DNS_STRING)]


def sign(
    raw: bytes,
    keys: Sequence[DkimKey],
    *,
    at_s: int,
    oversigned: Sequence[str] = OVERSIGNED,
    signed: Sequence[str] = SIGNED,
    expires_s: int | None = None,
) -> bytes:
    """Sign a message with every key, relaxed in header and body.

    The body is put in canonical form and hashed once for all keys. Bare LFs are signed as the CRLFs they
    become on the wire. `l=` is never used: it would let anyone append (RFC 6376 §8.2).

    Args:
        raw: the whole message as it will be sent; nothing but trace fields may be added afterwards.
        keys: one signature each, in this order.
        at_s: seconds since 1970 UTC, the time of signing (`t=`).
        oversigned: fields that must not be added later.
        signed: fields signed where present.
        expires_s: seconds after `at_s` when the signature ends (`x=`); None for never.

    Returns:
        The DKIM-Signature fields with CRLF line ends, to be put before `raw`; b"" without keys.

    Raises:
        Malformed: not exactly one From (RFC 6376 §5.4: it must be signed; §8.15: two are an attack).

    Source: RFC 6376 §3.5, §3.7, §5; RFC 8463 §3.
    """
    if not keys:
        return b""
    fields, body_offset = raw_headers.split(raw)
    counts: dict[bytes, int] = {}
    for field in fields:
        name = raw_headers.name_of(field)
        counts[name] = counts.get(name, 0) + 1
    if counts.get(b"from", 0) != 1:
        raise Malformed(f"A message to be signed has one From field, not {counts.get(b'from', 0)}.")

    names: list[str] = []
    for listed in oversigned:
        names += [listed] * (counts.get(listed.lower().encode(), 0) + 1)
    for listed in signed:
        names += [listed] * counts.get(listed.lower().encode(), 0)
    chosen = dkim.select(fields, [name.lower().encode() for name in names])
    header = b"".join([dkim.canonical_field(field, "relaxed") for field in chosen])
    body = dkim.canonical_body(raw_headers.with_crlf(raw[body_offset:]), "relaxed")
    body_hash = base64.b64encode(hashlib.sha256(body).digest()).decode()

    lines = []
    for key in keys:
        value = _unsigned_value(key, names, body_hash, at_s, expires_s)
        # RFC 6376 §3.7: the signature's own field comes last, its b= empty, without the final CRLF.
        own = dkim.canonical_field((b"DKIM-Signature", value), "relaxed")[:-2]
        signature = base64.b64encode(_signature(key, header + own))
        # 72 octets a line keeps the field within the 78 of RFC 5322 §2.1.1.
        folded = b"\r\n\t".join(signature[start : start + 72] for start in range(0, len(signature), 72))
        lines.append(b"DKIM-Signature:" + value + folded + b"\r\n")
    return b"".join(lines)


def _unsigned_value(key: DkimKey, names: list[str], body_hash: str, at_s: int, expires_s: int | None) -> bytes:
    times = f"t={at_s};" if expires_s is None else f"t={at_s}; x={at_s + expires_s};"
    rows = [f" v=1; a={key.algorithm}; c=relaxed/relaxed;", f"d={key.domain};", f"s={key.selector}; {times}"]
    row = f"h={names[0]}"
    for name in names[1:]:
        if len(row) + len(name) > 74:
            rows.append(row + ":")
            row = name
        else:
            row += ":" + name
    rows += [row + ";", f"bh={body_hash};", "b="]
    return "\r\n\t".join(rows).encode("ascii")


def _signature(key: DkimKey, data: bytes) -> bytes:
    if isinstance(key.private_key, rsa.RSAPrivateKey):
        return key.private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    # RFC 8463 §3: PureEdDSA over the SHA-256 of the data.
    return key.private_key.sign(hashlib.sha256(data).digest())


def _record(private: PrivateKey) -> str:
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"v=DKIM1; k=rsa; h=sha256; p={base64.b64encode(der).decode()}"
    # RFC 8463 §4: the 32 octets themselves, in no ASN.1.
    octets = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return f"v=DKIM1; k=ed25519; h=sha256; p={base64.b64encode(octets).decode()}"


def _is_label(label: str) -> bool:
    text = label.replace("-", "").replace("_", "")
    return 0 < len(label) <= 63 and text.isascii() and text.isalnum()
