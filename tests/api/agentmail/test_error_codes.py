"""Each documented error code is given by a request, with a body that says what, where and what to do."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from typing import Any

import msgspec

from api.agentmail.conftest import Whole
from flows.server import Api, unique
from posthouse.api.agentmail import errors
from posthouse.kit.errors import OverQuota, Unavailable
from posthouse.kit.ids import new_id
from posthouse.outbound.request import Composition

DOCUMENTED = {row.code for row in (*errors.ERRORS.values(), *errors.REASONS.values())} | {"internal_error"}
NAMES = {
    "ValidationError", "UnauthorizedError", "ForbiddenError", "NotFoundError", "IsTakenError", "ConflictError",
    "UnprocessableError", "MessageRejectedError", "RateLimitError", "InternalServerError",
}  # fmt: skip


class Codes:
    """What was given so far."""

    def __init__(self) -> None:
        self.given: set[str] = set()

    async def of(self, api: Api, method: str, path: str, body: Any = None, **options: Any) -> str:
        """The code of a refusal, whose body is checked."""
        status, error = await api.call(method, path, body, **options)
        return self.take(status, error)

    def take(self, status: int, error: dict[str, Any]) -> str:
        """Note a refusal."""
        assert error["name"] in NAMES
        assert error["error"]["type"] == error["code"]
        assert error["message"] == error["error"]["message"]
        assert ("errors" in error) == (status == 400)
        assert error["docs"].endswith("#" + error["code"])
        self.given.add(error["code"])
        return str(error["code"])


async def test_every_documented_code_is_given_by_some_request(whole: Whole) -> None:
    codes, api = Codes(), whole.api
    inbox = await whole.inbox(username=unique("taken"))
    send = f"/v0/inboxes/{inbox}/messages"
    assert await codes.of(api, "GET", "/v0/inboxes", params={"limit": "0"}) == "validation_error"
    async with whole.api_with("am_wrong") as wrong:
        assert await codes.of(wrong, "GET", "/v0/inboxes") == "unknown_api_key"
    nobody = {"Authorization": ""}
    assert await codes.of(api, "GET", "/v0/inboxes", headers=nobody) == "missing_authorization"
    owner = {"Authorization": f"Bearer {(whole.inside.house.settings.data_dir / 'owner.key').read_text().strip()}"}
    assert await codes.of(api, "GET", "/v0/inboxes", headers=owner) == "invalid_token_type"
    async with whole.api_with(await whole.key(permissions={"api_key_create": True})) as weak:
        assert await codes.of(weak, "GET", "/v0/inboxes") == "missing_permission"
        assert await codes.of(weak, "POST", "/v0/api-keys", {}) == "unrestricted_key_required"
        body: dict[str, Any] = {"permissions": {"message_read": True}}
        assert await codes.of(weak, "POST", "/v0/api-keys", body) == "permission_escalation"
    assert await codes.of(api, "POST", "/v0/agent/verify", {"otp_code": "1"}) == "forbidden"
    assert await codes.of(api, "DELETE", f"/v0/inboxes/catch@{whole.inside.domain}") == "cannot_delete"
    assert await codes.of(api, "POST", "/v0/inboxes", {"username": inbox.split("@")[0]}) == "resource_taken"
    domain = {"domain": f"{unique('d')}.example"}
    await api.post("/v0/domains", domain)
    assert await codes.of(api, "POST", "/v0/domains", domain) == "already_exists"
    assert await codes.of(api, "POST", send, {}) == "unprocessable"
    assert await codes.of(api, "GET", "/v0/metrics/events", params={"period": "1"}) == "query_range_too_wide"
    attachment = {"to": "a@far.example", "attachments": [{"url": "ftp://nowhere.example/"}]}
    assert await codes.of(api, "POST", send, attachment) == "message_rejected"
    assert await codes.of(api, "GET", "/v0/threads/thd_nowhere") == "not_found"
    key = {"Idempotency-Key": unique("k")}
    await api.post(send, {"to": "a@far.example"}, headers=key)
    assert await codes.of(api, "POST", send, {"to": "b@far.example"}, headers=key) == "conflict"
    body = {"human_email": "a@far.example", "username": unique("a")}
    signed = await api.post("/v0/agent/sign-up", body)
    async with whole.api_with(signed["api_key"]) as registered:
        assert await codes.of(registered, "POST", "/v0/agent/verify", {"otp_code": "1"}) == "unauthorized"
    await _race(whole, inbox, codes)
    services = whole.inside.house.services
    assert services is not None
    services.limiter.enabled = True
    for _ in range(21):
        status, error = await api.call("POST", "/v0/agent/sign-up", {"human_email": "", "username": "x"})
    assert codes.take(status, error) == "rate_limit_exceeded"
    services.limiter.enabled = False
    assert (await api.call("PATCH", f"/v0/inboxes/{inbox}", {"status": "paused"}))[0] == 200
    assert await codes.of(api, "POST", send, {"to": "a@far.example"}) == "inbox_paused"
    assert (await api.call("PATCH", f"/v0/inboxes/{inbox}", {"status": "active"}))[0] == 200
    answer = errors.on_core_error(None, OverQuota("the mailbox is full"))  # type: ignore[arg-type]
    assert codes.take(answer.status_code or 0, msgspec.json.decode(answer.content)) == "limit_exceeded"
    blobs, services.submitter._blobs = services.submitter._blobs, None  # type: ignore[assignment] # a fault of ours
    assert await codes.of(api, "POST", send, {"to": "a@far.example"}) == "internal_error"
    services.submitter._blobs = blobs
    database, read = whole.inside.house.db, whole.inside.house.db.read

    async def gone(_unit: Any) -> Any:
        raise Unavailable("the database does not answer")

    database.read = gone  # type: ignore[assignment, method-assign]
    assert await codes.of(api, "GET", "/v0/inboxes") == "service_unavailable"
    database.read = read  # type: ignore[method-assign]
    assert codes.given == DOCUMENTED


async def _race(whole: Whole, inbox: str, codes: Codes) -> None:
    """A draft that was changed between being read and being sent."""
    made = await whole.api.post(f"/v0/inboxes/{inbox}/drafts", {"to": "a@far.example"})
    house = whole.inside.house
    submit = house.submitter.submit

    async def late(principal: Any, account_id: str, mail: Composition, *, once: Any = None) -> Any:
        stale = Composition(outgoing=mail.outgoing, draft=(made["draft_id"].removeprefix("drf_"), new_id()))
        return await submit(principal, account_id, stale, once=once)

    house.submitter.submit = late  # type: ignore[method-assign,assignment]
    try:
        path = f"/v0/inboxes/{inbox}/drafts/{made['draft_id']}/send"
        assert await codes.of(whole.api, "POST", path, {}) == "race_condition"
    finally:
        house.submitter.submit = submit  # type: ignore[method-assign]
    assert (await whole.api.get(f"/v0/drafts/{made['draft_id']}"))["to"] == ["a@far.example"], (
        "the draft is still there"
    )


async def test_bytes_at_random_are_answered_in_time_and_tell_nothing_of_the_inside(whole: Whole) -> None:
    inbox = await whole.inbox()
    await whole.mail(inbox)
    (message,) = (await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]
    draft = await whole.api.post(f"/v0/inboxes/{inbox}/drafts", {"subject": "x"})
    paths = [
        ("POST", "/v0/inboxes"), ("PATCH", f"/v0/inboxes/{inbox}"), ("POST", f"/v0/inboxes/{inbox}/messages"),
        ("PATCH", f"/v0/inboxes/{inbox}/messages/{message['message_id']}"), ("POST", "/v0/webhooks"),
        ("POST", f"/v0/inboxes/{inbox}/messages/{message['message_id']}/reply"), ("POST", "/v0/pods"),
        ("POST", f"/v0/inboxes/{inbox}/messages/batch-get"), ("POST", f"/v0/inboxes/{inbox}/drafts"),
        ("PATCH", f"/v0/inboxes/{inbox}/drafts/{draft['draft_id']}"), ("POST", "/v0/api-keys"),
        ("POST", "/v0/lists/send/block"), ("POST", "/v0/domains"), ("POST", "/v0/agent/sign-up"),
        ("PATCH", f"/v0/threads/{message['thread_id']}"), ("POST", "/v0/agent/verify"),
    ]  # fmt: skip
    seed = int(os.environ.get("FUZZ_SEED", "20260701"))
    pick = random.Random(seed)
    good = json.dumps({
        "to": "a@b.example", "subject": "s", "text": "t", "html": "<b>", "labels": ["l"], "url": "https://x.example/",
        "message_ids": ["m"], "add_labels": ["x"], "username": "u", "domain": "d.example", "entry": "e.example",
        "send_at": "2030-01-01T00:00:00Z", "attachments": [{"content": "aGk="}], "headers": {"X-A": "b"},
        "metadata": {"a": 1}, "permissions": {"inbox_read": True}, "client_id": "c", "otp_code": "1",
        "human_email": "h@x.example",
    }).encode()  # fmt: skip
    odd = [
        b"\x00",
        b"\\u0000",
        b"\\ud800",
        b"null",
        b"[]",
        b"{}",
        b'"',
        b"1e999",
        b"-1",
        b"\xff",
        b"[" * 500,
        b"9" * 400,
    ]
    for number in range(400):
        body = bytearray(good)
        for _ in range(pick.randrange(1, 6)):
            at = pick.randrange(len(body))
            body[at : at + pick.randrange(0, 12)] = pick.choice([pick.randbytes(3), pick.choice(odd)])
        method, path = paths[number % len(paths)]
        if number % 7 == 0:
            path += "?" + "".join(pick.choice("%&=+az[]\"',") for _ in range(20))
        began = time.monotonic()
        async with (
            asyncio.timeout(5),
            whole.api.session.request(
                method, path, data=bytes(body), headers={"Content-Type": "application/json"}
            ) as answer,
        ):
            text = await answer.text()
        assert answer.status < 500, (seed, number, method, path, bytes(body), text)
        assert time.monotonic() - began < 1, (seed, number, method, path)
        assert not any(word in text for word in ("Traceback", "posthouse.", "sqlite", "asyncpg", "/site-packages/"))
