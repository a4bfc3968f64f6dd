"""Being told of changes: event source, WebSocket, push subscriptions; on a real port."""

from __future__ import annotations

import asyncio
import base64
import json
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api.jmap.conftest import ALL, Agent, mail
from posthouse.store import accounts, keys
from posthouse.store.database import Tx
from posthouse.wire import web_push


@pytest.fixture
async def origin(ann: Agent) -> str:
    """The house on a real port."""
    settings = msgspec.structs.replace(ann.house.settings, http_port=0)
    ann.house.settings = settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        await ann.house.start_http()
    return f"http://127.0.0.1:{ann.house.ports['http']}"


async def session_of(client: aiohttp.ClientSession, origin: str) -> dict[str, Any]:
    """The Session object."""
    async with client.get(f"{origin}/.well-known/jmap") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def next_event(stream: aiohttp.StreamReader) -> dict[str, str]:
    """One event of a stream; comments are passed over."""
    event: dict[str, str] = {}
    async with asyncio.timeout(10):
        while True:
            line = (await stream.readline()).decode().rstrip("\r\n")
            if not line and event:
                return event
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value


async def test_an_event_source_tells_of_changes_and_catches_up(ann: Agent, origin: str) -> None:
    async with aiohttp.ClientSession(headers=ann.headers) as client:
        session = await session_of(client, origin)
        url = session["eventSourceUrl"].replace("{closeafter}", "no").replace("{ping}", "0")
        async with client.get(url.replace("{types}", "Email,EmailDelivery")) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            await ann.receive(mail("one"))
            event = await next_event(answer.content)
        assert event["event"] == "state"
        changed = json.loads(event["data"])
        assert changed["@type"] == "StateChange"
        state = (await ann.call("Email/get", ids=[]))["state"]
        assert changed["changed"] == {ann.account_id: {"Email": state, "EmailDelivery": state}}
        await ann.receive(mail("two"))
        again = url.replace("{types}", "*").replace("closeafter=no", "closeafter=state")
        async with client.get(again, headers={"Last-Event-ID": event["id"]}) as answer:
            missed = json.loads((await next_event(answer.content))["data"])
            assert {"Email", "Mailbox", "Thread", "EmailDelivery"} <= missed["changed"][ann.account_id].keys()
            assert await answer.content.read() == b""


async def test_an_account_has_five_streams_at_most(ann: Agent, origin: str) -> None:
    url = f"{origin}/jmap/eventsource/?types=*&closeafter=no&ping=0"
    async with aiohttp.ClientSession(headers=ann.headers, connector=aiohttp.TCPConnector(limit=0)) as client:
        answers = [await client.get(url) for _ in range(6)]
        assert [answer.status for answer in answers] == [200] * 5 + [429]
        for answer in answers:
            answer.close()
        async with client.get(f"{origin}/jmap/eventsource/?types=*&closeafter=never&ping=0") as answer:
            assert answer.status == 400


async def test_requests_and_changes_go_over_a_web_socket(ann: Agent, origin: str) -> None:
    async with aiohttp.ClientSession(headers=ann.headers) as client:
        session = await session_of(client, origin)
        url = session["capabilities"]["urn:ietf:params:jmap:websocket"]["url"]
        async with client.ws_connect(url, protocols=["jmap"]) as socket:
            assert socket.protocol == "jmap"
            asked = {"@type": "Request", "id": "r1", "using": ALL, "methodCalls": [["Core/echo", {"a": 1}, "c"]]}
            await socket.send_json(asked)
            answer = await socket.receive_json(timeout=10)
            assert (answer["@type"], answer["requestId"]) == ("Response", "r1")
            assert answer["methodResponses"] == [["Core/echo", {"a": 1}, "c"]]
            for wrong, kind in (("{", "notJSON"), ('{"@type":"X","id":"r2"}', "notRequest")):
                await socket.send_str(wrong)
                error = await socket.receive_json(timeout=10)
                assert (error["@type"], error["type"]) == ("RequestError", f"urn:ietf:params:jmap:error:{kind}")
            await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": ["Email"]})
            await socket.send_json(asked)
            await socket.receive_json(timeout=10)
            await ann.receive(mail())
            told = await socket.receive_json(timeout=10)
            assert told["@type"] == "StateChange"
            assert list(told["changed"][ann.account_id]) == ["Email"]
            assert told["pushState"]
            await socket.send_bytes(b"x")
            assert (await socket.receive(timeout=10)).data == 1003
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect(url)
        assert refused.value.status == 400
    async with aiohttp.ClientSession() as stranger:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stranger.ws_connect(url, protocols=["jmap"])
        assert refused.value.status == 401


class Receiver:
    """A push service: keeps what is posted to it."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.status = 201
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.posts.append((dict(request.headers), await request.read()))
        return web.Response(status=self.status)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A push service beside the server."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/push", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/push"
    yield receiver
    await runner.cleanup()


async def subscribe(ann: Agent, receiver: Receiver, **more: Any) -> str:
    made = await ann.call("PushSubscription/set", create={"p": {"deviceClientId": "d", "url": receiver.url, **more}})
    assert made["created"], made
    return str(made["created"]["p"]["id"])


async def test_a_push_subscription_is_verified_and_then_told_once_of_each_change(
    ann: Agent, receiver: Receiver
) -> None:
    id_ = await subscribe(ann, receiver, types=["Email"])
    await ann.house.settle()
    verification = json.loads(receiver.posts[0][1])
    assert (verification["@type"], verification["pushSubscriptionId"]) == ("PushVerification", id_)
    await ann.receive(mail("before it was verified"))
    assert len(receiver.posts) == 1
    wrong = await ann.call("PushSubscription/set", update={id_: {"verificationCode": "guess"}})
    assert wrong["notUpdated"][id_]["type"] == "invalidProperties"
    code = verification["verificationCode"]
    await ann.call("PushSubscription/set", update={id_: {"verificationCode": code}})
    await ann.receive(mail("after"))
    assert len(receiver.posts) == 2
    told = json.loads(receiver.posts[1][1])
    assert told["changed"] == {ann.account_id: {"Email": (await ann.call("Email/get", ids=[]))["state"]}}
    await ann.call("Mailbox/set", create={"m": {"name": "Other"}})
    await ann.house.settle()
    assert len(receiver.posts) == 2
    receiver.status = 410
    await ann.receive(mail("to nobody"))
    assert (await ann.call("PushSubscription/get"))["list"] == []


async def test_pushes_are_encrypted_for_the_subscriber(ann: Agent, receiver: Receiver) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    point = private.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    keys = {"p256dh": base64.urlsafe_b64encode(point).decode(), "auth": base64.urlsafe_b64encode(b"0" * 16).decode()}
    await subscribe(ann, receiver, keys=keys)
    await ann.house.settle()
    headers, body = receiver.posts[0]
    assert headers["Content-Encoding"] == "aes128gcm"
    assert b"PushVerification" not in body
    assert body[20] == 65


async def test_url_and_keys_are_never_given_back_and_plain_http_is_refused(ann: Agent, receiver: Receiver) -> None:
    id_ = await subscribe(ann, receiver)
    shown = (await ann.call("PushSubscription/get"))["list"][0]
    assert shown.keys() == {"id", "deviceClientId", "verificationCode", "expires", "types"}
    assert (await ann.call("PushSubscription/get", ids=[id_], properties=["url"]))["error"]["type"] == "forbidden"
    refused = await ann.call(
        "PushSubscription/set",
        create={
            "a": {"deviceClientId": "d", "url": "http://example.org/push"},
            "b": {"deviceClientId": "d", "url": "https://example.org/", "keys": {"p256dh": "AA", "auth": "AA"}},
        },
    )
    assert [each["properties"] for each in refused["notCreated"].values()] == [["url"], ["keys"]]


def test_encryption_gives_the_example_of_rfc_8291() -> None:
    # RFC 8291 §5 and appendix A.
    def key(text: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")

    sender = ec.derive_private_key(key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), ec.SECP256R1())
    body = web_push.encrypt(
        b"When I grow up, I want to be a watermelon",
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
        salt=base64.urlsafe_b64decode("DGv6ra1nlYgDCS1FRnbzlw=="),
        private_key=sender,
    )
    ciphertext = base64.urlsafe_b64encode(body[86:]).decode().rstrip("=")
    # The example's record size differs from ours; the ciphertext does not depend on it.
    assert ciphertext == "8pfeW0KbunFT06SuDKoJH9Ql87S1QUrdirN6GcG7sFz1y1sqLgVi1VhjVkHsUoEsbI_0LpXMuGvnzQ"


async def test_a_revoked_key_s_web_socket_and_event_source_end(ann: Agent, origin: str) -> None:
    echo = {"@type": "Request", "using": ALL, "methodCalls": [["Core/echo", {}, "c"]]}
    async with (
        aiohttp.ClientSession(headers=ann.headers) as client,
        client.ws_connect(f"{origin}/jmap/ws/", protocols=["jmap"]) as socket,
        client.get(f"{origin}/jmap/eventsource/?types=*&closeafter=no&ping=0") as source,
    ):
        await socket.send_json({"@type": "WebSocketPushEnable", "dataTypes": None})
        await socket.send_json(echo)
        assert (await socket.receive_json(timeout=10))["@type"] == "Response"
        assert await source.content.readline() == b": open\r\n"

        async def revoke(tx: Tx) -> None:
            account = await accounts.get(tx, ann.account_id)
            assert account is not None
            for key in await keys.page(tx, account.organization_id):
                await keys.delete(tx, account.organization_id, key.id)

        await ann.house.db.write(revoke)
        await socket.send_json(echo)
        await ann.receive(mail("after"))
        closed = await socket.receive(timeout=10)
        assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 1008)
        async with asyncio.timeout(10):
            assert b"state" not in await source.content.read()
