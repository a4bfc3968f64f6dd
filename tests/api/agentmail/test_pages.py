"""Pages: newest first, nothing skipped or repeated while mail arrives, and a token is good for its own listing."""

from __future__ import annotations

from typing import Any

import pytest

from flows.server import Server, unique


async def _send(caller: Any, count: int) -> list[str]:
    return [
        (await caller.api.post(f"{caller.inbox}/messages", {"to": "b@far.example", "subject": str(n)}))["message_id"]
        for n in range(count)
    ]


async def _pages(caller: Any, plural: str, id_: str, between: Any = None, **query: str) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        page = await caller.api.get(f"{caller.inbox}/{plural}", **query, **({"page_token": token} if token else {}))
        assert page["count"] == len(page[plural]) <= page["limit"]
        found += [item[id_] for item in page[plural]]
        token = page.get("next_page_token")
        if token is None:
            return found
        if between is not None:
            await between()


@pytest.mark.parametrize(("plural", "id_"), [("messages", "message_id"), ("threads", "thread_id")])
async def test_pages_neither_skip_nor_repeat_while_mail_arrives(caller: Any, plural: str, id_: str) -> None:
    sent = await _send(caller, 9)
    before = await _pages(caller, plural, id_, limit="100")
    assert len(before) == 9

    async def more() -> None:
        await _send(caller, 2)

    assert await _pages(caller, plural, id_, more, limit="4") == before
    grown = await _pages(caller, plural, id_, limit="100")
    assert grown[-9:] == before
    assert await _pages(caller, plural, id_, limit="4", ascending="true") == grown[::-1]
    if plural == "messages":
        assert before == sent[::-1]


async def test_a_token_is_refused_under_other_filters(caller: Any) -> None:
    await _send(caller, 3)
    token = (await caller.api.get(f"{caller.inbox}/messages", limit="1"))["next_page_token"]
    for path, query in (
        ("messages", {"ascending": "true"}), ("messages", {"labels": "sent"}), ("threads", {}),
        ("messages", {"after": "2020-01-01T00:00:00Z"}),
    ):  # fmt: skip
        status, error = await caller.api.call("GET", f"{caller.inbox}/{path}", params=query | {"page_token": token})
        assert (status, error["error"]["details"]["field"]) == (400, "page_token")


async def test_a_token_of_another_inbox_shows_nothing_of_it(caller: Any, server: Server) -> None:
    await _send(caller, 3)
    other = await server.agent()
    token = (await caller.api.get(f"{caller.inbox}/messages", limit="1"))["next_page_token"]
    status, body = await other.call("GET", "messages", params={"page_token": token})
    assert status == 400 or body["messages"] == []


async def test_lists_of_values_come_repeated_joined_or_as_json(caller: Any) -> None:
    sent = await caller.api.post(f"{caller.inbox}/messages", {"to": "b@far.example", "labels": ["one", "two"]})
    for query in ([("labels", "one"), ("labels", "two")], [("labels", "one,two")], [("labels", '["one", "two"]')],
                  [("labels", '["one","two"]')], [("labels", "one"), ("labels", '["two"]')]):  # fmt: skip
        status, page = await caller.api.call("GET", f"{caller.inbox}/messages", params=query)
        assert status == 200
        assert [m["message_id"] for m in page["messages"]] == [sent["message_id"]]
    page = await caller.api.get(f"{caller.inbox}/messages", labels='["one", "three"]')
    assert page["messages"] == []


@pytest.mark.parametrize(
    "written", ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.000+00:00", "2020-01-01T00:00:00 00:00"]
)
async def test_a_date_is_read_with_its_plus_or_without(caller: Any, written: str) -> None:
    from yarl import URL

    await _send(caller, 1)
    for name, count in (("after", 1), ("before", 0)):
        # As it is, a plus arrives as a blank; percent-encoded it stays one.
        for value in (written, written.replace("+", "%2B"), written.replace(" ", "+")):
            url = URL(
                f"{caller.agent.server.url}{caller.inbox}/messages?{name}={value.replace(' ', '%20')}", encoded=True
            )
            status, page = await caller.api.call("GET", url)
            assert (status, page.get("count")) == (200, count), (name, value, page)


async def test_messages_are_found_by_sender_recipient_and_subject(caller: Any, server: Server) -> None:
    subject = unique("Invoice 50%_off")
    server.send("ann@elsewhere.example", caller.agent.address, subject)
    await caller.agent.received(subject)
    await _send(caller, 1)
    for query, count in (
        ({"from": "ANN@"}, 1), ({"from": "bob"}, 0), ({"to": caller.agent.address.upper()}, 1), ({"subject": "invoice"}, 1),
        ({"subject": "50%_"}, 1), ({"subject": "5_%"}, 0), ({"subject": '["invoice", "off"]'}, 1), ({"to": "far.example"}, 1),
    ):  # fmt: skip
        assert (await caller.api.get(f"{caller.inbox}/messages", **query))["count"] == count, query


@pytest.mark.parametrize("path", ["messages", "threads", "", "messages/send"])
async def test_a_slash_at_the_end_changes_nothing(caller: Any, path: str) -> None:
    where = f"{caller.inbox}/{path}".rstrip("/")
    if path == "messages/send":
        assert (await caller.api.call("POST", where + "/", {"to": "b@far.example"}))[0] == 200
    else:
        assert await caller.api.get(where + "/") == await caller.api.get(where)


async def test_an_inbox_is_named_in_any_case_and_escaped_or_not(caller: Any) -> None:
    from yarl import URL

    address = caller.agent.address
    for name in (address, address.upper(), address.replace("@", "%40")):
        url = URL(f"{caller.agent.server.url}/v0/inboxes/{name}", encoded=True)
        status, inbox = await caller.api.call("GET", url)
        assert (status, inbox["inbox_id"]) == (200, address)
