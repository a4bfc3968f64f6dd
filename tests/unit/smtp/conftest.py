"""Couriers that close with the test, and the hosts they meet."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from posthouse.net.tls import make_self_signed, server_context
from posthouse.smtp.client import MxCourier, SmarthostCourier
from unit.smtp.hosts import (
    QUICK,
    Courierly,
    Host,
    Start,
    Zone,
)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[asyncio.Server] = []

    async def run(host: Host, address: str = "127.0.0.1", port: int = 0) -> Host:
        servers.append(await asyncio.start_server(host.serve, address, port))
        host.address, host.port = servers[-1].sockets[0].getsockname()[:2]
        return host

    yield run
    for server in servers:
        server.close()


@pytest.fixture
async def mx() -> AsyncIterator[Courierly]:
    made: list[MxCourier] = []

    def courier(host: Host | int, zone: Zone | None = None, **options: Any) -> MxCourier:
        given: dict[str, Any] = {"hostname": "out.sender.example", "allow_private": True, "timeouts": QUICK} | options
        given.setdefault("shuffle", lambda hosts: None)
        port = host if isinstance(host, int) else host.port
        made.append(MxCourier(zone or Zone(), port=port, **given))
        return made[-1]

    yield courier
    for one in made:
        await one.aclose()


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    make_self_signed(["mx.example.com"], tmp_path / "key", tmp_path / "cert")
    return tmp_path / "cert", tmp_path / "key"


@pytest.fixture
def tls(pair: tuple[Path, Path]) -> ssl.SSLContext:
    return server_context(*pair)


@pytest.fixture
async def relay() -> AsyncIterator[Callable[..., SmarthostCourier]]:
    made: list[SmarthostCourier] = []

    def courier(url: str, **options: Any) -> SmarthostCourier:
        given: dict[str, Any] = {"hostname": "out.sender.example", "timeouts": QUICK} | options
        made.append(SmarthostCourier(url, **given))
        return made[-1]

    yield courier
    for one in made:
        await one.aclose()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def server_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


@pytest.fixture(scope="module")
def client_tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate[0]))
