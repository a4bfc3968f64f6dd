"""The owner's commands reach every organisation, those that registered themselves too; and whom nobody writes to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from flows.engines import empty_database
from flows.houses import Indoors, indoors
from flows.server import Api, unique
from posthouse.admin import accounts as admin_accounts
from posthouse.admin import events as admin_events
from posthouse.admin import keys as admin_keys
from posthouse.admin import levels as admin_levels
from posthouse.admin import organizations as admin_organizations
from posthouse.admin import suppressions as admin_suppressions
from posthouse.kit.errors import Conflict, Invalid, NotFound, PosthouseError


@pytest.fixture
async def inside(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[Indoors]:
    with empty_database(engine, request) as url:
        async with indoors(url, signup="open") as house:
            yield house


def api(inside: Indoors, key: str) -> aiohttp.ClientSession:
    base = f"http://127.0.0.1:{inside.house.ports['http']}"
    return aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {key}"})


async def tenant(inside: Indoors) -> dict[str, Any]:
    """Somebody who registered, with a human that need not vouch for what is tried here."""
    inside.clock.forward(seconds=1)
    async with api(inside, "none") as session:
        body = {"username": unique("agent"), "human_email": f"{unique('human')}@far.example"}
        made: dict[str, Any] = await Api(session).post("/v0/agent/sign-up", body)
        return made | {"human_email": body["human_email"]}


async def send(inside: Indoors, made: dict[str, Any]) -> tuple[int, Any]:
    async with api(inside, made["api_key"]) as session:
        path = f"/v0/inboxes/{made['inbox_id']}/messages"
        return await Api(session).call("POST", path, {"to": made["human_email"], "subject": "Hello"})


async def test_every_organization_is_shown_watched_and_its_keys_revoked(inside: Indoors) -> None:
    house, made = inside.house, await tenant(inside)
    other = await tenant(inside)
    shown = (await admin_organizations.listed(house))["organizations"]
    assert [each["id"] for each in shown[:2]] == [other["organization_id"], made["organization_id"]]
    assert [each["is_default"] for each in shown] == [False, False, True]
    assert (shown[1]["human"], shown[1]["verified_at"], shown[1]["inboxes"]) == (made["human_email"], None, 1)
    assert (await admin_organizations.listed(house, limit=2))["has_more"]

    for named in (made["organization_id"], made["inbox_id"]):
        await admin_levels.set_level(house, level="read_only", organization=named)
        assert (await send(inside, made))[0] == 403
        assert (await send(inside, other))[0] == 200
        await admin_levels.set_level(house, level="monitored", organization=named)
        assert (await send(inside, made))[0] == 200
    await admin_levels.set_level(house, level="read_only", inbox=made["inbox_id"])
    assert (await send(inside, made))[0] == 403

    own = (await admin_keys.listed(house, organization=made["inbox_id"]))["keys"]
    assert len(own) == 1
    assert own[0]["id"] not in {each["id"] for each in (await admin_keys.listed(house))["keys"]}
    await admin_keys.revoke(house, id=own[0]["id"])
    assert (await send(inside, made))[0] == 401
    assert (await send(inside, other))[0] == 200
    for wrong in ("nobody", "nobody@agents.test"):
        with pytest.raises(NotFound):
            await admin_levels.set_level(house, level="gated", organization=wrong)


async def test_the_owner_makes_looks_and_brings_back_in_every_organization(inside: Indoors) -> None:
    house, made = inside.house, await tenant(inside)
    for _ in range(5):  # the owner is bound by no newcomer's allowance
        await admin_accounts.create(house, address=unique("more"), organization=made["organization_id"])
    second = await admin_accounts.create(house, address=unique("more"), organization=made["inbox_id"])
    with pytest.raises(Conflict):
        await admin_accounts.create(house, address=made["inbox_id"], organization=await _default(inside))
    key = await admin_keys.create(house, surface="agentmail", inbox=second["address"])
    assert key["organization"] == made["organization_id"]
    await send(inside, made)
    types = {each["type"] for each in (await admin_events.latest(house, organization=made["inbox_id"]))["events"]}
    assert "message.sent" in types
    assert (await admin_events.latest(house))["events"] != []

    async with api(inside, made["api_key"]) as session:
        assert (await Api(session).call("DELETE", f"/v0/inboxes/{second['address']}"))[0] == 204
    graves = (await admin_accounts.graves(house, organization=made["organization_id"]))["graves"]
    grave = next(each for each in graves if each["what"] == second["address"])
    assert grave not in (await admin_accounts.graves(house))["graves"]
    await admin_accounts.bring_back(house, id=grave["id"])
    async with api(inside, made["api_key"]) as session:
        assert (await Api(session).call("GET", f"/v0/inboxes/{second['address']}"))[0] == 200
    with pytest.raises(NotFound):
        await admin_accounts.bring_back(house, id="nothing")


async def _default(inside: Indoors) -> str:
    shown = (await admin_organizations.listed(inside.house))["organizations"]
    return str(next(each["id"] for each in shown if each["is_default"]))


async def test_an_address_is_suppressed_for_an_inbox_or_for_everybody_and_let_go_again(inside: Indoors) -> None:
    house = inside.house
    async with inside.agent() as (one, first), inside.agent() as (two, second):

        async def refused(who: Api, inbox: str, to: Any = "bob@far.example") -> bool:
            status, body = await who.call("POST", f"/v0/inboxes/{inbox}/messages", {"to": to})
            assert status == 200 or body["code"] == "message_rejected"
            return bool(status != 200)

        await admin_suppressions.add(house, address="Bob@FAR.example", inbox=one, reason="asked by telephone")
        assert await refused(first, one)
        assert not await refused(second, two)
        inside.clock.forward(seconds=1)
        await admin_suppressions.add(house, address="bob@far.example", reason="complaint")
        assert await refused(second, two)
        found = (await admin_suppressions.listed(house))["suppressions"]
        assert [(each["inbox"], each["reason"], each["text"]) for each in found] == [
            (None, "complaint", None),
            (one, "manual", "asked by telephone"),
        ]
        assert (await admin_suppressions.listed(house, limit=1))["has_more"]
        assert len((await admin_suppressions.listed(house, inbox=two))["suppressions"]) == 1

        await admin_suppressions.lift(house, address="bob@far.example", inbox=one)
        assert await refused(first, one), "the house's own stays"
        with pytest.raises(Conflict):
            await admin_suppressions.lift(house, address="bob@far.example", inbox=one)
        assert (await admin_suppressions.lift(house, address="BOB@far.example"))["lifted"] == 1
        assert not await refused(first, one)
        wrong: list[tuple[type[PosthouseError], dict[str, Any]]] = [
            (NotFound, {"address": "bob@far.example"}), (Invalid, {"address": "bob"}), (Invalid, {"address": "<>"}),
            (NotFound, {"address": "bob@far.example", "inbox": "nobody@agents.test"}),
        ]  # fmt: skip
        for kind, given in wrong:
            with pytest.raises(kind):
                await admin_suppressions.lift(house, **given)

        # Some of the recipients: the rest is sent, as with any suppression.
        await admin_suppressions.add(house, address="bob@far.example")
        assert not await refused(first, one, ["bob@far.example", "eve@far.example"])
