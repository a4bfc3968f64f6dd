"""Whatever is wrong with a request: the contract's error, in both of its shapes, naming the field."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from typing import Any

import pytest

from flows.server import Api, Server, unique

NAMES = {
    "validation_error": (400, "ValidationError"), "missing_authorization": (401, "UnauthorizedError"),
    "invalid_token_type": (401, "UnauthorizedError"), "unknown_api_key": (401, "UnauthorizedError"),
    "missing_permission": (403, "ForbiddenError"), "resource_taken": (403, "IsTakenError"),
    "message_rejected": (403, "MessageRejectedError"), "not_found": (404, "NotFoundError"),
    "conflict": (409, "ConflictError"), "unprocessable": (422, "UnprocessableError"),
    "cannot_delete": (403, "ForbiddenError"),
}  # fmt: skip


def check(answer: tuple[int, Any], code: str, field: str | None = None) -> dict[str, Any]:
    """The error in both shapes."""
    status, body = answer
    assert isinstance(body, dict), answer
    assert (status, body["name"]) == NAMES[code], answer
    assert body["code"] == body["error"]["type"] == code
    assert body["message"] == body["error"]["message"] != ""
    assert body["error"]["details"]["code"] == body["error"]["details"]["code"].upper()
    assert ("errors" in body) == (status == 400)
    if field is not None:
        assert body["error"]["details"].get("field") == field, body
        if status == 400:
            path = ".".join(str(part) for part in body["errors"][0]["path"])
            assert path == field
            assert body["errors"][0]["message"] == body["message"]
    return body


SEND = {"to": "bob@far.example", "text": "Hi."}
FILE = {"filename": "a.txt", "content": base64.b64encode(b"x").decode()}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": "no address"}, "to"),
        ({"to": ["bob@far.example", "nobody@"]}, "to.1"),
        ({"to": "a@b.example, c@d.example"}, "to"),
        ({"to": "a@b.example\r\nBcc: c@d.example"}, "to"),
        ({"to": 5}, "to"),
        ({"to": [5]}, "to.0"),
        ({"to": {"email": "a@b.example"}}, "to"),
        ({"cc": "@far.example"}, "cc"),
        ({"bcc": ["x" * 65 + "@far.example"]}, "bcc.0"),
        ({"reply_to": "nobody"}, "reply_to"),
        ({"subject": 5}, "subject"),
        ({"subject": "a\r\nBcc: c@d.example"}, "subject"),
        ({"text": ["a"]}, "text"),
        ({"labels": "one"}, "labels"),
        ({"labels": [""]}, "labels"),
        ({"labels": ["a\nb"]}, "labels"),
        ({"labels": ["x" * 300]}, "labels"),
        ({"labels": ["$seen"]}, "labels"),
        ({"headers": {"Bad Name": "x"}}, "headers"),
        ({"headers": {"X-A": "x\r\nBcc: c@d.example"}}, "headers.X-A"),
        ({"headers": {"From": "other@far.example"}}, "headers.From"),
        ({"headers": {"DKIM-Signature": "x"}}, "headers.DKIM-Signature"),
        ({"headers": {"X-A": 5}}, "headers"),
        ({"attachments": [FILE, {"filename": "a"}]}, "attachments.1"),
        ({"attachments": [FILE | {"url": "https://a.example/"}]}, "attachments.0"),
        ({"attachments": [{"content": "no base64!"}]}, "attachments.0.content"),
        ({"attachments": [{"content": "QUI"}]}, "attachments.0.content"),
        ({"attachments": [FILE | {"content_disposition": "hidden"}]}, "attachments.0.content_disposition"),
        ({"attachments": [FILE | {"content_type": "no type"}]}, "attachments.0.content_type"),
        ({"attachments": [FILE | {"content_type": "text/plain\r\nX: y"}]}, "attachments.0.content_type"),
        ({"attachments": FILE}, "attachments"),
        ({"to": [f"r{n}@far.example" for n in range(51)]}, "to"),
    ],
)
async def test_a_send_with_a_wrong_field_is_refused_by_its_name(
    caller: Any, change: dict[str, Any], field: str
) -> None:
    check(await caller.api.call("POST", f"{caller.inbox}/messages", SEND | change), "validation_error", field)
    assert (await caller.api.get(f"{caller.inbox}/messages"))["messages"] == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"5", b"\xff\xfe", b'{"to": "\xff"}', b"[" * 100_000])
async def test_a_body_that_is_no_object_is_refused(caller: Any, body: bytes) -> None:
    answer = await caller.api.call(
        "POST", f"{caller.inbox}/messages", data=body, headers={"Content-Type": "application/json"}
    )
    check(answer, "validation_error")


async def test_a_send_without_recipients_is_unprocessable(caller: Any) -> None:
    bodies: tuple[dict[str, Any], ...] = ({"text": "Hi."}, {"to": []}, {"to": "", "cc": []})
    for body in bodies:
        check(await caller.api.call("POST", f"{caller.inbox}/messages", body), "unprocessable")


async def test_fifty_recipients_in_all_are_taken_and_not_one_more(caller: Any) -> None:
    many = [f"r{n}@far.example" for n in range(50)]
    body = {"to": many[:20], "cc": many[20:40], "bcc": many[40:], "text": "Hi."}
    check(
        await caller.api.call("POST", f"{caller.inbox}/messages", body | {"bcc": [*many[40:], "x@y.example"]}),
        "validation_error",
    )
    assert (await caller.api.call("POST", f"{caller.inbox}/messages", body))[0] == 200


async def test_a_message_over_the_limit_is_refused_before_and_after_it_is_read(caller: Any) -> None:
    for size in (1_100_000, 4_000_000):
        body = io.BytesIO(json.dumps(SEND | {"text": "x" * size}).encode())
        answer = await caller.api.call(
            "POST", f"{caller.inbox}/messages", data=body, headers={"Content-Type": "application/json"}
        )
        check(answer, "validation_error")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("messages/msg_unknown", "not_found"), ("messages/unknown", "not_found"), ("messages/%3Ca@b%3E", "not_found"),
        ("messages/%3Ca/b+c@d%3E", "not_found"), ("messages/msg_%00", "not_found"), ("messages/msg_" + "x" * 3000, "not_found"),
        ("threads/thd_unknown", "not_found"), ("threads/%F0%9F%98%80", "not_found"), ("messages/msg_%FF", "not_found"),
        ("messages/msg_x/raw", "not_found"), ("messages/msg_x/attachments/att_x", "not_found"),
        ("nothing", "not_found"), ("messages/msg_x/nothing", "not_found"),
    ],
)  # fmt: skip
async def test_an_id_that_is_not_there_is_not_found(caller: Any, path: str, code: str) -> None:
    from yarl import URL

    check(await caller.api.call("GET", URL(f"{caller.agent.server.url}{caller.inbox}/{path}", encoded=True)), code)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"), ({"limit": "101"}, "limit"), ({"limit": "ten"}, "limit"), ({"limit": "1e9"}, "limit"),
        ({"limit": "9" * 40}, "limit"), ({"page_token": "nonsense"}, "page_token"), ({"page_token": "W10"}, "page_token"),
        ({"page_token": "\u00e4"}, "page_token"), ({"ascending": "maybe"}, "ascending"),
        ({"before": "yesterday"}, "before"), ({"after": "2026-13-01T00:00:00Z"}, "after"),
        ({"labels": "[1]"}, "labels"), ({"labels": '["a"'}, "labels"), ({"include_spam": "2"}, "include_spam"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("plural", ["messages", "threads"])
async def test_a_query_with_a_wrong_value_is_refused_by_its_name(
    caller: Any, plural: str, query: dict[str, str], field: str
) -> None:
    check(await caller.api.call("GET", f"{caller.inbox}/{plural}", params=query), "validation_error", field)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"username": "white space"}, "validation_error", "username"),
        ({"username": "a@b"}, "validation_error", "username"),
        ({"username": "x" * 65}, "validation_error", "username"),
        ({"username": "postmaster"}, "validation_error", "username"),
        ({"username": 5}, "validation_error", "username"),
        ({"domain": "not ours"}, "validation_error", "domain"),
        ({"domain": "example.org"}, "unprocessable", "domain"),
        ({"display_name": "a\nb"}, "validation_error", "display_name"),
        ({"client_id": "has@sign"}, "validation_error", "client_id"),
        ({"client_id": ""}, "validation_error", "client_id"),
        ({"client_id": "x" * 257}, "validation_error", "client_id"),
        ({"metadata": {str(n): n for n in range(51)}}, "validation_error", "metadata"),
        ({"metadata": []}, "validation_error", "metadata"),
    ],
)
async def test_an_inbox_with_a_wrong_field_is_refused_by_its_name(
    owner: Api, body: dict[str, Any], code: str, field: str
) -> None:
    check(await owner.call("POST", "/v0/inboxes", body), code, field)


async def test_a_taken_address_is_refused_and_stays_reserved_after_deletion(owner: Api) -> None:
    name = unique("taken")
    made = await owner.post("/v0/inboxes", {"username": name})
    check(await owner.call("POST", "/v0/inboxes", {"username": name.upper()}), "resource_taken", "username")
    await owner.call("DELETE", f"/v0/inboxes/{made['inbox_id']}")
    check(await owner.call("POST", "/v0/inboxes", {"username": name}), "resource_taken", "username")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "ftp://a.example/"}, "url"), ({"url": "not a url"}, "url"), ({"url": ""}, "url"), ({"url": 5}, "url"),
        ({"url": "https://user:pw@a.example/"}, "url"), ({"url": "https://a.example/" + "x" * 3000}, "url"),
        ({"event_types": ["message.eaten"]}, "event_types.0"), ({"event_types": "message.sent"}, "event_types"),
        ({"inbox_ids": ["nobody@agents.test"]}, None), ({"client_id": "a b"}, "client_id"),
        ({"inbox_ids": [f"i{n}@agents.test" for n in range(11)]}, "inbox_ids"),
        ({"headers": {"svix-id": "x"}}, "headers.svix-id"), ({"headers": {"Cookie": "x"}}, "headers.Cookie"), ({"headers": {"X": "a\r\nb"}}, "headers.X"),
    ],
)  # fmt: skip
async def test_a_webhook_with_a_wrong_field_is_refused_by_its_name(
    owner: Api, change: dict[str, Any], field: str | None
) -> None:
    answer = await owner.call("POST", "/v0/webhooks", {"url": "https://a.example/hook"} | change)
    check(answer, "validation_error" if field else "not_found", field)


async def test_a_webhook_without_a_url_is_refused(owner: Api) -> None:
    check(await owner.call("POST", "/v0/webhooks", {"enabled": True}), "validation_error", "url")


async def test_an_update_that_says_nothing_is_refused(caller: Any) -> None:
    check(await caller.api.call("PATCH", caller.inbox, {}), "validation_error")
    check(await caller.api.call("PATCH", caller.inbox, {"metadata": {}}), "validation_error", "metadata")


async def test_without_a_key_or_with_a_wrong_one_nothing_is_told(server: Server) -> None:
    agent = await server.agent()
    path = f"/v0/inboxes/{agent.address}"
    owner_key = (server.data_dir / "owner.key").read_text().strip()
    for headers, code in (
        ({"Authorization": ""}, "missing_authorization"),
        ({"Authorization": "Basic YTpi"}, "missing_authorization"),
        ({"Authorization": "Bearer "}, "missing_authorization"),
        ({"Authorization": "Bearer am_wrong"}, "unknown_api_key"),
        ({"Authorization": f"Bearer {agent.key}x"}, "unknown_api_key"),
        ({"Authorization": f"Bearer {owner_key}"}, "invalid_token_type"),
    ):
        async with server.api("x") as api:
            check(await api.call("GET", path, headers=headers), code)
            check(await api.call("GET", "/v0/inboxes/nobody@agents.test", headers=headers), code)
    for headers in ({"Authorization": f"bEARER {agent.key}"}, {"Authorization": "", "X-API-Key": agent.key}):
        async with server.api("x") as api:
            assert (await api.call("GET", path, headers=headers))[0] == 200


async def test_what_a_key_may_not_see_is_not_found(server: Server) -> None:
    mine, theirs = await server.agent(), await server.agent()
    sent = await theirs.send("bob@far.example")
    hook = await theirs.post("/v0/webhooks", {"url": "https://a.example/hook"})
    path = f"/v0/inboxes/{theirs.address}"
    message = f"{path}/messages/{sent['message_id']}"
    for method, where, body in (
        ("GET", path, None), ("PATCH", path, {"display_name": "x"}), ("DELETE", path, None),
        ("GET", f"{path}/messages", None), ("POST", f"{path}/messages", SEND), ("GET", message, None),
        ("PATCH", message, {"add_labels": ["x"]}), ("DELETE", message, None), ("GET", f"{message}/raw", None),
        ("POST", f"{message}/reply", {"text": "x"}), ("GET", f"{path}/threads", None),
        ("GET", f"{path}/threads/{sent['thread_id']}", None), ("DELETE", f"{path}/threads/{sent['thread_id']}", None),
        ("GET", f"/v0/webhooks/{hook['webhook_id']}", None), ("DELETE", f"/v0/webhooks/{hook['webhook_id']}", None),
        ("PUT", f"/v0/webhooks/{hook['webhook_id']}", {"enabled": False}),
        ("GET", f"/v0/inboxes/{mine.address}/messages/{sent['message_id']}", None),
        ("GET", f"/v0/inboxes/{mine.address}/threads/{sent['thread_id']}", None),
    ):  # fmt: skip
        check(await mine.call(method, where, body), "not_found")
    assert [i["inbox_id"] for i in (await mine.get("/v0/inboxes"))["inboxes"]] == [mine.address]
    assert (await mine.get("/v0/webhooks"))["webhooks"] == []
    assert (await theirs.message(sent["message_id"]))["labels"][-1] == "sent"
    assert (await theirs.get(f"/v0/webhooks/{hook['webhook_id']}"))["enabled"] is True


async def test_a_key_does_only_what_its_permissions_say(server: Server) -> None:
    full = await server.agent()
    sent = await full.send("bob@far.example")
    made = await server.command("key_create", surface="agentmail", inbox=full.address, scopes=["inbox_read"])
    async with server.api(made["key"]) as api:
        path = f"/v0/inboxes/{full.address}"
        assert (await api.call("GET", path))[0] == 200
        for method, where, body in (
            ("GET", f"{path}/messages", None), ("POST", f"{path}/messages", SEND),
            ("PATCH", f"{path}/messages/{sent['message_id']}", {"add_labels": ["x"]}),
            ("DELETE", f"{path}/messages/{sent['message_id']}", None), ("DELETE", path, None),
            ("GET", f"{path}/threads", None), ("PATCH", path, {"display_name": "x"}), ("POST", "/v0/inboxes", {}),
            ("GET", "/v0/webhooks", None), ("POST", "/v0/webhooks", {"url": "https://a.example/"}),
        ):  # fmt: skip
            check(await api.call(method, where, body), "missing_permission")


async def test_mail_with_a_label_the_key_may_not_see_is_not_there(server: Server) -> None:
    full = await server.agent()
    subject = unique("Hidden")
    server.send("ann@elsewhere.example", full.address, subject)
    got = await full.received(subject)
    await full.call("PATCH", f"messages/{got['message_id']}", {"add_labels": ["spam"]})
    made = await server.command(
        "key_create",
        surface="agentmail",
        inbox=full.address,
        scopes=["message_read", "message_update", "webhook_create"],
    )
    async with server.api(made["key"]) as api:
        path = f"/v0/inboxes/{full.address}"
        for query in ({"include_spam": "true"}, {"labels": "spam"}):
            assert (await api.get(f"{path}/messages", **query))["messages"] == []
            assert (await api.get(f"{path}/threads", **query))["threads"] == []
        check(await api.call("GET", f"{path}/messages/{got['message_id']}"), "not_found")
        check(await api.call("GET", f"{path}/threads/{got['thread_id']}"), "not_found")
        body = {"url": "https://a.example/", "event_types": ["message.received.spam"]}
        check(await api.call("POST", "/v0/webhooks", body), "missing_permission")


async def test_the_operators_inbox_cannot_be_deleted(owner: Api) -> None:
    status, _ = await owner.call("DELETE", "/v0/inboxes/catch@agents.test")
    assert status == 403
    assert (await owner.call("GET", "/v0/inboxes/catch@agents.test"))[0] == 200


async def test_an_attachment_that_cannot_be_fetched_is_a_rejected_message(caller: Any) -> None:
    body = SEND | {"attachments": [{"url": "http://127.0.0.1:9/nothing"}]}
    check(await caller.api.call("POST", f"{caller.inbox}/messages", body), "message_rejected")


async def test_a_wrong_method_is_refused_in_the_same_shape(caller: Any) -> None:
    status, body = await caller.api.call("PUT", f"{caller.inbox}/messages", {})
    assert status == 405
    assert body["error"]["type"]


@pytest.mark.parametrize("key", ["", "Authorization: Bearer am_unknown\r\n"])
@pytest.mark.parametrize(
    "path", ["/v0/inboxes", "/v0/inboxes/a@agents.test/messages/send", "/jmap/", "/jmap/upload/a/"]
)
async def test_who_has_no_key_is_told_so_before_his_body_is_read(server: Server, key: str, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: agents.test\r\n{key}Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http)
    try:
        writer.write(head.encode() + b"{")  # and no more of it
        async with asyncio.timeout(20):
            status = await reader.readline()
        assert status.split()[1] in (b"401", b"403"), status
    finally:
        writer.close()


@pytest.mark.parametrize("dense", [b'{"to": [' + b"[]," * 150_000 + b"[]]}", b'{"headers": {' + b'"X":"y",' * 120_000 + b'"X":"y"}}',
                                   b"[" + b'{"a":1},' * 120_000 + b"1]"], ids=["lists", "names", "objects"])  # fmt: skip
async def test_a_body_of_very_many_values_is_refused_before_they_are_made(caller: Any, dense: bytes) -> None:
    status, body = await caller.api.call(
        "POST", f"{caller.inbox}/messages/send", data=dense, headers={"Content-Type": "application/json"}
    )
    assert (status, "values" in body["message"]) == (400, True), (status, body)


async def test_a_long_body_is_read_as_a_short_one_is(caller: Any) -> None:
    content = base64.b64encode(bytes(range(256)) * 1_200).decode()
    spread = "\r\n ".join(content[at : at + 76] for at in range(0, len(content), 76))
    for written in (content, spread):
        mail = {
            "to": ["bob@far.example"],
            "subject": unique("Long"),
            "attachments": [{"filename": "a", "content": written}],
        }
        sent = await caller.api.post(f"{caller.inbox}/messages/send", mail)
        assert (await caller.api.get(f"{caller.inbox}/messages/{sent['message_id']}"))["attachments"][0][
            "size"
        ] == 307_200
    for broken in (content + "A", content[:-1], content[:1_000] + "!" + content[1_000:]):
        mail = {"to": ["bob@far.example"], "subject": "Broken", "attachments": [{"filename": "a", "content": broken}]}
        check(await caller.api.call("POST", f"{caller.inbox}/messages/send", json=mail), "validation_error")
    more = {"to": ["bob@far.example"] * 1_001, "subject": "x" * 70_000}
    check(await caller.api.call("POST", f"{caller.inbox}/messages/send", json=more), "validation_error")
    assert (
        await caller.api.call("POST", f"{caller.inbox}/messages/send", json={**more, "to": [], "status": "paused"})
    )[0] == 400
    status, _ = await caller.api.call(
        "POST",
        f"{caller.inbox}/messages/send",
        data=b'{"a": "' + b"x" * 90_000,
        headers={"Content-Type": "application/json"},
    )
    assert status == 400
