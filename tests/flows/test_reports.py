"""Reports: what comes back settles what was really sent and nothing else; a late mail is told of once."""

from __future__ import annotations

import asyncio
import smtplib
from typing import Any

import pytest

from flows.engines import empty_database
from flows.houses import Indoors, indoors
from flows.server import Api, Server, mail, unique, until
from flows.sinks import MailHost


@pytest.fixture(params=["sqlite", "postgres"])
def own_database(request: pytest.FixtureRequest) -> Any:
    """A database for this test alone."""
    with empty_database(str(request.param), request) as url:
        yield url


def dsn(to: str, recipient: str, original_id: str, *, action: str = "failed", status: str = "5.1.1") -> bytes:
    """A report as another host writes it (RFC 3464 §2)."""
    return (
        f"From: MAILER-DAEMON@far.example\r\nTo: <{to}>\r\nSubject: Undelivered mail\r\n"
        f"Message-ID: <{unique('dsn')}@far.example>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.far.example\r\n\r\n"
        f"Final-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {original_id}\r\n\r\n--b--\r\n"
    ).encode()


async def _deliver(house: Indoors, to: str, raw: bytes) -> None:
    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", house.house.ports["smtp"], timeout=20) as client:
            client.sendmail("", [to], raw)

    await asyncio.to_thread(talk)
    await house.settle()


async def _labels(api: Api, address: str, message_id: str) -> list[str]:
    found: list[str] = (await api.get(f"/v0/inboxes/{address}/messages/{message_id}"))["labels"]
    return found


async def _may_write(api: Api, address: str, to: str) -> bool:
    return (await api.call("POST", f"/v0/inboxes/{address}/messages", {"to": to, "text": "."}))[0] == 200


def complaint(to: str, original_id: str, mail_from: str = "") -> bytes:
    """A complaint as a provider writes it (RFC 5965 §2)."""
    told = f"Original-Mail-From: <{mail_from}>\r\n" if mail_from else ""
    return (
        f"From: fbl@far.example\r\nTo: <{to}>\r\nSubject: Complaint\r\nMessage-ID: <{unique('fbl')}@far.example>\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nSpam.\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        f"Feedback-Type: abuse\r\nVersion: 1\r\nUser-Agent: x\r\n{told}Original-Rcpt-To: b@far.example\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nTo: b@far.example\r\nMessage-ID: {original_id}\r\n\r\n--b--\r\n"
    ).encode()


async def test_a_report_from_outside_settles_the_delivery_it_comes_back_for(own_database: str, host: MailHost) -> None:
    async with indoors(own_database, outbound=host.url) as house, house.agent() as (address, api):
        sent = await api.post(
            f"/v0/inboxes/{address}/messages", {"to": ["a@far.example", "b@far.example"], "text": "."}
        )
        await house.settle()
        path = {to: found.mail_from for found in host.mails for to in found.rcpt_to}
        assert set(path) == {"a@far.example", "b@far.example"}
        assert path["a@far.example"] != path["b@far.example"]
        assert "delivered" in await _labels(api, address, sent["message_id"])
        await _deliver(house, path["a@far.example"], dsn(path["a@far.example"], "a@far.example", "<other@x>"))
        assert "bounced" in await _labels(api, address, sent["message_id"])
        status, error = await api.call("POST", f"/v0/inboxes/{address}/messages", {"to": "A@far.example", "text": "."})
        assert (status, error["code"]) == (403, "message_rejected")
        assert await _may_write(api, address, "b@far.example")
        inbox = (await api.get(f"/v0/inboxes/{address}/messages", labels="received"))["messages"]
        assert [m["subject"] for m in inbox] == ["Undelivered mail"], "the report is kept as mail"


async def test_nobody_speaks_for_another_recipient_of_the_same_mail(own_database: str, host: MailHost) -> None:
    async with indoors(own_database, outbound=host.url) as house, house.agent() as (address, api):
        sent = await api.post(
            f"/v0/inboxes/{address}/messages", {"to": ["a@far.example", "b@far.example"], "text": "."}
        )
        await house.settle()
        path = {to: found.mail_from for found in host.mails for to in found.rcpt_to}
        original_id, own = str(host.mails[0].parsed["Message-ID"]), path["a@far.example"]
        # a@ knows the Message-ID, the account's address and the path of its own copy.
        await _deliver(house, address, dsn(address, "b@far.example", original_id))
        await _deliver(house, address, complaint(address, original_id))
        assert await _labels(api, address, sent["message_id"]) == ["delivered", "sent"]
        assert await _may_write(api, address, "b@far.example")
        await _deliver(house, own, dsn(own, "b@far.example", original_id))
        assert await _may_write(api, address, "b@far.example")
        assert not await _may_write(api, address, "a@far.example"), "it spoke for itself alone"


@pytest.mark.parametrize("where", ["path", "report"])
async def test_a_complaint_settles_the_recipient_whose_path_it_knows(
    own_database: str, host: MailHost, where: str
) -> None:
    async with indoors(own_database, outbound=host.url) as house, house.agent() as (address, api):
        sent = await api.post(
            f"/v0/inboxes/{address}/messages", {"to": ["a@far.example", "b@far.example"], "text": "."}
        )
        await house.settle()
        path = next(found.mail_from for found in host.mails if found.rcpt_to == ["b@far.example"])
        to = path if where == "path" else address
        await _deliver(house, to, complaint(to, "<other@x>", "" if where == "path" else path))
        assert "complained" in await _labels(api, address, sent["message_id"])
        assert not await _may_write(api, address, "b@far.example")
        assert await _may_write(api, address, "a@far.example")


async def test_a_bounce_in_prose_or_of_a_forwarded_mail_is_told_by_the_path_it_comes_to(
    own_database: str, host: MailHost
) -> None:
    async with indoors(own_database, outbound=host.url) as house, house.agent() as (address, api):
        sent = [
            await api.post(f"/v0/inboxes/{address}/messages", {"to": f"{name}@far.example", "text": "."})
            for name in ("prose", "forwarded", "away")
        ]
        await house.settle()
        path = {to.partition("@")[0]: found.mail_from for found in host.mails for to in found.rcpt_to}

        def prose(name: str, body: str, subject: str = "failure notice") -> bytes:
            return (
                f"From: MAILER-DAEMON@far.example\r\nTo: <{path[name]}>\r\nSubject: {subject}\r\n\r\n{body}\r\n"
            ).encode()

        gone = "I wasn't able to deliver your message.\r\n\r\n<prose@far.example>:\r\n550 5.1.1 unknown user"
        await _deliver(house, path["prose"], prose("prose", gone))
        await _deliver(house, path["forwarded"], dsn(path["forwarded"], "next@elsewhere.example", "<other@x>"))
        await _deliver(house, path["away"], prose("away", "I am away until Monday.", "Out of office"))
        bounced = ["bounced" in await _labels(api, address, each["message_id"]) for each in sent]
        assert bounced == [True, True, False]
        may = [await _may_write(api, address, f"{name}@far.example") for name in ("prose", "forwarded", "away")]
        assert may == [False, False, True]
        # The same words to the account's own address are mail like any other.
        again = await api.post(f"/v0/inboxes/{address}/messages", {"to": "other@far.example", "text": "."})
        await house.settle()
        raw = prose("away", gone.replace("prose@", "other@")).replace(path["away"].encode(), address.encode())
        await _deliver(house, address, raw)
        assert "bounced" not in await _labels(api, address, again["message_id"])


@pytest.mark.parametrize("forged", ["message-id", "path", "another account's"])
async def test_a_report_of_what_was_never_sent_changes_nothing(own_database: str, host: MailHost, forged: str) -> None:
    async with (
        indoors(own_database, outbound=host.url) as house,
        house.agent() as (address, api),
        house.agent() as (other, others),
    ):
        sent = await api.post(f"/v0/inboxes/{address}/messages", {"to": "a@far.example", "text": "."})
        await house.settle()
        out = host.mails[0]
        local, _, domain = address.partition("@")
        to, recipient, original_id = address, "a@far.example", str(out.parsed["Message-ID"])
        if forged == "path":
            to = f"{local}+b-{'0' * 16}@{domain}"
        elif forged == "another account's":
            to = other
        await _deliver(house, to, dsn(to, recipient, original_id))
        assert await _labels(api, address, sent["message_id"]) == ["delivered", "sent"]
        for who, theirs in ((address, api), (other, others)):
            assert (await theirs.call("POST", f"/v0/inboxes/{who}/messages", {"to": recipient, "text": "."}))[0] == 200


async def test_a_report_of_a_delay_is_no_failure(own_database: str, host: MailHost) -> None:
    async with indoors(own_database, outbound=host.url) as house, house.agent() as (address, api):
        sent = await api.post(f"/v0/inboxes/{address}/messages", {"to": "a@far.example", "text": "."})
        await house.settle()
        out = host.mails[0]
        await _deliver(
            house,
            out.mail_from,
            dsn(out.mail_from, "a@far.example", str(out.parsed["Message-ID"]), action="delayed", status="4.4.1"),
        )
        assert await _labels(api, address, sent["message_id"]) == ["delivered", "sent"]
        assert (await api.call("POST", f"/v0/inboxes/{address}/messages", {"to": "a@far.example", "text": "."}))[
            0
        ] == 200


async def test_a_late_mail_is_told_of_once_and_given_up_after_five_days(own_database: str, host: MailHost) -> None:
    host.answer = lambda line: "451 4.7.1 Greylisted" if line.startswith("RCPT") else None
    async with (
        indoors(own_database, outbound=host.url, retry_schedule="10m,1h") as house,
        house.agent() as (address, api),
    ):
        sent = await api.post(
            f"/v0/inboxes/{address}/messages", {"to": "a@far.example", "subject": "Slow", "text": "."}
        )

        async def reports() -> list[dict[str, Any]]:
            found = (await api.get(f"/v0/inboxes/{address}/messages", labels="received"))["messages"]
            return [m for m in found if m["thread_id"] == sent["thread_id"]]

        await house.settle()
        for _ in range(3):
            await house.later(hours=1, minutes=5)
        assert await reports() == []
        for _ in range(4):
            await house.later(hours=1, minutes=5)
        assert len(await reports()) == 1
        assert await _labels(api, address, sent["message_id"]) == ["sent"]
        for _ in range(115):
            await house.later(hours=1, minutes=5)
        assert len(await reports()) == 2
        assert "bounced" in await _labels(api, address, sent["message_id"])
        before = len(host.mails)
        host.answer = lambda line: None
        await house.later(days=2)
        assert len(host.mails) == before == 0
        assert (await api.call("POST", f"/v0/inboxes/{address}/messages", {"to": "a@far.example", "text": "."}))[
            0
        ] == 200


async def test_a_refusal_of_one_mail_does_not_suppress_its_recipient(own_database: str, host: MailHost) -> None:
    host.answer = lambda line: "554 5.7.1 Looks like spam" if line == "." else None
    async with indoors(own_database, outbound=host.url) as house, house.agent() as (address, api):
        sent = await api.post(f"/v0/inboxes/{address}/messages", {"to": "a@far.example", "text": "."})
        await house.settle()
        assert "bounced" in await _labels(api, address, sent["message_id"])
        assert (await api.call("POST", f"/v0/inboxes/{address}/messages", {"to": "a@far.example", "text": "."}))[
            0
        ] == 200


async def test_a_report_is_never_answered_by_a_report(server: Server) -> None:
    agent = await server.agent()
    local, _, domain = agent.address.partition("@")
    gone = f"{local}+b-whatever@{domain}"
    server.send_raw("", [gone], dsn(gone, "x@y.example", "<none@y.example>"))

    async def filed() -> bool:
        return len(await agent.inbox()) == 1

    await until(filed, "the report in the inbox")
    subject = unique("After")
    server.send("ann@elsewhere.example", agent.address, subject)
    await agent.received(subject)
    assert len((await agent.get("messages"))["messages"]) == 2


async def test_envelope_and_notify_travel_with_a_submitted_mail(host: MailHost, make_server: Any) -> None:
    server = make_server(outbound=host.url).start()
    agent = await server.agent()
    message = mail(agent.address, ["a@far.example"])

    def submit() -> None:
        with server.sign_in(agent) as client:
            client.sendmail(
                agent.address, ["a@far.example"], message.as_bytes(), mail_options=["ENVID=E1", "RET=HDRS"],
                rcpt_options=["NOTIFY=FAILURE", "ORCPT=rfc822;a@far.example"],
            )  # fmt: skip

    await asyncio.to_thread(submit)

    async def came() -> bool:
        return bool(host.mails)

    await until(came, "the mail at its host")
    assert host.mails[0].parsed["Message-ID"] == message["Message-ID"]


async def test_a_domain_beyond_ascii_travels_in_its_ascii_form(own_database: str, host: MailHost) -> None:
    async with indoors(own_database, outbound=host.url) as house, house.agent() as (address, api):
        await api.post(f"/v0/inboxes/{address}/messages", {"to": "Jörg <info@BÜCHER.example>", "text": "."})
        await house.settle()
        (out,) = host.mails
        assert out.rcpt_to == ["info@xn--bcher-kva.example"]
        assert not any("SMTPUTF8" in parameter for parameter in out.parameters)
        assert out.raw.partition(b"\r\n\r\n")[0].isascii()
