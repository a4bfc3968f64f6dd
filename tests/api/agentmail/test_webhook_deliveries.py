"""Webhooks beside their events: three scopes, headers, a made-up event, history, replay and the circuit breaker."""

from __future__ import annotations

import json

from api.agentmail.conftest import Whole
from flows.sinks import webhook_receiver
from posthouse.events.webhooks import BREAKER_FAILURES
from posthouse.wire import svix


async def test_a_webhook_made_below_a_pod_or_an_inbox_hears_that_alone(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        pod = await whole.api.post("/v0/pods", {})
        mate = (await whole.api.post(f"/v0/pods/{pod['pod_id']}/inboxes", {}))["inbox_id"]
        other = await whole.inbox()
        for below in (f"/pods/{pod['pod_id']}", f"/inboxes/{mate}"):
            made = await whole.api.post(f"/v0{below}/webhooks", {"url": sink.url})
            path = f"/v0{below}/webhooks"
            assert [each["webhook_id"] for each in (await whole.api.get(path))["webhooks"]] == [made["webhook_id"]]
            assert await whole.api.get(f"{path}/{made['webhook_id']}") == made
            await whole.mail(other, subject="elsewhere")
            await whole.mail(mate, subject="here")
            assert [json.loads(call.body)["message"]["subject"] for call in sink.calls] == ["here"]
            sink.calls.clear()
            assert (await whole.api.call("DELETE", f"{path}/{made['webhook_id']}"))[0] == 204


async def test_headers_are_sent_along_and_only_their_names_are_shown(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        hook = await whole.api.post("/v0/webhooks", {"url": sink.url, "headers": {"X-One": "1"}})
        path = f"/v0/webhooks/{hook['webhook_id']}/headers"
        assert (await whole.api.call("PATCH", path, {"headers": {"X-Two": "2"}}))[0] == 204
        assert await whole.api.get(path) == {"header_names": ["X-One", "X-Two"]}
        assert (await whole.api.call("PATCH", path, {"remove_headers": ["x-one"]}))[0] == 204
        for wrong in ({}, {"headers": {"A": "b"}, "remove_headers": ["a"]}, {"headers": {"svix-id": "x"}},
                      {"headers": {"X": "a\r\nb"}}):  # fmt: skip
            assert (await whole.api.call("PATCH", path, wrong))[0] == 400
        await whole.api.post(f"/v0/webhooks/{hook['webhook_id']}/test", {})
        await whole.inside.settle()
        (call,) = sink.calls
        assert call.headers["x-two"] == "2"
        assert "x-one" not in call.headers


async def test_a_made_up_event_is_signed_kept_in_the_history_and_can_be_told_again(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        hook = await whole.api.post("/v0/webhooks", {"url": sink.url})
        path = f"/v0/webhooks/{hook['webhook_id']}"
        made = await whole.api.post(f"{path}/test", {"event_type": "message.received"})
        assert (made["status"], made["attempts"]) == ("pending", [])
        await whole.inside.settle()
        (call,) = sink.calls
        timestamp = int(call.headers["svix-timestamp"])
        assert call.headers["svix-signature"] == svix.sign(hook["secret"], call.id, timestamp, call.body)
        told = json.loads(call.body)
        assert (told["event_type"], told["event_id"]) == ("message.received", made["event_id"])
        (delivery,) = (await whole.api.get(f"{path}/deliveries"))["deliveries"]
        assert (delivery["status"], delivery["attempts"][0]["status"]) == ("delivered", 204)
        again = await whole.api.post(f"{path}/deliveries/{delivery['delivery_id']}/replay", {})
        assert again["status"] == "pending"
        await whole.inside.settle()
        assert [each.body for each in sink.calls] == [call.body] * 2
        assert sink.calls[1].id == call.id
        found = await whole.api.get(f"{path}/deliveries/{delivery['delivery_id']}")
        assert [each["attempt"] for each in found["attempts"]] == [1, 2]
        assert (await whole.api.call("GET", f"{path}/deliveries/whd_nowhere"))[0] == 404


async def test_an_endpoint_that_keeps_failing_is_left_alone_for_a_while(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        hook = await whole.api.post("/v0/webhooks", {"url": sink.url})
        path = f"/v0/webhooks/{hook['webhook_id']}"
        sink.statuses = [500] * BREAKER_FAILURES
        for _ in range(BREAKER_FAILURES):
            await whole.api.post(f"{path}/test", {})
            await whole.inside.settle()
        health = await whole.api.get(f"{path}/health")
        assert (health["circuit"], health["failures_in_a_row"]) == ("open", BREAKER_FAILURES)
        assert "500" in health["last_error"]
        await whole.api.post(f"{path}/test", {})
        await whole.inside.settle()
        assert len(sink.calls) == BREAKER_FAILURES, "nothing is tried while the circuit is open"
        await whole.inside.later(minutes=2)
        assert len(sink.calls) > BREAKER_FAILURES
        health = await whole.api.get(f"{path}/health")
        assert (health["circuit"], health["failures_in_a_row"]) == ("closed", 0)
        assert health["deliveries"]["delivered"] >= 1
