"""Fixtures of the AgentMail tests: one server for each engine, an agent for each test."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from flows.engines import empty_database
from flows.houses import Indoors, indoors
from flows.server import Agent, Api, Server, mail
from posthouse.admin import keys as admin_keys


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """Each test runs once on each engine."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(engine: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server all tests share."""
    with empty_database(engine, request) as url:
        server = Server(database_url=url, max_message_size="1MB")
        try:
            yield server.start()
        finally:
            server.remove()


@pytest.fixture
async def agent(server: Server) -> Agent:
    """An agent nobody else has."""
    return await server.agent()


@dataclass(frozen=True)
class Caller:
    """An agent and its API, on one connection."""

    agent: Agent
    api: Api

    @property
    def inbox(self) -> str:
        """The path of its inbox."""
        return f"/v0/inboxes/{self.agent.address}"


@pytest.fixture
async def caller(server: Server, agent: Agent) -> AsyncIterator[Caller]:
    """The agent's API."""
    async with server.api(agent.key) as api:
        yield Caller(agent, api)


@pytest.fixture
async def owner(server: Server) -> AsyncIterator[Api]:
    """The API with a key for the whole organisation."""
    made = await server.command("key_create", surface="agentmail")
    async with server.api(made["key"]) as api:
        yield api


@dataclass(frozen=True)
class Whole:
    """A house in the test's process with a clock moved by hand, and the API with a key for all of it."""

    inside: Indoors
    api: Api

    def api_with(self, key: str) -> AbstractAsyncContextManager[Api]:
        """The API with another key."""
        return _api(self.inside, key)

    async def inbox(self, **fields: Any) -> str:
        """A fresh inbox; its id."""
        made = await self.api.post("/v0/inboxes", fields)
        return str(made["inbox_id"])

    async def key(self, below: str = "", **body: Any) -> str:
        """A fresh key for the organisation or what the path names."""
        return str((await self.api.post(f"/v0{below}/api-keys", body))["api_key"])

    async def mail(self, to: str, sender: str = "ann@elsewhere.example", **headers: str) -> None:
        """A stranger's mail, filed; header names with `_` for `-`, `text` is the body."""
        text = headers.pop("text", "Hi.\n")
        subject = headers.pop("subject", "Hello")
        message = mail(sender, [to], subject, text, **headers)

        def send() -> None:
            with smtplib.SMTP("127.0.0.1", self.inside.house.ports["smtp"], timeout=30) as client:
                client.sendmail(sender, [to], message.as_bytes())

        await asyncio.to_thread(send)
        await self.inside.settle()


@asynccontextmanager
async def _api(inside: Indoors, key: str) -> AsyncIterator[Api]:
    base = f"http://127.0.0.1:{inside.house.ports['http']}"
    async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {key}"}) as session:
        yield Api(session)


@pytest.fixture
async def whole(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[Whole]:
    """A house of the test's own."""
    with empty_database(engine, request) as url:
        async with indoors(url, signup="open") as inside:
            made = await admin_keys.create(inside.house, surface="agentmail")
            async with _api(inside, made["key"]) as api:
                yield Whole(inside, api)
