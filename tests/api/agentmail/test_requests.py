"""Every documented request of this part, run as written; each answer has the fields its schema requires."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any

from flows.server import Api, Server, unique

INBOX = {"pod_id": str, "inbox_id": str, "email": str, "created_at": "time", "updated_at": "time"}
ITEM = {
    "inbox_id": str, "thread_id": str, "message_id": str, "labels": list, "timestamp": "time", "from": str, "to": list,
    "size": int, "created_at": "time", "updated_at": "time",
}  # fmt: skip
THREAD = {
    "inbox_id": str, "thread_id": str, "labels": list, "timestamp": "time", "senders": list, "recipients": list,
    "last_message_id": str, "message_count": int, "size": int, "created_at": "time", "updated_at": "time",
    "participants": list, "last_message_at": "time",
}  # fmt: skip
WEBHOOK = {
    "webhook_id": str, "url": str, "secret": str, "enabled": bool, "created_at": "time", "updated_at": "time",
}  # fmt: skip
LINK = {"download_url": str, "expires_at": "time", "size": int}


def check(given: dict[str, Any], schema: dict[str, Any]) -> None:
    """Every required field is there and of its kind; nothing is null."""
    assert schema.keys() - given.keys() == set()
    assert [name for name, value in given.items() if value is None] == [], "absent fields are left out"
    for name, kind in schema.items():
        if kind == "time":
            assert given[name].endswith("Z"), name
            datetime.fromisoformat(given[name].replace("Z", "+00:00"))
        else:
            assert type(given[name]) is kind, name


def check_list(page: dict[str, Any], plural: str, schema: dict[str, Any]) -> None:
    """The envelope of a list."""
    assert page["count"] == len(page[plural])
    assert type(page["limit"]) is int
    for item in page[plural]:
        check(item, schema)


async def test_inboxes_are_made_listed_changed_and_deleted(owner: Api) -> None:
    name, client_id = unique("my-agent"), unique("client")
    body = {"username": name, "domain": "agents.test", "display_name": "My Agent", "client_id": client_id}
    made = await owner.post("/v0/inboxes", body)
    check(made, INBOX)
    assert made["inbox_id"] == made["email"] == f"{name}@agents.test"
    assert (made["display_name"], made["client_id"]) == ("My Agent", client_id)
    assert await owner.post("/v0/inboxes", {"username": "other", "client_id": client_id}) == made
    assert await owner.get(f"/v0/inboxes/{name}@agents.test") == made

    page = await owner.get("/v0/inboxes", limit="10")
    check_list(page, "inboxes", INBOX)
    assert page["inboxes"][0] == made

    path = f"/v0/inboxes/{made['inbox_id']}"
    status, changed = await owner.call("PATCH", path, {"display_name": "New", "metadata": {"a": 1, "b": "x"}})
    assert (status, changed["display_name"], changed["metadata"]) == (200, "New", {"a": 1, "b": "x"})
    _, changed = await owner.call("PATCH", path, {"metadata": {"a": None, "c": True}})
    assert changed["metadata"] == {"b": "x", "c": True}
    _, changed = await owner.call("PATCH", path, {"metadata": None, "display_name": None})
    assert "metadata" not in changed
    assert "display_name" not in changed
    assert await owner.call("DELETE", path) == (204, b"")
    assert (await owner.call("GET", path))[0] == 404


async def test_an_inbox_is_made_with_an_absent_an_empty_and_an_untyped_body(owner: Api) -> None:
    for options in (
        {},
        {"data": b"", "headers": {"Content-Type": "application/json"}},
        {"data": b"{}", "headers": {"Content-Type": "application/json"}},
        {"data": b"null", "headers": {"Content-Type": "application/json"}},
    ):
        status, made = await owner.call("POST", "/v0/inboxes", **options)
        assert status == 200, (options, made)
        check(made, INBOX)
        assert re.fullmatch(r"[a-z0-9-]+@agents\.test", made["inbox_id"])


async def test_a_message_with_everything_is_sent_and_read(caller: Any, server: Server) -> None:
    content = b"%PDF-1.4 not really"
    body = {
        "to": ["Bob Smith <bob@far.example>"], "cc": "cc@far.example", "bcc": ["bcc@far.example"],
        "reply_to": "reply@example.com", "subject": "Gr\u00fc\u00dfe", "text": "Plain text body",
        "html": "<p>HTML body</p>", "labels": ["sent", "important"],
        "attachments": [{
            "filename": "document.pdf", "content": base64.b64encode(content).decode(),
            "content_type": "application/pdf",
        }],
        "headers": {"X-Custom-Header": "value"},
    }  # fmt: skip
    sent = await caller.api.post(f"{caller.inbox}/messages", body)
    assert sent.keys() == {"message_id", "thread_id"}
    assert sent["message_id"].startswith("msg_")
    assert sent["thread_id"].startswith("thd_")
    assert not set("/?#% ") & set(sent["message_id"] + sent["thread_id"])

    got = await caller.api.get(f"{caller.inbox}/messages/{sent['message_id']}")
    check(got, ITEM)
    assert got["from"] == caller.agent.address
    assert got["to"] == ["Bob Smith <bob@far.example>"]
    assert (got["cc"], got["bcc"], got["reply_to"]) == (["cc@far.example"], ["bcc@far.example"], ["reply@example.com"])
    assert (got["subject"], got["text"].strip(), got["html"].strip()) == (
        "Gr\u00fc\u00dfe", "Plain text body", "<p>HTML body</p>",
    )  # fmt: skip
    assert "important" in got["labels"]
    assert got["headers"]["X-Custom-Header"] == "value"
    assert "Bcc" not in got["headers"]
    attachment = got["attachments"][0]
    assert (attachment["filename"], attachment["content_type"], attachment["size"]) == (
        "document.pdf", "application/pdf", len(content),
    )  # fmt: skip
    link = await caller.api.get(
        f"{caller.inbox}/messages/{sent['message_id']}/attachments/{attachment['attachment_id']}"
    )
    check(link, {"attachment_id": str} | LINK)
    raw = await caller.api.get(f"{caller.inbox}/messages/{sent['message_id']}/raw")
    check(raw, {"message_id": str} | LINK)
    assert raw["message_id"] == sent["message_id"]

    page = await caller.api.get(f"{caller.inbox}/messages", limit="10")
    check_list(page, "messages", ITEM)
    assert [m["message_id"] for m in page["messages"]] == [sent["message_id"]]
    assert not {"text", "html", "extracted_text", "headers"} & page["messages"][0].keys()


async def test_a_message_is_named_by_its_message_id_too(caller: Any, server: Server) -> None:
    header_id = server.send("ann@elsewhere.example", caller.agent.address, unique("Named"))
    await caller.agent.received((await _first(caller))["subject"])
    for name in (header_id, header_id.strip("<>"), header_id.replace("<", "%3C").replace(">", "%3E")):
        got = await caller.api.get(f"{caller.inbox}/messages/{name}")
        assert got["headers"]["Message-ID"] == header_id


async def _first(caller: Any) -> dict[str, Any]:
    from flows.server import until

    async def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await caller.api.get(f"{caller.inbox}/messages"))["messages"]
        return found

    return (await until(look, "a message"))[0]


async def test_threads_are_listed_and_read_oldest_first(caller: Any) -> None:
    sent = await caller.api.post(
        f"{caller.inbox}/messages/send", {"to": "b@far.example", "text": "One", "subject": "S"}
    )
    await caller.api.post(f"{caller.inbox}/messages/{sent['message_id']}/reply", {"to": "b@far.example", "text": "Two"})
    page = await caller.api.get(f"{caller.inbox}/threads", limit="10")
    check_list(page, "threads", THREAD)
    thread = await caller.api.get(f"{caller.inbox}/threads/{sent['thread_id']}")
    check(thread, THREAD)
    for message in thread["messages"]:
        check(message, ITEM)
    assert [m["text"].strip() for m in thread["messages"]] == ["One", "Two"]
    assert thread["last_message_id"] == thread["messages"][-1]["message_id"]
    assert await caller.api.call("DELETE", f"{caller.inbox}/threads/{sent['thread_id']}") == (204, b"")
    assert (await caller.api.get(f"{caller.inbox}/threads"))["threads"] == []


async def test_webhooks_are_made_listed_changed_and_deleted(owner: Api, server: Server) -> None:
    inbox = await server.agent()
    body = {
        "url": "https://your-domain.example/webhook", "client_id": unique("hook"), "enabled": True,
        "event_types": ["message.received"], "inbox_ids": [inbox.address],
    }  # fmt: skip
    made = await owner.post("/v0/webhooks", body)
    check(made, WEBHOOK)
    assert {name: made[name] for name in body} == body
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"), validate=True)) >= 24
    assert await owner.post("/v0/webhooks", body | {"url": "https://other.example/"}) == made
    path = f"/v0/webhooks/{made['webhook_id']}"
    assert await owner.get(path) == made
    check_list(await owner.get("/v0/webhooks"), "webhooks", WEBHOOK)
    other = await server.agent()
    _, changed = await owner.call(
        "PATCH", path, {"add_inbox_ids": [other.address], "remove_inbox_ids": [inbox.address]}
    )
    assert changed["inbox_ids"] == [other.address]
    _, changed = await owner.call("PUT", path, {"url": "https://new.example/hook", "inbox_ids": []})
    assert changed["url"] == "https://new.example/hook"
    assert "inbox_ids" not in changed
    _, changed = await owner.call("PATCH", path, {"event_types": []})
    assert changed["event_types"] == ["message.received"], "an empty list keeps what was"
    assert await owner.call("DELETE", path) == (204, b"")
    assert (await owner.call("GET", path))[0] == 404
