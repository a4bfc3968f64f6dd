"""A real `posthouse serve` in a process of its own, and the few things tests do to it from outside."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp

import databases
from posthouse import control

T = TypeVar("T")
_POLL_S = 0.02
_START_S = 60.0
_given: set[int] = set()
_POSTHOUSE = [sys.executable, "-m", "posthouse"]


async def until(look: Callable[[], Awaitable[T | None]], what: str, within_s: float = 20.0) -> T:
    """Ask again and again until the answer is neither None, False nor empty; that answer.

    Raises:
        AssertionError: it never was, with what was waited for.
    """
    ends = time.monotonic() + within_s
    while True:
        answer = await look()
        if answer:
            return answer
        assert time.monotonic() < ends, f"waited {within_s:g} s in vain for {what}"
        await asyncio.sleep(_POLL_S)


def free_port() -> int:
    """A port nobody listens on, below those the system gives to outgoing connections: it stays free."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    while True:
        port = random.randrange(12_000, 31_000, 8) + worker
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port


class Server:
    """A server on ports and in a folder of its own; both stay the same when it is started again.

    Args:
        settings: `POSTHOUSE_*` by their names in lower case.
    """

    def __init__(self, *, domain: str = "agents.test", database_url: str = "", **settings: str) -> None:
        # Short: the control socket lies in it, and socket paths end at 107 octets.
        self.folder = Path(tempfile.mkdtemp(prefix="ph-"))
        self.data_dir = self.folder / "data"
        self.domain = domain
        self.http, self.smtp, self.submission = free_port(), free_port(), free_port()
        self.settings = {
            "data_dir": str(self.data_dir),
            "database_url": database_url,
            "domain": domain,
            "http_port": str(self.http),
            "smtp_port": str(self.smtp),
            "submission_port": str(self.submission),
            "webhooks_allow_private": "true",
            "rate_limits": "off",
        } | settings
        databases.lay(self.data_dir / "posthouse.db")
        self._process: subprocess.Popen[bytes] | None = None

    # -- the process

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server and of every command on its folder."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("POSTHOUSE_", "AGENTICMAIL_", "SMTP_", "IMAP_"))
        }
        return kept | {"POSTHOUSE_" + name.upper(): value for name, value in self.settings.items()}

    @property
    def url(self) -> str:
        """Where its API is."""
        return f"http://127.0.0.1:{self.http}"

    @property
    def pid(self) -> int:
        """The process, which runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, *arguments: str) -> Self:
        """Run it; returns when it listens."""
        assert not self.is_running
        with (self.folder / "stdout").open("wb") as out, (self.folder / "stderr").open("ab") as log:
            self._process = subprocess.Popen(
                [*_POSTHOUSE, *(arguments or ("serve",))],
                env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=log,
            )  # fmt: skip
        ends = time.monotonic() + _START_S
        while "Listening:" not in self.output:
            ended = self._process.poll()
            assert ended is None, f"it ended with {ended}:\n{self.log}"
            assert time.monotonic() < ends, f"it does not listen after {_START_S:g} s:\n{self.log}"
            time.sleep(_POLL_S)
        return self

    def stop(self, within_s: float = 30.0) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within_s)

    def kill(self) -> None:
        """End it without a chance to do anything more."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        """End it, if it runs, and remove its folder."""
        if self.is_running:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def output(self) -> str:
        """What it has printed on standard output."""
        return (self.folder / "stdout").read_text("utf-8")

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "stderr").read_text("utf-8", "replace")

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command on its folder, as an operator would."""
        return subprocess.run(
            [*_POSTHOUSE, *arguments],
            env=self.environment | {"POSTHOUSE_" + name.upper(): value for name, value in more.items()},
            cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    async def command(self, name: str, **arguments: Any) -> dict[str, Any]:
        """An owner's command through the control socket: what the command line does, without its start."""
        answer = await control.call(self.data_dir, name, arguments)
        assert answer is not None, "no server answers on the control socket"
        return answer

    # -- who uses it

    async def agent(self, name: str = "", **key: Any) -> Agent:
        """An agent with an inbox of its own and a key bound to it."""
        inbox = await self.command("inbox_create", address=f"{name or unique('agent')}@{self.domain}")
        made = await self.command("key_create", surface="agentmail", inbox=inbox["address"], **key)
        return Agent(self, inbox["address"], made["key"], made["id"])

    def send(self, sender: str, recipients: str | list[str], subject: str = "Hello", text: str = "Hi.\n") -> str:
        """A stranger's mail through the port for mail from anywhere; its Message-ID."""
        to = [recipients] if isinstance(recipients, str) else recipients
        message = mail(sender, to, subject, text)
        self.send_raw(sender, to, message.as_bytes())
        return str(message["Message-ID"])

    def send_raw(self, sender: str, recipients: list[str], raw: bytes, **options: Any) -> dict[str, tuple[int, bytes]]:
        """A stranger's bytes; the recipients refused, when others were not. Raises smtplib's errors."""
        with smtplib.SMTP("127.0.0.1", self.smtp, timeout=30) as client:
            return client.sendmail(sender, recipients, raw, **options)

    def sign_in(self, agent: Agent, *, tls: bool = True) -> smtplib.SMTP:
        """A session on the submission port, signed in with address and key."""
        client = smtplib.SMTP("127.0.0.1", self.submission, timeout=30)
        try:
            if tls:
                client.starttls(context=unverified())
            client.login(agent.address, agent.key)
        except smtplib.SMTPException:
            client.close()
            raise
        return client

    @asynccontextmanager
    async def api(self, key: str) -> AsyncIterator[Api]:
        """Its API with a key."""
        async with aiohttp.ClientSession(self.url, headers={"Authorization": f"Bearer {key}"}) as session:
            yield Api(session)


class Api:
    """Calls with one key; each answers status and decoded body."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """One request."""
        if body is not None:
            options["json"] = body
        async with self.session.request(method, path, **options) as answer:
            kind = answer.headers.get("content-type", "")
            return answer.status, await (answer.json() if kind == "application/json" else answer.read())

    async def get(self, path: str, **query: Any) -> Any:
        """What is there. Asserts that it is."""
        status, body = await self.call("GET", path, params=query)
        assert status == 200, (status, body)
        return body

    async def post(self, path: str, body: Any, **options: Any) -> Any:
        """The answer to a request that has to be taken."""
        status, answer = await self.call("POST", path, body, **options)
        assert status == 200, (status, answer)
        return answer


class Agent:
    """An inbox, a key bound to it, and what an agent does with both."""

    def __init__(self, server: Server, address: str, key: str, key_id: str) -> None:
        self.server = server
        self.address = address
        self.key = key
        self.key_id = key_id

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """A request with the agent's key; a path without a slash before it begins at the inbox."""
        where = path if path.startswith("/") else f"/v0/inboxes/{self.address}/{path}".rstrip("/")
        async with self.server.api(self.key) as api:
            return await api.call(method, where, body, **options)

    async def get(self, path: str, **query: Any) -> Any:
        """What is there. Asserts that it is."""
        status, body = await self.call("GET", path, params=query)
        assert status == 200, (status, body)
        return body

    async def post(self, path: str, body: Any, **options: Any) -> Any:
        """The answer to a request that has to be taken."""
        status, answer = await self.call("POST", path, body, **options)
        assert status == 200, (status, answer)
        return answer

    async def send(self, to: Any, **fields: Any) -> dict[str, str]:
        """Send a mail; its ids."""
        sent: dict[str, str] = await self.post("messages", {"to": to, "subject": "Hello", "text": "Hi."} | fields)
        return sent

    async def message(self, message_id: str) -> dict[str, Any]:
        """One message."""
        found: dict[str, Any] = await self.get(f"messages/{message_id}")
        return found

    async def inbox(self, **query: Any) -> list[dict[str, Any]]:
        """The newest hundred messages that came in."""
        found: list[dict[str, Any]] = (await self.get("messages", labels="received", limit="100", **query))["messages"]
        return found

    async def received(self, subject: str, *, within_s: float = 20.0, **query: Any) -> dict[str, Any]:
        """The message with this subject, whole, once it is there."""

        async def look() -> list[dict[str, Any]]:
            return [item for item in await self.inbox(**query) if item.get("subject") == subject]

        found = await until(look, f"{subject!r} in {self.address}", within_s)
        assert len(found) == 1, f"{subject!r} came {len(found)} times"
        return await self.message(found[0]["message_id"])

    async def labelled(self, message_id: str, label: str, *, within_s: float = 20.0) -> dict[str, Any]:
        """A message once it has a label."""

        async def look() -> dict[str, Any] | None:
            found = await self.message(message_id)
            return found if label in found["labels"] else None

        return await until(look, f"the label {label} on {message_id}", within_s)


_count = 0


def unique(word: str) -> str:
    """A name no other test uses."""
    global _count
    _count += 1
    return f"{word}-{os.getpid()}-{_count}"


def mail(sender: str, to: list[str], subject: str = "Hello", text: str = "Hi.\n", **headers: str) -> EmailMessage:
    """A plain mail with a Message-ID of its own; `In_Reply_To` is a header's name here."""
    message = EmailMessage()
    message["From"] = sender or "mailer-daemon@elsewhere.example"
    message["To"] = ", ".join(to)
    message["Subject"] = subject
    message["Message-ID"] = f"<{unique('mail')}.{random.getrandbits(64):x}@elsewhere.example>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def unverified() -> ssl.SSLContext:
    """For the certificate the server made itself, where a test is about something else."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
