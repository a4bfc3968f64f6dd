"""A real house on each engine, and callers of its JMAP door."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

import databases
from posthouse.admin import accounts as admin_accounts
from posthouse.admin import installation as admin_installation
from posthouse.admin import keys as admin_keys
from posthouse.app import House
from posthouse.inbound import spool
from posthouse.inbound.spool import HandedIn, Incoming
from posthouse.kit.config import Settings
from posthouse.store import accounts

DOMAIN = "agents.test"
ALL = [
    "urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail", "urn:ietf:params:jmap:submission",
    "urn:ietf:params:jmap:vacationresponse", "urn:ietf:params:jmap:blob", "urn:ietf:params:jmap:quota",
]  # fmt: skip


class Clock:
    """Time that a test moves by hand."""

    def __init__(self) -> None:
        self.at = 1_790_000_000_000

    def __call__(self) -> int:
        return self.at


@dataclass
class Agent:
    """An account with a key, and a client that calls JMAP with it."""

    house: House
    http: httpx.AsyncClient
    address: str
    account_id: str
    key: str
    boxes: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    async def batch(self, *calls: tuple[str, dict[str, Any]], **more: Any) -> list[tuple[str, dict[str, Any], str]]:
        """Call methods in one request; call ids are 0, 1, 2…"""
        body = {"using": ALL, "methodCalls": [[name, args, str(n)] for n, (name, args) in enumerate(calls)], **more}
        answer = await self.http.post("/jmap/", json=body, headers=self.headers)
        assert answer.status_code == 200, answer.text
        return [tuple(each) for each in answer.json()["methodResponses"]]

    async def call(self, name: str, **args: Any) -> dict[str, Any]:
        """Call one method; an error answer is an `error` member."""
        kind, body, _ = (await self.batch((name, {"accountId": self.account_id, **args})))[0]
        return {"error": body} if kind == "error" else body

    async def load_boxes(self) -> dict[str, str]:
        """Mailbox ids by role."""
        found = await self.call("Mailbox/get")
        self.boxes = {each["role"]: each["id"] for each in found["list"] if each["role"]}
        return self.boxes

    async def box(self, role: str) -> dict[str, Any]:
        """The mailbox with a role, as it is now."""
        found: dict[str, Any] = (await self.call("Mailbox/get", ids=[self.boxes[role]]))["list"][0]
        return found

    async def receive(self, raw: bytes, mail_from: str = "bob@example.org") -> None:
        """Take in a mail as from outside, and file it."""
        incoming = Incoming(mail_from, {self.account_id: [self.address]}, raw, HandedIn("smtp"), DOMAIN)
        await spool.receive(self.house.db, self.house.blobs, incoming, self.house.clock)
        await self.house.settle()

    async def draft(self, **values: Any) -> dict[str, Any]:
        """Make a draft; what the server answers of it."""
        given = {
            "mailboxIds": {self.boxes["drafts"]: True},
            "keywords": {"$draft": True, "$seen": True},
            "from": [{"email": self.address}],
            "to": [{"name": "Bob", "email": "bob@example.org"}],
            "subject": "Hello",
            "textBody": [{"partId": "t", "type": "text/plain"}],
            "bodyValues": {"t": {"value": "Good day.\n"}},
        }
        made = await self.call("Email/set", create={"d": given | values})
        assert made["created"], made
        draft: dict[str, Any] = made["created"]["d"]
        return draft


def mail(subject: str = "hello", *, body: str = "words", extra: str = "", to: str = "", from_: str = "") -> bytes:
    """A message of one text part."""
    lines = [
        f"From: {from_ or 'Bob <bob@example.org>'}",
        f"To: {to or f'ann@{DOMAIN}'}",
        f"Subject: {subject}",
        "Date: Sat, 21 Nov 2026 10:00:00 +0000",
        *([extra] if extra else []),
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "",
        body,
        "",
    ]
    return "\r\n".join(lines).encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def house(tmp_path: Path, database_url: str, clock: Clock) -> AsyncIterator[House]:
    """An initialised house that keeps outside mail here; nothing works beside the test."""
    settings = Settings.of(
        data_dir=tmp_path, database_url=database_url, domain=DOMAIN, rate_limits="off", pow_difficulty=2,
        webhooks_allow_private=True, tls_cert=tmp_path / "none.pem",
    )  # fmt: skip
    databases.lay(settings.database_path)
    house = await House.open(settings, clock=clock)
    await admin_installation.init(house)
    yield house
    await house.close()


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the house's HTTP doors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the framework another surface is built on
        app = await house.asgi()
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{DOMAIN}") as client:
        yield client


@pytest.fixture
def make_agent(house: House, http: httpx.AsyncClient) -> Callable[..., Awaitable[Agent]]:
    """Makes agents with an inbox each."""
    numbers = itertools.count()

    async def make(name: str = "") -> Agent:
        address = f"{name or f'agent{next(numbers)}'}@{DOMAIN}"
        await admin_accounts.create(house, address=address)
        key = (await admin_keys.create(house, surface="atomicmail", inbox=address))["key"]
        account = await house.db.read(lambda tx: accounts.by_address(tx, address))
        assert account is not None
        agent = Agent(house, http, address, account.id, key)
        await agent.load_boxes()
        return agent

    return make


@pytest.fixture
async def ann(make_agent: Callable[..., Awaitable[Agent]]) -> Agent:
    """An agent."""
    return await make_agent("ann")
