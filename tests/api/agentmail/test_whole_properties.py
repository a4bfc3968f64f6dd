"""Three properties of the whole API: pages stay whole, each write is told once, on every channel."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from api.agentmail.conftest import Whole
from flows.sinks import webhook_receiver
from posthouse.store import accounts, changes
from posthouse.store.database import Tx


async def walk(whole: Whole, path: str, plural: str, name: str, disturb: Any, **query: str) -> list[str]:
    """All pages of a list, with something happening between them."""
    seen: list[str] = []
    token: str | None = None
    while True:
        more = {"page_token": token} if token else {}
        page = await whole.api.get(path, limit="2", **query, **more)
        seen += [item[name] for item in page[plural]]
        token = page.get("next_page_token")
        if token is None:
            return seen
        await disturb()


@pytest.mark.parametrize("ascending", ["false", "true"])
async def test_pages_of_threads_neither_skip_nor_repeat_while_mail_arrives(whole: Whole, ascending: str) -> None:
    inbox = await whole.inbox()
    for number in range(7):
        await whole.mail(inbox, subject=f"Topic {number}")
        whole.inside.clock.forward(seconds=1)
    before = [each["thread_id"] for each in (await whole.api.get("/v0/threads"))["threads"]]
    messages = (await whole.api.get(f"/v0/inboxes/{inbox}/messages", ascending="true"))["messages"]

    async def answer_the_oldest_and_write_anew() -> None:
        whole.inside.clock.forward(seconds=1)
        oldest = messages.pop(0)
        path = f"/v0/inboxes/{inbox}/messages/{oldest['message_id']}/reply"
        await whole.api.post(path, {"text": "moves the thread to the top"})
        await whole.mail(inbox, subject="New")

    seen = await walk(whole, "/v0/threads", "threads", "thread_id", answer_the_oldest_and_write_anew,
                      ascending=ascending)  # fmt: skip
    assert [each for each in seen if each in before] == (before if ascending == "false" else before[::-1])
    assert len(seen) == len(set(seen))


async def test_pages_of_messages_and_searches_neither_skip_nor_repeat_while_mail_arrives(whole: Whole) -> None:
    inbox = await whole.inbox()
    for number in range(5):
        await whole.mail(inbox, subject=f"Topic {number}", text="needle\n")

    async def arrive() -> None:
        await whole.mail(inbox, subject="New needle", text="needle needle\n")

    for path, plural, name, query in (
        (f"/v0/inboxes/{inbox}/messages", "messages", "message_id", {}),
        (f"/v0/inboxes/{inbox}/messages/search", "messages", "message_id", {"q": "needle"}),
        ("/v0/threads/search", "threads", "thread_id", {"q": "needle"}),
    ):
        before = [each[name] for each in (await whole.api.get(path, limit="100", **query))[plural]]
        seen = await walk(whole, path, plural, name, arrive, **query)
        assert [each for each in seen if each in before] == before, path
        assert len(seen) == len(set(seen)), path


async def test_a_page_token_is_good_for_its_own_list_only(whole: Whole) -> None:
    inbox = await whole.inbox()
    for _ in range(3):
        await whole.mail(inbox)
    token = (await whole.api.get("/v0/threads", limit="1"))["next_page_token"]
    for path in (f"/v0/inboxes/{inbox}/threads", f"/v0/inboxes/{inbox}/messages", "/v0/drafts", "/v0/webhooks"):
        status, error = await whole.api.call("GET", path, params={"page_token": token})
        assert (status, error["code"]) == (400, "validation_error"), path


async def _log(whole: Whole, inbox: str) -> list[str]:
    async def unit(tx: Tx) -> list[str]:
        account = await accounts.by_address(tx, inbox)
        assert account is not None
        found = await changes.since(tx, account.id, "Email", 0, account.modseq, 1_000)
        assert found is not None
        return [*found.created, *found.updated]

    return await whole.inside.house.db.read(unit)


async def test_each_write_is_told_once_in_the_log_the_stream_and_the_webhooks(whole: Whole) -> None:

    async with webhook_receiver() as sink:
        mine, theirs = await whole.inbox(), await whole.inbox()
        await whole.api.post("/v0/webhooks", {"url": sink.url})
        key = await whole.key()
        base = str(whole.api.session._base_url)
        async with aiohttp.ClientSession(base) as session, session.ws_connect(f"/v0?api_key={key}") as socket:
            await socket.send_json({"type": "subscribe"})
            assert (await socket.receive_json())["type"] == "subscribed"
            sent = await whole.api.post(f"/v0/inboxes/{mine}/messages", {"to": theirs, "subject": "Once"})
            made = await whole.api.post(f"/v0/inboxes/{mine}/drafts", {"to": theirs, "subject": "Draft"})
            path = f"/v0/inboxes/{mine}/drafts/{made['draft_id']}/send"
            headers = {"Idempotency-Key": "k"}
            drafted = await whole.api.post(path, {}, headers=headers)
            assert await whole.api.post(path, {}, headers=headers) == drafted
            await whole.mail(theirs, subject="From outside")
            await whole.inside.settle()
            heard = [await socket.receive_json(timeout=10) for _ in range(7)]
        posted = [json.loads(call.body) for call in sink.calls]
        kinds = sorted(each["event_type"] for each in heard)
        assert kinds == ["message.delivered"] * 2 + ["message.received"] * 3 + ["message.sent"] * 2
        assert sorted(each["event_id"] for each in posted) == sorted(each["event_id"] for each in heard)
        assert len({each["event_id"] for each in heard}) == 7
        by_id = {each["event_id"]: each for each in posted}
        assert all(by_id[each["event_id"]]["event_type"] == each["event_type"] for each in heard)
        ids = [sent["message_id"], drafted["message_id"]]
        log = await _log(whole, mine)
        assert [f"msg_{each}" in ids for each in log].count(True) == 2
        assert len(log) == len(set(log)) == 2, "the draft came and went within the log"
        assert len(await _log(whole, theirs)) == 3
