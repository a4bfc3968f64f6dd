"""What is planned carries the rights and the level of whoever wrote it last, and is asked about when it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.agentmail.conftest import Whole
from flows.server import Api
from posthouse.admin import keys as admin_keys
from posthouse.admin import levels as admin_levels
from posthouse.admin import oversight as admin_oversight
from posthouse.kit.clock import iso


class Desk:
    """Two inboxes, and keys of many kinds to the first."""

    def __init__(self, whole: Whole, mine: str, theirs: str) -> None:
        self.whole, self.mine, self.theirs = whole, mine, theirs

    @asynccontextmanager
    async def key(self, level: str | None = None, scopes: Sequence[str] | None = None) -> Any:
        made = await admin_keys.create(
            self.whole.inside.house, surface="agentmail", inbox=self.mine, level=level,
            scopes=None if scopes is None else list(scopes),
        )  # fmt: skip
        async with self.whole.api_with(made["key"]) as api:
            yield api, made["id"]

    async def plan(self, api: Api, text: str = "as it was planned") -> str:
        body = {"to": self.theirs, "subject": "Later", "text": text, "send_at": self.soon()}
        made = await api.post(f"/v0/inboxes/{self.mine}/drafts", body)
        return f"/v0/inboxes/{self.mine}/drafts/{made['draft_id']}"

    def soon(self) -> str:
        return iso(self.whole.inside.clock.at + 60_000)

    async def arrived(self) -> list[str]:
        await self.whole.inside.later(minutes=2)
        await self.whole.inside.settle()
        found = (await self.whole.api.get(f"/v0/inboxes/{self.theirs}/messages", labels="received"))["messages"]
        return [each["preview"] for each in found]

    async def held(self) -> list[dict[str, Any]]:
        return list((await admin_oversight.pending(self.whole.inside.house))["pending"])


@pytest.fixture
async def desk(whole: Whole) -> Desk:
    return Desk(whole, await whole.inbox(), await whole.inbox())


async def test_a_rewritten_plan_leaves_under_the_level_of_who_rewrote_it(desk: Desk) -> None:
    path = await desk.plan(desk.whole.api)
    async with desk.key(level="gated") as (gated, _):
        status, changed = await gated.call("PATCH", path, {"text": "rewritten by another"})
        assert (status, changed["send_status"]) == (200, "scheduled")
    assert await desk.arrived() == []
    (hold,) = await desk.held()
    await admin_oversight.approve(desk.whole.inside.house, id=hold["id"])
    assert await desk.arrived() == ["rewritten by another"]


async def test_who_may_not_send_rewrites_no_plan_and_makes_none(desk: Desk) -> None:
    path = await desk.plan(desk.whole.api)
    for level, scopes, code in (
        (None, ("draft_update", "draft_create"), "missing_permission"), ("read_only", None, "message_rejected"),
    ):  # fmt: skip
        async with desk.key(level, scopes) as (api, _):
            for change in ({"text": "x"}, {"to": ["eve@far.example"]}, {"bcc": ["eve@far.example"]}):
                status, error = await api.call("PATCH", path, change)
                assert (status, error["code"]) == (403, code), change
            status, error = await api.call("PATCH", path, {"text": "x", "send_at": desk.soon()})
            assert (status, error["code"]) == (403, code)
            body = {"to": desk.theirs, "text": "x", "send_at": desk.soon()}
            status, error = await api.call("POST", f"/v0/inboxes/{desk.mine}/drafts", body)
            assert (status, error["code"]) == (403, code)
            assert (await api.call("PATCH", path, {"add_labels": ["mine"]}))[0] == 200, "what is not said is free"
    assert await desk.arrived() == ["as it was planned"]


async def test_a_read_only_account_plans_nothing_and_what_it_had_planned_fails(desk: Desk) -> None:
    path = await desk.plan(desk.whole.api)
    await admin_levels.set_level(desk.whole.inside.house, level="read_only", inbox=desk.mine)
    body = {"to": desk.theirs, "text": "x", "send_at": desk.soon()}
    assert (await desk.whole.api.call("POST", f"/v0/inboxes/{desk.mine}/drafts", body))[0] == 403
    assert await desk.arrived() == []
    assert (await desk.whole.api.get(path))["send_status"] == "failed"


async def test_words_of_a_tighter_key_wait_for_the_owner_whoever_sends_them(desk: Desk) -> None:
    for level in ("gated", "read_only"):
        async with desk.key(level) as (api, _):
            made = await api.post(f"/v0/inboxes/{desk.mine}/drafts", {"to": desk.theirs, "text": f"by {level}"})
        await desk.whole.api.post(f"/v0/inboxes/{desk.mine}/drafts/{made['draft_id']}/send", {})
    assert await desk.arrived() == []
    assert [hold["preview"] for hold in await desk.held()] == ["by gated", "by read_only"]


async def test_a_plan_is_asked_about_with_the_rights_its_key_has_when_it_leaves(desk: Desk) -> None:
    paths = []
    async with desk.key(scopes=("draft_create", "draft_send")) as (api, key_id):
        paths.append(await desk.plan(api, "by a key that loses the right"))
        changed = {"permissions": {"draft_create": True}}
        assert (await desk.whole.api.call("PATCH", f"/v0/api-keys/key_{key_id}", changed))[0] == 200
    soon = iso(desk.whole.inside.clock.at + 30_000)
    made = await desk.whole.api.post("/v0/api-keys", {"expires_at": soon})
    async with desk.whole.api_with(made["api_key"]) as api:
        paths.append(await desk.plan(api, "by a key that expires"))
    assert await desk.arrived() == []
    for path in paths:
        assert (await desk.whole.api.get(path))["send_status"] == "failed"


async def test_the_last_writers_key_is_what_a_plan_lives_by(desk: Desk) -> None:
    async with desk.key() as (first, first_id), desk.key() as (second, _):
        path = await desk.plan(first)
        assert (await second.call("PATCH", path, {"text": "taken over"}))[0] == 200
    await admin_keys.revoke(desk.whole.inside.house, id=first_id)
    assert await desk.arrived() == ["taken over"]
