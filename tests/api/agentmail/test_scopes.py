"""What a key may not see is not found, everywhere; and no key makes a stronger one."""

from __future__ import annotations

from typing import Any

import pytest

from api.agentmail.conftest import Whole
from flows.server import Api, unique


async def refused(api: Api, method: str, path: str, body: Any = None) -> tuple[int, str]:
    status, error = await api.call(method, path, body)
    return status, error["code"]


async def test_a_pod_holds_inboxes_of_its_own_and_is_deleted_when_empty(whole: Whole) -> None:
    name = unique("pod")
    pod = await whole.api.post("/v0/pods", {"name": "Team", "client_id": name})
    assert await whole.api.post("/v0/pods", {"name": "Other", "client_id": name}) == pod
    assert await whole.api.get(f"/v0/pods/{name}") == pod, "a pod may be named by its client id"
    path = f"/v0/pods/{pod['pod_id']}"
    inbox = await whole.api.post(f"{path}/inboxes", {"username": unique("mate")})
    assert inbox["pod_id"] == pod["pod_id"]
    assert (await whole.api.get(f"{path}/inboxes"))["inboxes"] == [inbox]
    assert await whole.api.get(f"{path}/inboxes/{inbox['inbox_id']}") == inbox
    assert await refused(whole.api, "DELETE", path) == (403, "cannot_delete")
    other = await whole.inbox()
    assert await refused(whole.api, "GET", f"{path}/inboxes/{other}") == (404, "not_found")
    assert (await whole.api.call("DELETE", f"{path}/inboxes/{inbox['inbox_id']}"))[0] == 204
    assert (await whole.api.call("DELETE", path))[0] == 204
    assert await refused(whole.api, "GET", path) == (404, "not_found")
    default = (await whole.api.get(f"/v0/inboxes/{other}"))["pod_id"]
    assert await refused(whole.api, "DELETE", f"/v0/pods/{default}") == (403, "cannot_delete")


async def outside(whole: Whole) -> dict[str, str]:
    """One of everything, in the default pod."""
    inbox = await whole.inbox(client_id=unique("outside"))
    await whole.mail(inbox, subject="Secret words")
    (message,) = (await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]
    draft = await whole.api.post(f"/v0/inboxes/{inbox}/drafts", {"subject": "x", "client_id": unique("draft")})
    hook = await whole.api.post("/v0/webhooks", {"url": "https://a.example/", "client_id": unique("hook")})
    key = await whole.api.post("/v0/api-keys", {})
    domain = await whole.api.post("/v0/domains", {"domain": f"{unique('d')}.example"})
    await whole.api.post(f"/v0/inboxes/{inbox}/lists/send/block", {"entry": "a.example"})
    return {
        "inbox": inbox, "pod": (await whole.api.get(f"/v0/inboxes/{inbox}"))["pod_id"],
        "message": message["message_id"], "thread": message["thread_id"], "draft": draft["draft_id"],
        "hook": hook["webhook_id"], "key": key["api_key_id"], "domain": domain["domain_id"],
        "hook_client": hook["client_id"],
    }  # fmt: skip


@pytest.mark.parametrize("scope", ["pod", "inbox"])
async def test_nothing_outside_of_its_scope_is_there_for_a_key(whole: Whole, scope: str) -> None:
    there = await outside(whole)
    pod = await whole.api.post("/v0/pods", {})
    mate = (await whole.api.post(f"/v0/pods/{pod['pod_id']}/inboxes", {}))["inbox_id"]
    key = await whole.key(f"/pods/{pod['pod_id']}" if scope == "pod" else f"/inboxes/{mate}")
    async with whole.api_with(key) as api:
        for path in (
            "/v0/inboxes/{inbox}", "/v0/inboxes/{inbox}/messages", "/v0/inboxes/{inbox}/messages/{message}",
            "/v0/inboxes/{inbox}/messages/search?q=secret", "/v0/inboxes/{inbox}/threads", "/v0/inboxes/{inbox}/drafts",
            "/v0/inboxes/{inbox}/events", "/v0/inboxes/{inbox}/metrics/events", "/v0/inboxes/{inbox}/api-keys",
            "/v0/inboxes/{inbox}/lists/send/block", "/v0/inboxes/{inbox}/webhooks", "/v0/threads/{thread}",
            "/v0/drafts/{draft}", "/v0/pods/{pod}", "/v0/pods/{pod}/threads", "/v0/pods/{pod}/drafts",
            "/v0/pods/{pod}/inboxes", "/v0/pods/{pod}/threads/{thread}", "/v0/pods/{pod}/metrics/usage",
            "/v0/webhooks/{hook}", "/v0/webhooks/{hook}/deliveries", "/v0/api-keys/{key}", "/v0/domains/{domain}",
            "/v0/domains/{domain}/zone-file", "/v0/organizations",
        ):  # fmt: skip
            assert await refused(api, "GET", path.format(**there)) == (404, "not_found"), path
        for method, path, body in (
            ("PATCH", "/v0/threads/{thread}", {"add_labels": ["x"]}), ("DELETE", "/v0/threads/{thread}", None),
            ("DELETE", "/v0/inboxes/{inbox}", None), ("POST", "/v0/inboxes/{inbox}/messages", {"to": "a@b.example"}),
            ("POST", "/v0/inboxes/{inbox}/drafts", {}), ("DELETE", "/v0/inboxes/{inbox}/drafts/{draft}", None),
            ("POST", "/v0/inboxes/{inbox}/messages/batch-get", {"message_ids": [there["message"]]}),
            ("POST", "/v0/webhooks", {"url": "https://a.example/", "inbox_ids": [there["inbox"]]}),
            ("PATCH", "/v0/webhooks/{hook}", {"enabled": False}), ("POST", "/v0/webhooks/{hook}/test", {}),
            ("DELETE", "/v0/api-keys/{key}", None), ("POST", "/v0/pods/{pod}/api-keys", {}),
            ("POST", "/v0/inboxes/{inbox}/api-keys", {}), ("POST", "/v0/domains/{domain}/verify", None),
        ):  # fmt: skip
            assert await refused(api, method, path.format(**there), body) == (404, "not_found"), path
        for path, plural in (
            ("/v0/threads", "threads"), ("/v0/drafts", "drafts"), ("/v0/webhooks", "webhooks"),
            ("/v0/threads/search?q=secret", "threads"), ("/v0/domains", "domains"),
        ):  # fmt: skip
            assert (await api.get(path))[plural] == [], path
        assert [each["inbox_id"] for each in (await api.get("/v0/inboxes"))["inboxes"]] == [mate]
        assert (await api.get("/v0/api-keys"))["count"] == 1, "its own"
        taken = {"url": "https://b.example/", "client_id": there["hook_client"]}
        assert await refused(api, "POST", "/v0/webhooks", taken) == (403, "already_exists")
        identity = await api.get("/v0/auth/me")
        assert (identity["scope_type"], identity["scope_id"]) == (scope, mate if scope == "inbox" else pod["pod_id"])


async def test_no_key_makes_or_becomes_a_stronger_one(whole: Whole) -> None:
    permissions = {"api_key_create": True, "api_key_update": True, "message_read": True}
    key = await whole.key(permissions=permissions)
    async with whole.api_with(key) as api:
        assert await refused(api, "POST", "/v0/api-keys", {"permissions": {"message_send": True}}) == (
            403, "permission_escalation",
        )  # fmt: skip
        assert await refused(api, "POST", "/v0/api-keys", {}) == (403, "unrestricted_key_required")
        made = await api.post("/v0/api-keys", {"permissions": {"message_read": True, "message_send": False}})
        assert made["permissions"] == {"message_read": True}
        path = f"/v0/api-keys/{made['api_key_id']}"
        assert await refused(api, "PATCH", path, {"permissions": {"pod_create": True}}) == (
            403, "permission_escalation",
        )  # fmt: skip
        assert await refused(api, "GET", "/v0/inboxes") == (403, "missing_permission")
        assert await refused(api, "POST", "/v0/webhooks", {"url": "https://a.example/"}) == (403, "missing_permission")
    assert await refused(whole.api, "POST", "/v0/api-keys", {"permissions": {"fly": True}}) == (400, "validation_error")


async def test_a_webhook_or_a_plan_gives_no_right_its_maker_lacks(whole: Whole) -> None:
    inbox = await whole.inbox()
    hook = await whole.api.post("/v0/webhooks", {"url": "https://a.example/"})
    rights = ["webhook_create", "webhook_update", "webhook_read", "draft_create", "draft_read", "draft_update"]
    async with whole.api_with(await whole.key(permissions=dict.fromkeys(rights, True))) as api:
        assert await refused(api, "POST", "/v0/webhooks", {"url": "https://b.example/"}) == (403, "missing_permission")
        change = {"url": "https://b.example/"}
        assert await refused(api, "PATCH", f"/v0/webhooks/{hook['webhook_id']}", change) == (
            403, "permission_escalation",
        )  # fmt: skip
        plan = {"to": "a@b.example", "send_at": "2100-01-01T00:00:00Z"}
        assert await refused(api, "POST", f"/v0/inboxes/{inbox}/drafts", plan) == (403, "missing_permission")


async def test_labels_a_key_may_not_see_hide_their_messages_in_every_answer(whole: Whole) -> None:
    inbox = await whole.inbox()
    await whole.mail(inbox, subject="Tucked away")
    (message,) = (await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]
    one = f"/v0/inboxes/{inbox}/messages/{message['message_id']}"
    assert (await whole.api.call("PATCH", one, {"add_labels": ["spam"]}))[0] == 200
    rights = dict.fromkeys(("message_read", "message_update", "message_delete", "webhook_create"), True)
    async with whole.api_with(await whole.key(permissions=rights)) as api:
        for path in (one, one + "/raw", f"/v0/threads/{message['thread_id']}"):
            assert await refused(api, "GET", path) == (404, "not_found")
        assert (await api.get(f"/v0/inboxes/{inbox}/messages", include_spam="true"))["count"] == 0
        assert (await api.get("/v0/threads", include_spam="true"))["count"] == 0
        assert (await api.get(f"/v0/inboxes/{inbox}/messages/search", q="tucked"))["count"] == 0
        assert (await api.get(f"/v0/inboxes/{inbox}/events"))["count"] == 0
        found = await api.post(f"/v0/inboxes/{inbox}/messages/batch-get", {"message_ids": [message["message_id"]]})
        assert found["count"] == 0
        assert await refused(api, "DELETE", one) == (404, "not_found")
        body = {"url": "https://a.example/", "event_types": ["message.received.spam"]}
        assert await refused(api, "POST", "/v0/webhooks", body) == (403, "missing_permission")


async def test_an_inbox_event_tells_each_label_that_came_and_went(whole: Whole) -> None:
    inbox = await whole.inbox()
    await whole.mail(inbox)
    (message,) = (await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]
    one = f"/v0/inboxes/{inbox}/messages/{message['message_id']}"
    for body in ({"add_labels": ["vip", "read"]}, {"add_labels": ["trash"]}, {"remove_labels": ["trash", "vip"]}):
        await whole.api.call("PATCH", one, body)
        whole.inside.clock.forward(seconds=1)
    events = (await whole.api.get(f"/v0/inboxes/{inbox}/events", ascending="true"))["events"]
    assert sorted((each["event_type"], each["label"]) for each in events) == [
        ("label.added", "trash"), ("label.added", "vip"), ("label.removed", "trash"), ("label.removed", "unread"),
        ("label.removed", "vip"),
    ]  # fmt: skip
    newest = await whole.api.get(f"/v0/inboxes/{inbox}/events", limit="1")
    assert newest["events"][0] == events[-1]
    assert newest["next_page_token"]


async def test_what_changes_about_a_key_or_an_inbox_holds_from_the_next_call(whole: Whole) -> None:
    inbox = (await whole.api.post("/v0/inboxes", {"username": unique("short")}))["inbox_id"]
    path = f"/v0/inboxes/{inbox}/messages"
    made = await whole.api.post("/v0/api-keys", {"name": "short", "permissions": {"message_read": True}})
    async with whole.api_with(made["api_key"]) as api:
        assert (await api.call("GET", path))[0] == 200
        changed = {"permissions": {"inbox_read": True}}
        assert (await whole.api.call("PATCH", f"/v0/api-keys/{made['api_key_id']}", changed))[0] == 200
        assert (await api.call("GET", path))[0] == 403, "what it lost"
        assert (await api.call("GET", f"/v0/inboxes/{inbox}"))[0] == 200, "what it gained"
        assert (await whole.api.call("GET", path))[0] == 200
        assert (await whole.api.call("DELETE", f"/v0/inboxes/{inbox}"))[0] in (200, 202, 204)
        assert (await whole.api.call("GET", path))[0] == 404, "the inbox is gone"
        assert (await whole.api.call("DELETE", f"/v0/api-keys/{made['api_key_id']}"))[0] == 204
        assert (await api.call("GET", "/v0/inboxes"))[0] == 401, "and so is the key"
