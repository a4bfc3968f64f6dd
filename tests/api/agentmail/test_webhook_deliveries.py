"""Webhooks beside their events: three scopes, headers, a made-up event, history, replay and the circuit breaker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from api.agentmail.conftest import Whole
from flows.server import until
from flows.sinks import webhook_receiver
from posthouse.api.agentmail.events import DIALECT
from posthouse.api.agentmail.shapes.values import WEBHOOK_PREFIX
from posthouse.store import organizations, webhooks
from posthouse.store.database import Tx
from posthouse.store.events import Event
from posthouse.store.webhooks import WebhookDelivery, WebhookEndpoint
from posthouse.wire import svix


async def tell(whole: Whole, webhook_id: str, ids: list[str]) -> None:
    """Put tellings whose bodies are known into an endpoint's queue."""
    at = whole.inside.clock()

    async def unit(tx: Tx) -> None:
        organization = await organizations.first(tx)
        assert organization is not None
        found = await webhooks.get_many(tx, organization.id, [webhook_id.removeprefix(WEBHOOK_PREFIX)])
        for endpoint in found.values():
            made = [
                WebhookDelivery(
                    id=each, endpoint_id=endpoint.id, organization_id=endpoint.organization_id, account_id=None,
                    event_id=each, event_type="message.sent", body=None, state="pending", attempts=0, due_at=at,
                    leased=False, last_status=None, last_error=None, created_at=at, updated_at=at,
                )
                for each in ids
            ]  # fmt: skip
            await webhooks.add_deliveries(tx, made)
            await webhooks.set_bodies(tx, {each: each.encode() for each in ids})

    await whole.inside.house.db.write(unit)


@asynccontextmanager
async def silent_receiver() -> AsyncIterator[tuple[str, list[str]]]:
    """Takes connections and never answers: its URL, and what it was called for; hangs up in the end."""
    over = asyncio.Event()
    called: list[str] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append((await reader.readline()).decode())
        await over.wait()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/silent", called
    finally:
        over.set()
        server.close()


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
        sink.statuses = [500] * DIALECT.breaker.failures
        for _ in range(DIALECT.breaker.failures):
            await whole.api.post(f"{path}/test", {})
            await whole.inside.settle()
        health = await whole.api.get(f"{path}/health")
        assert (health["circuit"], health["failures_in_a_row"]) == ("open", DIALECT.breaker.failures)
        assert "500" in health["last_error"]
        await whole.api.post(f"{path}/test", {})
        await whole.inside.settle()
        assert len(sink.calls) == DIALECT.breaker.failures, "nothing is tried while the circuit is open"
        await whole.inside.later(minutes=2)
        assert len(sink.calls) > DIALECT.breaker.failures
        health = await whole.api.get(f"{path}/health")
        assert (health["circuit"], health["failures_in_a_row"]) == ("closed", 0)
        assert health["deliveries"]["delivered"] >= 1


async def test_many_failures_at_once_open_the_circuit_and_spare_the_receiver_the_rest(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        hook = (await whole.api.post("/v0/webhooks", {"url": sink.url}))["webhook_id"]
        sink.statuses = [500] * 60
        await tell(whole, hook, [f"t{number:02}" for number in range(60)])
        await whole.inside.settle()
        health = await whole.api.get(f"/v0/webhooks/{hook}/health")
        assert health["circuit"] == "open"
        assert health["failures_in_a_row"] == len(sink.calls)
        assert DIALECT.breaker.failures <= len(sink.calls) < 30
        failed = len(sink.calls)
        await whole.inside.later(minutes=2)
        assert len(sink.calls) == failed + 1, "after the pause one is tried"
        sink.statuses.clear()
        await whole.inside.later(minutes=2)
        assert len(sink.calls) == failed + 2, "and one again: the first was not heard"
        for _ in range(2):
            await whole.inside.later(minutes=10)
        page = await whole.api.get(f"/v0/webhooks/{hook}/deliveries", limit="100")
        assert {each["status"] for each in page["deliveries"]} == {"delivered"}
        assert sum(len(each["attempts"]) for each in page["deliveries"]) == len(sink.calls)
        for one in page["deliveries"]:
            assert [each["attempt"] for each in one["attempts"]] == list(range(1, len(one["attempts"]) + 1)), (
                "being left alone is no attempt"
            )


async def test_what_is_put_off_wakes_whoever_sleeps_until_the_next_is_due(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        hook = (await whole.api.post("/v0/webhooks", {"url": sink.url}))["webhook_id"]
        sink.statuses = [500] * DIALECT.breaker.failures
        for number in range(DIALECT.breaker.failures):
            await tell(whole, hook, [f"t{number}"])
            await whole.inside.settle()
        await whole.api.post(f"/v0/webhooks/{hook}/test", {})
        db = whole.inside.house.db
        woken: list[str] = []
        # Only what follows counts: on PostgreSQL the wake-ups before it may still be on their way.
        marks: list[str] = []
        stop_marks = db.listen("mark", marks.append)

        async def mark(tx: Tx) -> None:
            tx.wake("mark")

        async def marked() -> list[str]:
            return marks

        await db.write(mark)
        await until(marked, "the wake-ups before")
        stop_marks()
        stop = db.listen("webhooks", woken.append)

        async def heard() -> list[str]:
            return woken

        assert await whole.inside.house.webhooks.run_once() == 1
        await until(heard, "being woken")
        stop()
        assert len(sink.calls) == DIALECT.breaker.failures
        due_at = await db.read(webhooks.next_due)
        assert due_at is not None
        assert due_at > whole.inside.clock()


async def test_one_event_is_rendered_once_for_all_endpoints_that_hear_the_same(whole: Whole) -> None:
    dialects = whole.inside.house.dialects
    dialect = dialects["agentmail"]
    rendered: list[str] = []

    async def render(tx: Tx, endpoint: WebhookEndpoint, event: Event) -> bytes | None:
        rendered.append(event.id)
        return await dialect.render(tx, endpoint, event)

    dialects["agentmail"] = replace(dialect, render=render)
    async with webhook_receiver() as sink:
        inbox = await whole.inbox()
        hooks = [await whole.api.post("/v0/webhooks", {"url": sink.url}) for _ in range(5)]
        await whole.mail(inbox)
        assert len(rendered) == 1
        assert len(sink.calls) == 5
        assert len({call.body for call in sink.calls}) == 1
        assert len({call.id for call in sink.calls}) == 5
        (body,) = {call.body for call in sink.calls}
        good = {
            svix.sign(hook["secret"], call.id, int(call.headers["svix-timestamp"]), body)
            for hook in hooks
            for call in sink.calls
        }
        assert {call.headers["svix-signature"] for call in sink.calls} <= good
        assert len({call.headers["svix-signature"] for call in sink.calls}) == 5


async def test_a_body_that_cannot_be_made_keeps_no_other_from_being_told(whole: Whole) -> None:
    dialects = whole.inside.house.dialects
    dialect = dialects["agentmail"]
    inbox = await whole.inbox()
    async with webhook_receiver() as sink:
        await whole.api.post("/v0/webhooks", {"url": sink.url, "event_types": ["message.sent"]})
        broken: list[str] = []

        async def render(tx: Tx, endpoint: WebhookEndpoint, event: Event) -> bytes | None:
            if not broken or event.id in broken:
                broken.append(event.id)
                raise ValueError("no such body")
            return await dialect.render(tx, endpoint, event)

        dialects["agentmail"] = replace(dialect, render=render)
        for _ in range(3):
            await whole.api.post(f"/v0/inboxes/{inbox}/messages", {"to": "bob@far.example", "text": "Hi."})
        await whole.inside.settle()
        assert len(sink.calls) == 2
        dialects["agentmail"] = dialect
        await whole.inside.later(minutes=2)
        assert len({call.id for call in sink.calls}) == len(sink.calls) == 3, "its lease ran out and it was told"


async def test_a_receiver_that_never_answers_keeps_nobody_else_waiting(whole: Whole) -> None:
    async with webhook_receiver() as sink, silent_receiver() as (silent_url, called):
        silent = (await whole.api.post("/v0/webhooks", {"url": silent_url}))["webhook_id"]
        awake = (await whole.api.post("/v0/webhooks", {"url": sink.url}))["webhook_id"]
        await tell(whole, silent, [f"a{number:03}" for number in range(300)])
        await tell(whole, awake, ["b"])

        async def told() -> list[object]:
            await whole.inside.house.webhooks.run_once()
            return list(sink.calls)

        await until(told, "the other receiver being told")
        assert 0 < len(called) <= 20
    await whole.inside.house.webhooks.drain()


async def test_a_telling_nobody_was_called_for_says_nothing_of_the_receiver(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        hook = (await whole.api.post("/v0/webhooks", {"url": sink.url}))["webhook_id"]
        await whole.api.post(f"/v0/webhooks/{hook}/test", {})
        assert (await whole.api.call("PATCH", f"/v0/webhooks/{hook}", {"enabled": False}))[0] == 200
        await whole.inside.settle()
        (delivery,) = (await whole.api.get(f"/v0/webhooks/{hook}/deliveries"))["deliveries"]
        assert (delivery["status"], sink.calls) == ("dead", [])
        health = await whole.api.get(f"/v0/webhooks/{hook}/health")
        assert (health["circuit"], health["failures_in_a_row"]) == ("closed", 0)


async def test_a_burst_is_told_completely_and_once(whole: Whole) -> None:
    async with webhook_receiver() as sink:
        hook = (await whole.api.post("/v0/webhooks", {"url": sink.url}))["webhook_id"]
        ids = [f"t{number:03}" for number in range(450)]
        await tell(whole, hook, ids)
        await whole.inside.settle()
        assert sorted(call.body.decode() for call in sink.calls) == ids
        health = await whole.api.get(f"/v0/webhooks/{hook}/health")
        assert health["deliveries"] == {"delivered": 450}
