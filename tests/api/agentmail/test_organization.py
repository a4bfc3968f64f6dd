"""Sign-up, domains, metrics, and who a key is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from api.agentmail.conftest import Whole
from flows.server import Api, unique
from flows.sinks import webhook_receiver
from posthouse.admin import keys as admin_keys
from posthouse.kit.clock import iso
from posthouse.wire.resolver import NameNotFound


async def code_for(whole: Whole, inbox: str) -> str:
    """The code as the human read it; outside mail stays with the operator here."""
    await whole.inside.settle()
    path = f"/v0/inboxes/catch@{whole.inside.domain}/messages"
    found = (await whole.api.get(path, subject=inbox))["messages"]
    message = await whole.api.get(f"{path}/{found[0]['message_id']}")
    return str(message["text"]).split("The code is ")[1][:6]


async def sign_up(whole: Whole, **body: Any) -> dict[str, Any]:
    fields = {"human_email": f"{unique('human')}@far.example", "username": unique("agent")} | body
    async with whole.api_with("") as nobody:
        made: dict[str, Any] = await nobody.post("/v0/agent/sign-up", fields)
        return made | {"human_email": fields["human_email"]}


async def test_an_agent_that_registers_writes_to_its_human_only_until_the_code_is_entered(whole: Whole) -> None:
    made = await sign_up(whole)
    async with whole.api_with(made["api_key"]) as api:
        path = f"/v0/inboxes/{made['inbox_id']}/messages"
        assert (await api.get("/v0/organizations"))["organization_id"] == made["organization_id"]
        await api.post(path, {"to": made["human_email"], "subject": "Hello"})
        status, error = await api.call("POST", path, {"to": [made["human_email"], "bob@far.example"]})
        assert (status, error["code"]) == (403, "message_rejected")
        wrong = await api.call("POST", "/v0/agent/verify", {"otp_code": "x"})
        assert (wrong[0], wrong[1]["code"]) == (401, "unauthorized")
        code = await code_for(whole, made["inbox_id"])
        assert await api.post("/v0/agent/verify", {"otp_code": code}) == {"verified": True}
        await api.post(path, {"to": "bob@far.example"})
        assert (await whole.api.call("GET", f"/v0/inboxes/{made['inbox_id']}"))[0] == 404, "a stranger to all others"


async def test_knowing_the_humans_address_opens_nothing_until_the_code_for_it_is_entered(whole: Whole) -> None:
    first = await sign_up(whole)
    inbox = f"/v0/inboxes/{first['inbox_id']}"
    await whole.mail(first["inbox_id"], subject="For the first only")
    await whole.inside.settle()
    whole.inside.clock.forward(seconds=1)
    second = await sign_up(whole, human_email=first["human_email"])
    assert (second["organization_id"], second["inbox_id"]) == (first["organization_id"], first["inbox_id"])
    async with whole.api_with(second["api_key"]) as stranger:
        for method, path, body in (
            ("GET", f"{inbox}/messages", None), ("GET", f"{inbox}/threads", None), ("GET", "/v0/inboxes", None),
            ("GET", "/v0/threads", None), ("GET", f"{inbox}/messages/search?q=first", None), ("DELETE", inbox, None),
            ("POST", f"{inbox}/messages", {"to": first["human_email"]}), ("POST", f"{inbox}/drafts", {"subject": "x"}),
            ("GET", "/v0/api-keys", None), ("POST", "/v0/api-keys", {}), ("POST", "/v0/inboxes", {}),
            ("POST", "/v0/agent/human", {"human_email": "else@far.example"}), ("GET", "/v0/metrics/events", None),
        ):  # fmt: skip
            assert (await stranger.call(method, path, body))[0] == 403, path
    async with whole.api_with(first["api_key"]) as api:
        assert (await api.get(f"{inbox}/messages"))["count"] == 1, "the first key is as good as before"
    code = await code_for(whole, first["inbox_id"])
    assert await verify(whole, second["api_key"], code) == 200
    async with whole.api_with(second["api_key"]) as api:
        assert (await api.get(f"{inbox}/messages"))["count"] == 1, "the human has said so"
        await api.post(f"{inbox}/messages", {"to": "bob@far.example"})
    async with whole.api_with(first["api_key"]) as api:
        assert (await api.call("GET", "/v0/auth/me"))[0] == 401
    body = {"human_email": first["human_email"], "username": unique("x")}
    async with whole.api_with("") as nobody:
        status, error = await nobody.call("POST", "/v0/agent/sign-up", body)
        assert (status, error["code"]) == (403, "already_exists"), "knowing the address gives nobody a key"


async def test_who_registered_first_and_enters_the_code_keeps_all_to_themselves(whole: Whole) -> None:
    first = await sign_up(whole)
    code = await code_for(whole, first["inbox_id"])
    second = await sign_up(whole, human_email=first["human_email"])
    assert await verify(whole, second["api_key"], code) in (200, 401), "one in a million: the same digits"
    assert await verify(whole, first["api_key"], code) == 200
    async with whole.api_with(second["api_key"]) as api:
        assert (await api.call("GET", "/v0/auth/me"))[0] == 401


async def test_what_was_set_up_before_the_human_said_who_it_is_reads_nothing_more(whole: Whole) -> None:
    first = await sign_up(whole)
    other = await admin_keys.create(
        whole.inside.house, surface="agentmail", name="kept back", organization=first["organization_id"]
    )
    await whole.inside.settle()
    whole.inside.clock.forward(seconds=1)
    second = await sign_up(whole, human_email=first["human_email"])
    assert await verify(whole, second["api_key"], await code_for(whole, first["inbox_id"])) == 200
    async with whole.api_with(other["key"]) as api:
        assert (await api.call("GET", "/v0/auth/me"))[0] == 401
    async with whole.api_with(second["api_key"]) as api:
        assert (await api.get("/v0/webhooks"))["count"] == 0
        assert (await api.get("/v0/api-keys"))["count"] == 1


async def test_a_code_is_good_for_ten_tries_and_a_day(whole: Whole) -> None:
    made = await sign_up(whole)
    code = await code_for(whole, made["inbox_id"])
    async with whole.api_with(made["api_key"]) as api:
        for _ in range(10):
            assert (await api.call("POST", "/v0/agent/verify", {"otp_code": "none"}))[0] == 401
        assert (await api.call("POST", "/v0/agent/verify", {"otp_code": code}))[0] == 403
    late = await sign_up(whole)
    code = await code_for(whole, late["inbox_id"])
    whole.inside.clock.forward(hours=25)
    async with whole.api_with(late["api_key"]) as api:
        assert (await api.call("POST", "/v0/agent/verify", {"otp_code": code}))[0] == 403
    assert (await whole.api.call("POST", "/v0/agent/verify", {"otp_code": "1"}))[0] == 403, "nothing to verify"


async def test_the_setting_says_who_may_register(whole: Whole) -> None:
    house = whole.inside.house
    assert house.services is not None
    settings = house.services.settings
    body = {"human_email": "h@far.example", "username": unique("agent")}
    for setting, headers, status in (
        ("off", {}, 403),
        ("loopback", {"X-Forwarded-For": "203.0.113.9"}, 403),
        ("loopback", {}, 200),
    ):
        object.__setattr__(house.services, "settings", msgspec.structs.replace(settings, signup=setting))
        async with whole.api_with("") as nobody:
            assert (await nobody.call("POST", "/v0/agent/sign-up", body, headers=headers))[0] == status, setting


async def sign_up_alone(whole: Whole) -> dict[str, Any]:
    async with whole.api_with("") as nobody:
        made: dict[str, Any] = await nobody.post("/v0/agent/sign-up", {"username": unique("agent")})
        return made


async def attach(whole: Whole, key: str, human_email: str) -> tuple[int, str]:
    """The status, and the code of a refusal or the instructions."""
    async with whole.api_with(key) as api:
        status, answer = await api.call("POST", "/v0/agent/human", {"human_email": human_email})
        assert status != 200 or answer["human_email"] == human_email
        return status, answer["instructions"] if status == 200 else answer["code"]


async def verify(whole: Whole, key: str, code: str) -> int:
    async with whole.api_with(key) as api:
        return int((await api.call("POST", "/v0/agent/verify", {"otp_code": code}))[0])


async def send(whole: Whole, made: dict[str, Any], to: str) -> int:
    async with whole.api_with(made["api_key"]) as api:
        status, answer = await api.call("POST", f"/v0/inboxes/{made['inbox_id']}/messages", {"to": to})
        assert (status, answer.get("code")) in ((200, None), (403, "message_rejected"))
        return int(status)


async def letters(whole: Whole, inbox: str) -> int:
    await whole.inside.settle()
    path = f"/v0/inboxes/catch@{whole.inside.domain}/messages"
    return len((await whole.api.get(path, subject=inbox, labels="received"))["messages"])


async def test_an_agent_without_a_human_receives_only_until_one_is_attached(whole: Whole) -> None:
    made, human = await sign_up_alone(whole), f"{unique('human')}@far.example"
    await whole.mail(made["inbox_id"])
    async with whole.api_with(made["api_key"]) as api:
        assert len((await api.get(f"/v0/inboxes/{made['inbox_id']}/messages"))["messages"]) == 1
        draft = await api.post(f"/v0/inboxes/{made['inbox_id']}/drafts", {"to": human})
        sending = f"/v0/inboxes/{made['inbox_id']}/drafts/{draft['draft_id']}/send"
        assert (await api.call("POST", sending, {}))[0] == 403, "no way around by a draft"
    assert await send(whole, made, human) == 403
    assert await send(whole, made, made["inbox_id"]) == 403, "nor to itself"
    assert await verify(whole, made["api_key"], "000000") == 403, "there is no code yet"
    assert await letters(whole, made["inbox_id"]) == 0
    status, instructions = await attach(whole, made["api_key"], human)
    assert (status, human in instructions, "/v0/agent/verify" in instructions) == (200, True, True)
    assert await send(whole, made, human) == 200
    assert await send(whole, made, "bob@far.example") == 403
    assert await verify(whole, made["api_key"], await code_for(whole, made["inbox_id"])) == 200
    assert await send(whole, made, "bob@far.example") == 200
    assert await attach(whole, made["api_key"], human) == (409, "conflict"), "whoever has vouched stays"
    assert await attach(whole, made["api_key"], "else@far.example") == (409, "conflict")


async def test_signing_up_again_without_a_human_makes_another_organization(whole: Whole) -> None:
    first, second = await sign_up_alone(whole), await sign_up_alone(whole)
    assert first["organization_id"] != second["organization_id"]
    async with whole.api_with("") as nobody:
        name = first["inbox_id"].partition("@")[0]
        status, error = await nobody.call("POST", "/v0/agent/sign-up", {"username": name})
        assert (status, error["code"]) == (403, "resource_taken")
    async with whole.api_with(first["api_key"]) as api:
        assert (await api.get("/v0/organizations"))["inbox_count"] == 1, "the first key is good still"


async def test_the_same_human_keeps_the_code_and_its_tries_until_it_expires(whole: Whole) -> None:
    made, human = await sign_up_alone(whole), f"{unique('human')}@far.example"
    await attach(whole, made["api_key"], human)
    code = await code_for(whole, made["inbox_id"])
    whole.inside.clock.forward(hours=1)
    assert (await attach(whole, made["api_key"], human.replace("far.example", "FAR.example")))[0] == 200
    assert await letters(whole, made["inbox_id"]) == 2
    assert await code_for(whole, made["inbox_id"]) == code, "mailed again, and no other"
    for _ in range(10):
        assert await verify(whole, made["api_key"], "none") == 401
    status, instructions = await attach(whole, made["api_key"], human)
    assert (status, "too often" in instructions) == (200, True)
    assert await letters(whole, made["inbox_id"]) == 2, "a code that is used up is not mailed"
    assert await verify(whole, made["api_key"], code) == 403, "attaching gives nobody more tries"
    whole.inside.clock.forward(hours=23)
    assert (await attach(whole, made["api_key"], human))[0] == 200
    renewed = await code_for(whole, made["inbox_id"])
    assert await letters(whole, made["inbox_id"]) == 3
    assert await verify(whole, made["api_key"], renewed) == 200


async def test_signing_up_again_takes_no_tries_from_the_first_and_gives_few_more(whole: Whole) -> None:
    made = await sign_up(whole)
    code = await code_for(whole, made["inbox_id"])
    for _ in range(3):
        again = await sign_up(whole, human_email=made["human_email"])
        for _ in range(5):
            assert await verify(whole, again["api_key"], "none") == 401
        assert await verify(whole, again["api_key"], "none") == 403
    body = {"human_email": made["human_email"], "username": unique("x")}
    async with whole.api_with("") as nobody:
        status, error = await nobody.call("POST", "/v0/agent/sign-up", body)
        assert (status, error["code"]) == (403, "limit_exceeded")
    assert await letters(whole, made["inbox_id"]) == 4
    whole.inside.clock.forward(hours=23)
    assert await verify(whole, made["api_key"], code) == 200
    late = await sign_up(whole)
    for _ in range(2):
        for _ in range(3):
            await sign_up(whole, human_email=late["human_email"])
        whole.inside.clock.forward(hours=25)


async def test_another_human_takes_the_place_twice_with_a_code_of_their_own(whole: Whole) -> None:
    made = await sign_up(whole)
    first = await code_for(whole, made["inbox_id"])
    for number in range(2):
        assert await letters(whole, made["inbox_id"]) == number + 1
        whole.inside.clock.forward(seconds=1)
        assert (await attach(whole, made["api_key"], f"{unique('human')}{number}@far.example"))[0] == 200
    last = f"{unique('human')}@far.example"
    assert await attach(whole, made["api_key"], last) == (403, "limit_exceeded")
    assert await send(whole, made, last) == 403, "a refused one is not attached"
    assert await send(whole, made, made["human_email"]) == 403, "nor is the first any more"
    code = await code_for(whole, made["inbox_id"])
    assert code == first or await verify(whole, made["api_key"], first) == 401
    assert await verify(whole, made["api_key"], code) == 200
    fresh = await sign_up(whole, human_email=made["human_email"])
    assert fresh["organization_id"] != made["organization_id"], "an address that was replaced is free"


async def test_attaching_an_address_opens_no_organization_to_anybody(whole: Whole) -> None:
    settled, human = await sign_up(whole), f"{unique('human')}@far.example"
    made, other = await sign_up_alone(whole), await sign_up_alone(whole)
    # To an address another names as its human, each has its own code and key.
    assert (await attach(whole, made["api_key"], settled["human_email"]))[0] == 200
    async with whole.api_with(made["api_key"]) as api:
        assert (await api.call("GET", f"/v0/inboxes/{settled['inbox_id']}"))[0] == 404
        assert (await api.get("/v0/organizations"))["organization_id"] == made["organization_id"]
    code = await code_for(whole, settled["inbox_id"])
    if code != await code_for(whole, made["inbox_id"]):
        assert await verify(whole, made["api_key"], code) == 401, "another's code"
    # Whoever knows an attached address gets an organisation of their own.
    assert (await attach(whole, other["api_key"], human))[0] == 200
    stranger = await sign_up(whole, human_email=human)
    assert stranger["organization_id"] not in (made["organization_id"], other["organization_id"])
    assert await send(whole, other, human) == 200, "and the first key is still good"
    # An address vouches once; then neither way leads anywhere.
    assert await verify(whole, other["api_key"], await code_for(whole, other["inbox_id"])) == 200
    assert await verify(whole, stranger["api_key"], await code_for(whole, stranger["inbox_id"])) == 403
    assert await send(whole, stranger, "bob@far.example") == 403
    assert await attach(whole, made["api_key"], human) == (403, "already_exists")
    async with whole.api_with("") as nobody:
        body = {"human_email": human, "username": unique("x")}
        assert (await nobody.call("POST", "/v0/agent/sign-up", body))[0] == 403


async def test_an_agent_cannot_be_its_own_human(whole: Whole) -> None:
    made, other, own = await sign_up_alone(whole), await sign_up_alone(whole), unique("own")
    tagged = made["inbox_id"].replace("@", "+tag@")
    for address in (made["inbox_id"], tagged, other["inbox_id"], f"later{own}@{whole.inside.domain}"):
        assert await attach(whole, made["api_key"], address) == (400, "validation_error"), address
    async with whole.api_with("") as nobody:
        body = {"human_email": f"{own}@{whole.inside.domain}", "username": own}
        assert (await nobody.call("POST", "/v0/agent/sign-up", body))[0] == 400
    person = await whole.inbox()
    assert (await attach(whole, made["api_key"], person))[0] == 200, "one the operator has put here"


async def test_a_human_is_attached_by_a_key_to_all_of_an_organization_that_registered_itself(whole: Whole) -> None:
    human = f"{unique('human')}@far.example"
    status, error = await whole.api.call("POST", "/v0/agent/human", {"human_email": human})
    assert (status, error["code"]) == (403, "forbidden"), "the operator's needs none"
    made = await sign_up_alone(whole)
    house, organization = whole.inside.house, made["organization_id"]
    below = await admin_keys.create(house, surface="agentmail", inbox=made["inbox_id"])
    weak = await admin_keys.create(house, surface="agentmail", organization=organization, scopes=["message_read"])
    async with whole.api_with(made["api_key"]) as api:
        for body in ({}, {"human_email": ""}, {"human_email": "nobody"}, {"human_email": None}):
            status, error = await api.call("POST", "/v0/agent/human", body)
            assert (status, error["code"]) == (400, "validation_error"), body
    for key in (below["key"], weak["key"]):
        assert await attach(whole, key, human) == (403, "missing_permission")
    assert await attach(whole, "am_wrong", human) == (401, "unknown_api_key")
    assert await letters(whole, made["inbox_id"]) == 0


async def test_humans_are_attached_as_seldom_as_agents_may_register(whole: Whole) -> None:
    made, human = await sign_up_alone(whole), f"{unique('human')}@far.example"
    assert whole.inside.house.services is not None
    whole.inside.house.services.limiter.enabled = True
    answers = [await attach(whole, made["api_key"], human) for _ in range(21)]
    assert [status for status, _ in answers[:19]] == [200] * 19, "signing up was the first"
    assert answers[20] == (429, "rate_limit_exceeded")


class Records:
    """DNS as a domain's owner filled it in."""

    def __init__(self) -> None:
        self.txts: dict[str, list[bytes]] = {}
        self.mxs: dict[str, list[tuple[int, str]]] = {}

    async def txt(self, name: str) -> list[bytes]:
        if name not in self.txts:
            raise NameNotFound(name)
        return self.txts[name]

    async def mx(self, name: str) -> list[tuple[int, str]]:
        if name not in self.mxs:
            raise NameNotFound(name)
        return self.mxs[name]

    async def addresses(self, name: str) -> list[str]:
        raise NameNotFound(name)

    async def ptr(self, address: str) -> list[str]:
        raise NameNotFound(address)


async def test_a_domain_is_proved_by_its_records_and_then_takes_inboxes(whole: Whole) -> None:
    dns = Records()
    whole.inside.house.verifier._resolver = dns
    name = f"{unique('own')}.example"
    made = await whole.api.post("/v0/domains", {"domain": name.upper()})
    assert (made["domain_id"], made["status"]) == (name, "NOT_STARTED")
    assert {each["status"] for each in made["records"]} == {"MISSING"}
    status, error = await whole.api.call("POST", "/v0/inboxes", {"domain": name})
    assert (status, error["code"]) == (422, "unprocessable")
    assert (await whole.api.call("POST", f"/v0/domains/{name}/verify"))[0] == 204
    assert (await whole.api.get(f"/v0/domains/{name}"))["status"] == "VERIFYING"
    await whole.inside.settle()
    assert (await whole.api.get(f"/v0/domains/{name}"))["status"] == "PENDING"

    for record in made["records"]:
        if record["type"] == "MX":
            dns.mxs[record["name"]] = [(record["priority"], record["value"])]
        else:
            dns.txts[record["name"]] = [record["value"].encode()]
    dkim = next(each for each in made["records"] if each["name"].startswith("ph-rsa."))
    dns.txts[dkim["name"]] = [b"v=DKIM1; p=other"]
    await whole.api.call("POST", f"/v0/domains/{name}/verify")
    await whole.inside.settle()
    assert (await whole.api.get(f"/v0/domains/{name}"))["status"] == "INVALID", "another's key proves nothing"
    dns.txts[dkim["name"]] = [dkim["value"].encode()]
    async with webhook_receiver() as sink:
        await whole.api.post("/v0/webhooks", {"url": sink.url, "event_types": ["domain.verified"]})
        for _ in range(2):
            await whole.api.call("POST", f"/v0/domains/{name}/verify")
            await whole.inside.settle()
        (call,) = sink.calls
    told = json.loads(call.body)
    assert (told["event_type"], told["domain"]["domain_id"]) == ("domain.verified", name)
    verified = await whole.api.get(f"/v0/domains/{name}")
    assert (verified["status"], {each["status"] for each in verified["records"]}) == ("VERIFIED", {"VALID"})

    inbox = await whole.inbox(username="ann", domain=name)
    assert inbox == f"ann@{name}"
    status, error = await whole.api.call("DELETE", f"/v0/domains/{name}")
    assert (status, error["code"]) == (403, "cannot_delete")
    await whole.api.call("DELETE", f"/v0/inboxes/{inbox}")
    assert (await whole.api.call("DELETE", f"/v0/domains/{name}"))[0] == 204


async def test_a_zone_file_holds_the_records_and_a_domain_is_added_once(whole: Whole) -> None:
    name = f"{unique('own')}.example"
    made = await whole.api.post("/v0/domains", {"domain": name, "client_id": unique("d"), "subdomains_enabled": True})
    assert await whole.api.post("/v0/domains", {"domain": "x.example", "client_id": made["client_id"]}) == made
    status, error = await whole.api.call("POST", "/v0/domains", {"domain": name})
    assert (status, error["code"]) == (403, "already_exists")
    status, zone = await whole.api.call("GET", f"/v0/domains/{name}/zone-file")
    text = zone.decode()
    assert status == 200
    assert f"{name}. IN MX 10 {whole.inside.domain}." in text
    assert f'_dmarc.{name}. IN TXT "v=DMARC1; p=quarantine"' in text
    assert all(len(part) <= 255 for line in text.splitlines() for part in line.split('"')[1::2])
    status, changed = await whole.api.call("PATCH", f"/v0/domains/{name}", {"feedback_enabled": False})
    assert (status, changed["feedback_enabled"], changed["subdomains_enabled"]) == (200, False, True)
    assert (await whole.api.call("PATCH", f"/v0/domains/{name}", {}))[0] == 400
    for wrong in ("", "no spaces here", "-a.example", "a" * 300):
        assert (await whole.api.call("POST", "/v0/domains", {"domain": wrong}))[0] == 400


async def counts(api: Api, path: str, **query: str) -> dict[str, int]:
    found = await api.get(path, **query)
    return {name: sum(each["count"] for each in buckets) for name, buckets in found.items()}


async def test_events_are_counted_by_kind_and_period_within_a_scope(whole: Whole) -> None:
    mine, theirs = await whole.inbox(), await whole.inbox()
    start = whole.inside.clock.at
    await whole.api.post(f"/v0/inboxes/{mine}/messages", {"to": theirs})
    await whole.inside.settle()
    whole.inside.clock.forward(hours=2)
    await whole.mail(mine)
    span = {"start": iso(start), "end": iso(whole.inside.clock.at + 1)}
    found = await whole.api.get("/v0/metrics/events", event_types="message.received", period="3600", **span)
    assert [each["count"] for each in found["message.received"]] == [1, 0, 1]
    first = await whole.api.get("/v0/metrics/events", period="3600", descending="true", limit="1", **span)
    assert [each["count"] for each in first["message.received"]] == [1]
    own = await counts(whole.api, f"/v0/inboxes/{theirs}/metrics/events", **span)
    assert (own["message.received"], own["message.sent"]) == (1, 0)
    assert (await counts(whole.api, "/v0/metrics/events", **span))["message.sent"] == 1
    used = await whole.api.get("/v0/metrics/usage", usage_types="message_count,inbox_count", period="3600", **span)
    assert [each["value"] for each in used["message_count"]] == [2, 2, 3]
    assert used["inbox_count"][0]["value"] == 3, "the operator's is one of them"
    legacy = await whole.api.get("/v0/metrics", start_timestamp=span["start"], end_timestamp=span["end"])
    assert (len(legacy["message"]["received"]), len(legacy["message"]["sent"])) == (2, 1)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"period": "1"}, 422, "query_range_too_wide"),
        ({"period": "0"}, 400, "validation_error"),
        ({"event_types": "message.imagined"}, 400, "validation_error"),
        ({"start": "2026-02-01", "end": "2026-01-01"}, 400, "validation_error"),
        ({"start": "yesterday"}, 400, "validation_error"),
    ],
)
async def test_a_range_that_cannot_be_counted_is_refused(
    whole: Whole, query: dict[str, str], status: int, code: str
) -> None:
    given, error = await whole.api.call("GET", "/v0/metrics/events", params=query)
    assert (given, error["code"]) == (status, code)
