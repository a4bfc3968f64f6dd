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
