"""Permissions are about what is returned, not only about the verb.

A secret of each kind is planted. A key that has every permission but the one to read that kind calls every
operation: the secret comes back from none of them. So it comes back to no key that has fewer permissions either.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec
import pytest

from api.agentmail.conftest import Whole
from flows.server import unique
from posthouse.api.agentmail.app import HANDLERS
from posthouse.api.agentmail.permissions import PERMISSIONS
from posthouse.kit.clock import iso

# The permission to read → the words that only who has it may see.
SECRETS = {
    "message_read": ("sesame-subject", "sesame-text", "sesame-label", "sesame@hidden.example"),
    "draft_read": ("sesame-draft",),
    "webhook_read": ("whsec_", "sesame-url"),
    "inbox_read": ("sesame-note",),
    "list_entry_read": ("sesame-reason",),
    "api_key_read": ("sesame-key",),
    "domain_read": ("v=DKIM1", "v=spf1"),
    "pod_read": ("sesame-pod",),
    "label_blocked_read": ("sesame-blocked",),
    "label_spam_read": ("sesame-spam",),
    "label_trash_read": ("sesame-trash",),
}


class Plants:
    """A secret of each kind, under ids that the key knows."""

    ids: dict[str, str]

    def __init__(self, whole: Whole) -> None:
        self.whole = whole

    async def put(self) -> None:
        api, name = self.whole.api, unique("plant")
        made = await api.post("/v0/inboxes", {"client_id": name, "metadata": {"note": "sesame-note"}})
        inbox = made["inbox_id"]
        await api.post(
            f"/v0/inboxes/{inbox}/lists/receive/block", {"entry": "blocked.example", "reason": "sesame-reason"}
        )
        await self.whole.mail(inbox, "sesame@hidden.example", subject="sesame-subject", text="sesame-text\n")
        (message,) = (await api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]
        header = (await api.get(f"/v0/inboxes/{inbox}/messages/{message['message_id']}"))["headers"]["Message-ID"]
        one = f"/v0/inboxes/{inbox}/messages/{message['message_id']}"
        assert (await api.call("PATCH", one, {"add_labels": ["sesame-label"]}))[0] == 200
        for kind in ("blocked", "spam", "trash"):
            sender = f"sesame-{kind}@{kind}.example"
            await self.whole.mail(inbox, sender, subject=f"sesame-{kind}", In_Reply_To=header, References=header)
        everything = {f"include_{kind}": "true" for kind in ("spam", "blocked", "trash")}
        for item in (await api.get(f"/v0/inboxes/{inbox}/messages", **everything))["messages"]:
            kind = item.get("subject", "").removeprefix("sesame-")
            if kind in ("spam", "trash"):
                path = f"/v0/inboxes/{inbox}/messages/{item['message_id']}"
                assert (await api.call("PATCH", path, {"add_labels": [kind]}))[0] == 200
        draft = await api.post(f"/v0/inboxes/{inbox}/drafts", {"subject": "sesame-draft", "client_id": name,
                                                               "to": "a@b.example"})  # fmt: skip
        plan = {"subject": "sesame-draft", "to": "a@b.example", "send_at": iso(self.whole.inside.clock.at + 10**9)}
        planned = await api.post(f"/v0/inboxes/{inbox}/drafts", plan)
        hook = await api.post("/v0/webhooks", {"url": "https://a.example/sesame-url", "client_id": name})
        tried = await api.post(f"/v0/webhooks/{hook['webhook_id']}/test", {})
        key = await api.post("/v0/api-keys", {"name": "sesame-key", "permissions": {"inbox_create": True}})
        domain = await api.post("/v0/domains", {"domain": f"{name}.example", "client_id": name})
        pod = await api.post("/v0/pods", {"name": "sesame-pod", "client_id": name})
        self.ids = {
            "inbox": inbox, "message": message["message_id"], "thread": message["thread_id"], "name": name,
            "draft": draft["draft_id"], "planned": planned["draft_id"], "webhook": hook["webhook_id"],
            "delivery": tried["delivery_id"], "key": key["api_key_id"], "domain": domain["domain_id"],
            "pod": pod["pod_id"], "default": made["pod_id"],
        }  # fmt: skip

    def operations(self) -> list[tuple[str, str, str, Any]]:
        """(operation, method, path, body) of all but those that destroy."""
        ids = self.ids
        inbox, message = f"/v0/inboxes/{ids['inbox']}", f"/v0/inboxes/{ids['inbox']}/messages/{ids['message']}"
        hook, later = f"/v0/webhooks/{ids['webhook']}", iso(self.whole.inside.clock.at + 10**9)
        shown = "?include_spam=true&include_blocked=true&include_trash=true&include_unauthenticated=true"
        return [
            ("organizations_get", "GET", "/v0/organizations", None), ("auth_me", "GET", "/v0/auth/me", None),
            ("inboxes_create", "POST", "/v0/inboxes", {"client_id": ids["name"]}),
            ("inboxes_list", "GET", "/v0/inboxes", None), ("inboxes_search", "GET", "/v0/inboxes/search?q=a", None),
            ("inboxes_get", "GET", inbox, None), ("inboxes_update", "PATCH", inbox, {"metadata": {"more": "x"}}),
            ("inboxes_events_list", "GET", inbox + "/events", None),
            ("messages_list", "GET", inbox + "/messages" + shown, None), ("messages_get", "GET", message, None),
            ("messages_search", "GET", inbox + "/messages/search?q=sesame", None),
            ("messages_batch_get", "POST", inbox + "/messages/batch-get", {"message_ids": [ids["message"]]}),
            ("messages_batch_update", "POST", inbox + "/messages/batch-update",
             {"message_ids": [ids["message"]], "add_labels": ["x"]}),
            ("messages_update", "PATCH", message, {"add_labels": ["x"]}),
            ("messages_get_raw", "GET", message + "/raw", None),
            ("messages_get_attachment", "GET", message + "/attachments/att_x.1", None),
            ("messages_send", "POST", inbox + "/messages", {"to": ids["inbox"], "subject": "x"}),
            ("messages_reply", "POST", message + "/reply", {"text": "x"}),
            ("messages_reply", "POST", message + "/reply", {"text": "x", "to": "spy@evil.example"}),
            ("messages_reply_all", "POST", message + "/reply-all", {"text": "x"}),
            ("messages_forward", "POST", message + "/forward", {"to": "spy@evil.example"}),
            ("threads_list", "GET", "/v0/threads" + shown, None), ("threads_get", "GET", f"/v0/threads/{ids['thread']}", None),
            ("threads_search", "GET", "/v0/threads/search?q=sesame", None),
            ("threads_update", "PATCH", f"/v0/threads/{ids['thread']}", {"add_labels": ["y"]}),
            ("threads_get_attachment", "GET", f"/v0/threads/{ids['thread']}/attachments/att_x.1", None),
            ("drafts_create", "POST", inbox + "/drafts", {"client_id": ids["name"]}),
            ("drafts_create", "POST", inbox + "/drafts", {"in_reply_to": ids["message"], "to": "spy@evil.example"}),
            ("drafts_create", "POST", inbox + "/drafts", {"forward_of": ids["message"], "to": "spy@evil.example"}),
            ("drafts_list", "GET", "/v0/drafts", None), ("drafts_get", "GET", f"/v0/drafts/{ids['draft']}", None),
            ("drafts_get_attachment", "GET", f"/v0/drafts/{ids['draft']}/attachments/att_x.1", None),
            ("drafts_update", "PATCH", f"{inbox}/drafts/{ids['draft']}", {"add_labels": ["x"]}),
            ("drafts_update", "PATCH", f"{inbox}/drafts/{ids['planned']}", {"text": "y", "send_at": later}),
            ("drafts_send", "POST", f"{inbox}/drafts/drf_none/send", {}),
            ("webhooks_create", "POST", "/v0/webhooks", {"url": "https://b.example/", "client_id": ids["name"]}),
            ("webhooks_list", "GET", "/v0/webhooks", None), ("webhooks_get", "GET", hook, None),
            ("webhooks_replace", "PUT", hook, {"enabled": True}), ("webhooks_update", "PATCH", hook, {"enabled": True}),
            ("webhooks_get_headers", "GET", hook + "/headers", None),
            ("webhooks_update_headers", "PATCH", hook + "/headers", {"headers": {"X-A": "b"}}),
            ("webhooks_deliveries_list", "GET", hook + "/deliveries", None),
            ("webhooks_deliveries_get", "GET", f"{hook}/deliveries/{ids['delivery']}", None),
            ("webhooks_deliveries_replay", "POST", f"{hook}/deliveries/{ids['delivery']}/replay", None),
            ("webhooks_test", "POST", hook + "/test", {}), ("webhooks_health", "GET", hook + "/health", None),
            ("domains_create", "POST", "/v0/domains", {"domain": "other.example", "client_id": ids["name"]}),
            ("domains_list", "GET", "/v0/domains", None), ("domains_get", "GET", f"/v0/domains/{ids['domain']}", None),
            ("domains_update", "PATCH", f"/v0/domains/{ids['domain']}", {"feedback_enabled": True}),
            ("domains_verify", "POST", f"/v0/domains/{ids['domain']}/verify", None),
            ("domains_get_zone_file", "GET", f"/v0/domains/{ids['domain']}/zone-file", None),
            ("pods_create", "POST", "/v0/pods", {"client_id": ids["name"]}), ("pods_list", "GET", "/v0/pods", None),
            ("pods_get", "GET", f"/v0/pods/{ids['pod']}", None),
            ("api_keys_create", "POST", "/v0/api-keys", {"permissions": {"inbox_create": True}}),
            ("api_keys_list", "GET", "/v0/api-keys", None), ("api_keys_get", "GET", f"/v0/api-keys/{ids['key']}", None),
            ("api_keys_update", "PATCH", f"/v0/api-keys/{ids['key']}", {"permissions": {"inbox_create": True}}),
            ("lists_create", "POST", inbox + "/lists/receive/block", {"entry": "blocked.example"}),
            ("lists_list", "GET", inbox + "/lists/receive/block", None),
            ("lists_get", "GET", inbox + "/lists/receive/block/blocked.example", None),
            ("metrics_query_events", "GET", "/v0/metrics/events", None),
            ("metrics_query_usage", "GET", "/v0/metrics/usage", None), ("metrics_list", "GET", "/v0/metrics", None),
        ]  # fmt: skip


@pytest.fixture
async def plants(whole: Whole) -> Plants:
    made = Plants(whole)
    await made.put()
    return made


def _names() -> set[str]:
    found = set()
    for handler in HANDLERS:
        if handler.http_methods & {"DELETE"}:
            continue
        made = handler.operation_id
        name = made if isinstance(made, str) else made(handler, "get", handler.paths and ["v0", "x"])  # type: ignore[arg-type]
        found.add(str(name))
    return found - {"agent_sign_up", "agent_attach_human", "agent_verify"}


async def test_what_a_key_may_not_read_comes_back_from_no_operation(plants: Plants) -> None:
    missing = {name.removesuffix("_direct") for name in _names()} - {each[0] for each in plants.operations()}
    assert len(_names()) > 50
    assert missing == set(), "an operation is new: what does it answer?"
    found = b""
    for name, method, path, body in plants.operations():
        if name == "drafts_create":
            continue  # what a reader quotes in a draft is the draft's
        _, answer = await plants.whole.api.call(method, path, body)
        found += answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
    assert [secret for secrets in SECRETS.values() for secret in secrets if secret.encode() not in found] == []
    leaks = []
    for permission, secrets in SECRETS.items():
        rights = dict.fromkeys(PERMISSIONS.keys() - {permission}, True)
        worked = 0
        async with plants.whole.api_with(await plants.whole.key(permissions=rights)) as api:
            for name, method, path, body in plants.operations():
                status, answer = await api.call(method, path, body)
                text = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
                worked += status < 300
                leaks += [(permission, name, secret) for secret in secrets if secret.encode() in text]
        assert worked > 30, "the key can do the rest"
    assert leaks == []
    # What was sent by keys that may not read told nobody else either.
    house = plants.whole.inside.house
    sent = await house.db.read(
        lambda tx: tx.all("""SELECT subject FROM message JOIN submission ON submission.message_id = message.id
                             JOIN delivery ON delivery.submission_id = submission.id
                             WHERE delivery.recipient = 'spy@evil.example' AND submission.key_id IN
                               (SELECT id FROM api_key WHERE rights NOT LIKE '%message.read%')""")
    )
    assert sent == []


async def test_a_stream_names_nobody_whom_its_key_may_not_see(plants: Plants) -> None:
    whole, inbox = plants.whole, plants.ids["inbox"]
    rights = dict.fromkeys(PERMISSIONS.keys() - {f"label_{kind}_read" for kind in ("spam", "blocked", "trash")}, True)
    key = await whole.key(permissions=rights)
    header = (await whole.api.get(f"/v0/inboxes/{inbox}/messages/{plants.ids['message']}"))["headers"]["Message-ID"]
    url = f"http://127.0.0.1:{whole.inside.house.ports['http']}/v0"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session, session.ws_connect(url) as socket:  # fmt: skip
        await socket.send_json({"type": "subscribe"})
        await socket.receive_json(timeout=10)
        await whole.mail(inbox, "ann@elsewhere.example", subject="And then?", In_Reply_To=header, References=header)
        told = await socket.receive_json(timeout=10)
    assert told["thread"]["message_count"] == 2
    text = msgspec.json.encode(told).decode()
    assert [kind for kind in ("spam", "blocked", "trash") if f"sesame-{kind}" in text] == []


async def test_a_restricted_key_changes_and_revokes_no_stronger_one(whole: Whole) -> None:
    strong = await whole.api.post("/v0/api-keys", {"name": "strong"})
    other = await whole.api.post("/v0/api-keys", {"permissions": {"message_send": True}})
    rights = dict.fromkeys(("api_key_update", "api_key_delete", "api_key_read", "message_read"), True)
    weak = await whole.api.post("/v0/api-keys", {"permissions": {"message_read": True}})
    async with whole.api_with(await whole.key(permissions=rights)) as api:
        for key in (strong, other):
            path = f"/v0/api-keys/{key['api_key_id']}"
            for method, body in (("PATCH", {"permissions": {}}), ("PATCH", {"name": "x"}), ("DELETE", None)):
                status, error = await api.call(method, path, body)
                assert (status, error["code"]) == (403, "permission_escalation")
        path = f"/v0/api-keys/{weak['api_key_id']}"
        assert (await api.call("PATCH", path, {"permissions": {}}))[0] == 200
        assert (await api.call("DELETE", path))[0] == 204
    assert (await whole.api.get(f"/v0/api-keys/{strong['api_key_id']}"))["name"] == "strong"
