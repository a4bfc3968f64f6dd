"""The folder a run works in, free ports, and child processes that never outlive it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Often /tmp is memory, where an fsync costs nothing; /var/tmp never is.
_WORK_PARENT = Path(os.environ.get("BENCH_DIR") or "/var/tmp")


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder on the disk to be measured, for both servers, gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="posthouse-bench-", dir=_WORK_PARENT))
    path.chmod(0o755)  # the peer's processes drop their privileges and have to find their way in
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port() -> int:
    """A loopback port nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """Ours without settings of an installation of the user's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("POSTHOUSE_", "AGENTICMAIL_"))}


def load(module: str, *arguments: str) -> dict[str, Any]:
    """Run one of the load generators in its own process; returns what it measured.

    Raises:
        RuntimeError: it failed, with its last words.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{module}", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def wait_for(ready: Callable[[], bool], what: str, timeout_s: float, poll_s: float = 0.01) -> float:
    """Wait until `ready()`; returns the instant (monotonic seconds) at which it was.

    Raises:
        TimeoutError: it did not come about in time.
    """
    end = time.monotonic() + timeout_s
    while True:
        if ready():
            return time.monotonic()
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about within {timeout_s:g} s")
        time.sleep(poll_s)


def accepts(port: int) -> bool:
    """Whether someone listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def child(
    command: list[str], log: Path, environment: dict[str, str], cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in `log`, ended with SIGTERM, and with SIGKILL when it does not listen."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, cwd=cwd)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, content: bytes | None, headers: dict[str, str]
) -> bytes:
    """One request over a connection that is kept alive; the answer's body.

    Raises:
        RuntimeError: the answer was not a 2xx.
    """
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
    except (http.client.HTTPException, ConnectionError):
        connection.close()  # kept alive for too long: once more over a new one
        connection.request(method, path, content, headers)
        response = connection.getresponse()
    text = response.read()
    if not 200 <= response.status < 300:
        raise RuntimeError(f"{method} {path} answered {response.status}: {text[:500]!r}")
    return text
