"""Fixtures of the flow tests: servers, and what they talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator

import pytest

from flows.engines import empty_database
from flows.server import Server
from flows.sinks import MailHost, WebhookReceiver, mail_host, webhook_receiver

ENGINES = ("sqlite", "postgres")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the logs of its servers."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Server) and value.log:
                report.sections.append((f"log of {value.domain}", value.log[-20_000:]))
    return report


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each test that asks for this runs once on each engine."""
    return str(request.param)


@pytest.fixture(scope="session")
def database_url(engine: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database for the server that many tests share."""
    with empty_database(engine, request) as url:
        yield url


@pytest.fixture(scope="session")
def server(database_url: str) -> Iterator[Server]:
    """A server many tests share, which keeps outside mail here; each test makes its own agents."""
    server = Server(database_url=database_url)
    try:
        yield server.start()
    finally:
        server.remove()


@pytest.fixture
def make_server() -> Iterator[Callable[..., Server]]:
    """Makes servers for one test on SQLite; they are not started yet."""
    made: list[Server] = []

    def make(**settings: str) -> Server:
        made.append(Server(**settings))
        return made[-1]

    yield make
    for server in made:
        server.remove()


@pytest.fixture
async def host() -> AsyncIterator[MailHost]:
    """A mail host elsewhere."""
    async with mail_host() as found:
        yield found


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """A receiver of webhooks."""
    async with webhook_receiver() as found:
        yield found
