"""Labels: what a message is called, where it lies, and which listings show it."""

from __future__ import annotations

from flows.server import Agent, Server, unique


async def _one(server: Server) -> tuple[Agent, dict]:  # type: ignore[type-arg]
    agent = await server.agent()
    subject = unique("Labelled")
    server.send("ann@elsewhere.example", agent.address, subject)
    return agent, await agent.received(subject)


async def _ids(agent: Agent, **query: str) -> list[str]:
    return [m["message_id"] for m in (await agent.get("messages", **query))["messages"]]


async def test_read_and_unread_exclude_each_other(server: Server) -> None:
    agent, got = await _one(server)
    path = f"messages/{got['message_id']}"
    status, changed = await agent.call("PATCH", path, {"add_labels": ["read"]})
    assert (status, changed["labels"]) == (200, ["read", "received"])
    assert await _ids(agent, labels="unread") == []
    assert await _ids(agent, labels="read") == [got["message_id"]]
    _, changed = await agent.call("PATCH", path, {"add_labels": "unread"})
    assert changed["labels"] == ["received", "unread"]
    _, changed = await agent.call("PATCH", path, {"remove_labels": "unread"})
    assert changed["labels"] == ["read", "received"]


async def test_trash_hides_a_message_until_it_is_taken_out_again(server: Server) -> None:
    agent, got = await _one(server)
    path = f"messages/{got['message_id']}"
    _, changed = await agent.call("PATCH", path, {"add_labels": ["trash"]})
    assert "trash" in changed["labels"]
    assert await _ids(agent) == []
    assert await _ids(agent, include_trash="true") == [got["message_id"]]
    assert await _ids(agent, labels="trash") == [got["message_id"]]
    assert (await agent.get("threads"))["threads"] == []
    assert (await agent.message(got["message_id"]))["labels"] == changed["labels"]
    _, changed = await agent.call("PATCH", path, {"remove_labels": ["trash"]})
    assert changed["labels"] == ["received", "unread"]
    assert await _ids(agent) == [got["message_id"]]


async def test_spam_hides_a_message_likewise(server: Server) -> None:
    agent, got = await _one(server)
    path = f"messages/{got['message_id']}"
    await agent.call("PATCH", path, {"add_labels": ["spam"]})
    assert await _ids(agent) == []
    assert await _ids(agent, include_spam="true") == [got["message_id"]]
    await agent.call("PATCH", path, {"remove_labels": ["spam"]})
    assert await _ids(agent) == [got["message_id"]]


async def test_stars_and_free_labels_are_kept_and_found(server: Server) -> None:
    agent, got = await _one(server)
    path = f"messages/{got['message_id']}"
    _, changed = await agent.call("PATCH", path, {"add_labels": ["starred", "customer support", "vip"]})
    assert changed["labels"] == ["customer support", "received", "starred", "unread", "vip"]
    assert await _ids(agent, labels='["vip", "starred"]') == [got["message_id"]]
    assert await _ids(agent, labels="vip,starred,absent") == []
    _, changed = await agent.call("PATCH", path, {"add_labels": ["vip"], "remove_labels": ["vip", "starred"]})
    assert changed["labels"] == ["customer support", "received", "unread"]


async def test_the_servers_own_words_cannot_be_set(server: Server) -> None:
    agent, got = await _one(server)
    for label in ("sent", "received", "delivered", "bounced", "held", "Held", "scheduled", "opened", "$seen"):
        status, error = await agent.call("PATCH", f"messages/{got['message_id']}", {"add_labels": [label]})
        assert status == 400, label
        assert error["error"]["details"]["field"] == "add_labels"
    assert (await agent.message(got["message_id"]))["labels"] == ["received", "unread"]


async def test_labels_given_when_sending_are_kept(server: Server) -> None:
    agent = await server.agent()
    sent = await agent.send("bob@far.example", labels=["sent", "important"])
    found = await agent.labelled(sent["message_id"], "delivered")
    assert found["labels"] == ["delivered", "important", "sent"]


async def test_a_deleted_message_is_gone_everywhere_and_the_owner_brings_it_back(server: Server) -> None:
    agent, got = await _one(server)
    assert (await agent.call("DELETE", f"messages/{got['message_id']}"))[0] == 204
    assert (await agent.call("GET", f"messages/{got['message_id']}"))[0] == 404
    assert await _ids(agent, include_trash="true") == []
    assert (await agent.call("GET", f"threads/{got['thread_id']}"))[0] == 404
    graves = (await server.command("undelete_list"))["graves"]
    grave = next(grave for grave in graves if grave["what"] == got["subject"])
    assert await server.command("undelete", id=grave["id"]) == {"id": grave["id"], "messages": 1}
    back = (await agent.inbox())[0]
    assert back["subject"] == got["subject"]
    assert back["message_id"] != got["message_id"]


async def test_a_thread_goes_to_the_trash_or_for_good(server: Server) -> None:
    agent, got = await _one(server)
    path = f"threads/{got['thread_id']}"
    assert (await agent.call("DELETE", path, params={"permanent": "false"}))[0] == 204
    assert "trash" in (await agent.get(path))["labels"]
    assert (await agent.call("DELETE", path))[0] == 204
    assert (await agent.call("GET", path))[0] == 404
