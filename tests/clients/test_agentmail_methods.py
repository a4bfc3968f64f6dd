"""Every method of AgentMail's published clients, called at least once; a table says what came of each.

What the clients know and this server does not have (calendars, files, connected apps) has to be answered
with 404 in the API's own words.
"""

from __future__ import annotations

import json

import pytest

from clients.environments import SCRIPTS, drive, node_script, node_with, python_with
from flows.server import Server, unique

pytestmark = pytest.mark.clients


async def _drive(server: Server, *command: str) -> dict[str, str]:
    made = await server.command("key_create", surface="agentmail")
    printed = drive(
        *command, log=server.log, AGENTMAIL_API_KEY=made["key"], SERVER=server.url, NAME=unique("bot"),
        OPERATOR=f"catch@{server.domain}",
    )  # fmt: skip
    table: dict[str, str] = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    return table


@pytest.mark.parametrize(("version", "served"), [("2.0.18", 128), ("0.2.24", 78)])
async def test_each_method_of_the_python_client_is_answered(server: Server, version: str, served: int) -> None:
    python = python_with(f"agentmail=={version}", "websockets")
    table = await _drive(server, str(python), str(SCRIPTS / "agentmail_methods.py"))
    assert sum(1 for came in table.values() if came == "ok") >= served


async def test_each_method_of_the_node_client_is_answered(server: Server) -> None:
    command = node_script(node_with(agentmail="0.5.27", ws="^8.18.0"), "agentmail_methods.mjs")
    table = await _drive(server, *command)
    assert sum(1 for came in table.values() if came == "ok") >= 120
