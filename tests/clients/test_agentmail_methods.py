"""Every method of AgentMail's published clients, called at least once; a table says what came of each.

What the clients know and this server does not have (calendars, files, connected apps) has to be answered
with 404 in the API's own words.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from clients.conftest import node_with, python_with
from flows.server import Server, unique

pytestmark = pytest.mark.clients
SCRIPTS = Path(__file__).parent / "scripts"


async def _drive(server: Server, *command: str) -> dict[str, str]:
    made = await server.command("key_create", surface="agentmail")
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "AGENTMAIL_API_KEY": made["key"], "SERVER": server.url, "NAME": unique("bot"),
        "OPERATOR": f"catch@{server.domain}",
    }  # fmt: skip
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=180, check=False, cwd=SCRIPTS
    )
    assert ended.returncode == 0, ended.stdout[-3_000:] + ended.stderr[-6_000:] + server.log[-3_000:]
    table: dict[str, str] = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    return table


@pytest.mark.parametrize(("version", "served"), [("2.0.18", 128), ("0.2.24", 78)])
async def test_each_method_of_the_python_client_is_answered(server: Server, version: str, served: int) -> None:
    python = python_with(f"agentmail=={version}", "websockets")
    table = await _drive(server, str(python), str(SCRIPTS / "agentmail_methods.py"))
    assert sum(1 for came in table.values() if came == "ok") >= served


async def test_each_method_of_the_node_client_is_answered(server: Server) -> None:
    folder = node_with(agentmail="0.5.27", ws="^8.18.0")
    node = shutil.which("node")
    assert node is not None, "there is no node on this machine"
    # Node looks for packages beside the script, not in the folder it is started from.
    script = folder / "agentmail_methods.mjs"
    shutil.copyfile(SCRIPTS / "agentmail_methods.mjs", script)
    table = await _drive(server, node, str(script))
    assert sum(1 for came in table.values() if came == "ok") >= 120
