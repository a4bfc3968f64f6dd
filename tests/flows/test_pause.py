"""One switch that stops what leaves: nothing new, nothing that waits; what comes in is kept."""

from __future__ import annotations

import smtplib

import pytest

from flows.server import Server, mail, unique


async def _organization_key(server: Server) -> str:
    return str((await server.command("key_create", surface="agentmail"))["key"])


async def test_a_paused_inbox_sends_through_no_door_and_receives(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    async with server.api(await _organization_key(server)) as owner:
        shown = await owner.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": "paused"})
    assert shown[0] == 200, shown
    assert shown[1]["status"] == "paused"
    subject = unique("Paused")
    server.send("ann@elsewhere.example", agent.address, subject)
    got = await agent.received(subject, include_unauthenticated="true")
    draft = await agent.post("drafts", {"to": other.address, "subject": "Later", "text": "Hi."})
    for path, body in (
        ("messages", {"to": other.address, "text": "Hi."}),
        (f"messages/{got['message_id']}/reply", {"text": "Hi."}),
        (f"messages/{got['message_id']}/forward", {"to": other.address}),
        (f"drafts/{draft['draft_id']}/send", {}),
    ):
        status, error = await agent.call("POST", path, body)
        assert (status, error["code"], error["name"]) == (403, "inbox_paused", "MessageRejectedError"), path
        assert "paused by" in error["message"]
    with server.sign_in(agent) as client, pytest.raises(smtplib.SMTPResponseException) as refusal:
        client.sendmail(agent.address, [other.address], mail(agent.address, [other.address]).as_bytes())
    assert (refusal.value.smtp_code, refusal.value.smtp_error[:5]) == (550, b"5.7.1")


async def test_a_key_of_the_inbox_does_not_lift_what_reaches_further(server: Server) -> None:
    agent = await server.agent()
    async with server.api(await _organization_key(server)) as owner:
        await owner.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": "paused"})
        status, error = await agent.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": "active"})
        assert (status, error["code"]) == (403, "forbidden")
        status, shown = await owner.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": "active"})
    assert status == 200
    assert "status" not in shown
    sent = await agent.send("bob@far.example")
    await agent.labelled(sent["message_id"], "delivered")


async def test_its_own_key_may_stop_an_inbox_and_let_it_go_on(server: Server) -> None:
    agent = await server.agent()
    for status, code in (("paused", 403), ("active", 200)):
        assert (await agent.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": status}))[0] == 200
        assert (await agent.call("POST", "messages", {"to": "bob@far.example", "text": "Hi."}))[0] == code


async def test_held_mail_that_is_approved_meanwhile_waits(server: Server) -> None:
    agent, other = await server.agent(level="gated"), await server.agent()
    subject = unique("Waits")
    await agent.send(other.address, subject=subject)
    (hold,) = [h for h in (await server.command("pending", limit=100))["pending"] if h["from"] == agent.address]
    async with server.api(await _organization_key(server)) as owner:
        await owner.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": "paused"})
        await server.command("approve", id=hold["id"])
        # Whatever was on its way would be here before a mail sent after it.
        after = unique("After")
        await (await server.agent()).send(other.address, subject=after)
        await other.received(after)
        assert [each for each in await other.inbox() if each["subject"] == subject] == []
        await owner.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": "active"})
    await other.received(subject)


async def test_the_owner_stops_everything_and_lets_it_go_on(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    await server.command("pause", everything=True, reason="something is wrong")
    try:
        status, error = await agent.call("POST", "messages", {"to": other.address, "text": "Hi."})
        assert (status, error["code"]) == (403, "inbox_paused")
        assert "something is wrong" in error["message"]
        assert (await agent.call("GET", f"/v0/inboxes/{agent.address}"))[1]["status"] == "paused"
        assert (await agent.call("PATCH", f"/v0/inboxes/{agent.address}", {"status": "active"}))[0] == 200
        assert (await agent.call("POST", "messages", {"to": other.address, "text": "Hi."}))[0] == 403
        assert "everything" in [each["what"] for each in (await server.command("pause_list"))["pauses"]]
        printed = server.run("pause", "--list")
        assert "everything: by the owner since" in printed.stdout
    finally:
        await server.command("resume", everything=True)
    subject = unique("Again")
    await agent.send(other.address, subject=subject)
    await other.received(subject)
    assert not (await server.command("resume", everything=True))["was_paused"]
