"""Samples out of the services' own documents, run as they are written but for the host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from clients.environments import python_with
from conformance.house import made, running
from flows.server import Server
from posthouse.kit.config import POW_SALT

Found = Iterator[tuple[str, bool, str]]


def _document(root: Path, words: tuple[str, ...]) -> str | None:
    """The text below `root` that has all these words."""
    for path in sorted(root.rglob("*.txt")):
        text = path.read_text("utf-8", "replace")
        if all(word in text for word in words):
            return text
    return None


def _run(command: list[str], script: str, suffix: str, environment: dict[str, str]) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{suffix}"
        path.write_text(script, "utf-8")
        done = subprocess.run(
            [*command, str(path)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    return done.returncode == 0, lines[-1][:200] if lines else "no output"


def agentmail_sample(root: Path) -> Found:
    """AgentMail's Python sample, with the client of its day; the host goes in by the client's own argument."""
    text = _document(root, ("AgentMail API Reference", "from agentmail import AgentMail"))
    if text is None:
        return
    script = text[text.index("from agentmail import AgentMail") :]
    script = script.replace(
        "AgentMail(api_key=",
        "AgentMail(environment=__import__('agentmail.environment', fromlist=['x'])"
        ".AgentMailEnvironment(http=os.environ['BASE'], websockets=os.environ['BASE']), api_key=",
    )
    with running() as server:
        key = made(server, "key", "create", "--surface", "agentmail")["key"]
        python = python_with("agentmail==0.1.8")
        passed, seen = _run([str(python)], script, ".py", {"AGENTMAIL_API_KEY": key, "BASE": server.url})
        yield "AgentMail's Python sample", passed, seen


def atomicmail_python(root: Path) -> Found:
    """Atomic Mail's Python sample: puzzle, sign-up, session, capability, the latest mails."""
    text = _document(root, ("solve_pow", "read_latest_emails"))
    if text is None:
        return
    script = _block(text, "import base64\n", "\nNode.js: send email with JMAP")
    with running() as server:
        script = _at(script, server).replace('"<pow_scrypt_salt_hex>"', f'"{_salt()}"')
        python = python_with("requests")
        passed, seen = _run([str(python)], script, ".py", {})
        yield "Atomic Mail's Python sample", passed, seen


def atomicmail_node(root: Path) -> Found:
    """Atomic Mail's Node sample, which sends a mail with a token it is given."""
    text = _document(root, ("discoverJmapContext", "capabilityJwt"))
    if text is None or shutil.which("node") is None:
        return
    script = _block(text, "const API_BASE", "\ncURL: quick auth sequence")
    with running() as server:
        address = f"myagent@{server.domain}"
        made(server, "inbox", "create", address)
        key = made(server, "key", "create", "--surface", "atomicmail", "--inbox", address)["key"]
        script = _at(script, server).replace("myagent@atomicmail.ai", address).replace("<capabilityJwt>", key)
        passed, seen = _run(["node"], script, ".mjs", {})
        yield "Atomic Mail's Node sample", passed, seen


def _block(text: str, begins: str, ends: str) -> str:
    start = text.index(begins)
    return text[start : text.index(ends, start)]


def _at(script: str, server: Server) -> str:
    return re.sub(r"https://(?:auth|api)\.atomicmail\.ai", server.url, script)


def _salt() -> str:
    return POW_SALT
