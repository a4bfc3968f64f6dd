"""AgentMail's published clients, unmodified, from PyPI and npm, each making every call this server has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clients.conftest import node_with, python_with
from flows.server import Server, unique

pytestmark = pytest.mark.clients
SCRIPTS = Path(__file__).parent / "scripts"


async def _drive(server: Server, *command: str, **more: str) -> str:
    made = await server.command("key_create", surface="agentmail")
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "AGENTMAIL_API_KEY": made["key"], "SERVER": server.url, "SMTP_PORT": str(server.smtp), "NAME": unique("bot"),
    } | more  # fmt: skip
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=SCRIPTS
    )
    assert ended.returncode == 0, ended.stdout[-2_000:] + ended.stderr[-6_000:] + server.log[-3_000:]
    return ended.stdout


@pytest.mark.parametrize("version", ["2.0.18", "0.2.24"])
async def test_the_python_client_makes_every_call(server: Server, version: str) -> None:
    python = python_with(f"agentmail=={version}")
    assert "all calls made" in await _drive(server, str(python), str(SCRIPTS / "agentmail_calls.py"))


# `inboxes.create(username=…)`, as the sample has it, was dropped between 0.1.8 and 0.1.13.
async def test_the_sample_of_the_documents_runs_as_it_is_written(server: Server) -> None:
    python = python_with("agentmail==0.1.8")
    assert "Message body" in await _drive(server, str(python), str(SCRIPTS / "agentmail_sample.py"))


async def test_the_last_client_of_version_0_1_reads_and_answers(server: Server) -> None:
    python = python_with("agentmail==0.1.18")
    assert "all calls made" in await _drive(server, str(python), str(SCRIPTS / "agentmail_first.py"))


async def test_the_node_client_makes_every_call(server: Server) -> None:
    folder = node_with(agentmail="0.5.27")
    node = shutil.which("node")
    assert node is not None, "there is no node on this machine"
    # Node looks for packages beside the script, not in the folder it is started from.
    script = folder / "agentmail_calls.mjs"
    shutil.copyfile(SCRIPTS / "agentmail_calls.mjs", script)
    assert "all calls made" in await _drive(server, node, str(script))
