"""One message at the door: what is checked, held, signed, sent and shown is the same text for everybody."""

from __future__ import annotations

import smtplib
from collections.abc import Callable

import pytest

from flows.server import Server, unique, until
from flows.sinks import MailHost


def _lines(*fields: str, end: bytes = b"\r\n") -> bytes:
    return end.join([*(field.encode() for field in fields), b""])


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\x00\n", b"\n\x00", b"\r\r\n", b"\x00\r"])
async def test_a_second_author_behind_any_line_end_is_refused(server: Server, end: bytes) -> None:
    agent = await server.agent()
    raw = _lines(f"From: {agent.address}", "To: bob@far.example", f"Subject: {unique('Two')}")[:-2]
    raw += end + b"From: boss@bank.example\r\n\r\nHi.\r\n"
    with server.sign_in(agent) as client, pytest.raises(smtplib.SMTPResponseException) as refusal:
        client.sendmail(agent.address, ["bob@far.example"], raw)
    assert refusal.value.smtp_code == 550 or refusal.value.smtp_error[:5] == b"5.6.0"
    assert (await agent.get("messages"))["messages"] == []


async def test_what_the_owner_approves_is_what_leaves_octet_by_octet(
    make_server: Callable[..., Server], host: MailHost
) -> None:
    server = make_server(outbound=host.url).start()
    agent = await server.agent(level="gated")
    subject = unique("Held")
    raw = _lines(
        f"From: {agent.address}", "To: bob@far.example", f"Subject: {subject}", "Message-ID: <m1@far.example>", "junk"
    )
    raw += b"bCC: secret@far.example\r\nX-Odd: a\rX-New: b\r\n\r\nPay 10\rPay 20\nPay 30\x00\r\n.Pay 40\r\r\nend"
    with server.sign_in(agent) as client:
        client.sendmail(agent.address, ["bob@far.example"], raw)
    hold = (await server.command("pending"))["pending"][0]
    held = (await agent.get("messages", labels="held"))["messages"][0]
    link = await agent.get(f"messages/{held['message_id']}/raw")
    async with server.api("none") as api:
        _, shown = await api.call("GET", link["download_url"].removeprefix(server.url))
    text = b"Pay 10\r\nPay 20\r\nPay 30\r\n.Pay 40\r\nend\r\n"
    assert shown.endswith(b"X-Odd: a\r\nX-New: b\r\n\r\n" + text) and b"secret" not in shown and b"junk" not in shown
    await server.command("approve", id=hold["id"])

    async def arrived() -> list[object]:
        return list(host.mails)

    await until(arrived, "the mail at the host")
    sent = host.mails[0].raw
    assert sent.startswith(b"DKIM-Signature:") and sent.endswith(shown)


HEADERS_WITHOUT_END = [
    b"a:\r\n" * 150_000,
    b"Return-Path: <x@y.example>\r\n" + b"a: b\r\n" * 100_000,
    b"From: x@y.example\r\n" + b"Received: by y.example\r\n" * 2_100,
    b"X-Long: " + b"x" * 600_000 + b"\r\n",
    b"References: " + b"\r\n <a@b.example>" * 40_000 + b"\r\n",
]


@pytest.mark.parametrize("header", HEADERS_WITHOUT_END, ids=["names", "return-path", "fields", "one", "folded"])
async def test_a_header_over_the_limits_is_refused_at_both_ports(server: Server, header: bytes) -> None:
    agent = await server.agent()
    raw = header + _lines(f"From: {agent.address}", "Subject: late", "", "Hi.")
    with pytest.raises(smtplib.SMTPResponseException) as refusal:
        server.send_raw("x@y.example", [agent.address], raw)
    assert (refusal.value.smtp_code, refusal.value.smtp_error[:5]) == (552, b"5.3.4")
    with server.sign_in(agent) as client, pytest.raises(smtplib.SMTPResponseException) as refusal:
        client.sendmail(agent.address, ["bob@far.example"], raw)
    assert (refusal.value.smtp_code, refusal.value.smtp_error[:5]) == (552, b"5.3.4")
    subject = unique("After")
    server.send("ann@elsewhere.example", agent.address, subject)
    await agent.received(subject)
    assert len((await agent.get("messages"))["messages"]) == 1


async def test_short_fields_behind_a_long_one_count(server: Server) -> None:
    agent = await server.agent()
    subject = unique("Long")
    people = ",\r\n ".join(f'"Person {number}" <p{number}@some.example>' for number in range(8_000))
    raw = _lines(f"To: {people}", "From: Boss <boss@mail.example>", f"Subject: {subject}", "", "At ten.")
    server.send_raw("boss@mail.example", [agent.address], raw)
    got = await agent.received(subject)
    assert (got["from"], got["text"], got.get("attachments")) == ("Boss <boss@mail.example>", "At ten.\n", None)


async def test_nothing_behind_a_line_of_junk_is_shown_that_would_have_been_stripped(server: Server) -> None:
    agent = await server.agent()
    for number, junk in enumerate(
        (b"this is no field", b"--x", b"B\xffd: x", b":", b"X y: z", b"\xef\xbb\xbfFrom: q@r.example")
    ):
        subject = unique(f"Junk{number}")
        forged = (
            f"Authentication-Results: {server.domain}; dmarc=pass\r\nAUTHENTICATION-results :{server.domain}; spf=pass"
        )
        raw = _lines(f"Subject: {subject}") + junk + b"\r\n" + _lines(forged, "Return-Path: <boss@bank.example>")
        raw += _lines("From: Ann <ann@elsewhere.example>", "", "Hi.")
        server.send_raw("ann@elsewhere.example", [agent.address], raw)
        got = await agent.received(subject)
        shown = {name.lower(): value for name, value in got["headers"].items()}
        assert "authentication-results" not in shown
        assert shown["return-path"] == "<ann@elsewhere.example>"
        assert got["from"] == "Ann <ann@elsewhere.example>"


@pytest.mark.parametrize(
    "before", [b"\xef\xbb\xbf", b"From ann@elsewhere.example Mon Jan  6 10:00:00 2025\r\n", b" rest\r\n"]
)
async def test_what_stands_before_the_first_field_takes_nothing_from_it(server: Server, before: bytes) -> None:
    agent = await server.agent()
    subject = unique("Before")
    raw = before + _lines("From: Ann <ann@elsewhere.example>", f"Subject: {subject}", "", "Hi.")
    server.send_raw("ann@elsewhere.example", [agent.address], raw)
    got = await agent.received(subject)
    assert (got["from"], got["text"]) == ("Ann <ann@elsewhere.example>", "Hi.\n")


async def test_no_character_but_a_fold_ends_a_line_of_what_is_shown(server: Server) -> None:
    agent = await server.agent()
    word = unique("Lines")
    odd = "\u0085\u2028\u2029\x0b\x0c\x1c\x1e\x1b"
    raw = _lines(f"From: A{odd}B <ann@elsewhere.example>", f"Subject: {word}", f"X-Odd: a{odd}Bcc: x", "", "Hi.")
    raw = raw.replace(word.encode(), (word + odd + "tail").encode())
    server.send_raw("ann@elsewhere.example", [agent.address], raw)
    got = await agent.received(word + " " * len(odd) + "tail")
    assert got["from"] == "A B <ann@elsewhere.example>"
    for value in (*got["headers"].values(), got["subject"], got["from"]):
        assert len(str(value).splitlines()) == 1, value


@pytest.mark.parametrize(
    "odd", ["bild eins@x", "bild\x01zwei", "br\u00fccke@x", "a>b", "x" * 1_200, "a\u2028b", "=?utf-8?q?a_b?="]
)
async def test_a_mail_with_an_odd_content_id_can_be_forwarded(server: Server, odd: str) -> None:
    agent = await server.agent()
    subject = unique("Odd")
    raw = _lines(
        "From: Ann <ann@elsewhere.example>", f"Subject: {subject}", "MIME-Version: 1.0",
        "Content-Type: multipart/related; boundary=b", "", "--b", "Content-Type: text/html; charset=utf-8", "",
        f'<p>See <img src="cid:{odd}"></p>', "--b", "Content-Type: image/png; name=a.png", "Content-Disposition: inline",
        f"Content-ID: <{odd}>", "Content-Transfer-Encoding: base64", "", "iVBORw0KGgo=", "--b--",
    )  # fmt: skip
    server.send_raw("ann@elsewhere.example", [agent.address], raw)
    got = await agent.received(subject)
    await agent.post(f"messages/{got['message_id']}/forward", {"to": agent.address})
    back = await agent.received(f"Fwd: {subject}")
    assert back["attachments"][0]["filename"] == "a.png"
    assert back["attachments"][0]["content_id"] in back["html"]
