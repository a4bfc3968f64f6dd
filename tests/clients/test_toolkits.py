"""Published toolkits for agents' frameworks, unmodified: every tool they offer, used against a running server."""

from __future__ import annotations

import json
import random

import pytest

from clients.environments import SCRIPTS, drive, python_with
from flows.server import Server, unique

pytestmark = pytest.mark.clients


# Slow: four frameworks of agents come with it, half a gigabyte.
@pytest.mark.slow
@pytest.mark.parametrize("framework", ["plain", "langchain", "openai", "livekit"])
async def test_every_tool_of_agentmails_toolkit_does_its_work(server: Server, framework: str) -> None:
    python = python_with("agentmail-toolkit==0.3.2", "agentmail==2.0.18")
    made = await server.command("key_create", surface="agentmail")
    authority = str(server.data_dir / "tls-cert.pem")
    # It opens attachments by https only.
    printed = drive(
        str(python), str(SCRIPTS / "agentmail_toolkit_tools.py"), log=server.log, FRAMEWORK=framework,
        AGENTMAIL_API_KEY=made["key"], SERVER=f"https://127.0.0.1:{server.settings['https_port']}",
        SSL_CERT_FILE=authority, NAME=unique("tool"), OPERATOR=f"catch@{server.domain}",
    )  # fmt: skip
    table: dict[str, str] = json.loads(printed.splitlines()[-1])
    assert (set(table.values()), len(table)) == ({"ok"}, 13)


async def test_atomic_mails_tools_sign_up_write_and_answer(server: Server) -> None:
    python = python_with("langchain-atomicmail==0.3.31")
    printed = drive(
        str(python), str(SCRIPTS / "atomicmail_tools.py"), log=server.log, ATOMIC_MAIL_AUTH_URL=server.url,
        ATOMIC_MAIL_API_URL=server.url, NAME=f"{random.randrange(10**9)}",
    )  # fmt: skip
    assert "all tools used" in printed
