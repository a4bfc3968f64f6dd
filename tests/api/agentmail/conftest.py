"""Fixtures of the AgentMail tests: one server for each engine, an agent for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from flows.engines import empty_database
from flows.server import Agent, Api, Server


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
