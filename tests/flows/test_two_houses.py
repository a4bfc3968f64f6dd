"""Two instances, each the other's smarthost: mail, reply, bounce, suppression, and the other one down for a while."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.engines import empty_database
from flows.server import Agent, Server, free_port, unique, until

Pair = tuple[Server, Server]


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def houses(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both run; the second keeps its mail in SQLite."""
    there = free_port()
    with empty_database(str(request.param), request) as url:
        here = Server(domain="here.test", database_url=url, outbound=f"smtp://127.0.0.1:{there}", retry_schedule="1s")
        other = Server(domain="there.test", outbound=f"smtp://127.0.0.1:{here.smtp}", retry_schedule="1s")
        other.smtp = there
        other.settings["smtp_port"] = str(there)
        try:
            yield here.start(), other.start()
        finally:
            here.remove()
            other.remove()


async def _reports(agent: Agent) -> list[dict[str, object]]:
    return [await agent.message(m["message_id"]) for m in await agent.inbox() if "mailer-daemon" in m["from"].lower()
            or "postmaster" in m["from"].lower()]  # fmt: skip


async def test_mail_and_reply_between_two_houses_stay_in_one_thread_on_each_side(houses: Pair) -> None:
    here, there = houses
    ann, bob = await here.agent(), await there.agent()
    subject = unique("Across")
    first = await ann.send(bob.address, subject=subject, text="Are you there?\n")
    got = await bob.received(subject)
    assert got["from"] == ann.address
    assert got["text"].strip() == "Are you there?"
    await ann.labelled(first["message_id"], "delivered")
    assert "DKIM-Signature" in got["headers"], "what leaves the house is signed"

    reply = await bob.post(f"messages/{got['message_id']}/reply", {"text": "Yes."})
    assert reply["thread_id"] == got["thread_id"]
    back = await ann.received(f"Re: {subject}")
    assert back["thread_id"] == first["thread_id"]
    assert back["in_reply_to"] == first["message_id"]


async def test_an_unknown_user_bounces_into_the_thread_and_is_suppressed(houses: Pair) -> None:
    here, there = houses
    ann = await here.agent()
    nobody = f"{unique('nobody')}@{there.domain}"
    sent = await ann.send(nobody, subject=unique("Lost"))
    bounced = await ann.labelled(sent["message_id"], "bounced")
    assert "delivered" not in bounced["labels"]

    async def look() -> list[dict[str, object]]:
        return await _reports(ann)

    report = (await until(look, "the report"))[0]
    assert report["thread_id"] == sent["thread_id"]
    assert report["headers"]["Auto-Submitted"].startswith("auto-")  # type: ignore[index]
    assert nobody in str(report["text"])
    thread = await ann.get(f"threads/{sent['thread_id']}")
    assert thread["message_count"] == 2

    status, error = await ann.call("POST", "messages", {"to": nobody, "text": "Again."})
    assert (status, error["code"]) == (403, "message_rejected")
    bob = await there.agent()
    subject = unique("Partly")
    partly = await ann.send([nobody, bob.address], subject=subject)
    await bob.received(subject)
    await until(lambda: _settled(ann, partly["message_id"]), "the other recipient's delivery")
    other = await here.agent()
    assert (await other.call("POST", "messages", {"to": nobody, "text": "Mine."}))[0] == 200, "it is one account's own"


async def _settled(agent: Agent, message_id: str) -> bool:
    return "sent" in (await agent.message(message_id))["labels"]


async def test_some_recipients_bounce_and_the_others_get_theirs(houses: Pair) -> None:
    here, there = houses
    ann, bob = await here.agent(), await there.agent()
    nobody = f"{unique('nobody')}@{there.domain}"
    subject = unique("Half")
    sent = await ann.send([bob.address, nobody], subject=subject)
    await bob.received(subject)
    await ann.labelled(sent["message_id"], "bounced")
    events = (await here.command("events", limit=200))["events"]
    mine = {
        e["type"]: e["recipients"]
        for e in events
        if e.get("message_id") and e["inbox"] == ann.address and "recipients" in e
    }
    assert mine["message.delivered"] == [bob.address]
    assert mine["message.bounced"] == [{"address": nobody, "status": "5.1.1"}]


async def test_mail_waits_while_the_other_house_is_down_and_goes_when_it_is_up(houses: Pair) -> None:
    here, there = houses
    ann, bob = await here.agent(), await there.agent()
    there.stop()
    subject = unique("Patience")
    sent = await ann.send(bob.address, subject=subject)
    first = await ann.message(sent["message_id"])
    assert first["labels"] == ["sent"]
    there.start()
    await bob.received(subject)
    await ann.labelled(sent["message_id"], "delivered")
    assert await _reports(ann) == [], "a delay of seconds is not reported"


async def test_a_reply_to_a_tagged_return_path_reaches_the_sender(houses: Pair) -> None:
    here, there = houses
    ann, bob = await here.agent(), await there.agent()
    subject = unique("Path")
    await ann.send(bob.address, subject=subject)
    got = await bob.received(subject)
    path = got["headers"]["Return-Path"].strip("<>")
    assert path != ann.address
    assert path.split("@")[1] == here.domain
    back = unique("Back")
    here.send(bob.address, path, back)
    await ann.received(back)
