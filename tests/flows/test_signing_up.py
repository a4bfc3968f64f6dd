"""Registering without a key, at every door, as callers on this machine, web pages and proxies try it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import aiohttp
import pytest

from flows.houses import Indoors, indoors
from flows.server import unique
from posthouse.kit.config import POW_SALT

Headers = dict[str, str]


async def at_agentmail(session: aiohttp.ClientSession, headers: Headers) -> tuple[int, Any, Headers]:
    body = json.dumps({"username": unique("agent")})
    given = {"Content-Type": "application/json"} | headers
    async with session.post("/v0/agent/sign-up", data=body, headers=given) as answer:
        return answer.status, await answer.json(), dict(answer.headers)


def proof(bearer: str) -> dict[str, str]:
    """What solves a challenge of no difficulty."""
    part = bearer.split(".")[1]
    jti = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["jti"]
    digest = hashlib.scrypt(f"{jti}:0".encode(), salt=POW_SALT.encode(), n=16384, r=8, p=1, dklen=64).hex()
    return {"powHex": digest, "nonce": "0"}


async def at_atomic_mail(session: aiohttp.ClientSession, headers: Headers) -> tuple[int, Any, Headers]:
    async with session.post("/api/v1/challenge") as answer:
        bearer = answer.headers["Authorization"]
    body = json.dumps(proof(bearer) | {"username": unique("a")})
    given = {"Content-Type": "application/json", "Authorization": bearer} | headers
    async with session.post("/api/v1/session", data=body, headers=given) as answer:
        return answer.status, await answer.json(), dict(answer.headers)


DOORS = (at_agentmail, at_atomic_mail)


def at(inside: Indoors) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(f"http://127.0.0.1:{inside.house.ports['http']}")


async def statuses(session: aiohttp.ClientSession, headers: Headers) -> list[int]:
    """What each door answers; a refusal is told in its own words, and a page may read neither."""
    found = []
    for door in DOORS:
        status, body, answered = await door(session, headers)
        assert status in (200, 403), body
        assert status == 200 or body["error"]["message"]
        assert not [name for name in answered if name.lower().startswith("access-control")]
        found.append(status)
    return found


async def test_a_web_page_registers_nobody_and_a_caller_at_home_does() -> None:
    async with indoors(pow_difficulty=0) as inside, at(inside) as session:
        port = inside.house.ports["http"]
        assert await statuses(session, {}) == [200, 200]
        assert await statuses(session, {"Host": inside.domain}) == [200, 200]
        for page in (
            {"Origin": "https://pages.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": f"http://127.0.0.1:{port}"},
            {"Host": f"rebound.example:{port}"},
            {"Host": f"rebound.example:{port}", "Origin": f"http://rebound.example:{port}"},
            {"Content-Type": "text/plain;charset=UTF-8"},
            {"X-Forwarded-For": "127.0.0.1"},
            {"Forwarded": "for=127.0.0.1"},
            {"Via": "1.1 somewhere"},
        ):
            assert await statuses(session, page) == [403, 403], page


async def test_open_to_all_is_still_closed_to_web_pages() -> None:
    async with indoors(pow_difficulty=0, signup="open") as inside, at(inside) as session:
        for name in ("anything.example", "192.0.2.1:8025"):
            assert await statuses(session, {"Host": name, "X-Forwarded-For": "203.0.113.9"}) == [200, 200]
        assert await statuses(session, {"Origin": "https://pages.example"}) == [403, 403]
        assert await statuses(session, {"Host": "anything.example", "Origin": "http://anything.example"}) == [403, 403]


async def test_behind_a_trusted_proxy_the_caller_it_names_counts() -> None:
    async with indoors(
        pow_difficulty=0, trusted_proxies="127.0.0.1", public_base_url="https://mail.example"
    ) as inside, at(inside) as session:  # fmt: skip
        forwarded: Headers = {"Host": "mail.example", "X-Forwarded-Proto": "https"}
        assert await statuses(session, forwarded | {"X-Forwarded-For": "203.0.113.9"}) == [403, 403]
        assert await statuses(session, forwarded | {"X-Forwarded-For": "127.0.0.1, 203.0.113.9"}) == [403, 403]
        assert await statuses(session, forwarded | {"X-Forwarded-For": "::1"}) == [200, 200]
        assert await statuses(session, forwarded | {"Via": "1.1 proxy"}) == [403, 403], "it did not say for whom"
        assert await statuses(session, {}) == [200, 200]
    async with indoors(pow_difficulty=0, trusted_proxies="*") as inside, at(inside) as session:
        assert await statuses(session, {"X-Forwarded-For": "127.0.0.1"}) == [403, 403], "anybody can claim it"


@pytest.mark.parametrize("path", ["/v0/agent/sign-up", "/v0//agent/sign-up/", "/api/v1/session", "/api/v1/challenge/"])
async def test_no_page_is_told_that_it_may_ask_where_no_key_is_needed(path: str) -> None:
    async with indoors(signup="open") as inside, at(inside) as session:
        asked = {"Origin": "https://pages.example", "Access-Control-Request-Method": "POST"}
        async with session.options(path, headers=asked) as answer:
            assert answer.status == 405
            assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        async with session.options("/v0/inboxes", headers=asked) as answer:
            assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")
        async with session.post("/api/v1/challenge", headers={"Origin": "https://pages.example"}) as answer:
            assert answer.status == 403
            assert "authorization" not in answer.headers


async def test_who_has_a_key_logs_in_from_anywhere_whoever_may_register() -> None:
    async with indoors(pow_difficulty=0) as inside, at(inside) as session:
        _, made, _ = await at_atomic_mail(session, {})
        async with session.post("/api/v1/challenge", headers={"X-Forwarded-For": "203.0.113.9"}) as answer:
            bearer = answer.headers["Authorization"]
        body = proof(bearer) | {"apiKey": made["apiKey"]}
        headers = {"Authorization": bearer, "X-Forwarded-For": "203.0.113.9", "Host": "mail.example"}
        async with session.post("/api/v1/session", json=body, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
