"""Drafts: written, changed, planned, sent; each once, and each through the one send path."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from api.agentmail.conftest import Whole
from flows.server import unique
from posthouse.kit.clock import iso

FILE = {"filename": "plan.txt", "content_type": "text/plain", "content": base64.b64encode(b"the plan").decode()}


async def draft(whole: Whole, inbox: str, **body: Any) -> dict[str, Any]:
    made: dict[str, Any] = await whole.api.post(f"/v0/inboxes/{inbox}/drafts", body)
    return made


async def labels(whole: Whole, inbox: str, wanted: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await whole.api.get(f"/v0/inboxes/{inbox}/messages", labels=wanted))["messages"]
    return found


async def test_a_draft_is_written_changed_and_sent_as_it_then_is(whole: Whole) -> None:
    mine, theirs = await whole.inbox(), await whole.inbox()
    made = await draft(whole, mine, to=theirs, bcc=["bob@far.example"], subject="Plan", text="One", attachments=[FILE],
                       labels=["work"])  # fmt: skip
    assert (made["to"], made["labels"], made["subject"]) == ([theirs], ["draft", "work"], "Plan")
    one = f"/v0/inboxes/{mine}/drafts/{made['draft_id']}"
    status, changed = await whole.api.call(
        "PATCH", one, {"subject": "Plans", "cc": ["cy@far.example"], "bcc": None, "add_labels": ["q4"],
                       "remove_labels": ["work"]},
    )  # fmt: skip
    assert status == 200, changed
    assert (changed["subject"], changed["cc"], changed["text"].strip()) == ("Plans", ["cy@far.example"], "One")
    assert "bcc" not in changed
    assert changed["labels"] == ["draft", "q4"]
    assert [each["filename"] for each in changed["attachments"]] == ["plan.txt"], "what is not named stays"

    sent = await whole.api.post(one + "/send", {"add_labels": ["done"]})
    await whole.inside.settle()
    assert (await whole.api.call("GET", one))[0] == 404, "a draft ends where its sending begins"
    message = await whole.api.get(f"/v0/inboxes/{mine}/messages/{sent['message_id']}")
    assert {"sent", "done", "q4"} <= set(message["labels"])
    (got,) = await labels(whole, theirs, "received")
    assert (got["subject"], got["cc"]) == ("Plans", ["cy@far.example"])


async def test_a_draft_stays_in_its_thread_when_it_is_changed_and_sent(whole: Whole) -> None:
    mine, theirs = await whole.inbox(), await whole.inbox()
    made = await draft(whole, mine, to=theirs, subject="Plan", text="One")
    one = f"/v0/inboxes/{mine}/drafts/{made['draft_id']}"
    _, changed = await whole.api.call("PATCH", one, {"text": "Two"})
    sent = await whole.api.post(one + "/send", {})
    assert made["thread_id"] == changed["thread_id"] == sent["thread_id"]


async def test_an_answer_stays_one_when_what_it_answers_is_deleted(whole: Whole) -> None:
    mine, theirs = await whole.inbox(), await whole.inbox()
    await whole.api.post(f"/v0/inboxes/{theirs}/messages", {"to": mine, "subject": "Plan?", "text": "When?"})
    await whole.inside.settle()
    (asked,) = await labels(whole, mine, "received")
    made = await draft(whole, mine, in_reply_to=asked["message_id"], text="Soon")
    one = f"/v0/inboxes/{mine}/drafts/{made['draft_id']}"
    assert (await whole.api.call("DELETE", f"/v0/inboxes/{mine}/messages/{asked['message_id']}"))[0] == 204
    await whole.api.call("PATCH", one, {"text": "Tomorrow"})
    await whole.api.post(one + "/send", {})
    await whole.inside.settle()
    (got,) = await labels(whole, theirs, "received")
    (sent,) = await labels(whole, theirs, "sent")
    assert got["in_reply_to"] == sent["message_id"]
    assert got["thread_id"] == sent["thread_id"]


async def test_an_attachment_can_be_taken_off_and_put_on(whole: Whole) -> None:
    mine = await whole.inbox()
    made = await draft(whole, mine, subject="x", attachments=[FILE])
    one = f"/v0/inboxes/{mine}/drafts/{made['draft_id']}"
    body = {"remove_attachments": [made["attachments"][0]["attachment_id"]],
            "add_attachments": [FILE | {"filename": "b.txt"}]}  # fmt: skip
    _, changed = await whole.api.call("PATCH", one, body)
    assert [each["filename"] for each in changed["attachments"]] == ["b.txt"]
    link = await whole.api.get(
        f"/v0/drafts/{made['draft_id']}/attachments/{changed['attachments'][0]['attachment_id']}"
    )
    async with whole.api.session.get(link["download_url"], headers={"Authorization": ""}) as answer:
        assert await answer.read() == b"the plan"
    status, _ = await whole.api.call("PATCH", one, {"remove_attachments": ["att_nowhere.1"]})
    assert status == 404


async def test_drafts_of_replies_and_forwards_take_over_what_they_answer(whole: Whole) -> None:
    mine = await whole.inbox()
    await whole.mail(mine, subject="Question", text="Why?\n")
    (asked,) = await labels(whole, mine, "received")
    reply = await draft(whole, mine, in_reply_to=asked["message_id"], text="Because.")
    assert (reply["to"], reply["subject"]) == (["ann@elsewhere.example"], "Re: Question")
    assert (reply["in_reply_to"], reply["thread_id"]) == (asked["message_id"], asked["thread_id"])
    everyone = await draft(whole, mine, in_reply_to=asked["message_id"], reply_all=True)
    assert everyone["to"] == ["ann@elsewhere.example"]
    forward = await draft(whole, mine, forward_of=asked["message_id"], to="bob@far.example")
    assert (forward["subject"], forward["forward_of"]) == ("Fwd: Question", asked["message_id"])
    assert "Why?" in forward["text"]

    thread = await whole.api.get(f"/v0/threads/{asked['thread_id']}")
    assert thread["message_count"] == 1, "drafts are no part of the conversation yet"
    sent = await whole.api.post(f"/v0/inboxes/{mine}/drafts/{reply['draft_id']}/send", {})
    assert sent["thread_id"] == asked["thread_id"]
    answer = await whole.api.get(f"/v0/inboxes/{mine}/messages/{sent['message_id']}")
    assert answer["in_reply_to"] == asked["message_id"]
    for body in (
        {"in_reply_to": asked["message_id"], "forward_of": asked["message_id"]},
        {"reply_all": True},
        {"in_reply_to": asked["message_id"], "reply_all": True, "to": "a@b.example"},
    ):
        assert (await whole.api.call("POST", f"/v0/inboxes/{mine}/drafts", body))[0] == 400


async def test_a_planned_draft_is_sent_once_when_its_time_has_come(whole: Whole) -> None:
    mine, theirs = await whole.inbox(), await whole.inbox()
    at = iso(whole.inside.clock.at + 3_600_000)
    made = await draft(whole, mine, to=theirs, subject="Later", text="x", send_at=at)
    assert (made["send_status"], made["send_at"]) == ("scheduled", at)
    assert "scheduled" in made["labels"]
    await whole.inside.later(minutes=59)
    assert await labels(whole, theirs, "received") == []
    await whole.inside.later(minutes=2)
    await whole.inside.later(minutes=2)
    assert [each["subject"] for each in await labels(whole, theirs, "received")] == ["Later"]
    assert (await whole.api.get("/v0/drafts"))["count"] == 0


async def test_a_plan_can_be_taken_back_and_one_that_fails_says_so(whole: Whole) -> None:
    mine = await whole.inbox()
    at = iso(whole.inside.clock.at + 60_000)
    kept = await draft(whole, mine, to="bob@far.example", subject="Kept", send_at=at)
    one = f"/v0/inboxes/{mine}/drafts/{kept['draft_id']}"
    _, changed = await whole.api.call("PATCH", one, {"send_at": None})
    assert "send_status" not in changed
    nobody = await draft(whole, mine, subject="To nobody", send_at=at)
    await whole.inside.later(minutes=5)
    failed = await whole.api.get(f"/v0/drafts/{nobody['draft_id']}")
    assert failed["send_status"] == "failed"
    assert (await whole.api.get(f"/v0/drafts/{kept['draft_id']}"))["subject"] == "Kept", "it was not sent"
    past = {"to": "a@b.example", "send_at": datetime(2001, 1, 1, tzinfo=UTC).isoformat()}
    assert (await whole.api.call("POST", f"/v0/inboxes/{mine}/drafts", past))[0] == 400


async def test_a_revoked_key_sends_nothing_it_had_planned(whole: Whole) -> None:
    mine, theirs = await whole.inbox(), await whole.inbox()
    made = await whole.api.post(f"/v0/inboxes/{mine}/api-keys", {})
    async with whole.api_with(made["api_key"]) as api:
        at = iso(whole.inside.clock.at + 60_000)
        planned = await api.post(f"/v0/inboxes/{mine}/drafts", {"to": theirs, "subject": "x", "send_at": at})
    assert (await whole.api.call("DELETE", f"/v0/api-keys/{made['api_key_id']}"))[0] == 204
    await whole.inside.later(minutes=5)
    assert await labels(whole, theirs, "received") == []
    assert (await whole.api.get(f"/v0/drafts/{planned['draft_id']}"))["send_status"] == "failed"


async def test_a_draft_sent_twice_under_one_key_is_sent_once(whole: Whole) -> None:
    mine = await whole.inbox()
    made = await draft(whole, mine, to="bob@far.example", subject="Once")
    path, key = f"/v0/inboxes/{mine}/drafts/{made['draft_id']}/send", {"Idempotency-Key": unique("key")}
    first = await whole.api.post(path, {}, headers=key)
    assert await whole.api.post(path, {}, headers=key) == first
    assert len(await labels(whole, mine, "sent")) == 1
    status, error = await whole.api.call("POST", path, {"add_labels": ["other"]}, headers=key)
    assert (status, error["code"]) == (409, "conflict")


async def test_the_same_client_id_answers_the_first_draft(whole: Whole) -> None:
    mine, name = await whole.inbox(), unique("draft")
    first = await draft(whole, mine, subject="One", client_id=name)
    assert await draft(whole, mine, subject="Two", client_id=name) == first


async def test_drafts_are_listed_at_three_scopes_the_one_changed_last_first(whole: Whole) -> None:
    mine = await whole.inbox()
    pod = (await whole.api.get(f"/v0/inboxes/{mine}"))["pod_id"]
    made = []
    for subject in ("a", "b", "c"):
        made.append(await draft(whole, mine, subject=subject, labels=["x"] if subject == "b" else []))
        whole.inside.clock.forward(seconds=1)
    await whole.api.call("PATCH", f"/v0/inboxes/{mine}/drafts/{made[0]['draft_id']}", {"subject": "a2"})
    for path in ("/v0/drafts", f"/v0/pods/{pod}/drafts", f"/v0/inboxes/{mine}/drafts"):
        assert [each["subject"] for each in (await whole.api.get(path))["drafts"]] == ["a2", "c", "b"]
    assert [each["subject"] for each in (await whole.api.get("/v0/drafts", labels="x"))["drafts"]] == ["b"]
    first = await whole.api.get("/v0/drafts", limit="2")
    rest = await whole.api.get("/v0/drafts", limit="2", page_token=first["next_page_token"])
    assert [each["subject"] for each in rest["drafts"]] == ["b"]
