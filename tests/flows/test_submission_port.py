"""Port 587: our own users sign in with address and key and send through the one send path."""

from __future__ import annotations

import smtplib

import pytest

from flows.server import Agent, Server, mail, unique, until


async def test_a_mail_submitted_is_in_sent_and_arrives_as_it_was_written(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    subject = unique("Submitted")
    message = mail(agent.address, [other.address], subject, "Written by hand.\n", X_Mailer="pen")
    with server.sign_in(agent) as client:
        assert "starttls" not in client.esmtp_features
        assert client.sendmail(agent.address, [other.address], message.as_bytes()) == {}
    got = await other.received(subject)
    assert got["headers"]["X-Mailer"] == "pen"
    assert got["headers"]["Message-ID"] == message["Message-ID"]
    sent = (await agent.get("messages", labels="sent"))["messages"]
    assert [m["subject"] for m in sent] == [subject]


def test_nothing_is_sent_before_signing_in(server: Server) -> None:
    with smtplib.SMTP("127.0.0.1", server.submission, timeout=30) as client:
        client.ehlo()
        assert "starttls" in client.esmtp_features
        assert client.docmd("MAIL FROM:<a@b.example>")[0] == 530


async def test_a_wrong_key_and_anothers_key_are_refused(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    for key in ("am_wrong", other.key, ""):
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            server.sign_in(Agent(server, agent.address, key, ""))
        assert refusal.value.smtp_code == 535
    organization = await server.command("key_create", surface="agentmail")
    with server.sign_in(Agent(server, agent.address, organization["key"], "")) as client:
        assert client.noop()[0] == 250


@pytest.mark.parametrize(("envelope", "header"), [(False, True), (True, False)])
async def test_another_sender_than_ones_own_is_refused(server: Server, envelope: bool, header: bool) -> None:
    agent, other = await server.agent(), await server.agent()
    sender = agent.address if envelope else other.address
    message = mail(agent.address if header else other.address, ["bob@far.example"])
    with server.sign_in(agent) as client, pytest.raises(smtplib.SMTPResponseException) as refusal:
        client.sendmail(sender, ["bob@far.example"], message.as_bytes())
    assert refusal.value.smtp_code == 550
    assert refusal.value.smtp_error[:5] == b"5.7.1"
    assert (await agent.get("messages"))["messages"] == []


async def test_a_blind_copy_is_in_nobodys_header(server: Server) -> None:
    agent, seen, blind = await server.agent(), await server.agent(), await server.agent()
    subject = unique("Blind")
    message = mail(agent.address, [seen.address], subject)
    with server.sign_in(agent) as client:
        client.sendmail(agent.address, [seen.address, blind.address], message.as_bytes())
    for reader in (seen, blind):
        got = await reader.received(subject)
        assert blind.address not in str(got["headers"].get("To", "")) + str(got["headers"].get("Bcc", ""))
    assert blind.address not in str((await seen.received(subject))["headers"])


async def test_a_bcc_header_written_by_the_client_does_not_travel(server: Server) -> None:
    agent, seen, blind = await server.agent(), await server.agent(), await server.agent()
    subject = unique("Bcc")
    message = mail(agent.address, [seen.address], subject, Bcc=blind.address)
    with server.sign_in(agent) as client:
        client.sendmail(agent.address, [seen.address, blind.address], message.as_bytes())
    assert "Bcc" not in (await seen.received(subject))["headers"]


async def test_the_same_mail_handed_in_again_is_sent_once(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    subject = unique("Again")
    message = mail(agent.address, [other.address], subject)
    for _ in range(2):
        with server.sign_in(agent) as client:
            client.sendmail(agent.address, [other.address], message.as_bytes())
    await other.received(subject)
    after = unique("After")
    await agent.send(other.address, subject=after)
    await other.received(after)
    assert sorted(m["subject"] for m in await other.inbox()) == sorted([subject, after])


async def test_a_success_report_comes_when_it_is_asked_for(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    message = mail(agent.address, [other.address], unique("Receipt"))
    with server.sign_in(agent) as client:
        assert "dsn" in client.esmtp_features
        client.sendmail(
            agent.address, [other.address], message.as_bytes(),
            mail_options=["RET=HDRS", "ENVID=QQ314159"],
            rcpt_options=["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{other.address}"],
        )  # fmt: skip
    report = await _report(agent)
    raw = await _bytes(server, agent, report["message_id"])
    assert b"Original-Envelope-Id: QQ314159" in raw
    assert b"Action: delivered" in raw
    assert b"Status: 2." in raw
    assert b"Hi." not in raw  # RET=HDRS


async def test_a_failure_report_does_not_come_when_it_is_not_wanted(server: Server) -> None:
    agent = await server.agent()
    nobody = f"{unique('nobody')}@{server.domain}"
    message = mail(agent.address, [nobody])
    with server.sign_in(agent) as client:
        client.sendmail(agent.address, [nobody], message.as_bytes(), rcpt_options=["NOTIFY=NEVER"])
    sent = (await agent.get("messages", labels="sent"))["messages"][0]
    await agent.labelled(sent["message_id"], "bounced")
    subject = unique("After")
    server.send("ann@elsewhere.example", agent.address, subject)
    await agent.received(subject)
    assert [m["subject"] for m in await agent.inbox()] == [subject]


async def test_nobody_is_told_when_mail_with_the_null_path_fails(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    nobody, subject = f"{unique('nobody')}@{server.domain}", unique("Read it")
    with server.sign_in(agent) as client:
        client.sendmail("", [other.address, nobody], mail(agent.address, [other.address, nobody], subject).as_bytes())
    got = await other.received(subject)
    assert (await _bytes(server, other, got["message_id"])).startswith(b"Return-Path: <>\r\n")  # RFC 5321 §4.5.5
    sent = (await agent.get("messages", labels="sent"))["messages"][0]
    await agent.labelled(sent["message_id"], "bounced")
    after = unique("After")
    server.send("ann@elsewhere.example", agent.address, after)
    await agent.received(after)
    assert [m["subject"] for m in await agent.inbox()] == [after]


async def _report(agent: Agent) -> dict[str, object]:
    async def look() -> list[dict[str, object]]:
        return await agent.inbox()

    found = await until(look, "a report")
    assert len(found) == 1
    return await agent.message(str(found[0]["message_id"]))


async def _bytes(server: Server, agent: Agent, message_id: object) -> bytes:
    link = await agent.get(f"messages/{message_id}/raw")
    async with server.api("none") as api:
        _, data = await api.call("GET", link["download_url"].removeprefix(server.url))
    return bytes(data)


async def test_a_session_of_a_revoked_key_ends_at_its_next_mail(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    made = await server.command("key_create", surface="agentmail", inbox=agent.address)
    with server.sign_in(Agent(server, agent.address, made["key"], made["id"])) as client:
        client.sendmail(agent.address, [other.address], mail(agent.address, [other.address]).as_bytes())
        await server.command("key_revoke", id=made["id"])

        async def is_refused() -> bool:
            # With a database on a server the word of it comes when it comes.
            said = client.docmd(f"MAIL FROM:<{agent.address}>")[0]
            if said == 250:
                client.rset()
            return said == 421

        await until(is_refused, "the end of the session", within_s=5)
