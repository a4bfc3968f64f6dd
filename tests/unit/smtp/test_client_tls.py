"""TLS to a mail exchanger: a bonus, never a condition."""

from __future__ import annotations

import ssl

from unit.smtp.hosts import (
    PARCEL,
    Courierly,
    Host,
    Start,
    brief,
    ehlo,
)


async def test_tls_is_used_when_offered_whatever_the_certificate(
    start: Start, mx: Courierly, tls: ssl.SSLContext
) -> None:
    host = await start(Host(tls, EHLO=[ehlo("STARTTLS", "SIZE 1"), ehlo("SIZE")]))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs() == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA"]
    assert host.secured == 1


async def test_a_failed_handshake_leads_to_plain_text(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("STARTTLS")))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert (host.connections, host.secured) == (2, 0)


async def test_a_refused_starttls_leads_to_plain_text_on_the_same_connection(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("STARTTLS"), STARTTLS="454 4.7.0 not now"))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.connections == 1


async def test_plain_text_slipped_in_before_tls_is_not_read_as_an_answer(
    start: Start, mx: Courierly, tls: ssl.SSLContext
) -> None:
    host = await start(
        Host(tls, EHLO=ehlo("STARTTLS"), STARTTLS="220 go on\r\n250 2.0.0 injected", RCPT="550 5.1.1 who?")
    )
    results = await mx(host).deliver(PARCEL)
    assert brief(results) == [("failed", "5.1.1")]
