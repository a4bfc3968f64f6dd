"""The guard at every door: an account at `guarded` sends ordinary mail, and waits for its owner with the rest."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flows.server import Agent, Server, mail, unique, until

SECRET = "The orders are at postgres://app:Tr0ub4dor-3x@db.corp.example:5432/orders\n"
RULE = "ob_connection_string"
OUTSIDE = "bob@far.example"


async def _jmap(agent: Agent, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    account = (await agent.call("GET", "/.well-known/jmap"))[1]["primaryAccounts"]["urn:ietf:params:jmap:mail"]
    using = [f"urn:ietf:params:jmap:{name}" for name in ("core", "mail", "submission")]
    named = [[name, {"accountId": account, **given}, str(n)] for n, (name, given) in enumerate(calls)]
    status, body = await agent.call("POST", "/jmap/", {"using": using, "methodCalls": named})
    assert status == 200, body
    return [answer for _, answer, _ in body["methodResponses"]]


async def _parent(agent: Agent) -> str:
    subject = unique("Question")
    agent.server.send("bob@far.example", agent.address, subject)
    return str((await agent.received(subject, include_unauthenticated="true"))["message_id"])


async def _sends(agent: Agent, subject: str) -> None:
    await agent.send(OUTSIDE, subject=subject, text=SECRET)


async def _replies(agent: Agent, subject: str) -> None:
    await agent.post(f"messages/{await _parent(agent)}/reply", {"text": SECRET, "cc": OUTSIDE})


async def _forwards(agent: Agent, subject: str) -> None:
    await agent.post(f"messages/{await _parent(agent)}/forward", {"to": OUTSIDE, "text": SECRET, "subject": subject})


async def _sends_a_draft(agent: Agent, subject: str) -> None:
    draft = await agent.post("drafts", {"to": OUTSIDE, "subject": subject, "text": SECRET})
    await agent.post(f"drafts/{draft['draft_id']}/send", {})


async def _plans_a_draft(agent: Agent, subject: str) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    await agent.post("drafts", {"to": OUTSIDE, "subject": subject, "text": SECRET, "send_at": at})


async def _submits(agent: Agent, subject: str) -> None:
    with agent.server.sign_in(agent) as client:
        client.sendmail(agent.address, [OUTSIDE], mail(agent.address, [OUTSIDE], subject, SECRET).as_bytes())


async def _sends_by_jmap(agent: Agent, subject: str) -> None:
    boxes = (await _jmap(agent, ("Mailbox/get", {})))[0]["list"]
    drafts = next(box["id"] for box in boxes if box["role"] == "drafts")
    email = {
        "mailboxIds": {drafts: True}, "keywords": {"$draft": True}, "from": [{"email": agent.address}],
        "to": [{"email": OUTSIDE}], "subject": subject, "textBody": [{"partId": "t", "type": "text/plain"}],
        "bodyValues": {"t": {"value": SECRET}},
    }  # fmt: skip
    _, sent = await _jmap(
        agent, ("Email/set", {"create": {"d": email}}), ("EmailSubmission/set", {"create": {"s": {"emailId": "#d"}}})
    )
    assert sent["created"]["s"]["undoStatus"] == "pending"


async def _sends_what_it_imported(agent: Agent, subject: str) -> None:
    boxes = (await _jmap(agent, ("Mailbox/get", {})))[0]["list"]
    drafts = next(box["id"] for box in boxes if box["role"] == "drafts")
    session = (await agent.call("GET", "/.well-known/jmap"))[1]
    where = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
    raw = mail(agent.address, [OUTSIDE], subject, SECRET).as_bytes()
    async with agent.server.api(agent.key) as api:
        status, blob = await api.call("POST", f"/jmap/upload/{where}/", data=raw)
    assert status in (200, 201), blob
    given = {"blobId": blob["blobId"], "mailboxIds": {drafts: True}, "keywords": {"$draft": True}}
    (made,) = await _jmap(agent, ("Email/import", {"emails": {"m": given}}))
    await _jmap(agent, ("EmailSubmission/set", {"create": {"s": {"emailId": made["created"]["m"]["id"]}}}))


DOORS: dict[str, Callable[[Agent, str], Awaitable[None]]] = {
    "send": _sends,
    "reply": _replies,
    "forward": _forwards,
    "draft": _sends_a_draft,
    "plan": _plans_a_draft,
    "submission": _submits,
    "jmap": _sends_by_jmap,
    "import": _sends_what_it_imported,
}


@pytest.mark.parametrize("door", DOORS)
async def test_a_secret_waits_for_the_owner_at_every_door(server: Server, door: str) -> None:
    agent = await server.agent()
    await server.command("level_set", level="guarded", inbox=agent.address)
    await DOORS[door](agent, unique("Secret"))

    async def held() -> list[dict[str, Any]]:
        waiting = (await server.command("pending", limit=100))["pending"]
        return [each for each in waiting if each["from"] == agent.address]

    (hold,) = await until(held, "a hold")
    assert RULE in {reason["rule"] for reason in hold["findings"]}
    assert "Tr0ub4dor" not in str(hold["findings"])
    assert OUTSIDE in hold["to"]


async def test_ordinary_mail_of_a_guarded_account_leaves_at_once(server: Server) -> None:
    agent = await server.agent()
    await server.command("level_set", level="guarded", inbox=agent.address)
    sent = await agent.send(OUTSIDE, text="The meeting is at ten.")
    await agent.labelled(sent["message_id"], "delivered")


async def test_what_stays_in_the_organisation_is_not_looked_at_and_a_copy_outside_is(server: Server) -> None:
    agent, other = await server.agent(), await server.agent()
    await server.command("level_set", level="guarded", inbox=agent.address)
    subject = unique("Inside")
    await agent.send(other.address, subject=subject, text=SECRET)
    await other.received(subject)
    sent = await agent.send(other.address, bcc=OUTSIDE, text=SECRET)
    assert "held" in (await agent.message(sent["message_id"]))["labels"]


async def test_what_was_planned_before_the_guard_came_is_asked_about_when_it_leaves(server: Server) -> None:
    agent = await server.agent()
    await server.command("level_set", level="autonomous", inbox=agent.address)
    subject = unique("Planned")
    await _plans_a_draft(agent, subject)
    await server.command("level_set", level="guarded", inbox=agent.address)

    async def held() -> list[dict[str, Any]]:
        waiting = (await server.command("pending", limit=100))["pending"]
        return [each for each in waiting if each["from"] == agent.address]

    (hold,) = await until(held, "a hold")
    assert hold["subject"] == subject


async def test_the_owner_lets_the_very_bytes_go(server: Server) -> None:
    agent = await server.agent()
    owner = await server.agent("catch")
    await server.command("level_set", level="guarded", inbox=agent.address)
    subject = unique("Approved")
    with server.sign_in(agent) as client:
        message = mail(agent.address, [OUTSIDE], subject, SECRET)
        client.sendmail(agent.address, [OUTSIDE], message.as_bytes())
    waiting = (await server.command("pending", limit=100))["pending"]
    (hold,) = [each for each in waiting if each["from"] == agent.address]
    await server.command("approve", id=hold["id"])
    got = await owner.received(subject)
    assert got["text"].strip() == SECRET.strip()
    assert len(hold["sha256"]) == len(hashlib.sha256().hexdigest())
