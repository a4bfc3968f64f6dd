"""Attachments by signed link: the very bytes, never to run in a browser, dead with the key and the inbox."""

from __future__ import annotations

import base64
from typing import Any

from flows.houses import indoors
from flows.server import Agent, Server, unique

CONTENT = bytes(range(256)) * 40


async def _sent_to(server: Server) -> tuple[Agent, dict[str, Any]]:
    """An agent that got a file from another, and the file as its API tells of it."""
    sender, agent = await server.agent(), await server.agent()
    subject = unique("File")
    attachment = {
        "filename": 'q"uote\u00e9.html', "content": base64.b64encode(CONTENT).decode(), "content_type": "text/html",
    }  # fmt: skip
    await sender.send(agent.address, subject=subject, attachments=[attachment])
    got = await agent.received(subject)
    shown = got["attachments"][0]
    assert (shown["filename"], shown["size"]) == ('q"uote\u00e9.html', len(CONTENT))
    return agent, await agent.get(f"messages/{got['message_id']}/attachments/{shown['attachment_id']}")


async def _fetch(server: Server, url: str) -> tuple[int, bytes, Any]:
    async with server.api("no-key-at-all") as api, api.session.get(url.removeprefix(server.url)) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_an_attachment_comes_back_as_it_was_sent_and_harmless(server: Server) -> None:
    _, link = await _sent_to(server)
    status, data, headers = await _fetch(server, link["download_url"])
    assert (status, data) == (200, CONTENT)
    assert headers["content-type"] == "text/html"
    assert headers["content-disposition"].startswith("attachment;")
    assert "sandbox" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_link_dies_with_its_key(server: Server) -> None:
    agent, link = await _sent_to(server)
    await server.command("key_revoke", id=agent.key_id)
    status, data, _ = await _fetch(server, link["download_url"])
    assert status == 410
    assert CONTENT not in data


async def test_a_link_dies_with_its_inbox(server: Server) -> None:
    agent, link = await _sent_to(server)
    assert (await agent.call("DELETE", ""))[0] == 204
    assert (await _fetch(server, link["download_url"]))[0] == 410


async def test_a_link_dies_with_its_message(server: Server) -> None:
    agent, link = await _sent_to(server)
    for item in await agent.inbox():
        await agent.call("DELETE", f"messages/{item['message_id']}")
    assert (await _fetch(server, link["download_url"]))[0] == 410


async def test_a_link_that_was_altered_opens_nothing(server: Server) -> None:
    _, link = await _sent_to(server)
    url = link["download_url"]
    for altered in (
        url[:-1],
        url[:-4] + "AAAA",
        url + "A",
        url.replace("/files/", "/files/A"),
        url.split("/files/")[0] + "/files/",
    ):
        assert (await _fetch(server, altered))[0] == 404, altered


async def test_an_attachment_of_a_thread_has_a_link_too(server: Server) -> None:
    agent, link = await _sent_to(server)
    thread_id = (await agent.inbox())[0]["thread_id"]
    again = await agent.get(f"threads/{thread_id}/attachments/{link['attachment_id']}")
    assert (await _fetch(server, again["download_url"]))[1] == CONTENT


async def test_a_link_dies_of_age() -> None:
    async with indoors() as house, house.agent() as (address, api):
        sent = await api.post(f"/v0/inboxes/{address}/messages", {"to": "bob@far.example", "text": "Hi."})
        link = await api.get(f"/v0/inboxes/{address}/messages/{sent['message_id']}/raw")
        house.clock.forward(minutes=59)
        async with api.session.get(link["download_url"]) as answer:
            assert answer.status == 200
        house.clock.forward(minutes=2)
        async with api.session.get(link["download_url"]) as answer:
            assert answer.status == 410
