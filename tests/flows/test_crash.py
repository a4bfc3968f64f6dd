"""Killed at any moment under load: no acknowledged mail is lost, none is there twice, all that is owed is paid."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from flows.engines import empty_database
from flows.houses import Clock
from flows.server import Agent, Server, until
from flows.sinks import MailHost, WebhookReceiver
from posthouse.app import House
from posthouse.kit.config import Settings

_SESSIONS = 4


class Client:
    """Sends numbered mails over several sessions and by the API, and writes down what it was promised."""

    def __init__(self, server: Server, agent: Agent) -> None:
        self.server = server
        self.agent = agent
        self.tried: set[str] = set()
        self.acknowledged: set[str] = set()
        self.sent: dict[str, str] = {}  # message id → subject
        self._number = 0

    def _next(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Go on until the block ends; that the server goes away is no surprise."""
        tasks = [asyncio.create_task(self._mail()) for _ in range(_SESSIONS)]
        tasks += [asyncio.create_task(self._post()) for _ in range(2)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(result, asyncio.CancelledError | OSError | aiohttp.ClientError | EOFError), result

    async def _mail(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.smtp)

        async def say(text: str) -> bytes:
            writer.write(text.encode())
            while (line := await reader.readline())[3:4] == b"-":
                pass
            if not line:
                raise EOFError
            return line

        try:
            await say("")
            await say("EHLO client.example\r\n")
            while True:
                subject = self._next("in")
                await say("MAIL FROM:<ann@elsewhere.example>\r\n")
                await say(f"RCPT TO:<{self.agent.address}>\r\n")
                assert (await say("DATA\r\n")).startswith(b"354")
                self.tried.add(subject)
                size = random.choice([10, 10, 100, 5_000])
                text = f"From: ann@elsewhere.example\r\nSubject: {subject}\r\n\r\n" + "line\r\n" * size + ".\r\n"
                if (await say(text)).startswith(b"250"):
                    self.acknowledged.add(subject)
        finally:
            writer.close()

    async def _post(self) -> None:
        headers = {"Authorization": f"Bearer {self.agent.key}"}
        path = f"/v0/inboxes/{self.agent.address}/messages"
        async with aiohttp.ClientSession(self.server.url, headers=headers) as session:
            while True:
                subject = self._next("out")
                body = {"to": "bob@far.example", "subject": subject, "text": "Hi."}
                async with session.post(path, json=body) as answer:
                    if answer.status == 200:
                        self.sent[(await answer.json())["message_id"]] = subject


async def _all(agent: Agent, **query: str) -> list[dict[str, str]]:
    """Every message of a listing, through all its pages."""
    found: list[dict[str, str]] = []
    token = ""
    while True:
        page = await agent.get("messages", limit="100", **query, **({"page_token": token} if token else {}))
        found += page["messages"]
        token = page.get("next_page_token", "")
        if not token:
            return found


async def _work_off(server: Server) -> None:
    """Do all that is due, leases that died with their process included: by a house whose clock is ahead."""
    settings = Settings.of(**{
        name: value for name, value in server.settings.items() if name not in ("http_port", "smtp_port")
    })  # fmt: skip
    clock = Clock()
    house = await House.open(settings, clock=clock)
    try:
        for _ in range(6):
            clock.forward(minutes=30)
            await house.settle()
    finally:
        await house.close()


@pytest.mark.parametrize(
    ("engine", "rounds"),
    [
        ("sqlite", 5),
        ("postgres", 2),
        pytest.param("sqlite", 50, marks=pytest.mark.slow),
        pytest.param("postgres", 15, marks=pytest.mark.slow),
    ],
    indirect=["engine"],
)
async def test_nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed(
    engine: str, rounds: int, request: pytest.FixtureRequest, host: MailHost, receiver: WebhookReceiver
) -> None:
    async with AsyncExitStack() as stack:
        url = stack.enter_context(empty_database(engine, request))
        server = Server(database_url=url, outbound=host.url, retry_schedule="1s")
        stack.callback(server.remove)
        await asyncio.to_thread(server.start)
        agent = await server.agent()
        await agent.post("/v0/webhooks", {"url": receiver.url, "event_types": ["message.received"]})
        client = Client(server, agent)
        for _ in range(rounds):
            before = len(client.acknowledged)

            async def under_load(before: int = before) -> bool:
                return len(client.acknowledged) > before

            async with client.at_work():
                await until(under_load, "the first acknowledged mail of this round")
                # A moment nobody chose: that is the point of this test.
                await asyncio.sleep(random.uniform(0, 0.3))
                server.kill()
            await asyncio.to_thread(server.start)
        assert await asyncio.to_thread(server.stop) == 0
        await _work_off(server)
        await asyncio.to_thread(server.start)

        subjects = Counter(message["subject"] for message in await _all(agent, labels="received"))
        assert client.acknowledged - set(subjects) == set(), "acknowledged mail is missing"
        assert [subject for subject, count in subjects.items() if count > 1] == []
        assert set(subjects) <= client.tried

        kept = {message["message_id"]: message["subject"] for message in await _all(agent, labels="sent")}
        assert client.sent.items() <= kept.items(), "what the API promised is not in Sent"
        arrived: dict[str, set[str]] = {}
        for mail in host.mails:
            arrived.setdefault(str(mail.parsed["Subject"]), set()).add(str(mail.parsed["Message-ID"]))
        assert set(kept.values()) <= set(arrived), "a delivery did not arrive"
        assert [subject for subject, ids in arrived.items() if len(ids) > 1] == []

        told: dict[str, set[str]] = {}
        for call in receiver.calls:
            told.setdefault(json.loads(call.body)["message"]["subject"], set()).add(call.id)
        assert set(subjects) <= set(told), "an event was not told"
        assert [subject for subject, ids in told.items() if len(ids) > 1] == []
