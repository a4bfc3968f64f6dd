"""The relay: its URL, its credential, its TLS, and whose fault its trouble is."""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.kit.errors import Invalid
from posthouse.outbound.courier import Courier
from posthouse.smtp.client import MxCourier, SmarthostCourier
from unit.smtp.hosts import (
    CLOSE,
    NEAR,
    PARCEL,
    Host,
    Relay,
    Reply,
    Start,
    Zone,
    brief,
    ehlo,
)


async def test_a_smarthost_takes_every_domain_over_one_connection(start: Start, relay: Relay) -> None:
    host = await start(Host())
    courier = relay(f"smtp://localhost:{host.port}")
    for domain in ("one.example", "two.example"):
        (result,) = await courier.deliver(replace(PARCEL, domain=domain))
        assert (result.outcome, result.remote_mta) == ("delivered", "localhost")
    assert host.connections == 1


async def test_user_and_password_are_said_to_a_loopback_smarthost_in_plain_text(start: Start, relay: Relay) -> None:
    host = await start(Host(EHLO=ehlo("AUTH CRAM-MD5 PLAIN LOGIN")))
    courier = relay(f"smtp://us%40er:p%3Ass@127.0.0.1:{host.port}")
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.lines[1] == "AUTH PLAIN " + base64.b64encode(b"\0us@er\0p:ss").decode()


async def test_the_password_is_said_under_tls_when_offered(start: Start, relay: Relay, tls: ssl.SSLContext) -> None:
    host = await start(Host(tls, EHLO=ehlo("STARTTLS", "AUTH PLAIN")))
    courier = relay(f"smtp://u:p@127.0.0.1:{host.port}")
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs()[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


async def test_no_password_goes_to_a_distant_smarthost_without_tls(start: Start, relay: Relay) -> None:
    host = await start(Host(EHLO=ehlo("AUTH PLAIN")))
    (result,) = await relay(f"smtp://u:p@relay.example:{host.port}", resolver=NEAR).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.7.11")
    assert host.verbs() == ["EHLO"]


@pytest.mark.parametrize("starttls", ["220 go on", "454 4.7.0 no"])
async def test_no_password_goes_to_a_distant_smarthost_whose_handshake_fails(
    start: Start, relay: Relay, starttls: str
) -> None:
    host = await start(Host(EHLO=ehlo("STARTTLS", "AUTH PLAIN"), STARTTLS=starttls))
    (result,) = await relay(f"smtp://u:p@relay.example:{host.port}", resolver=NEAR).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.7.5")
    assert "AUTH" not in host.verbs() and host.connections == 1


async def test_no_password_goes_to_a_distant_smarthost_with_a_strangers_certificate(
    start: Start, relay: Relay, tls: ssl.SSLContext
) -> None:
    host = await start(Host(tls, EHLO=ehlo("STARTTLS", "AUTH PLAIN")))
    (result,) = await relay(f"smtp://u:p@relay.example:{host.port}", resolver=NEAR).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.7.5")
    assert "AUTH" not in host.verbs()


async def test_the_password_goes_to_a_distant_smarthost_whose_certificate_is_trusted(
    start: Start, relay: Relay, tls: ssl.SSLContext, pair: tuple[Path, Path]
) -> None:
    host = await start(Host(tls, EHLO=ehlo("STARTTLS", "AUTH LOGIN"), AUTH="334 VXNlcm5hbWU6"))
    host.script[base64.b64encode(b"p").decode().upper()] = ["235 2.7.0 ok"]
    trusting = ssl.create_default_context(cafile=str(pair[0]))
    courier = relay(f"smtp://u:p@mx.example.com:{host.port}", resolver=NEAR, ssl_context=trusting)
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]


async def _implicit(host: Host, tls: ssl.SSLContext) -> asyncio.Server:
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    return server


async def test_smtps_speaks_tls_from_the_first_octet(
    relay: Relay, tls: ssl.SSLContext, pair: tuple[Path, Path]
) -> None:
    host = Host()
    async with await _implicit(host, tls):
        courier = relay(f"smtps://127.0.0.1:{host.port}")
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
        trusting = ssl.create_default_context(cafile=str(pair[0]))
        checked = relay(f"smtps://mx.example.com:{host.port}", resolver=NEAR, ssl_context=trusting)
        assert brief(await checked.deliver(PARCEL)) == [("delivered", "2.0.0")]
        stranger = relay(f"smtps://relay.example:{host.port}", resolver=NEAR)
        assert brief(await stranger.deliver(PARCEL)) == [("deferred", "4.7.5")]
        await courier.aclose()
        await checked.aclose()


async def test_smtps_to_a_plain_port_is_deferred(start: Start, relay: Relay) -> None:
    host = await start(Host())
    assert brief(await relay(f"smtps://127.0.0.1:{host.port}").deliver(PARCEL)) == [("deferred", "4.7.5")]


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ({"greeting": "554 5.7.1 not you"}, "4.7.1", 554),
        ({"EHLO": "550 5.7.1 no", "HELO": "550 5.7.1 no"}, "4.7.1", 550),
        ({"EHLO": ehlo("AUTH PLAIN"), "AUTH": "535 5.7.8 wrong"}, "4.7.8", 535),
        ({"EHLO": ehlo("AUTH GSSAPI")}, "4.7.0", None),
        ({"EHLO": ehlo()}, "4.7.0", None),
        ({"EHLO": ehlo("AUTH PLAIN"), "AUTH": CLOSE}, "4.4.2", None),
    ],
)
async def test_trouble_at_the_smarthosts_door_is_never_final(
    start: Start, relay: Relay, script: dict[str, Reply], status: str, code: int | None
) -> None:
    host = await start(Host(**script))
    (result,) = await relay(f"smtp://u:p@127.0.0.1:{host.port}").deliver(PARCEL)
    assert (result.outcome, result.status, result.smtp_code) == ("deferred", status, code)
    assert host.verbs().count("AUTH") <= 1


async def test_the_smarthosts_verdict_on_a_recipient_is_final(start: Start, relay: Relay) -> None:
    host = await start(Host(RCPT="550 5.1.1 who?"))
    assert brief(await relay(f"smtp://127.0.0.1:{host.port}").deliver(PARCEL)) == [("failed", "5.1.1")]


async def test_a_smarthost_that_can_not_be_found_is_deferred(relay: Relay) -> None:
    for resolver in (NEAR, None):
        courier = relay("smtp://nowhere.invalid:25", resolver=resolver)
        assert brief(await courier.deliver(PARCEL)) == [("deferred", "4.4.3")]


@pytest.mark.parametrize(
    "url",
    ["", "relay.example:25", "http://relay.example", "smtp://", "smtp://u:secret@", "smtp://h:0", "smtp://h:99999",
     "smtp://u:secret@h/path", "smtp://h?x=secret", "smtp://[::1"],
)  # fmt: skip
async def test_a_smarthost_url_of_the_wrong_form_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        SmarthostCourier(url, hostname="out.example")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "port"),
    [("smtp://h", 25), ("smtp://u:p@h", 587), ("smtps://u:p@h", 465), ("smtp://u:p@h:2525/", 2525)],
)
async def test_a_smarthost_has_the_usual_port(url: str, port: int) -> None:
    assert SmarthostCourier(url, hostname="out.example")._port == port


def test_both_are_couriers() -> None:
    couriers: list[Courier] = [
        MxCourier(Zone(), hostname="out.example"),
        SmarthostCourier("smtp://h", hostname="[192.0.2.1]"),
    ]
    assert len(couriers) == 2


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("250 Ok 0100018e00000001-aaaabbbb-000000", ("0100018e00000001-aaaabbbb-000000",)),
        ("250 2.0.0 OK: queued as <2026112801.7f3a@relay.example>", ("2026112801.7f3a@relay.example",)),
        ("250 2.0.0 Ok: queued as 4XyzAB12", ()),
        ("250 Great success at relay-host", ()),
    ],
)
async def test_the_name_a_smarthost_gives_a_message_is_kept(
    start: Start, relay: Relay, said: str, given: tuple[str, ...]
) -> None:
    host = await start(Host(dot=said))
    (result,) = await relay(f"smtp://localhost:{host.port}").deliver(PARCEL)
    assert (result.outcome, result.given_ids) == ("delivered", given)
