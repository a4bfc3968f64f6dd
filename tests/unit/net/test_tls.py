"""A certificate of our own, and the contexts."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from posthouse.kit.errors import Invalid
from posthouse.net.tls import client_context, make_self_signed, server_context


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_self_signed(["mail.example.com", "192.0.2.1"], key, cert)
    return cert, key


async def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        version = writer.get_extra_info("ssl_object").version()
        writer.close()
        await writer.wait_closed()
    return str(version)


def test_the_certificate_names_the_hosts_and_loopback(pair: tuple[Path, Path]) -> None:
    certificate = x509.load_pem_x509_certificate(pair[0].read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["mail.example.com", "localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address(text) for text in ("192.0.2.1", "127.0.0.1", "::1")
    ]
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"


def test_the_key_is_for_its_owner_only_and_the_certificate_for_all(pair: tuple[Path, Path]) -> None:
    cert, key = pair
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(cert.stat().st_mode) == 0o644
    assert sorted(path.name for path in key.parent.iterdir()) == ["cert.pem", "key.pem"]


def test_it_is_valid_for_ten_years_from_an_hour_ago(tmp_path: Path) -> None:
    now = datetime(2025, 1, 1, 12, tzinfo=UTC)
    make_self_signed(["h.example"], tmp_path / "k", tmp_path / "c", now=now)
    certificate = x509.load_pem_x509_certificate((tmp_path / "c").read_bytes())
    assert certificate.not_valid_before_utc == datetime(2025, 1, 1, 11, tzinfo=UTC)
    assert certificate.not_valid_after_utc.year == 2034


def test_a_second_run_replaces_both(pair: tuple[Path, Path]) -> None:
    cert, key = pair
    before = key.read_bytes()
    make_self_signed(["other.example"], key, cert)
    assert key.read_bytes() != before
    server_context(cert, key)


def test_a_name_that_is_not_ascii_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        make_self_signed(["bücher.example"], tmp_path / "k", tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


async def test_a_client_that_trusts_the_certificate_gets_a_checked_connection(
    pair: tuple[Path, Path],
) -> None:
    trusting = client_context(verify=True)
    trusting.load_verify_locations(pair[0])
    assert await _handshake(server_context(*pair), trusting, "mail.example.com") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        await _handshake(server_context(*pair), trusting, "other.example.com")


async def test_a_client_that_checks_refuses_a_stranger(pair: tuple[Path, Path]) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        await _handshake(server_context(*pair), client_context(verify=True), "mail.example.com")


async def test_a_client_that_does_not_check_takes_any_certificate(pair: tuple[Path, Path]) -> None:
    assert await _handshake(server_context(*pair), client_context(verify=False), "who.example") == "TLSv1.3"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_versions_before_1_2_are_refused(pair: tuple[Path, Path]) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await _handshake(server_context(*pair), old, "mail.example.com")


def test_files_that_do_not_fit_or_are_not_there_are_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    cert, _ = pair
    make_self_signed(["x.example"], tmp_path / "other-key", tmp_path / "other-cert")
    with pytest.raises(Invalid, match="belong together"):
        server_context(cert, tmp_path / "other-key")
    with pytest.raises(Invalid, match="can not be read"):
        server_context(cert, tmp_path / "missing")
