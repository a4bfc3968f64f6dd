"""Our server, driven from outside only: the command line, SMTP and the AgentMail API."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import processes

DOMAIN = "agents.localhost"
_PAGE = 100
_TICKS = os.sysconf("SC_CLK_TCK")


class House:
    """A running server with a key for the whole organisation."""

    name = "posthouse"

    def __init__(self, folder: Path, key: str, http_port: int, smtp_port: int) -> None:
        self.folder = folder
        self.key = key
        self.http_port = http_port
        self.port = smtp_port
        self.submission_port = 0
        self.database = folder / "posthouse.db"
        self.pid = 0
        self._connection = http.client.HTTPConnection("127.0.0.1", http_port, timeout=60)

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One API call.

        Raises:
            RuntimeError: the answer was not a 2xx.
        """
        headers = {"Authorization": f"Bearer {self.key}"}
        content = None
        if body is not None:
            content, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        text = processes.ask(self._connection, method, path, content, headers)
        answer: dict[str, Any] = json.loads(text) if text else {}
        return answer

    def inbox(self, name: str) -> str:
        """Make an inbox; returns its address."""
        made = self.call("POST", "/v0/inboxes", {"username": name, "domain": DOMAIN})
        return str(made["inbox_id"])

    def messages(self, address: str, page_token: str = "", limit: int = _PAGE) -> dict[str, Any]:
        """A page of the inbox, newest first."""
        path = f"{messages_path(address)}?limit={limit}"
        return self.call("GET", path + (f"&page_token={quote(page_token, safe='')}" if page_token else ""))

    def all_ids(self, address: str) -> list[str]:
        """The ids of all its messages, newest first, page after page."""
        found: list[str] = []
        token = ""
        while True:
            page = self.messages(address, token)
            found += [message["message_id"] for message in page["messages"]]
            token = page.get("next_page_token", "")
            if not token:
                return found

    def wait_filed(self, address: str, count: int, timeout_s: float = 60.0) -> float:
        """Wait until the inbox lists so many messages; returns the instant (monotonic seconds) it did.

        New messages are looked for from the newest page on, until a page holds none; the count is then confirmed
        by reading all pages afresh.
        """
        seen: set[str] = set()

        def ready() -> bool:
            token = ""
            while True:
                page = self.messages(address, token)
                ids = {message["message_id"] for message in page["messages"]}
                fresh = len(ids - seen)
                seen.update(ids)
                token = page.get("next_page_token", "")
                if not fresh or not token:
                    return len(seen) >= count

        # A mail filed after a younger one can hide behind a page already seen; reading anew finds it.
        end = time.monotonic() + timeout_s
        while True:
            try:
                filed_at = processes.wait_for(ready, f"{count} messages in {address}", 2.0, 0.02)
                break
            except TimeoutError:
                seen.clear()
                if time.monotonic() > end:
                    raise
        found = self.all_ids(address)
        if len(set(found)) != count or len(found) != count:
            raise RuntimeError(f"{count} messages were accepted, {len(found)} are listed ({len(set(found))} different)")
        return filed_at

    def settle(self, timeout_s: float = 120.0) -> None:
        """Wait until the server has nothing left to do: it used less than 3 % of a core for half a second."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            before = _cpu_s(self.pid)
            time.sleep(0.5)
            if _cpu_s(self.pid) - before < 0.015:
                return
        raise TimeoutError("the server does not come to rest")

    def healthy(self) -> bool:
        """Whether /health/ready answers 200."""
        return is_ready(self.http_port)


def messages_path(address: str, message_id: str | None = None) -> str:
    """The list, or one message of it."""
    path = f"/v0/inboxes/{quote(address, safe='@')}/messages"
    return path if message_id is None else f"{path}/{quote(message_id, safe='')}"


def is_ready(port: int) -> bool:
    """Whether a server on this port says it is ready; whatever else comes is a no."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def environment(folder: Path, http_port: int, smtp_port: int) -> dict[str, str]:
    """The settings of a server in this folder."""
    return processes.clean_environment() | {
        "POSTHOUSE_DATA_DIR": str(folder),
        "POSTHOUSE_HTTP_PORT": str(http_port),
        "POSTHOUSE_SMTP_PORT": str(smtp_port),
        "POSTHOUSE_SUBMISSION_PORT": str(processes.free_port()),
        "POSTHOUSE_RATE_LIMITS": "off",
    }


def program(root: Path = processes.ROOT) -> str:
    """The command of the environment that runs us, or of another checkout."""
    beside = Path(sys.executable).parent / "posthouse"
    return str(beside if root == processes.ROOT and beside.exists() else root / ".venv" / "bin" / "posthouse")


def command(settings: dict[str, str], *arguments: str, root: Path = processes.ROOT) -> dict[str, Any]:
    """Run a command with `--json`; returns its answer.

    Raises:
        RuntimeError: it was refused, with its words.
    """
    line = [program(root), *arguments, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, env=settings, timeout=120, cwd=root)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1000:]
        raise RuntimeError(f"posthouse {' '.join(arguments)} ended with {done.returncode}: {said}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[House]:
    """Set up a data folder, serve it, stop.

    Args:
        arguments: for `serve`, such as `--role smtp`; a server without HTTP is taken as ready when it takes mail.
    """
    http_port, smtp_port = processes.free_port(), processes.free_port()
    settings = environment(folder, http_port, smtp_port)
    command(settings, "init")
    key = command(settings, "key", "create", "--surface", "agentmail")["key"]
    house = House(folder, key, http_port, smtp_port)
    house.submission_port = int(settings["POSTHOUSE_SUBMISSION_PORT"])
    log = folder.with_name(folder.name + ".log")
    with processes.child([program(), "serve", *arguments], log, settings) as process:
        house.pid = process.pid

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"posthouse serve ended: {log.read_text(errors='replace').strip()[-2000:]}")
            return processes.accepts(smtp_port) if arguments else house.healthy() and processes.accepts(smtp_port)

        processes.wait_for(ready, "posthouse serve being ready", 30)
        yield house


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
