"""Published JMAP clients from npm and PyPI, unmodified: found, read, written, sent, told, over HTTP and HTTPS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clients.environments import SCRIPTS, drive, node_script, node_with, python_with
from flows.server import Server, unique

pytestmark = pytest.mark.clients


async def _two_agents(server: Server, transport: str) -> dict[str, Any]:
    """The environment of a script: where the server is, and two inboxes with a key each."""
    port = server.settings["https_port"] if transport == "https" else server.http
    given = {"SERVER": f"{transport}://127.0.0.1:{port}"}
    for name in ("SENDER", "RECEIVER"):
        address = f"{unique(name.lower())}@{server.domain}"
        await server.command("inbox_create", address=address)
        made = await server.command("key_create", surface="atomicmail", inbox=address)
        given |= {name: address, f"{name}_KEY": made["key"]}
    # The certificate the server made is its own authority.
    authority = str(Path(server.data_dir) / "tls-cert.pem")
    return given | {"NODE_EXTRA_CA_CERTS": authority, "REQUESTS_CA_BUNDLE": authority}


@pytest.mark.parametrize("transport", ["http", "https"])
async def test_jmap_jam_reads_and_sends(server: Server, transport: str) -> None:
    command = node_script(node_with(jmap_jam="0.13.1"), "jmap_jam.mjs")
    assert "all calls made" in drive(*command, log=server.log, **await _two_agents(server, transport))


@pytest.mark.parametrize("transport", ["http", "https"])
async def test_jmap_client_ts_makes_every_call_it_has(server: Server, transport: str) -> None:
    command = node_script(node_with(jmap_client_ts="1.0.0"), "jmap_client_ts.mjs")
    assert "all calls made" in drive(*command, log=server.log, **await _two_agents(server, transport))


# It knows https only.
async def test_jmapc_reads_sends_and_hears_of_what_came(server: Server) -> None:
    python = python_with("jmapc==0.4.0")
    script = str(SCRIPTS / "jmap_jmapc.py")
    assert "all calls made" in drive(str(python), script, log=server.log, **await _two_agents(server, "https"))
