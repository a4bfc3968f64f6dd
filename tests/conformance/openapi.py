"""AgentMail's OpenAPI document, if it lies there: each of its operations called, each answer held against its schema."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from clients.environments import python_with
from conformance.house import made, running
from flows.server import Server

_ACCEPTS = Path(__file__).parent / "scripts" / "accepts.py"
_DAY: dict[str, Any] = {"start_timestamp": "2026-01-01T00:00:00Z", "end_timestamp": "2026-01-02T00:00:00Z"}
_PAGE: dict[str, Any] = {"limit": "3"}
_FILTERED: dict[str, Any] = _PAGE | {
    "labels": ["none-has-this"],
    "before": "2040-01-01T00:00:00Z",
    "after": "2020-01-01T00:00:00Z",
}
_DATES: dict[str, Any] = {"ascending": "true", "before": "2040-01-01T00:00:00Z", "after": "2020-01-01T00:00:00Z"}

# What suits every operation that takes a body; whatever it does not know it passes over.
_ANY_BODY = {"text": "x", "to": "a@far.example", "display_name": "x", "subject": "x", "add_labels": ["x"]}

# Where this server knowingly differs, with the reason; anything else has to be accepted.
DIFFERENCES = {
    ("GET /v0/domains/{domain_id}/zone-file", 200): "204 could not carry the file; the clients read it from a 200",
}


@dataclass
class Caller:
    """Calls operations by their names in the document and keeps every answer."""

    session: aiohttp.ClientSession
    document: dict[str, Any]
    ids: dict[str, str] = field(default_factory=dict)
    answers: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, operation: str, body: Any = None, *, wants: int = 0, **query: Any) -> Any:
        """Call an operation with the ids known so far; the decoded answer.

        Args:
            operation: method and path as the document writes them.
            body: sent as JSON; none at all when it is None.
            wants: the status to come back; 0 for any below 300.
            query: parameters; a list is sent as repeats.
        """
        method, template = operation.split(" ")
        pairs = [
            (name, one) for name, value in query.items() for one in (value if isinstance(value, list) else [value])
        ]
        path = template.format_map(self.ids)
        async with self.session.request(method, path, json=body, params=pairs) as came:
            text = await came.text()
            self.answers.append(
                {"operation": operation, "method": method, "path": template, "status": came.status,
                 "type": came.headers.get("content-type", ""), "body": text}
            )  # fmt: skip
        assert came.status == wants or (not wants and came.status < 300), (operation, came.status, text[:400])
        return json.loads(text) if came.headers.get("content-type", "").startswith("application/json") else text

    async def until(self, operation: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """What a list holds, once it holds something; only the last answer is kept."""
        ends = asyncio.get_running_loop().time() + 20
        while True:
            found: list[dict[str, Any]] = (await self(operation, **query))[key]
            if found:
                return found
            assert asyncio.get_running_loop().time() < ends, f"waited in vain for {operation}"
            self.answers.pop()
            await asyncio.sleep(0.02)


async def _inboxes(call: Caller) -> None:
    ids = call.ids
    pod = await call("POST /v0/pods", {"name": "Team", "client_id": "team"})
    ids["pod_id"] = pod["pod_id"]
    await call("GET /v0/pods", **_PAGE)
    await call("GET /v0/pods/{pod_id}")
    made = await call("POST /v0/inboxes", {"username": "first", "display_name": "First", "client_id": "first"})
    ids["inbox_id"], ids["first"] = made["inbox_id"], made["inbox_id"]
    await call("POST /v0/inboxes")
    await call("GET /v0/inboxes", limit="1")
    page = await call("GET /v0/inboxes", limit="1")
    await call("GET /v0/inboxes", limit="1", page_token=page["next_page_token"])
    await call("GET /v0/inboxes/{inbox_id}")
    await call("PATCH /v0/inboxes/{inbox_id}", {"display_name": "The first"})
    made = await call("POST /v0/pods/{pod_id}/inboxes", {"username": "second"})
    ids["second"] = made["inbox_id"]
    await call("GET /v0/pods/{pod_id}/inboxes", **_PAGE)
    ids["inbox_id"] = ids["second"]
    await call("GET /v0/pods/{pod_id}/inboxes/{inbox_id}")


async def _mail(call: Caller) -> None:
    ids = call.ids
    ids["inbox_id"] = ids["first"]
    attachment = {"filename": "a.txt", "content": "aGVsbG8=", "content_type": "text/plain"}
    await call(
        "POST /v0/inboxes/{inbox_id}/messages/send",
        {"to": [ids["second"]], "cc": "c@far.example", "reply_to": "r@far.example", "subject": "Hello", "text": "Hi.",
         "html": "<p>Hi.</p>", "labels": ["greetings"], "attachments": [attachment], "headers": {"X-Run": "1"}},
    )  # fmt: skip
    ids["inbox_id"] = ids["second"]
    messages = "GET /v0/inboxes/{inbox_id}/messages"
    (item,) = await call.until(messages, "messages", labels=["unread"], include_spam="true", **_PAGE)
    ids["message_id"], ids["thread_id"] = item["message_id"], item["thread_id"]
    await call(messages, **_FILTERED)
    await call(messages, **_DATES)
    message = await call("GET /v0/inboxes/{inbox_id}/messages/{message_id}")
    ids["attachment_id"] = message["attachments"][0]["attachment_id"]
    one = "/v0/inboxes/{inbox_id}/messages/{message_id}"
    await call(f"PATCH {one}", {"add_labels": ["kept"], "remove_labels": ["unread"]})
    await call(f"GET {one}/raw")
    await call(f"GET {one}/attachments/{{attachment_id}}")
    await call(f"POST {one}/reply", {"text": "Thanks.", "reply_all": False})
    await call(f"POST {one}/reply-all", {"html": "<p>Thanks, all.</p>"})
    await call(f"POST {one}/forward", {"to": "third@far.example", "text": "See below."})
    for scope in ("", "/inboxes/{inbox_id}", "/pods/{pod_id}"):
        await call(f"GET /v0{scope}/threads", include_spam="false", **_PAGE)
        await call(f"GET /v0{scope}/threads", **_FILTERED)
        await call(f"GET /v0{scope}/threads", **_DATES)
        await call(f"GET /v0{scope}/threads/{{thread_id}}")
        await call(f"GET /v0{scope}/threads/{{thread_id}}/attachments/{{attachment_id}}")


async def _drafts(call: Caller) -> None:
    drafts = "/v0/inboxes/{inbox_id}/drafts"
    later = "2040-01-01T09:00:00Z"
    draft = await call(f"POST {drafts}", {
        "to": ["t@far.example"], "cc": ["c@far.example"], "bcc": ["b@far.example"], "reply_to": ["r@far.example"],
        "subject": "Plan", "text": "One.", "html": "<p>One.</p>", "labels": ["plans"], "client_id": "plan",
        "in_reply_to": call.ids["message_id"], "send_at": later,
    })  # fmt: skip
    call.ids["draft_id"] = draft["draft_id"]
    for scope in ("", "/inboxes/{inbox_id}", "/pods/{pod_id}"):
        await call(f"GET /v0{scope}/drafts", **_PAGE)
        await call(f"GET /v0{scope}/drafts", **_FILTERED)
        await call(f"GET /v0{scope}/drafts", **_DATES)
        await call(f"GET /v0{scope}/drafts/{{draft_id}}")
    one = f"{drafts}/{{draft_id}}"
    await call(f"PATCH {one}", {"subject": "Plans", "text": "Two."})
    await call(f"POST {one}/send", {"add_labels": ["planned"]})
    other = await call(f"POST {drafts}", {"subject": "Never sent"})
    call.ids["draft_id"] = other["draft_id"]
    await call(f"DELETE {one}")


async def _rest(call: Caller) -> None:
    ids = call.ids
    hook = await call("POST /v0/webhooks", {
        "url": "https://hooks.example/in", "event_types": ["message.received", "message.bounced"], "client_id": "hook",
        "inbox_ids": [ids["first"]], "pod_ids": [],
    })  # fmt: skip
    ids["webhook_id"] = hook["webhook_id"]
    await call("GET /v0/webhooks", **_PAGE)
    await call("GET /v0/webhooks/{webhook_id}")
    change = {"add_inbox_ids": [ids["second"]], "remove_inbox_ids": [ids["first"]]}
    await call("PATCH /v0/webhooks/{webhook_id}", change)
    await call("DELETE /v0/webhooks/{webhook_id}")
    made = await call("POST /v0/api-keys", {"name": "helper"})
    ids["api_key"] = made["api_key_id"]
    await call("GET /v0/api-keys", **_PAGE)
    await call("DELETE /v0/api-keys/{api_key}")
    domain = await call("POST /v0/domains", {"domain": "d.example", "feedback_enabled": True})
    ids["domain_id"] = domain["domain_id"]
    await call("GET /v0/domains", **_PAGE)
    await call("GET /v0/domains/{domain_id}")
    await call("GET /v0/domains/{domain_id}/zone-file")
    await call("POST /v0/domains/{domain_id}/verify")
    await call("DELETE /v0/domains/{domain_id}")
    domain = await call("POST /v0/pods/{pod_id}/domains", {"domain": "pods.example", "feedback_enabled": False})
    ids["domain_id"] = domain["domain_id"]
    await call("GET /v0/pods/{pod_id}/domains", **_PAGE)
    await call("DELETE /v0/pods/{pod_id}/domains/{domain_id}")
    await call("GET /v0/organizations")
    await call("GET /v0/metrics", **_DAY)
    now: dict[str, Any] = {"start_timestamp": "2026-01-01T00:00:00Z", "end_timestamp": "2040-01-01T00:00:00Z"}
    await call("GET /v0/metrics", **now)
    await call("GET /v0/inboxes/{inbox_id}/metrics", event_types=["message.received"], **now)


async def _refusals(call: Caller) -> None:
    """What the document says of input that is wrong, and of what is not there."""
    ids = call.ids
    await call("POST /v0/inboxes", {"username": 1}, wants=400)
    await call("POST /v0/pods", {"name": []}, wants=400)
    await call("POST /v0/webhooks", {"url": "no url"}, wants=400)
    await call("POST /v0/api-keys", {"name": 1}, wants=400)
    await call("POST /v0/domains", {"domain": ""}, wants=400)
    await call("POST /v0/inboxes/{inbox_id}/messages/send", {"to": "no address", "text": "x"}, wants=400)
    await call("POST /v0/inboxes/{inbox_id}/messages/{message_id}/reply", {"text": 1}, wants=400)
    await call("GET /v0/inboxes/{inbox_id}/metrics", start_timestamp="yesterday", end_timestamp="today", wants=400)
    call.ids = dict.fromkeys(ids, "nowhere")
    for path, methods in call.document["paths"].items():
        for method, operation in methods.items():
            # Of the rest nothing is named by an id that could be missing.
            if "404" in operation["responses"] and "{" in path:
                body = _ANY_BODY if method in ("post", "patch") else None
                query = _DAY if path.endswith("/metrics") else {}
                await call(f"{method.upper()} {path}", body, wants=404, **query)
    call.ids = ids


async def _ends(call: Caller) -> None:
    call.ids["inbox_id"] = call.ids["second"]
    await call("DELETE /v0/inboxes/{inbox_id}/threads/{thread_id}")
    await call("DELETE /v0/pods/{pod_id}/inboxes/{inbox_id}")
    await call("DELETE /v0/pods/{pod_id}")
    call.ids["inbox_id"] = call.ids["first"]
    await call("DELETE /v0/inboxes/{inbox_id}")


async def _called(server: Server, key: str, document: dict[str, Any]) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {key}"}) as session:
        call = Caller(session, document)
        for step in (_inboxes, _mail, _drafts, _rest, _refusals, _ends):
            await step(call)
    return call.answers


def _complaints(path: Path, answers: list[dict[str, Any]]) -> list[str | None]:
    python = python_with("openapi-schema-validator==0.6.3")
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(answers, file)
        file.flush()
        done = subprocess.run(
            [str(python), str(_ACCEPTS), str(path), file.name], capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr[-2_000:]
    found: list[str | None] = json.loads(done.stdout)
    return found


def agentmail_operations(root: Path) -> Iterator[tuple[str, bool, str]]:
    """Every operation of `agentmail-openapi.json`: called, and each of its answers accepted by the document."""
    path = next(iter(sorted(root.rglob("agentmail-openapi.json"))), None)
    if path is None:
        return
    document = json.loads(path.read_text("utf-8"))
    operations = {f"{method.upper()} {where}" for where, found in document["paths"].items() for method in found}
    with running() as server:
        key = made(server, "key", "create", "--surface", "agentmail")["key"]
        answers = asyncio.run(_called(server, key, document))
    refused: dict[str, str] = {}
    for answer, why in zip(answers, _complaints(path, answers), strict=True):
        if why is not None and (answer["operation"], answer["status"]) not in DIFFERENCES:
            refused.setdefault(answer["operation"], f"{answer['status']}, {why}")
    for operation in sorted(operations - {answer["operation"] for answer in answers if answer["status"] < 300}):
        refused.setdefault(operation, "not called")
    seen = f"{len(operations) - len(refused)} of {len(operations)} operations, {len(answers)} answers"
    for operation, why in refused.items():
        seen += f"\n        {operation}: {why}"
    yield "AgentMail's OpenAPI document", not refused, seen
