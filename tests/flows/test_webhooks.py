"""Webhooks: signed, told again until they are heard, the same each time, and given up in the end."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from svix.webhooks import Webhook, WebhookVerificationError

from flows.engines import empty_database
from flows.houses import indoors
from flows.server import Agent, Server, unique, until
from flows.sinks import Call, WebhookReceiver


async def _subscribed(server: Server, receiver: WebhookReceiver, **fields: Any) -> tuple[Agent, dict[str, Any]]:
    agent = await server.agent()
    made = await agent.post("/v0/webhooks", {"url": receiver.url} | fields)
    return agent, made


async def _told(receiver: WebhookReceiver, event_type: str, count: int = 1) -> list[Call]:
    async def look() -> list[Call] | None:
        found = [call for call in receiver.calls if json.loads(call.body)["event_type"] == event_type]
        return found if len(found) >= count else None

    return await until(look, f"{count} × {event_type}")


async def test_a_received_mail_is_told_and_the_signature_holds(server: Server, receiver: WebhookReceiver) -> None:
    agent, endpoint = await _subscribed(server, receiver, headers={"X-Tenant": "blue"})
    subject = unique("Told")
    server.send("ann@elsewhere.example", agent.address, subject, "Read me.\n")
    call = (await _told(receiver, "message.received"))[0]

    Webhook(endpoint["secret"]).verify(call.body, call.headers)
    body = json.loads(call.body)
    assert body["type"] == "event"
    assert body["message"]["subject"] == subject
    assert body["message"]["text"].strip() == "Read me."
    assert body["message"]["from"] == "ann@elsewhere.example"
    assert body["message"]["from_"] == ["ann@elsewhere.example"]
    assert body["thread"]["thread_id"] == body["message"]["thread_id"]
    assert call.headers["content-type"] == "application/json"
    assert call.headers["x-tenant"] == "blue"
    assert await agent.message(body["message"]["message_id"])
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(call.body + b" ", call.headers)


async def test_sending_tells_of_sent_delivered_and_bounced(server: Server, receiver: WebhookReceiver) -> None:
    agent, _ = await _subscribed(server, receiver)
    nobody = f"{unique('nobody')}@{server.domain}"
    sent = await agent.send([nobody])
    told = json.loads((await _told(receiver, "message.sent"))[0].body)["send"]
    assert told["message_id"] == sent["message_id"]
    assert told["thread_id"] == sent["thread_id"]
    assert told["recipients"] == [nobody]
    bounce = json.loads((await _told(receiver, "message.bounced"))[0].body)["bounce"]
    assert bounce["message_id"] == sent["message_id"]
    assert bounce["recipients"] == [{"address": nobody, "status": "5.1.1"}]
    assert bounce["type"] == "Permanent"
    sent = await agent.send("bob@far.example")
    delivery = json.loads((await _told(receiver, "message.delivered"))[0].body)["delivery"]
    assert delivery["message_id"] == sent["message_id"]


async def test_a_rejected_hold_is_told_with_its_reason(server: Server, receiver: WebhookReceiver) -> None:
    agent, _ = await _subscribed(server, receiver)
    await server.command("level_set", level="gated", inbox=agent.address)
    sent = await agent.send("bob@far.example")
    hold = next(h for h in (await server.command("pending"))["pending"] if h["from"] == agent.address)
    await server.command("reject", id=hold["id"], reason="too bold")
    told = json.loads((await _told(receiver, "message.rejected"))[0].body)["reject"]
    assert (told["message_id"], told["reason"]) == (sent["message_id"], "too bold")
    assert not [call for call in receiver.calls if b"message.held" in call.body]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_endpoint_is_changed_switched_off_and_deleted(
    server: Server, receiver: WebhookReceiver, method: str
) -> None:
    agent, endpoint = await _subscribed(server, receiver, event_types=["message.sent"])
    path = f"/v0/webhooks/{endpoint['webhook_id']}"
    status, changed = await agent.call(method, path, {"event_types": ["message.received"], "enabled": False})
    assert status == 200
    assert (changed["event_types"], changed["enabled"]) == (["message.received"], False)
    assert (changed["secret"], changed["url"]) == (endpoint["secret"], endpoint["url"])
    first, second, third = unique("Off"), unique("On"), unique("Gone")
    server.send("ann@elsewhere.example", agent.address, first)
    await agent.received(first)
    await agent.call(method, path, {"enabled": True})
    server.send("ann@elsewhere.example", agent.address, second)
    await _told(receiver, "message.received")
    assert [json.loads(call.body)["message"]["subject"] for call in receiver.calls] == [second]
    assert (await agent.call("DELETE", path))[0] == 204
    server.send("ann@elsewhere.example", agent.address, third)
    await agent.received(third)
    assert (await agent.call("GET", path))[0] == 404
    assert len(receiver.calls) == 1


async def test_an_endpoint_hears_of_its_own_inboxes_only(server: Server, receiver: WebhookReceiver) -> None:
    one, two = await server.agent(), await server.agent()
    whole = await server.command("key_create", surface="agentmail")
    async with server.api(whole["key"]) as api:
        made = await api.post("/v0/webhooks", {"url": receiver.url, "inbox_ids": [two.address]})
        assert made["inbox_ids"] == [two.address]
        subject = unique("Mine")
        server.send("ann@elsewhere.example", [one.address, two.address], subject)
        await one.received(subject)
        call = (await _told(receiver, "message.received"))[0]
        assert json.loads(call.body)["message"]["inbox_id"] == two.address
        await api.call("DELETE", f"/v0/webhooks/{made['webhook_id']}")
    assert len(receiver.calls) == 1


@pytest.fixture(params=["sqlite", "postgres"])
def own_database(request: pytest.FixtureRequest) -> Any:
    """A database for this test alone."""
    with empty_database(str(request.param), request) as url:
        yield url


async def test_a_failed_telling_is_repeated_with_the_same_id_and_body(
    own_database: str, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [500, 503, 302]
    async with indoors(own_database) as house, house.agent() as (address, api):
        endpoint = await api.post("/v0/webhooks", {"url": receiver.url, "event_types": ["message.sent"]})
        await api.post(f"/v0/inboxes/{address}/messages", {"to": "bob@far.example", "text": "Hi."})
        await house.settle()
        assert len(receiver.calls) == 1
        await house.settle()
        assert len(receiver.calls) == 1, "it is not repeated before its time"
        for count, span in ((2, 7), (3, 400), (4, 2400)):
            await house.later(seconds=span)
            assert len(receiver.calls) == count
        await house.later(days=3)
        assert len(receiver.calls) == 4, "what was heard is not told again"
    assert len({call.id for call in receiver.calls}) == 1
    assert len({call.body for call in receiver.calls}) == 1
    assert len({call.headers["svix-timestamp"] for call in receiver.calls}) == 4
    assert len({call.headers["svix-signature"] for call in receiver.calls}) == 4
    first = receiver.calls[0]
    Webhook(endpoint["secret"]).verify(first.body, first.headers)


async def test_what_nobody_hears_is_given_up_after_eight_attempts(own_database: str, receiver: WebhookReceiver) -> None:
    receiver.statuses = [random.choice([404, 410, 500]) for _ in range(40)]
    async with indoors(own_database) as house, house.agent() as (address, api):
        await api.post("/v0/webhooks", {"url": receiver.url, "event_types": ["message.sent"]})
        await api.post(f"/v0/inboxes/{address}/messages", {"to": "bob@far.example", "text": "Hi."})
        await house.settle()
        for _ in range(12):
            await house.later(hours=14)
        assert len(receiver.calls) == 8
        assert len({(call.id, call.body) for call in receiver.calls}) == 1


async def test_a_private_target_is_refused_unless_it_is_allowed(own_database: str, receiver: WebhookReceiver) -> None:
    async with indoors(own_database, webhooks_allow_private=False) as house, house.agent() as (address, api):
        status, error = await api.call("POST", "/v0/webhooks", {"url": receiver.url})
        if status == 200:  # the name may only later turn out to be private
            await api.post(f"/v0/inboxes/{address}/messages", {"to": "bob@far.example", "text": "Hi."})
            await house.settle()
        else:
            assert (status, error["error"]["details"]["field"]) == (400, "url")
    assert receiver.calls == []
