"""Organisations that registered themselves: to how many they write, how much they have, and what is not theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from api.agentmail.conftest import Whole
from api.agentmail.test_organization import Records, code_for, sign_up, sign_up_alone, verify
from flows.engines import empty_database
from flows.houses import indoors
from flows.server import Api, unique
from posthouse.accounts.allowance import SELF_REGISTERED, UNVERIFIED
from posthouse.admin import keys as admin_keys
from posthouse.admin import levels as admin_levels
from posthouse.admin import oversight as admin_oversight
from posthouse.store import changes


@asynccontextmanager
async def limited(engine: str, request: pytest.FixtureRequest, **settings: Any) -> AsyncIterator[Whole]:
    """As `whole`, with the limits on."""
    with empty_database(engine, request) as url:
        async with indoors(url, signup="open", rate_limits="on", **settings) as inside:
            made = await admin_keys.create(inside.house, surface="agentmail")
            base = f"http://127.0.0.1:{inside.house.ports['http']}"
            async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {made['key']}"}) as session:
                yield Whole(inside, Api(session))


async def verified(whole: Whole) -> dict[str, Any]:
    made = await sign_up(whole)
    assert await verify(whole, made["api_key"], await code_for(whole, made["inbox_id"])) == 200
    return made


async def send(whole: Whole, made: dict[str, Any], *to: str) -> int:
    async with whole.api_with(made["api_key"]) as api:
        status, body = await api.call("POST", f"/v0/inboxes/{made['inbox_id']}/messages", {"to": list(to)})
        assert status == 200 or "so new" in body["message"], body
        return int(status)


async def test_newcomers_climb_a_ladder_of_people_elsewhere(engine: str, request: pytest.FixtureRequest) -> None:
    async with limited(engine, request) as whole:
        house, clock = whole.inside.house, whole.inside.clock
        proved = await verified(whole)
        unproved = await house.registrar.register(local_part="somebody", surface="agentmail", has_worked=True)
        other = {"api_key": unproved.secret, "inbox_id": unproved.account.main_address}
        neighbour = await whole.inbox()
        steps: list[tuple[dict[str, float], int, int]] = [({}, 3, 10), ({"hours": 1}, 5, 10), ({"days": 1}, 10, 10)]
        written: dict[str, int] = {}
        for later, most, most_proved in steps:
            clock.forward(**later)
            for made, up_to in ((other, most), (proved, most_proved)):
                before = written.get(made["inbox_id"], 0)
                for number in range(before, up_to):
                    assert await send(whole, made, f"Bob{number}@far.example") == 200
                written[made["inbox_id"]] = up_to
                assert await send(whole, made, "one.more@far.example") == 429
                assert await send(whole, made, "bob0@FAR.example", "one.more@far.example") == 429
                assert await send(whole, made, "bob0@far.example", neighbour, other["inbox_id"]) == 200
        assert await send(whole, proved, proved["human_email"]) == 200, "the human is no stranger"
        clock.forward(days=6)
        for made in (other, proved):
            assert await send(whole, made, *(f"many{number}@far.example" for number in range(30))) == 200
        await house.clean_up_once()


async def test_an_inbox_that_goes_takes_none_of_the_count_with_it(engine: str, request: pytest.FixtureRequest) -> None:
    async with limited(engine, request, signup_ladder="2d:2") as whole:
        made = await verified(whole)
        async with whole.api_with(made["api_key"]) as api:
            second = await api.post("/v0/inboxes", {})
            assert await send(whole, made | {"inbox_id": second["inbox_id"]}, "a@far.example", "b@far.example") == 200
            assert (await api.call("DELETE", f"/v0/inboxes/{second['inbox_id']}"))[0] == 204
        assert await send(whole, made, "c@far.example") == 429
        assert await send(whole, made, "b@far.example") == 200


async def test_nobody_who_is_not_vouched_for_makes_what_works_while_nobody_looks(whole: Whole) -> None:
    made = await sign_up(whole)
    inbox = f"/v0/inboxes/{made['inbox_id']}"
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("/v0/api-keys", {}), (f"{inbox}/api-keys", {}), ("/v0/pods", {}), ("/v0/lists/send/block", {"entry": "a.b"}),
        (f"{inbox}/lists/receive/allow", {"entry": "a@b.example"}), ("/v0/domains", {"domain": "own.example"}),
        ("/v0/webhooks", {"url": "https://a.example/", "event_types": ["message.received"]}),
    ]  # fmt: skip
    async with whole.api_with(made["api_key"]) as api:
        for path, body in wanted:
            status, error = await api.call("POST", path, body)
            assert (status, error["code"]) == (403, "forbidden"), path
            assert "code" in error["message"]
        for _ in range(UNVERIFIED.inboxes - 1):
            await api.post("/v0/inboxes", {})
        status, error = await api.call("POST", "/v0/inboxes", {})
        assert (status, error["code"]) == (403, "limit_exceeded")
        assert await verify(whole, made["api_key"], await code_for(whole, made["inbox_id"])) == 200
        for path, body in wanted:
            assert (await api.call("POST", path, body))[0] == 200, path
        await api.post("/v0/inboxes", {})


async def test_a_newcomer_has_so_many_of_each_and_the_owner_as_many_as_wanted(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SELF_REGISTERED._replace(inboxes=3, domains=3, pods=3, keys=3, list_entries=3, webhooks=3)
    monkeypatch.setattr("posthouse.accounts.allowance.SELF_REGISTERED", few)
    made = await verified(whole)
    hook = {"url": "https://a.example/", "event_types": ["message.received"]}
    for api_key, is_bounded in ((made["api_key"], True), (None, False)):
        key = api_key or await whole.key()
        async with whole.api_with(key) as api:
            for path, body, there in (
                ("/v0/inboxes", lambda n: {}, 1), ("/v0/domains", lambda n: {"domain": f"{unique('d')}.example"}, 0),
                ("/v0/pods", lambda n: {}, 1), ("/v0/api-keys", lambda n: {}, 1), ("/v0/webhooks", lambda n: hook, 0),
                ("/v0/lists/send/block", lambda n: {"entry": f"x{n}.example"}, 0),
            ):  # fmt: skip
                answers = [(await api.call("POST", path, body(number)))[0] for number in range(5)]
                wanted = [200] * (3 - there) + [403] * (2 + there) if is_bounded else [200] * 5
                assert answers == wanted, path
    # An entry that is on the list already is none more.
    async with whole.api_with(made["api_key"]) as api:
        await api.post("/v0/lists/send/block", {"entry": "x1.example", "reason": "again"})


class World:
    """DNS as those fill it in who have the domains."""

    def __init__(self, whole: Whole) -> None:
        self.dns = Records()
        whole.inside.house.verifier._resolver = self.dns
        self._whole = whole

    def publish(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            if record["type"] == "MX":
                self.dns.mxs[record["name"]] = [(record["priority"], record["value"])]
            else:
                self.dns.txts[record["name"]] = [record["value"].encode()]

    async def ask(self, api: Api, name: str) -> str:
        assert (await api.call("POST", f"/v0/domains/{name}/verify"))[0] == 204
        await self._whole.inside.settle()
        return str((await api.get(f"/v0/domains/{name}"))["status"])


async def test_a_name_that_is_not_proved_takes_nothing_from_anybody(whole: Whole) -> None:
    world, stranger = World(whole), await verified(whole)
    corp = f"{unique('corp')}.example"
    made = await whole.api.post("/v0/domains", {"domain": corp, "subdomains_enabled": True})
    world.publish(made["records"])
    assert await world.ask(whole.api, corp) == "VERIFIED"
    async with whole.api_with(stranger["api_key"]) as api:
        for name in (corp, f"eu.{corp}", f"a.b.{corp}", f"sub.{whole.inside.domain}", whole.inside.domain):
            status, error = await api.call("POST", "/v0/domains", {"domain": name})
            assert (status, error["code"]) == (403, "already_exists"), name
        for name in ("localhost", "my.localhost", "intranet", "127.0.0.1", "nothing.invalid"):
            assert (await api.call("POST", "/v0/domains", {"domain": name}))[0] == 400, name
    assert await whole.inbox(username="ann", domain=f"eu.{corp}") == f"ann@eu.{corp}"
    await whole.mail(f"ann@eu.{corp}", subject="To a subdomain")
    assert (await whole.api.get(f"/v0/inboxes/ann@eu.{corp}/messages"))["count"] == 1


async def test_mail_to_a_name_somebody_has_only_named_still_leaves_the_house(whole: Whole) -> None:
    stranger, inbox = await verified(whole), await whole.inbox()
    big = f"{unique('big')}.example"
    async with whole.api_with(stranger["api_key"]) as api:
        await api.post("/v0/domains", {"domain": big, "subdomains_enabled": True})
        assert (await api.call("POST", "/v0/inboxes", {"username": "boss", "domain": big}))[0] == 422
    for name in (big, f"sub.{big}"):
        assert not await whole.inside.house.local.serves(name)
        await whole.api.post(f"/v0/inboxes/{inbox}/messages", {"to": f"boss@{name}", "subject": name})
    await whole.inside.settle()
    caught = await whole.api.get(f"/v0/inboxes/catch@{whole.inside.domain}/messages", subject=big)
    assert caught["count"] == 2, "it went out, which is to the catch here"


async def test_several_may_name_a_domain_and_who_proves_it_first_has_it(whole: Whole) -> None:
    world, name = World(whole), f"{unique('shop')}.example"
    first, second = await verified(whole), await verified(whole)
    async with whole.api_with(first["api_key"]) as one, whole.api_with(second["api_key"]) as two:
        squatted = await one.post("/v0/domains", {"domain": name})
        owned = await two.post("/v0/domains", {"domain": name})
        await one.post("/v0/domains", {"domain": f"eu.{name}"})
        assert {each["value"] for each in squatted["records"]} != {each["value"] for each in owned["records"]}
        # Whoever has the domain publishes what the second one was told; that proves nothing for the first.
        world.publish(owned["records"])
        assert await world.ask(one, name) == "INVALID"
        assert await world.ask(two, name) == "VERIFIED"
        assert (await two.post("/v0/inboxes", {"username": "ann", "domain": name}))["inbox_id"] == f"ann@{name}"
        # Not even with the records of the first does it change hands, nor what lies in it.
        world.publish(squatted["records"])
        assert await world.ask(one, name) == "FAILED"
        world.publish((await one.get(f"/v0/domains/eu.{name}"))["records"])
        assert await world.ask(one, f"eu.{name}") == "FAILED"
        assert (await one.call("POST", "/v0/inboxes", {"username": "bob", "domain": name}))[0] == 422
        assert (await two.get(f"/v0/domains/{name}"))["status"] == "VERIFIED"
        assert (await one.call("DELETE", f"/v0/domains/{name}"))[0] == 204, "its name only"
        assert (await two.get(f"/v0/inboxes/ann@{name}"))["inbox_id"] == f"ann@{name}"


async def test_an_organizations_domains_cost_one_pair_of_keys(whole: Whole) -> None:
    for number in range(5):
        await whole.api.post("/v0/domains", {"domain": f"{unique('d')}{number}.example"})
    rows = await whole.inside.house.db.read(lambda tx: tx.all("SELECT DISTINCT private_key FROM dkim_key"))
    assert len(rows) == 4, "the shared domain's two, and the organisation's two"


async def test_the_code_is_mailed_whatever_holds_the_owners_own_mail(whole: Whole) -> None:
    house = whole.inside.house
    await whole.api.post("/v0/lists/send/allow", {"entry": "partner.example"})
    for level in ("gated", "read_only"):
        await admin_levels.set_level(house, level=level)
        await admin_levels.set_level(house, level=level, inbox=f"catch@{whole.inside.domain}")
        made = await sign_up(whole)
        assert await verify(whole, made["api_key"], await code_for(whole, made["inbox_id"])) == 200
        assert (await admin_oversight.pending(house))["pending"] == []


async def test_what_the_owner_and_keys_change_is_in_the_organizations_log(whole: Whole) -> None:
    house, db = whole.inside.house, whole.inside.house.db
    made = await verified(whole)
    organization, inbox = made["organization_id"], made["inbox_id"]
    key = await admin_keys.create(house, surface="agentmail", organization=organization)
    await admin_keys.revoke(house, id=key["id"])
    await admin_levels.set_level(house, level="gated", organization=inbox)
    await admin_levels.set_level(house, level="gated", inbox=inbox)
    async with whole.api_with(made["api_key"]) as api:
        hook = await api.post("/v0/webhooks", {"url": "https://a.example/", "event_types": ["message.received"]})
        since = await db.read(lambda tx: changes.current(tx, organization, ["WebhookEndpoint"]))
        headers = {"headers": {"X-Token": "t"}}
        assert (await api.call("PATCH", f"/v0/webhooks/{hook['webhook_id']}/headers", headers))[0] == 204
    now = await db.read(
        lambda tx: changes.current(tx, organization, ["WebhookEndpoint", "ApiKey", "Organization", "Account"])
    )
    assert now["WebhookEndpoint"] > since["WebhookEndpoint"]
    rows = await db.read(
        lambda tx: tx.all(
            "SELECT type, object_id, action FROM change_log WHERE scope_id = :id", id=organization
        )
    )  # fmt: skip
    noted = {(row["type"], row["object_id"], row["action"]) for row in rows}
    assert {("ApiKey", key["id"], "created"), ("ApiKey", key["id"], "destroyed")} <= noted
    assert ("Organization", organization, "updated") in noted
    assert [each for each in noted if each[0] == "Account" and each[2] == "updated"]


async def test_an_organization_without_a_human_is_told_to_attach_one(whole: Whole) -> None:
    made = await sign_up_alone(whole)
    async with whole.api_with(made["api_key"]) as api:
        status, error = await api.call("POST", "/v0/api-keys", {})
    assert (status, "attach" in error["message"]) == (403, True)
