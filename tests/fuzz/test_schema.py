"""The server against its own OpenAPI document: what it allows, and what it forbids, at each scope."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clients.environments import drive, python_with
from flows.server import Server

pytestmark = [pytest.mark.slow, pytest.mark.clients]
SCRIPT = Path(__file__).parent / "scripts" / "schema_fuzz.py"


@pytest.mark.parametrize(("scope", "examples"), [("organization", 8), ("pod", 3), ("inbox", 3), ("weak", 2)])
async def test_no_request_breaks_the_server_or_its_document(server: Server, scope: str, examples: int) -> None:
    python = python_with("schemathesis==4.32.5")
    made = await server.command("key_create", surface="agentmail")
    printed = drive(
        str(python), str(SCRIPT), timeout_s=900, SERVER=server.url, KEY=made["key"], SCOPE=scope,
        EXAMPLES=os.environ.get("FUZZ_EXAMPLES", str(examples)), SEED=os.environ.get("FUZZ_SEED", "20260701"),
        # A hang, not a busy machine.
        SLOWEST_S="10",
    )  # fmt: skip
    found = json.loads(printed.splitlines()[-1])
    assert found["problems"] == [], json.dumps(found["problems"][:5], indent=1)
    assert server.is_running
    assert "Traceback" not in server.log, server.log[-3_000:]
    assert found["operations"] > 140
    if scope == "organization":
        # What is asked for is there: otherwise nothing behind the door would be tried.
        assert found["never_found"] == []
        # Both are for who registered itself; the installation's own organisation is refused.
        assert found["never_taken"] == ["POST /v0/agent/human", "POST /v0/agent/verify"]
        assert found["not_found"] < found["real"] / 10
