"""Allow and block lists hold in the core: for every way out, and for all that comes in."""

from __future__ import annotations

from typing import Any

import pytest

from api.agentmail.conftest import Whole


async def put(whole: Whole, below: str, direction: str, kind: str, entry: str) -> dict[str, Any]:
    made: dict[str, Any] = await whole.api.post(f"/v0{below}/lists/{direction}/{kind}", {"entry": entry})
    return made


async def seen(whole: Whole, inbox: str, **query: str) -> list[str]:
    found = await whole.api.get(f"/v0/inboxes/{inbox}/messages", **query)
    return [each["subject"] for each in found["messages"]]


async def test_entries_are_kept_in_one_form_at_three_scopes(whole: Whole) -> None:
    inbox = await whole.inbox()
    pod = (await whole.api.get(f"/v0/inboxes/{inbox}"))["pod_id"]
    for below in ("", f"/pods/{pod}", f"/inboxes/{inbox}"):
        made = await put(whole, below, "receive", "block", "Ann@EVIL.example")
        assert (made["entry"], made["entry_type"]) == ("ann@evil.example", "email")
        path = f"/v0{below}/lists/receive/block"
        assert (await whole.api.get(path))["count"] == 1
        assert (await whole.api.get(f"{path}/ANN@evil.example"))["entry"] == "ann@evil.example"
        assert (await whole.api.call("DELETE", f"{path}/ann@evil.example"))[0] == 204
        assert (await whole.api.call("GET", f"{path}/ann@evil.example"))[0] == 404
    assert (await put(whole, "", "send", "allow", "Far.Example"))["entry_type"] == "domain"
    assert (await whole.api.call("POST", "/v0/lists/send/allow", {"entry": "not an address"}))[0] == 400
    assert (await whole.api.call("GET", "/v0/lists/sideways/allow"))[0] == 404


async def test_blocked_mail_is_stored_out_of_sight_and_told_to_those_who_ask(whole: Whole) -> None:
    inbox = await whole.inbox()
    await put(whole, f"/inboxes/{inbox}", "receive", "block", "evil.example")
    await whole.mail(inbox, "ann@evil.example", subject="Bad")
    await whole.mail(inbox, "ann@good.example", subject="Good")
    assert await seen(whole, inbox) == ["Good"]
    assert await seen(whole, inbox, include_blocked="true") == ["Good", "Bad"]
    assert await seen(whole, inbox, labels="blocked") == ["Bad"]
    counted = await whole.api.get("/v0/metrics/events", event_types="message.received.blocked,message.received")
    assert sum(bucket["count"] for bucket in counted["message.received.blocked"]) == 1
    assert sum(bucket["count"] for bucket in counted["message.received"]) == 1


async def test_the_narrowest_scope_with_an_entry_decides_and_block_beats_allow(whole: Whole) -> None:
    inbox = await whole.inbox()
    await put(whole, "", "receive", "block", "evil.example")
    await put(whole, f"/inboxes/{inbox}", "receive", "allow", "ann@evil.example")
    await whole.mail(inbox, "ann@evil.example", subject="allowed here")
    await whole.mail(inbox, "bob@evil.example", subject="blocked above")
    await whole.mail(inbox, "cy@elsewhere.example", subject="not on the list")
    assert await seen(whole, inbox) == ["allowed here"]
    await put(whole, f"/inboxes/{inbox}", "receive", "block", "ann@evil.example")
    await whole.mail(inbox, "ann@evil.example", subject="both")
    assert await seen(whole, inbox) == ["allowed here"]


async def test_a_reply_counts_only_when_we_really_wrote_to_that_address(whole: Whole) -> None:
    inbox = await whole.inbox()
    await put(whole, "", "receive", "allow", "friends.example")
    sent = await whole.api.post(f"/v0/inboxes/{inbox}/messages", {"to": "bob@far.example", "subject": "Q"})
    await whole.inside.settle()
    message = await whole.api.get(f"/v0/inboxes/{inbox}/messages/{sent['message_id']}")
    header = message["headers"]["Message-ID"]
    await whole.mail(inbox, "bob@far.example", subject="Re: Q", In_Reply_To=header)
    await whole.mail(inbox, "eve@evil.example", subject="Re: Q from Eve", In_Reply_To=header)
    await whole.mail(inbox, "bob@far.example", subject="A new one")
    assert await seen(whole, inbox, labels="received") == ["Re: Q"]
    await put(whole, "", "reply", "block", "bob@far.example")
    await whole.mail(inbox, "bob@far.example", subject="Re: Q again", In_Reply_To=header)
    assert await seen(whole, inbox, labels="received") == ["Re: Q"]


@pytest.mark.parametrize("way", ["send", "reply", "forward", "draft"])
async def test_send_lists_hold_on_every_way_out(whole: Whole, way: str) -> None:
    inbox = await whole.inbox()
    await whole.mail(inbox, "bob@blocked.example", subject="Hi")
    (got,) = (await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]
    await put(whole, "", "send", "block", "blocked.example")
    path, body = f"/v0/inboxes/{inbox}/messages", {"to": ["ok@far.example", "bob@blocked.example"], "text": "x"}
    if way == "reply":
        path, body = f"{path}/{got['message_id']}/reply", {"text": "x"}
    elif way == "forward":
        path += f"/{got['message_id']}/forward"
    elif way == "draft":
        made = await whole.api.post(f"/v0/inboxes/{inbox}/drafts", body)
        path, body = f"/v0/inboxes/{inbox}/drafts/{made['draft_id']}/send", {}
    status, error = await whole.api.call("POST", path, body)
    assert (status, error["code"]) == (403, "message_rejected")
    assert await seen(whole, inbox, labels="sent") == [], "nothing went to the others either"


async def test_a_narrower_key_lets_in_nobody_whom_a_wider_one_keeps_out(whole: Whole) -> None:
    inbox = await whole.inbox()
    own = f"/v0/inboxes/{inbox}/lists"
    await put(whole, "", "receive", "block", "evil.example")
    await put(whole, f"/inboxes/{inbox}", "receive", "block", "ann@here.example")
    await put(whole, "", "send", "allow", "friends.example")
    async with whole.api_with(await whole.key(f"/inboxes/{inbox}")) as api:
        assert (await api.call("DELETE", f"{own}/receive/block/ann@here.example"))[0] == 403
        assert (await api.call("POST", f"{own}/receive/block", {"entry": "ann@here.example"}))[0] == 403
        assert (await api.call("DELETE", "/v0/lists/receive/block/evil.example"))[0] == 404, "its own lists alone"
        for entry in ("ann@evil.example", "evil.example", "ann@here.example"):
            await api.post(f"{own}/receive/allow", {"entry": entry})
        await api.post(f"{own}/send/allow", {"entry": "evil.example"})
        await api.post(f"{own}/receive/block", {"entry": "bob@good.example"})
        status, error = await api.call("POST", f"/v0/inboxes/{inbox}/messages", {"to": "a@evil.example"})
        assert (status, error["code"]) == (403, "message_rejected")
        assert (await api.call("POST", f"/v0/inboxes/{inbox}/messages", {"to": "a@friends.example"}))[0] == 200
        assert (await api.call("DELETE", f"{own}/receive/block/bob@good.example"))[0] == 204, "what it set is its own"
    for sender in ("ann@evil.example", "ann@here.example"):
        await whole.mail(inbox, sender, subject="Kept out")
    assert await seen(whole, inbox, labels="received") == []
