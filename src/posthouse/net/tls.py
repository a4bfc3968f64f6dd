"""TLS: a certificate of our own making, and the contexts both ends of the house use."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from posthouse.kit.errors import Invalid

# A self-made certificate is used without a chain (opportunistic STARTTLS) or pinned by hand. Its expiry
# protects nobody and would one day break what worked.
VALIDITY = timedelta(days=3_650)
_ALWAYS = ("localhost", "127.0.0.1", "::1")


def make_self_signed(hostnames: Iterable[str], key_path: Path, cert_path: Path, *, now: datetime | None = None) -> None:
    """Write a fresh EC P-256 key and a certificate for it that names the given hosts.

    `localhost` and both loopback addresses are always named. The key is readable by its owner only; both
    files appear whole or not at all, and replace what was there.

    Args:
        hostnames: host names in A-label form, wildcards or IP addresses; the first is the subject.
        key_path: where the key goes, PKCS #8 PEM, mode 600.
        cert_path: where the certificate goes, PEM, mode 644.
        now: the start of validity less an hour for clocks that are behind; the present when None.

    Raises:
        Invalid: a name that can not stand in a certificate.
        OSError: the folder can not be written.

    Source: RFC 5280 §4.2, RFC 9525 §6.
    """
    names = list(dict.fromkeys([*hostnames, *_ALWAYS]))
    key = ec.generate_private_key(ec.SECP256R1())
    start = (now or datetime.now(UTC)) - timedelta(hours=1)
    # RFC 5280 §A.1: a common name holds 64 characters; who checks names reads the alternative names.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    try:
        alternative_names = x509.SubjectAlternativeName([_general_name(name) for name in names])
    except ValueError as exc:
        raise Invalid("A host name for the certificate is not plain ASCII.") from exc
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + VALIDITY)
        .add_extension(alternative_names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(key_path, key_pem, 0o600)
    _write(cert_path, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """A context for accepting connections, TLS 1.2 or later (RFC 8996, RFC 9325 §3.1.1).

    Args:
        cert: the certificate and its chain, PEM.
        key: its private key, PEM, without a passphrase.

    Raises:
        Invalid: a file is missing, unreadable, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9325 §3.3 (no compression) and §3.5 (a client must not make us compute over and over).
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        # An empty passphrase, so that a protected key is an error and not a question on the terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as exc:
        raise Invalid(
            "The TLS certificate and key can not be used: they are not PEM, the key has a passphrase, "
            "or they do not belong together."
        ) from exc
    except OSError as exc:
        raise Invalid(f"The TLS certificate or key can not be read: {exc.strerror}.") from exc
    return context


def client_context(verify: bool) -> ssl.SSLContext:
    """A context for calling others, TLS 1.2 or later. Reading the trust store takes milliseconds: keep it.

    Args:
        verify: check chain and name against the system's trust store. Without it the connection is merely
            encrypted (opportunistic, RFC 7435): for mail exchangers, whose alternative is plain text.
    """
    if verify:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # RFC 7435 §3: a weak key still beats plain text, which is what a failed handshake leads to.
        context.set_ciphers("DEFAULT:@SECLEVEL=1")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    return context


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes, mode: int) -> None:
    # mkstemp makes the file with mode 600, so the key is at no moment readable by others.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
