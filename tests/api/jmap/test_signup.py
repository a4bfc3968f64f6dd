"""Challenge, session, capability: the steps of the seed document, and what breaks them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import httpx
import pytest

from api.jmap.conftest import DOMAIN, Clock
from posthouse.accounts.challenges import digest_of, has_zero_bits
from posthouse.app import House
from posthouse.kit.config import POW_SALT


def payload_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    payload: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return payload


def solve(jti: str, difficulty: int) -> tuple[str, str]:
    """As the seed's Python example does it."""
    nonce = 0
    while True:
        digest = hashlib.scrypt(f"{jti}:{nonce}".encode(), salt=POW_SALT.encode(), n=16384, r=8, p=1, dklen=64)
        if bin(int.from_bytes(digest, "big"))[2:].zfill(512).startswith("0" * difficulty):
            return str(nonce), digest.hex()
        nonce += 1


def bearer_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    scheme, _, token = answer.headers["authorization"].partition(" ")
    assert scheme.lower() == "bearer"
    return token


async def challenge(http: httpx.AsyncClient) -> tuple[str, str, str]:
    token = bearer_of(await http.post("/api/v1/challenge"))
    claims = payload_of(token)
    assert isinstance(claims["difficulty"], int)
    return (token, *solve(claims["jti"], claims["difficulty"]))


async def session(http: httpx.AsyncClient, **body: Any) -> httpx.Response:
    token, nonce, pow_hex = await challenge(http)
    return await http.post(
        "/api/v1/session", headers={"Authorization": f"Bearer {token}"}, json={"powHex": pow_hex, "nonce": nonce} | body
    )


@pytest.mark.parametrize(
    ("jti", "difficulty", "nonce", "prefix"),
    [
        ("fixture-alpha", 4, "4", "0e365cf9"),
        ("fixture-beta", 6, "51", "0326f146"),
        ("fixture-gamma", 8, "80", "004f0f2b"),
    ],
)
def test_known_solutions_are_accepted(jti: str, difficulty: int, nonce: str, prefix: str) -> None:
    digest = digest_of(jti, nonce, POW_SALT)
    assert digest.hex().startswith(prefix)
    assert has_zero_bits(digest, difficulty)
    assert has_zero_bits(digest, 0)


async def test_an_agent_signs_up_logs_in_and_reads_its_inbox_as_in_the_seed(http: httpx.AsyncClient) -> None:
    registered = await session(http, username="MyAgent ", utm_source="docs")
    body = registered.json()
    assert body["inbox"] == body["inboxId"] == f"myagent@{DOMAIN}"
    assert body["apiKey"].startswith("atm_")
    bearer_of(registered)

    logged_in = await session(http, apiKey=body["apiKey"])
    token = bearer_of(logged_in)
    assert "apiKey" not in logged_in.json()
    bought = await http.post("/api/v1/capability", headers={"Authorization": f"Bearer {token}"})
    capability = bearer_of(bought)
    claims = payload_of(capability)
    assert claims["inboxId"] == f"myagent@{DOMAIN}"
    assert claims["exp"] - claims["iat"] == 120

    found = (await http.get("/.well-known/jmap", headers={"Authorization": f"Bearer {capability}"})).json()
    account_id = found["primaryAccounts"]["urn:ietf:params:jmap:mail"]
    assert account_id == body["accountId"]
    read = {
        "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
        "methodCalls": [
            ["Mailbox/query", {"accountId": account_id, "filter": {"role": "inbox"}}, "mq0"],
            [
                "Email/query",
                {
                    "accountId": account_id,
                    "filter": {"inMailbox": {"resultOf": "mq0", "name": "Mailbox/query", "path": "/ids/0"}},
                    "sort": [{"property": "receivedAt", "isAscending": False}],
                    "limit": 20,
                },
                "q0",
            ],
            [
                "Email/get",
                {
                    "accountId": account_id,
                    "#ids": {"resultOf": "q0", "name": "Email/query", "path": "/ids"},
                    "properties": ["id", "subject", "from", "receivedAt", "preview"],
                },
                "g0",
            ],
        ],
    }
    answer = await http.post(found["apiUrl"], headers={"Authorization": f"Bearer {capability}"}, json=read)
    assert [each[0] for each in answer.json()["methodResponses"]] == ["Mailbox/query", "Email/query", "Email/get"]
    assert answer.json()["methodResponses"][2][1]["list"] == []


async def test_the_seeds_message_is_sent_and_leaves_the_inbox(http: httpx.AsyncClient, house: House) -> None:
    body = (await session(http, username="myagent")).json()
    headers = {"Authorization": f"Bearer {body['apiKey']}"}
    sender, to = body["inbox"], "user@example.com"

    async def post(calls: list[Any]) -> list[Any]:
        using = [f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "submission")]
        answer = await http.post("/jmap", headers=headers, json={"using": using, "methodCalls": calls})
        responses: list[Any] = answer.json()["methodResponses"]
        return responses

    inbox = (await post([["Mailbox/query", {"filter": {"role": "inbox"}}, "mq0"]]))[0][1]["ids"][0]
    done = await post(
        [
            [
                "Email/set",
                {
                    "create": {
                        "draft1": {
                            "mailboxIds": {inbox: True},
                            "from": [{"email": sender}],
                            "to": [{"email": to}],
                            "subject": "Hello from Atomic Mail",
                            "textBody": [{"partId": "body", "type": "text/plain"}],
                            "bodyValues": {"body": {"value": "This was sent via JMAP."}},
                            "keywords": {"$draft": True},
                        }
                    }
                },
                "s0",
            ],
            [
                "EmailSubmission/set",
                {
                    "create": {
                        "sub1": {
                            "emailId": "#draft1",
                            "envelope": {"mailFrom": {"email": sender}, "rcptTo": [{"email": to}]},
                        }
                    }
                },
                "s1",
            ],
        ]
    )
    assert [each[0] for each in done] == ["Email/set", "EmailSubmission/set"]  # D6 adds no response
    email_id = done[0][1]["created"]["draft1"]["id"]
    assert done[1][1]["created"]["sub1"]["undoStatus"] == "final"
    boxes = {each["id"]: each["role"] for each in (await post([["Mailbox/get", {}, "0"]]))[0][1]["list"]}
    shown = (await post([["Email/get", {"ids": [email_id], "properties": ["mailboxIds", "keywords"]}, "0"]]))[0][1]
    assert [boxes[each] for each in shown["list"][0]["mailboxIds"]] == ["sent"]
    assert shown["list"][0]["keywords"] == {"$seen": True}
    await house.settle()
    caught = await house.db.read(
        lambda tx: tx.all(
            "SELECT subject, direction FROM message WHERE subject = 'Hello from Atomic Mail' ORDER BY direction"
        )
    )
    assert [row["direction"] for row in caught] == ["in", "out"]


async def test_a_challenge_counts_once_even_when_it_was_solved_wrongly(http: httpx.AsyncClient) -> None:
    token, nonce, pow_hex = await challenge(http)
    headers = {"Authorization": f"Bearer {token}"}
    wrong = {"powHex": "0" * 128, "nonce": nonce, "username": "somebody"}
    first = await http.post("/api/v1/session", headers=headers, json=wrong)
    second = await http.post("/api/v1/session", headers=headers, json=wrong | {"powHex": pow_hex})
    assert (first.status_code, second.status_code) == (401, 401)
    assert "new" in second.json()["error"]["hint"]
    assert set(second.json()["error"]) == {"message", "hint", "docs_url"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"username": "abcd"}, 400),
        ({"username": "a" * 22}, 400),
        ({"username": "postmaster"}, 400),
        ({"username": "two words"}, 400),
        ({}, 400),
        ({"username": "somebody", "apiKey": "atm_x"}, 400),
        ({"apiKey": "atm_unknown"}, 401),
    ],
)
async def test_bad_signups_and_logins_are_told_what_is_wrong(
    http: httpx.AsyncClient, body: dict[str, Any], status: int
) -> None:
    answer = await session(http, **body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_a_taken_name_is_a_conflict_and_strangers_are_isolated(http: httpx.AsyncClient, house: House) -> None:
    first, second = await session(http, username="agent-one"), await session(http, username="agent-two")
    assert (await session(http, username="agent-one")).status_code == 409
    accounts_of = await house.db.read(
        lambda tx: tx.all(
            "SELECT organization_id FROM account WHERE id IN (:ids...)",
            ids=[first.json()["accountId"], second.json()["accountId"]],
        )
    )
    assert len({row["organization_id"] for row in accounts_of}) == 2


async def test_tokens_open_only_their_own_door_and_end(http: httpx.AsyncClient, clock: Clock) -> None:
    registered = await session(http, username="myagent")
    session_token = bearer_of(registered)
    assert (
        await http.get("/.well-known/jmap", headers={"Authorization": f"Bearer {session_token}"})
    ).status_code == 401
    bought = await http.post("/api/v1/capability", headers={"Authorization": f"Bearer {session_token}"})
    capability = {"Authorization": f"Bearer {bearer_of(bought)}"}
    assert (await http.post("/api/v1/capability", headers=capability)).status_code == 401
    assert (await http.get("/.well-known/jmap", headers=capability)).status_code == 200
    forged = bearer_of(bought)[:-6] + "AAAAAA"
    assert (await http.get("/.well-known/jmap", headers={"Authorization": f"Bearer {forged}"})).status_code == 401
    clock.at += 121_000
    answer = await http.get("/.well-known/jmap", headers=capability)
    assert (answer.status_code, answer.headers["content-type"]) == (401, "application/json")


async def test_a_revoked_key_ends_its_tokens_at_once(http: httpx.AsyncClient, house: House) -> None:
    registered = await session(http, username="myagent")
    bought = await http.post("/api/v1/capability", headers={"Authorization": f"Bearer {bearer_of(registered)}"})
    await house.db.write(lambda tx: tx.run("DELETE FROM api_key WHERE surface = 'atomicmail'"))
    answer = await http.get("/.well-known/jmap", headers={"Authorization": f"Bearer {bearer_of(bought)}"})
    assert answer.status_code == 401


async def test_the_key_set_is_public_and_holds_no_private_part(http: httpx.AsyncClient) -> None:
    keys = (await http.get("/.well-known/jwks.json")).json()["keys"]
    assert keys[0]["kty"] == "OKP"
    assert "d" not in keys[0]
