"""Searching, threads at every scope, and changing many messages at once."""

from __future__ import annotations

from api.agentmail.conftest import Whole


async def test_a_search_finds_all_words_and_says_where_they_are(whole: Whole) -> None:
    inbox = await whole.inbox()
    await whole.mail(inbox, subject="Lunch", text="The invoices for March are due tomorrow.\n")
    await whole.mail(inbox, subject="Invoice of March", text="See above.\n")
    await whole.mail(inbox, subject="Invoice", text="April.\n")
    found = await whole.api.get(f"/v0/inboxes/{inbox}/messages/search", q="invoice march")
    assert [each["subject"] for each in found["messages"]] == ["Invoice of March", "Lunch"], "best first"
    assert found["messages"][0]["highlights"]["subject"] == ["**Invoice** of **March**"]
    assert found["messages"][1]["highlights"]["text"] == ["The **invoices** for **March** are due tomorrow."]
    for path in ("/v0/threads/search", f"/v0/inboxes/{inbox}/threads/search"):
        threads = (await whole.api.get(path, q="invoice march"))["threads"]
        assert [each["subject"] for each in threads] == ["Invoice of March", "Lunch"]
        assert threads[0]["highlights"]["subject"] == ["**Invoice** of **March**"]
    assert (await whole.api.call("GET", f"/v0/inboxes/{inbox}/messages/search"))[0] == 400
    assert (await whole.api.call("GET", f"/v0/inboxes/{inbox}/messages/search?q=%20"))[0] == 400
    assert (await whole.api.get(f"/v0/inboxes/{inbox}/messages/search", q='") OR ("*'))["count"] == 0


async def test_a_search_leaves_out_what_a_list_leaves_out(whole: Whole) -> None:
    inbox = await whole.inbox()
    await whole.mail(inbox, subject="Needle")
    (message,) = (await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]
    await whole.api.call("PATCH", f"/v0/inboxes/{inbox}/messages/{message['message_id']}", {"add_labels": ["trash"]})
    await whole.api.post(f"/v0/inboxes/{inbox}/drafts", {"subject": "Needle"})
    assert (await whole.api.get(f"/v0/inboxes/{inbox}/messages/search", q="needle"))["count"] == 0
    assert (await whole.api.get("/v0/threads/search", q="needle"))["count"] == 0


async def test_a_thread_is_labelled_trashed_and_deleted_at_every_scope(whole: Whole) -> None:
    inbox = await whole.inbox()
    pod = (await whole.api.get(f"/v0/inboxes/{inbox}"))["pod_id"]
    for below in ("", f"/pods/{pod}", f"/inboxes/{inbox}"):
        await whole.mail(inbox, subject=f"Through {below or 'all'}")
        (thread,) = (await whole.api.get(f"/v0{below}/threads"))["threads"]
        one = f"/v0{below}/threads/{thread['thread_id']}"
        status, changed = await whole.api.call("PATCH", one, {"add_labels": ["vip", "read"]})
        assert (status, changed["labels"]) == (200, ["read", "received", "vip"])
        assert (await whole.api.get(f"/v0{below}/threads", labels="vip"))["count"] == 1
        status, error = await whole.api.call("PATCH", one, {"add_labels": ["sent"]})
        assert (status, error["code"]) == (400, "validation_error"), "the server's own labels are refused"
        assert (await whole.api.call("DELETE", one + "?permanent=false"))[0] == 204
        assert "trash" in (await whole.api.get(one))["labels"]
        assert (await whole.api.call("DELETE", one))[0] == 204
        assert (await whole.api.call("GET", one))[0] == 404


async def test_a_thread_of_a_hundred_messages_is_not_changed_at_once(whole: Whole) -> None:
    inbox = await whole.inbox()
    sent = await whole.api.post(f"/v0/inboxes/{inbox}/messages", {"to": "a@far.example", "subject": "Long"})
    path = f"/v0/inboxes/{inbox}/messages/{sent['message_id']}/reply"
    for _ in range(99):
        await whole.api.post(path, {"text": "x", "to": "a@far.example"})
    status, error = await whole.api.call("PATCH", f"/v0/threads/{sent['thread_id']}", {"add_labels": ["x"]})
    assert (status, error["code"]) == (422, "unprocessable")


async def test_many_messages_are_got_and_labelled_in_one_call(whole: Whole) -> None:
    inbox = await whole.inbox()
    for number in range(3):
        await whole.mail(inbox, subject=f"No. {number}")
    ids = [each["message_id"] for each in (await whole.api.get(f"/v0/inboxes/{inbox}/messages"))["messages"]]
    path = f"/v0/inboxes/{inbox}/messages"
    found = await whole.api.post(f"{path}/batch-get", {"message_ids": [*ids, "msg_nowhere"]})
    assert [each["message_id"] for each in found["messages"]] == ids
    assert found["count"] == 3
    assert found["messages"][0]["text"]
    body = {"message_ids": ids[:2], "add_labels": "done", "remove_labels": ["unread"]}
    changed = await whole.api.post(f"{path}/batch-update", body)
    assert [each["labels"] for each in changed["updates"]] == [["done", "read", "received"]] * 2
    for wrong in ([], [ids[0], ids[0]], ["msg_x"] * 501):
        assert (await whole.api.call("POST", f"{path}/batch-get", {"message_ids": wrong}))[0] == 400
    many = [f"msg_{number}" for number in range(51)]
    assert (await whole.api.call("POST", f"{path}/batch-update", {"message_ids": many}))[0] == 400
