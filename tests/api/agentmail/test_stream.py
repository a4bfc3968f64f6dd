"""The WebSocket: what a webhook is told, as it happens, as far as the key may see it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from api.agentmail.conftest import Whole
from flows.engines import empty_database
from flows.houses import indoors
from posthouse.admin import keys as admin_keys
from posthouse.store import accounts, events
from posthouse.store.database import Tx
from posthouse.store.events import Event


@asynccontextmanager
async def socket_with(whole: Whole, key: str = "", **subscribe: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    headers = {"Authorization": f"Bearer {key or await whole.key()}"}
    base = str(whole.api.session._base_url)
    async with aiohttp.ClientSession(base) as session, session.ws_connect("/v0", headers=headers) as socket:
        await socket.send_json({"type": "subscribe"} | subscribe)
        answer = await socket.receive_json(timeout=10)
        assert answer == {"type": "subscribed"} | subscribe
        yield socket


async def test_a_bad_key_is_refused_with_401_before_the_upgrade(whole: Whole) -> None:
    for headers in ({}, {"Authorization": "Bearer am_wrong"}):
        base = str(whole.api.session._base_url)
        async with aiohttp.ClientSession(base) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect("/v0", headers=headers)
        assert refused.value.status == 401


async def test_a_subscription_hears_its_inboxes_and_kinds_and_a_later_one_replaces_it(whole: Whole) -> None:
    one, two = await whole.inbox(), await whole.inbox()
    async with socket_with(whole, inbox_ids=[one], event_types=["message.received"]) as socket:
        await whole.mail(two, subject="not for us")
        await whole.mail(one, subject="for us")
        event = await socket.receive_json(timeout=10)
        assert (event["type"], event["event_type"]) == ("event", "message.received")
        assert (event["message"]["subject"], event["thread"]["inbox_id"]) == ("for us", one)
        await socket.send_json({"type": "subscribe", "inbox_ids": [two]})
        assert (await socket.receive_json(timeout=10))["inbox_ids"] == [two]
        await whole.mail(one, subject="no more")
        await whole.mail(two, subject="now this")
        assert (await socket.receive_json(timeout=10))["message"]["subject"] == "now this"


async def test_frames_that_cannot_be_followed_are_answered_and_change_nothing(whole: Whole) -> None:
    inbox = await whole.inbox()
    async with socket_with(whole, inbox_ids=[inbox]) as socket:
        for text, name in (
            ("{", "ValidationError"), ('{"type":"dance"}', "ValidationError"), ("[" * 10_000, "ValidationError"),
            ('{"type":"subscribe","event_types":["x"]}', "ValidationError"),
            ('{"type":"subscribe","inbox_ids":["a@b.example"]}', "NotFoundError"),
            ('{"type":"subscribe","pod_ids":["nowhere"]}', "NotFoundError"),
        ):  # fmt: skip
            await socket.send_str(text)
            answer = await socket.receive_json(timeout=10)
            assert (answer["type"], answer["name"]) == ("error", name)
        await whole.mail(inbox, subject="still heard")
        assert (await socket.receive_json(timeout=10))["message"]["subject"] == "still heard"


async def test_a_key_hears_only_what_it_may_see(whole: Whole) -> None:
    mine, other = await whole.inbox(), await whole.inbox()
    key = await whole.key(f"/inboxes/{mine}", permissions={"message_read": True})
    await whole.api.post("/v0/lists/receive/block", {"entry": "evil.example"})
    async with (
        socket_with(whole, key) as socket,
        socket_with(whole, event_types=["message.received.blocked", "message.received"]) as all_of_it,
    ):
        await socket.send_json({"type": "subscribe", "event_types": ["message.received.blocked"]})
        assert (await socket.receive_json(timeout=10))["name"] == "ForbiddenError"
        await whole.mail(other, subject="another's")
        await whole.mail(mine, "eve@evil.example", subject="blocked")
        await whole.mail(mine, subject="mine")
        assert (await socket.receive_json(timeout=10))["message"]["subject"] == "mine"
        heard = [await all_of_it.receive_json(timeout=10) for _ in range(3)]
        assert [each["message"]["subject"] for each in heard] == ["another's", "blocked", "mine"]
        assert heard[1]["event_type"] == "message.received.blocked"


async def test_an_inbox_made_after_the_stream_began_is_heard(whole: Whole) -> None:
    async with socket_with(whole) as socket:
        await whole.mail(await whole.inbox(), subject="new here")
        assert (await socket.receive_json(timeout=10))["message"]["subject"] == "new here"


async def test_every_socket_hears_an_inbox_s_events_in_the_order_of_its_mailbox(whole: Whole) -> None:
    inbox = await whole.inbox()
    async with (
        socket_with(whole, inbox_ids=[inbox], event_types=["message.sent"]) as one,
        socket_with(whole, inbox_ids=[inbox], event_types=["message.sent"]) as two,
    ):
        path = f"/v0/inboxes/{inbox}/messages"
        sends = (whole.api.post(path, {"to": "bob@far.example", "text": str(number)}) for number in range(20))
        await asyncio.gather(*sends)
        heard = [[await socket.receive_str(timeout=10) for _ in range(20)] for socket in (one, two)]
    assert heard[0] == heard[1]

    async def logged(tx: Tx) -> list[Event]:
        account = await accounts.by_address(tx, inbox)
        assert account is not None
        return await events.of_account(tx, account.id, (0, ""), 100)

    found = await whole.inside.house.db.read(logged)
    in_order = [event.message_id for event in found if event.type == "message.sent"]
    assert [json.loads(text)["send"]["message_id"] for text in heard[0]] == [f"msg_{each}" for each in in_order]


async def _key(whole: Whole, **body: Any) -> tuple[str, str]:
    made = await whole.api.post("/v0/api-keys", body)
    return str(made["api_key"]), str(made["api_key_id"])


async def test_a_revoked_key_s_stream_ends_and_tells_nothing_more(whole: Whole) -> None:
    inbox = await whole.inbox()
    key, key_id = await _key(whole)
    async with socket_with(whole, key) as socket, socket_with(whole) as other:
        status, _ = await whole.api.call("DELETE", f"/v0/api-keys/{key_id}")
        assert status < 300
        await whole.mail(inbox, subject="after")
        closed = await socket.receive(timeout=10)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        assert (await other.receive_json(timeout=10))["message"]["subject"] == "after"


async def test_rights_taken_from_a_key_are_taken_from_its_streams(whole: Whole) -> None:
    inbox = await whole.inbox()
    key, key_id = await _key(whole)
    async with socket_with(whole, key, event_types=["message.received.spam", "message.received"]) as socket:
        rights = {"permissions": {"message_read": True}}
        await whole.api.call("PATCH", f"/v0/api-keys/{key_id}", rights)
        # On PostgreSQL the word of it comes when it comes; a frame that needs the right says when it has.
        async with asyncio.timeout(10):
            while True:
                await socket.send_json({"type": "subscribe", "event_types": ["message.received.spam"]})
                if (await socket.receive_json())["type"] == "error":
                    break
        await whole.api.call("PATCH", f"/v0/api-keys/{key_id}", {"permissions": {"inbox_read": True}})
        async with asyncio.timeout(10):
            while True:
                await socket.send_json({"type": "subscribe"})
                answer = await socket.receive_json()
                if answer.get("name") == "ForbiddenError":
                    break
        await whole.mail(inbox, subject="unheard")
        await socket.send_json({"type": "subscribe"})
        assert (await socket.receive_json(timeout=10))["name"] == "ForbiddenError"


async def test_a_key_that_runs_out_ends_its_stream(whole: Whole) -> None:
    made = await admin_keys.create(whole.inside.house, surface="agentmail")
    until = whole.inside.clock() + 60_000

    async def bound(tx: Tx) -> None:
        await tx.run("UPDATE api_key SET expires_at = :at WHERE id = :id", at=until, id=made["id"])
        tx.wake("keys")

    async with socket_with(whole, made["key"]) as socket:
        await whole.inside.house.db.write(bound)
        whole.inside.clock.forward(seconds=61)
        closed = await socket.receive(timeout=10)
        assert closed.data == 1008


async def test_a_mail_too_large_for_a_frame_is_told_without_its_texts_and_the_stream_goes_on(whole: Whole) -> None:
    inbox = await whole.inbox()
    async with socket_with(whole, inbox_ids=[inbox]) as socket:
        await whole.mail(inbox, subject="huge", text="words and words\n" * 45_000)
        await whole.mail(inbox, subject="after")
        frames = [await socket.receive_str(timeout=20) for _ in range(2)]
        assert all(len(frame.encode()) <= 1_000_000 for frame in frames)
        told = [json.loads(frame)["message"] for frame in frames]
        assert [each["subject"] for each in told] == ["huge", "after"]
        assert ("text" in told[0], "text" in told[1]) == (False, True)


async def test_a_key_holds_a_hundred_streams(whole: Whole) -> None:
    key, _ = await _key(whole)
    headers = {"Authorization": f"Bearer {key}"}
    base = str(whole.api.session._base_url)
    async with aiohttp.ClientSession(base, connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        sockets = [await session.ws_connect("/v0") for _ in range(100)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/v0")
        assert refused.value.status == 429
        await sockets.pop().close()
        async with asyncio.timeout(10):
            while True:
                try:
                    sockets.append(await session.ws_connect("/v0"))
                    break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0)
        for socket in sockets:
            await socket.close()


async def test_frames_count_as_requests(engine: str, request: pytest.FixtureRequest) -> None:
    with empty_database(engine, request) as url:
        async with indoors(url, rate_limits="on") as inside:
            made = await admin_keys.create(inside.house, surface="agentmail")
            headers = {"Authorization": f"Bearer {made['key']}"}
            base = f"http://127.0.0.1:{inside.house.ports['http']}"
            async with aiohttp.ClientSession(base, headers=headers) as session, session.ws_connect("/v0") as socket:
                for _ in range(1_000):
                    await socket.send_str('{"type":"subscribe"}')
                answers = [await socket.receive_json(timeout=10) for _ in range(1_000)]
                assert [each["type"] for each in answers] == ["subscribed"] * 999 + ["error"]
                async with session.get("/v0/inboxes") as answer:
                    assert answer.status == 429
