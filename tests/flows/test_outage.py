"""The disk is full, the database is gone: refused for now, nothing acknowledged, and well again by itself."""

from __future__ import annotations

import asyncio
import resource
import smtplib
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.server import Agent, Server, mail, unique, until


async def _refused(server: Server, agent: Agent, subject: str) -> None:
    """Neither door takes anything, and each says that it is for now."""
    raw = mail("ann@elsewhere.example", [agent.address], subject, "x" * 60 + "\n").as_bytes() + b"x" * 70_000

    def hand_in() -> int:
        try:
            server.send_raw("ann@elsewhere.example", [agent.address], raw)
        except smtplib.SMTPRecipientsRefused as error:
            return error.recipients[agent.address][0]
        except smtplib.SMTPResponseException as error:
            return error.smtp_code
        return 250

    assert await asyncio.to_thread(hand_in) in (451, 452)
    body = {"to": "bob@far.example", "subject": subject, "text": "x" * 70_000}
    status, error = await agent.call("POST", "messages", body)
    assert (status, error["code"]) == (503, "service_unavailable")
    assert "sqlite" not in str(error).lower()
    assert "postgres" not in str(error).lower()


async def _well_again(server: Server, agent: Agent, never: str) -> None:
    async def ready() -> bool:
        async with server.api("none") as api:
            return (await api.call("GET", "/health/ready"))[0] == 200

    await until(ready, "the server to be ready again", 30)
    subject = unique("Well")
    server.send("ann@elsewhere.example", agent.address, subject)
    await agent.received(subject, within_s=30)
    sent = await agent.send("bob@far.example", subject=subject)
    await agent.labelled(sent["message_id"], "delivered", within_s=30)
    assert never not in {m.get("subject") for m in (await agent.get("messages"))["messages"]}


async def test_a_full_disk_is_a_temporary_refusal(make_server: Any) -> None:
    server: Server = make_server().start()
    agent = await server.agent()
    subject = unique("Before")
    server.send("ann@elsewhere.example", agent.address, subject)
    await agent.received(subject)
    # No file of the process may grow any more: to it the same as a disk without room, and without root.
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, hard))
    lost = unique("Lost")
    try:
        await _refused(server, agent, lost)
        assert (await agent.message((await agent.inbox())[0]["message_id"]))["subject"] == subject, "reading goes on"
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
    await _well_again(server, agent, lost)


@pytest.fixture
def own_postgres() -> Iterator[Any]:
    """A PostgreSQL server that may be stopped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pgserver

        folder = Path(tempfile.mkdtemp(prefix="pg-"))
        server = pgserver.get_server(folder, cleanup_mode="delete")
    yield server
    server.cleanup()


async def test_a_database_that_is_gone_is_a_temporary_refusal(own_postgres: Any, make_server: Any) -> None:
    from pgserver._commands import pg_ctl

    server: Server = make_server(database_url=own_postgres.get_uri()).start()
    agent = await server.agent()
    lost = unique("Lost")
    options = {"pgdata": own_postgres.pgdata, "user": own_postgres.system_user}
    await asyncio.to_thread(pg_ctl, ["-w", "-m", "fast", "stop"], **options)
    try:
        await _refused(server, agent, lost)
        async with server.api("none") as api:
            assert (await api.call("GET", "/health/ready"))[0] == 503
            assert (await api.call("GET", "/health"))[0] == 200
    finally:
        await asyncio.to_thread(own_postgres.ensure_postgres_running)
    await _well_again(server, agent, lost)
