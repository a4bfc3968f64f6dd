"""One key, one mail; and how much is too much."""

from __future__ import annotations

import asyncio
import smtplib
from contextlib import ExitStack
from dataclasses import replace

import aiohttp
import pytest

from flows.engines import empty_database
from flows.houses import indoors
from flows.server import Server, mail, unique


async def test_a_repeated_key_answers_the_first_ids_and_sends_once(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    subject, key = unique("Once"), unique("key")
    body = {"to": other.address, "subject": subject, "text": "Hi."}
    answers = await asyncio.gather(
        *(agent.call("POST", "messages", body, headers={"Idempotency-Key": key}) for _ in range(5))
    )
    taken = [answer for status, answer in answers if status == 200]
    assert taken
    assert all(status in (200, 409) for status, _ in answers)
    again = await agent.post("messages/send", body, headers={"Idempotency-Key": key})
    assert [answer for answer in [*taken, again] if answer != taken[0]] == []
    await other.received(subject)
    assert len((await agent.get("messages", labels="sent"))["messages"]) == 1


async def test_a_conflict_does_not_make_a_client_wait_for_the_end_of_its_rate(server: Server) -> None:
    agent, key = await server.agent(), unique("key")
    statuses = {}
    async with aiohttp.ClientSession(server.url, headers={"Authorization": f"Bearer {agent.key}"}) as session:
        for subject, path in (("A", "messages"), ("B", "messages"), ("C", "nothing")):
            body = {"to": "bob@far.example", "subject": subject, "text": "Hi."}
            async with session.post(
                f"/v0/inboxes/{agent.address}/{path}", json=body, headers={"Idempotency-Key": key}
            ) as answer:
                statuses[answer.status] = "X-RateLimit-Reset" in answer.headers
    # Published clients try a 409 again by themselves, after the instant this header names.
    assert statuses == {200: True, 409: False, 404: False}, "nothing is counted where there is nothing"


@pytest.mark.parametrize("change", ["body", "inbox", "endpoint"])
async def test_the_same_key_for_another_request_is_a_conflict(server: Server, change: str) -> None:
    agent, other = await server.agent(), await server.agent()
    key, subject = unique("key"), unique("In")
    server.send("ann@elsewhere.example", agent.address, subject)
    got = await agent.received(subject)
    body = {"to": "bob@far.example", "subject": "A", "text": "Hi."}
    whole = (await server.command("key_create", surface="agentmail"))["key"]
    path = f"/v0/inboxes/{agent.address}/messages"
    async with server.api(whole) as api:
        await api.post(path, body, headers={"Idempotency-Key": key})
        if change == "body":
            body = body | {"text": "Ho."}
        elif change == "inbox":
            path = f"/v0/inboxes/{other.address}/messages"
        else:
            path = f"{path}/{got['message_id']}/forward"
        status, error = await api.call("POST", path, body, headers={"Idempotency-Key": key})
    assert (status, error["code"], error["name"]) == (409, "conflict", "ConflictError")
    assert len((await agent.get("messages", labels="sent"))["messages"]) == 1
    assert (await other.get("messages", labels="sent"))["messages"] == []


async def test_a_key_is_its_holders_own(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    key = {"Idempotency-Key": unique("key")}
    body = {"to": "bob@far.example", "subject": "A", "text": "Hi."}
    mine = await agent.post("messages", body, headers=key)
    theirs = await other.post("messages", body | {"text": "Ho."}, headers=key)
    assert theirs != mine, "nobody learns of another's key, or is in its way"
    assert await agent.post("messages", body, headers=key) == mine
    assert len((await other.get("messages", labels="sent"))["messages"]) == 1


async def test_a_failed_request_leaves_its_key_free(server: Server) -> None:
    agent = await server.agent()
    headers = {"Idempotency-Key": unique("key")}
    assert (await agent.call("POST", "messages", {"text": "Hi."}, headers=headers))[0] == 422
    assert (await agent.call("POST", "messages", {"to": "bob@far.example"}, headers=headers))[0] == 200


@pytest.mark.parametrize("key", ["", "a" * 257, "white space", "sl/ash", "\u00e4"])
async def test_a_key_of_other_characters_is_refused(server: Server, key: str) -> None:
    agent = await server.agent()
    status, error = await agent.call("POST", "messages", {"to": "b@c.example"}, headers={"Idempotency-Key": key})
    assert status == 400
    assert error["error"]["details"]["field"] == "Idempotency-Key"


async def test_the_request_rate_is_told_and_kept() -> None:
    async with indoors(rate_limits="on") as house, house.agent() as (address, api):
        path = f"/v0/inboxes/{address}"
        async with api.session.get(path) as answer:
            assert answer.headers["X-RateLimit-Limit"] == "1000"
            assert answer.headers["X-RateLimit-Remaining"] == "999"
            assert 0 < int(answer.headers["X-RateLimit-Reset"]) - house.clock.at // 1000 <= 60
        for _ in range(999):
            async with api.session.get(path) as answer:
                assert answer.status == 200
        async with api.session.get(path) as answer:
            assert answer.status == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert (await answer.json())["code"] == "rate_limit_exceeded"
        house.clock.forward(seconds=61)
        async with api.session.get(path) as answer:
            assert answer.status == 200


@pytest.fixture(params=["sqlite", "postgres"])
def own_database(request: pytest.FixtureRequest) -> object:
    """A database for this test alone."""
    with empty_database(str(request.param), request) as url:
        yield url


async def test_a_full_inbox_is_told_at_rcpt_and_keeps_what_was_taken(own_database: str) -> None:
    async with indoors(own_database, quota="20KB") as house, house.agent() as (address, api):
        smtp = house.house.ports["smtp"]
        raw = mail("ann@elsewhere.example", [address], text="x" * 70 + "\n").as_bytes() + b"y" * 70 * 300

        def deliver() -> None:
            with smtplib.SMTP("127.0.0.1", smtp, timeout=20) as client:
                client.sendmail("ann@elsewhere.example", [address], raw)

        await asyncio.to_thread(deliver)
        await house.settle()
        with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
            await asyncio.to_thread(deliver)
        code, text = refusal.value.recipients[address]
        assert code == 452
        assert text.startswith(b"4.2.2")
        messages = (await api.get(f"/v0/inboxes/{address}/messages"))["messages"]
        assert len(messages) == 1
        await api.call("DELETE", f"/v0/inboxes/{address}/messages/{messages[0]['message_id']}")
        await asyncio.to_thread(deliver)
        await house.settle()
        assert len((await api.get(f"/v0/inboxes/{address}/messages"))["messages"]) == 1


async def test_many_mails_at_once_are_no_way_round_a_quota(own_database: str) -> None:
    async with indoors(own_database, quota="50KB") as house, house.agent() as (address, api):
        smtp = house.house.ports["smtp"]
        raw = mail("ann@elsewhere.example", [address]).as_bytes() + b"y" * 70 + b"\r\n" + b"z" * 20_000

        def deliver() -> list[int]:
            with ExitStack() as stack:
                clients = [stack.enter_context(smtplib.SMTP("127.0.0.1", smtp, timeout=20)) for _ in range(8)]
                for client in clients:
                    client.ehlo()
                    client.mail("ann@elsewhere.example")
                    assert client.rcpt(address)[0] == 250, "each is told that there is room"
                return [client.data(raw)[0] for client in clients]

        codes = await asyncio.to_thread(deliver)
        assert codes == [250] * 3 + [452] * 5
        await house.settle()
        messages = (await api.get(f"/v0/inboxes/{address}/messages"))["messages"]
        assert len(messages) == 3, "what was answered with 250 is there, and no more"


async def test_a_days_number_of_messages_holds_for_those_sent_at_once(own_database: str) -> None:
    async with indoors(own_database) as house, house.agent() as (address, api):
        submitter = house.house.submitter
        submitter.limits = replace(submitter.limits, submissions_a_day=5)
        body = {"to": f"catch@{house.domain}", "text": "Hi."}
        answers = await asyncio.gather(*(api.call("POST", f"/v0/inboxes/{address}/messages", body) for _ in range(12)))
        assert sorted(status for status, _ in answers) == [200] * 5 + [429] * 7
