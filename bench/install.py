"""A bare machine until the first mail is answered: a fresh clone, no virtual environment, empty caches, `./dev serve`.

Committed work is what is cloned. The mail comes in by SMTP, is read by API and answered by API, and the clock
stops when the answer stands in its sender's mailbox.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import house, processes
from bench.house import House, messages_path
from bench.report import Row, skipped, within

LIMIT_S = 60.0
_CLAIM = "install: fresh clone until the first mail is answered"
_SETUP_TIMEOUT_S = 300.0


def measure(work: Path) -> Iterator[Row]:
    """One run: the second would not be on a bare machine."""
    clone = work / "clone"
    line = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks", str(processes.ROOT), str(clone)]
    if shutil.which("git") is None or subprocess.run(line, capture_output=True).returncode:
        yield skipped(_CLAIM, "the checkout cannot be cloned")
        return
    if not (clone / "dev").exists():
        yield skipped(_CLAIM, "the last commit has no ./dev")
        return
    if not _packages_reachable(work):
        yield skipped(_CLAIM, "no package index is reachable")
        return
    yield within(_CLAIM, _first_answer(work, clone), LIMIT_S)


def _packages_reachable(work: Path) -> bool:
    """Whether one small package can be had, the way the installer would get it."""
    target = str(work / "probe")
    line = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", target]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        uv = shutil.which("uv")
        if uv is None:
            return False
        line = [uv, "pip", "install", "--quiet", "--no-deps", "--no-cache", "--target", target]
    return subprocess.run([*line, "coolname"], capture_output=True, timeout=120).returncode == 0


def _first_answer(work: Path, clone: Path) -> float:
    http_port, smtp_port = processes.free_port(), processes.free_port()
    settings = house.environment(work / "install", http_port, smtp_port)
    for name in ("VIRTUAL_ENV", "PYTHONPATH"):
        settings.pop(name, None)
    for name in ("UV_CACHE_DIR", "PIP_CACHE_DIR", "XDG_CACHE_HOME"):
        settings[name] = str(work / "caches" / name.lower())
    log = work / "install.log"
    begun = time.monotonic()
    with processes.child([str(clone / "dev"), "serve"], log, settings, clone) as process:

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"./dev serve ended: {log.read_text(errors='replace').strip()[-2000:]}")
            return house.is_ready(http_port)

        processes.wait_for(ready, "./dev serve being ready", _SETUP_TIMEOUT_S, 0.05)
        key = house.command(settings, "key", "create", "--surface", "agentmail", root=clone)["key"]
        ours = House(work / "install", key, http_port, smtp_port)
        agent, friend = ours.inbox("first-agent"), ours.inbox("first-friend")
        ours.call("POST", messages_path(friend), {"to": [agent], "subject": "Hello", "text": "Are you there?"})
        processes.wait_for(lambda: bool(ours.messages(agent)["messages"]), "the first mail", 20)
        mail = ours.messages(agent)["messages"][0]
        ours.call("POST", messages_path(agent, mail["message_id"]) + "/reply", {"text": "I am."})

        def answered() -> bool:
            return any(item["subject"] == "Re: Hello" for item in ours.messages(friend)["messages"])

        return processes.wait_for(answered, "the answer", 20) - begun
