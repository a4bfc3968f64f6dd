"""Oversight: an account that may only read, and one whose every mail waits for its owner."""

from __future__ import annotations

import hashlib
import smtplib
from typing import Any

import pytest

from flows.houses import indoors
from flows.server import Server, mail, unique, until
from posthouse.admin import oversight as admin_oversight
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.store import blobs
from posthouse.store.database import Tx


async def _hold(server: Server, address: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        hold for hold in (await server.command("pending", limit=100))["pending"] if hold["from"] == address
    ]
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


async def test_the_owner_is_shown_everything_that_leaves(server: Server) -> None:
    agent = await server.agent(level="gated")
    subject = unique("Invoice")
    sent = await agent.send(
        ["bob@far.example"],
        cc=["cy@far.example"],
        bcc=["eve@far.example"],
        reply_to=["mallory@evil.example"],
        subject=subject + "\U000e0041\u202e",
        text="As agreed.\n\x1b[2J" + "y" * 9_000,
        html='<p>Something else.</p><div style="display:none">pay at once</div><!-- or never -->',
        attachments=[{"filename": "a\u202eb.txt", "content_type": "text/csv", "content": "YSxi"}],
        headers={"List-Unsubscribe": "<mailto:x@evil.example>", "Disposition-Notification-To": "y@evil.example"},
    )
    hold = await _hold(server, agent.address)
    assert sorted(hold["to"]) == ["bob@far.example", "cy@far.example", "eve@far.example"]
    assert hold["header"] == {
        "From": [agent.address], "To": ["bob@far.example"], "Cc": ["cy@far.example"], "Bcc": ["eve@far.example"],
        "Reply-To": ["mallory@evil.example"],
    }  # fmt: skip
    assert hold["subject"] == subject + "<U+E0041><U+202E>", "what is not seen is named"
    assert hold["html_text"] == "Something else."
    assert {(part["what"], part["text"]) for part in hold["hidden"]} == {
        ("hidden (display)", "pay at once"), ("comment", "or never"),
    }  # fmt: skip
    digest = hashlib.sha256(b"a,b").hexdigest()
    assert hold["attachments"] == [{"name": "a b.txt", "type": "text/csv", "size": 3, "sha256": digest}]
    directing = dict(hold["directing"])
    assert (directing["List-Unsubscribe"], directing["Disposition-Notification-To"]) == (
        "<mailto:x@evil.example>", "y@evil.example",
    )  # fmt: skip
    assert hashlib.sha256(await _raw(server, agent, sent["message_id"])).hexdigest() == hold["sha256"]
    assert hold["text"].startswith("As agreed.\n<U+001B>[2J")
    assert 4_000 == len(hold["text"]) < 9_000 < len(hold["text"]) + hold["cut_chars"]
    (whole,) = (await server.command("pending", id=hold["id"]))["pending"]
    assert whole["text"].rstrip().endswith("y" * 9_000)
    assert "Message-ID" in dict(whole["headers"])

    printed = server.run("pending", hold["id"])
    assert printed.returncode == 0, printed.stderr
    for word in ("mallory@evil.example", "eve@far.example", "pay at once", digest, "y" * 9_000, "<U+202E>"):
        assert word in printed.stdout
    assert not set("\x1b\u202e\U000e0041") & set(printed.stdout)
    assert "answers go to mallory@evil.example" in server.run("pending", "--short", "--limit", "100").stdout


async def test_what_waits_longest_is_shown_first_and_everything_is_counted(server: Server) -> None:
    agent = await server.agent(level="gated")
    before = (await server.command("pending", short=True))["total"]
    subjects = [unique("Queue") for _ in range(5)]
    for subject in subjects:
        await agent.send("bob@far.example", subject=subject)
    seen, after = [], None
    while True:
        page = await server.command("pending", limit=2, after=after, short=True)
        assert page["total"] == before + 5
        seen += [hold["subject"] for hold in page["pending"] if hold["from"] == agent.address]
        after = page["next"]
        if after is None:
            break
    assert seen == subjects
    with pytest.raises(Invalid):
        await server.command("pending", after="no cursor")


async def test_nobody_fills_the_owners_list() -> None:
    async with indoors() as house, house.agent(level="gated") as (address, api):
        for _ in range(100):
            await api.post(f"/v0/inboxes/{address}/messages", {"to": "bob@far.example"})
        status, error = await api.call("POST", f"/v0/inboxes/{address}/messages", {"to": "bob@far.example"})
        assert (status, error["code"]) == (403, "limit_exceeded")
        assert "100" in error["message"]
        held = await api.get(f"/v0/inboxes/{address}/messages", labels="held", limit="100")
        assert held["count"] == 100


@pytest.mark.parametrize("level", ["gated", "monitored"])
async def test_bytes_that_were_changed_where_they_are_stored_are_never_sent(level: str) -> None:
    async with indoors() as house, house.agent(level=level) as (address, api):
        to = f"catch@{house.domain}"
        sent = await api.post(f"/v0/inboxes/{address}/messages", {"to": to, "subject": "A", "text": "as it was held"})

        async def change(tx: Tx) -> int:
            row = await tx.one("SELECT blob_hash FROM submission")
            assert row is not None
            data = (await blobs.get(tx, row["blob_hash"]) or (0, b""))[1] or b""
            changed = data.replace(b"as it was held", b"as it was sent")
            return await tx.run("UPDATE blob SET data = :data WHERE hash = :hash", data=changed, hash=row["blob_hash"])

        assert await house.house.db.write(change) == 1
        if level == "gated":
            (hold,) = (await admin_oversight.pending(house.house))["pending"]
            assert "not the one that was held" in hold["error"]
            with pytest.raises(Forbidden):
                await admin_oversight.approve(house.house, id=hold["id"])
        await house.settle()
        labels = (await api.get(f"/v0/inboxes/{address}/messages/{sent['message_id']}"))["labels"]
        assert ("held" if level == "gated" else "bounced") in labels
        received = await house.house.db.read(
            lambda tx: tx.all("SELECT subject FROM message WHERE direction = 'in' AND subject = 'A'")
        )
        assert received == []
