"""A running house and callers at its doors: JMAP and AgentMail over HTTP, SMTP in and out over sockets."""

from __future__ import annotations

import asyncio
import base64
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from litestar.exceptions import LitestarDeprecationWarning

from flows.houses import Clock
from posthouse.admin import accounts as admin_accounts
from posthouse.admin import installation as admin_installation
from posthouse.admin import keys as admin_keys
from posthouse.app import House
from posthouse.kit.config import Settings
from posthouse.store import accounts, drafts, mailboxes
from posthouse.store.database import Tx
from posthouse.store.mailboxes import Membership

DOMAIN = "agents.test"
_USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail", "urn:ietf:params:jmap:submission",
          "urn:ietf:params:jmap:quota"]  # fmt: skip


class SmtpSession:
    """One session with an SMTP port: one mail after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int, credentials: tuple[str, str] | None = None) -> SmtpSession:
        """Connect, say EHLO, sign in if there is something to sign in with."""
        session = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert await session._reply() == 220
        assert await session._say("EHLO client.example") == 250
        if credentials is not None:
            plain = base64.b64encode("\0".join(("", *credentials)).encode()).decode()
            assert await session._say(f"AUTH PLAIN {plain}") == 235
        return session

    async def send(self, mail_from: str, recipients: list[str], raw: bytes) -> None:
        """A mail, which has to be taken for all recipients: it is theirs with the 250."""
        assert await self._say(f"MAIL FROM:<{mail_from}>") == 250
        for recipient in recipients:
            assert await self._say(f"RCPT TO:<{recipient}>") == 250
        assert await self._say("DATA") == 354
        self._writer.write(raw.replace(b"\r\n.", b"\r\n.."))
        assert await self._say("\r\n.") == 250

    async def close(self) -> None:
        """QUIT."""
        assert await self._say("QUIT") == 221
        self._writer.close()
        await self._writer.wait_closed()

    async def _say(self, line: str) -> int:
        self._writer.write(line.encode() + b"\r\n")
        return await self._reply()

    async def _reply(self) -> int:
        while True:
            line = await self._reader.readline()
            assert line.endswith(b"\r\n"), f"the server hung up: {line!r}"
            if line[3:4] != b"-":
                return int(line[:3])


@dataclass(frozen=True, slots=True)
class Places:
    """What neither API shows: read in the store."""

    modseq: int
    uid_next: dict[str, int]
    members: list[Membership]
    drafts: dict[str, str]  # message id → draft id


class Caller:
    """One account's key holders: a JMAP client, an AgentMail client, and a mail program."""

    def __init__(self, house: RunningHouse, address: str, account_id: str, keys: dict[str, str]) -> None:
        self.house = house
        self.address = address
        self.account_id = account_id
        self._keys = keys
        self._submission: SmtpSession | None = None

    # -- JMAP

    async def batch(self, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """Several methods in one request; an error answer is an `error` member."""
        named = [[name, {"accountId": self.account_id, **args}, str(n)] for n, (name, args) in enumerate(calls)]
        headers = {"Authorization": f"Bearer {self._keys['atomicmail']}"}
        asked = {"using": _USING, "methodCalls": named}
        async with self.house.http.post("/jmap/", json=asked, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            responses = (await answer.json())["methodResponses"]
        return [{"error": body} if name == "error" else body for name, body, _ in responses]

    async def jmap(self, name: str, **args: Any) -> dict[str, Any]:
        """One method; its first answer."""
        return (await self.batch((name, args)))[0]

    async def upload(self, raw: bytes) -> str:
        """A blob's id."""
        headers = {"Authorization": f"Bearer {self._keys['atomicmail']}", "Content-Type": "message/rfc822"}
        async with self.house.http.post(f"/jmap/upload/{self.account_id}/", data=raw, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            return str((await answer.json())["blobId"])

    # -- AgentMail

    async def agent(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """A request at the inbox, which has to be taken; the decoded body, None where there is none."""
        headers = {"Authorization": f"Bearer {self._keys['agentmail']}"}
        url = f"/v0/inboxes/{self.address}/{path}"
        async with self.house.http.request(method, url, json=body, params=query, headers=headers) as answer:
            assert answer.status in (200, 204), (method, url, body, answer.status, await answer.text())
            return await answer.json() if answer.status == 200 else None

    async def pages(self, path: str, items: str, limit: int, **query: Any) -> list[dict[str, Any]]:
        """All pages of a list, one after the other."""
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = await self.agent("GET", path, limit=str(limit), **query, **token)
            assert page["count"] == len(page[items]) <= limit
            found += page[items]
            if "next_page_token" not in page:
                return found
            token = {"page_token": page["next_page_token"]}

    # -- SMTP

    async def submit(self, recipients: list[str], raw: bytes) -> None:
        """Hand a mail to the submission port."""
        if self._submission is None:
            port = self.house.house.ports["submission"]
            self._submission = await SmtpSession.open(port, (self.address, self._keys["agentmail"]))
        await self._submission.send(self.address, recipients, raw)

    async def hang_up(self) -> None:
        """End the session."""
        if self._submission is not None:
            await self._submission.close()
            self._submission = None

    # -- the store

    async def places(self, message_ids: list[str]) -> Places:
        """UIDs and change numbers, in one look."""

        async def unit(tx: Tx) -> Places:
            account = await accounts.get(tx, self.account_id)
            assert account is not None
            placed = await mailboxes.places(tx, self.account_id, message_ids)
            return Places(
                account.modseq,
                {each.id: each.uid_next for each in await mailboxes.all_of(tx, self.account_id)},
                [place for found in placed.values() for place in found],
                {each.message_id: each.id for each in await drafts.page(tx, [self.account_id], limit=1_000)},
            )

        return await self.house.house.db.read(unit)


class RunningHouse:
    """A house with all doors open on one data folder, which can be closed and opened again."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.clock = Clock()
        self.clock.at -= self.clock.at % 1_000  # JMAP shows whole seconds
        self.callers: dict[str, Caller] = {}
        self._settings = Settings.of(
            data_dir=folder, database_url=database_url, domain=DOMAIN, http_port=0, smtp_port=0, submission_port=0,
            rate_limits="off", pow_difficulty=2, tls_cert=folder / "none.pem",
        )  # fmt: skip

    async def open(self) -> None:
        """Open it."""
        self.house = await House.open(self._settings, clock=self.clock)
        await admin_installation.init(self.house)
        await self.house.start_smtp()
        with warnings.catch_warnings():
            # Litestar announces what its version 3 will want; these tests are about something else.
            warnings.simplefilter("ignore", LitestarDeprecationWarning)
            await self.house.start_http()
        self.http = aiohttp.ClientSession(f"http://127.0.0.1:{self.house.ports['http']}")
        self.smtp = await SmtpSession.open(self.house.ports["smtp"])

    async def close(self) -> None:
        """Close it; what lies in it stays."""
        try:
            await self.smtp.close()
            for caller in self.callers.values():
                await caller.hang_up()
        finally:
            await self.http.close()
            await self.house.close()

    async def add(self, name: str) -> Caller:
        """An account with its keys."""
        inbox = await admin_accounts.create(self.house, address=f"{name}@{DOMAIN}")
        keys = {
            surface: (await admin_keys.create(self.house, surface=surface, inbox=inbox["address"]))["key"]
            for surface in ("agentmail", "atomicmail")
        }
        caller = Caller(self, inbox["address"], inbox["id"], keys)
        self.callers[name] = caller
        return caller


@asynccontextmanager
async def running_house(folder: Path, database_url: str) -> AsyncIterator[RunningHouse]:
    """A house that runs as long as the block."""
    house = RunningHouse(folder, database_url)
    await house.open()
    try:
        yield house
    finally:
        await house.close()
