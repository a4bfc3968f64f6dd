"""Oversight: an account that may only read, and one whose every mail waits for its owner."""

from __future__ import annotations

import smtplib

import pytest

from flows.server import Server, mail, unique, until
from posthouse.kit.errors import Conflict, NotFound


async def _hold(server: Server, address: str) -> dict[str, object]:
    found = [hold for hold in (await server.command("pending"))["pending"] if hold["from"] == address]
    assert len(found) == 1
    return found[0]


async def test_a_read_only_account_reads_and_sends_nothing(server: Server) -> None:
    agent = await server.agent()
    await server.command("level_set", level="read_only", inbox=agent.address)
    subject = unique("In")
    server.send("ann@elsewhere.example", agent.address, subject)
    got = await agent.received(subject)
    body = {"to": "bob@far.example", "subject": "Out", "text": "Hi."}
    for path, given in (
        ("messages", body),
        ("messages/send", body),
        (f"messages/{got['message_id']}/reply", {"text": "Hi."}),
        (f"messages/{got['message_id']}/reply-all", {"text": "Hi."}),
        (f"messages/{got['message_id']}/forward", {"to": "bob@far.example"}),
    ):
        status, error = await agent.call("POST", path, given)
        assert (status, error["code"], error["name"]) == (403, "message_rejected", "MessageRejectedError"), path
    with server.sign_in(agent) as client, pytest.raises(smtplib.SMTPResponseException) as refusal:
        client.sendmail(agent.address, ["bob@far.example"], mail(agent.address, ["bob@far.example"]).as_bytes())
    assert refusal.value.smtp_code == 550
    assert [m["labels"] for m in (await agent.get("messages"))["messages"]] == [["received", "unread"]]


async def test_a_gated_message_waits_and_approval_sends_the_very_bytes(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    await server.command("level_set", level="gated", inbox=agent.address)
    subject = unique("Gated")
    sent = await agent.send(other.address, subject=subject, text="Signed, sealed.\n", html="<p>Signed, sealed.</p>")

    held = await agent.message(sent["message_id"])
    assert "held" in held["labels"]
    assert "sent" not in held["labels"]
    raw = await _raw(server, agent, sent["message_id"])
    hold = await _hold(server, agent.address)
    assert (hold["to"], hold["subject"]) == ([other.address], subject)
    assert [m for m in await other.inbox() if m["subject"] == subject] == []

    await server.command("approve", id=hold["id"])
    got = await other.received(subject)
    delivered = await agent.labelled(sent["message_id"], "delivered")
    assert set(delivered["labels"]) == {"sent", "delivered"}
    assert (await _raw(server, other, got["message_id"])).endswith(raw)
    with pytest.raises(Conflict, match="approved"):
        await server.command("approve", id=hold["id"])
    with pytest.raises(Conflict, match="approved"):
        await server.command("reject", id=hold["id"])
    assert len([m for m in await other.inbox() if m["subject"] == subject]) == 1


async def _raw(server: Server, agent: object, message_id: str) -> bytes:
    link = await agent.get(f"messages/{message_id}/raw")  # type: ignore[attr-defined]
    async with server.api("none") as api:
        _, data = await api.call("GET", link["download_url"].removeprefix(server.url))
    return bytes(data)


async def test_a_rejected_message_is_never_sent(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    await server.command("level_set", level="gated", inbox=agent.address)
    subject = unique("Rejected")
    sent = await agent.send(other.address, subject=subject)
    hold = await _hold(server, agent.address)
    await server.command("reject", id=hold["id"], reason="not today")
    found = await agent.message(sent["message_id"])
    assert "rejected" in found["labels"]
    assert not {"held", "sent", "delivered"} & set(found["labels"])
    listed = (await agent.get("messages", labels="sent"))["messages"]
    assert listed == [], "lists go by the labels that are shown"
    with pytest.raises(Conflict, match="rejected"):
        await server.command("approve", id=hold["id"])
    # Whatever was on its way would be here before a mail sent after it.
    await server.command("level_set", level="monitored", inbox=agent.address)
    after = unique("After")
    await agent.send(other.address, subject=after)
    await other.received(after)
    assert [m["subject"] for m in await other.inbox()] == [after]


async def test_a_key_tightens_the_level_of_its_account_and_never_loosens_it(server: Server) -> None:
    agent = await server.agent(level="gated")
    sent = await agent.send("bob@far.example")
    assert "held" in (await agent.message(sent["message_id"]))["labels"]
    await server.command("level_set", level="read_only", inbox=agent.address)
    status, _ = await agent.call("POST", "messages", {"to": "bob@far.example", "text": "Hi."})
    assert status == 403


async def test_the_submission_port_holds_what_the_api_would_hold(server: Server) -> None:
    agent = await server.agent(level="gated")
    subject = unique("Port")
    message = mail(agent.address, ["bob@far.example"], subject)
    with server.sign_in(agent) as client:
        client.sendmail(agent.address, ["bob@far.example"], message.as_bytes())
    hold = await _hold(server, agent.address)
    assert hold["subject"] == subject
    await server.command("approve", id=hold["id"])
    owner = await server.agent("catch")
    caught = await owner.received(subject)
    assert caught["headers"]["Message-ID"] == message["Message-ID"]


async def test_nothing_undecided_is_approved_under_a_wrong_name(server: Server) -> None:
    with pytest.raises(NotFound):
        await server.command("approve", id="no-such-hold")


async def test_a_held_message_with_a_suppressed_recipient_goes_to_the_others(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    nobody = f"nobody@{server.domain}"
    sent = await agent.send(nobody)
    await agent.labelled(sent["message_id"], "bounced")
    await server.command("level_set", level="gated", inbox=agent.address)
    subject = unique("Some")
    await agent.send([nobody, other.address], subject=subject)
    hold = await _hold(server, agent.address)
    await server.command("approve", id=hold["id"])
    await other.received(subject)


async def test_events_tell_what_was_held_sent_and_refused(server: Server) -> None:
    agent = await server.agent(level="gated")
    await agent.send("bob@far.example")
    hold = await _hold(server, agent.address)
    await server.command("reject", id=hold["id"], reason="no")

    async def told() -> list[str]:
        events = (await server.command("events", limit=200))["events"]
        return [event["type"] for event in events if event["inbox"] == agent.address]

    assert await until(told, "events") == ["message.held", "message.rejected"]
