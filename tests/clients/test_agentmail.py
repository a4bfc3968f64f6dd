"""AgentMail's published clients, unmodified, from PyPI and npm, each making every call this server has."""

from __future__ import annotations

import pytest

from clients.environments import SCRIPTS, drive, node_script, node_with, python_with
from flows.server import Server, unique

pytestmark = pytest.mark.clients


async def _drive(server: Server, *command: str) -> str:
    made = await server.command("key_create", surface="agentmail")
    return drive(
        *command, log=server.log, AGENTMAIL_API_KEY=made["key"], SERVER=server.url, SMTP_PORT=str(server.smtp),
        NAME=unique("bot"),
    )  # fmt: skip


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
    command = node_script(node_with(agentmail="0.5.27"), "agentmail_calls.mjs")
    assert "all calls made" in await _drive(server, *command)
