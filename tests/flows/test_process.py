"""The process: its folder, its ports, its commands beside it, and how it ends."""

from __future__ import annotations

import asyncio
import json
import smtplib
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from flows.server import Server, mail, unique, until
from flows.sinks import MailHost

Make = Callable[..., Server]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_folder_and_the_secrets_in_it_are_the_owners_alone(server: Server) -> None:
    assert _mode(server.data_dir) == 0o700
    for name in ("control.sock", "owner.key", "tls-key.pem", "lock"):
        path = server.data_dir / name
        assert not path.exists() or _mode(path) == 0o600, name
    assert (server.data_dir / "control.sock").is_socket()


def test_a_second_server_on_the_same_folder_is_refused(make_server: Make) -> None:
    server = make_server().start()
    for command in (["serve"], ["quickstart"]):
        ended = server.run(*command, http_port="0", smtp_port="0", submission_port="0")
        assert ended.returncode == 1
        assert "in use" in ended.stderr
        assert "Listening" not in ended.stdout
    assert server.is_running
    assert server.stop() == 0
    assert not (server.data_dir / "control.sock").exists()


def test_commands_beside_the_server_and_without_it_are_the_same(make_server: Make) -> None:
    server = make_server().start()
    beside = server.run("inbox", "create", "ann", "--json")
    assert beside.returncode == 0
    assert json.loads(beside.stdout.splitlines()[-1])["address"] == "ann@agents.test"
    assert server.stop() == 0
    alone = server.run("inbox", "create", "ann@agents.test", "--json")
    assert json.loads(alone.stdout.splitlines()[-1]) == json.loads(beside.stdout.splitlines()[-1])


def test_a_killed_server_leaves_a_folder_the_commands_still_open(make_server: Make) -> None:
    server = make_server().start()
    server.kill()
    assert (server.data_dir / "control.sock").exists()
    assert server.run("key", "list", "--json").returncode == 0
    assert server.start().is_running


async def test_what_was_queued_before_the_end_is_carried_after_the_start(make_server: Make, host: MailHost) -> None:
    server = make_server(outbound=host.url, retry_schedule="1s").start()
    agent = await server.agent()
    host.answer = lambda line: "451 4.3.0 Not now" if line.startswith("MAIL") else None
    sent = [await agent.send(f"r{number}@far.example") for number in range(10)]
    # On a thread: the mail host it may be talking to lives on this loop.
    assert await asyncio.to_thread(server.stop) == 0
    host.answer = lambda line: None
    assert host.mails == []
    await asyncio.to_thread(server.start)
    for one in sent:
        await agent.labelled(one["message_id"], "delivered")
    assert sorted(to for found in host.mails for to in found.rcpt_to) == sorted(f"r{n}@far.example" for n in range(10))


async def test_sigterm_leaves_no_doubt_about_the_mail_under_way_and_refuses_new_ones(make_server: Make) -> None:
    server = make_server().start()
    agent = await server.agent()
    subject = unique("Last")
    raw = mail("ann@elsewhere.example", [agent.address], subject).as_bytes().replace(b"\n", b"\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.smtp)

    async def say(line: bytes) -> bytes:
        writer.write(line + b"\r\n")
        return await _reply(reader)

    await _reply(reader)
    await say(b"EHLO client.example")
    await say(b"MAIL FROM:<ann@elsewhere.example>")
    await say(b"RCPT TO:<%s>" % agent.address.encode())
    assert (await say(b"DATA")).startswith(b"354")
    writer.write(raw[:100])
    await writer.drain()
    stopping = asyncio.create_task(asyncio.to_thread(server.stop))

    async def refused() -> bool:
        try:
            _, other = await asyncio.open_connection("127.0.0.1", server.smtp)
        except OSError:
            return True
        other.close()
        return False

    await until(refused, "new connections to be refused")
    writer.write(raw[100:] + b"\r\n.\r\n")
    reply = await _reply(reader)
    assert reply[:3] in (b"250", b"421")
    writer.close()
    await writer.wait_closed()
    assert await stopping == 0
    await asyncio.to_thread(server.start)
    after = unique("After")
    server.send("ann@elsewhere.example", agent.address, after)
    await agent.received(after)
    assert len(await agent.inbox()) == (2 if reply.startswith(b"250") else 1)


async def _reply(reader: asyncio.StreamReader) -> bytes:
    while True:
        line = await asyncio.wait_for(reader.readline(), 20)
        if line[3:4] != b"-":
            return line


async def test_https_and_starttls_carry_the_certificate_that_was_made(make_server: Make) -> None:
    from flows.server import free_port

    port = free_port()
    server = make_server(https_port=str(port)).start()
    agent = await server.agent()
    trusted = ssl.create_default_context(cafile=str(server.data_dir / "tls-cert.pem"))
    headers = {"Authorization": f"Bearer {agent.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        url = f"https://127.0.0.1:{port}/v0/inboxes/{agent.address}"
        async with session.get(url, ssl=trusted) as answer:
            assert answer.status == 200
            assert (await answer.json())["inbox_id"] == agent.address
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(url)

    def talk() -> None:
        with smtplib.SMTP("localhost", server.smtp, timeout=20) as client:
            client.starttls(context=trusted)
            client.sendmail("a@b.example", [agent.address], mail("a@b.example", [agent.address], "TLS").as_bytes())

    await asyncio.to_thread(talk)
    got = await agent.received("TLS")
    assert "TLSv1." in got["headers"]["Received"]


async def test_the_shared_pages_work_without_a_key_and_without_the_network(server: Server) -> None:
    async with aiohttp.ClientSession(server.url) as session:
        for path, kind in (("/", "text/html"), ("/docs", "text/html"), ("/docs/errors", "text/html"),
                           ("/openapi.json", "application/json"), ("/health", "application/json"),
                           ("/health/ready", "application/json")):  # fmt: skip
            async with session.get(path) as answer:
                assert answer.status == 200, path
                assert answer.content_type == kind, path
                text = await answer.text()
                if kind == "text/html":
                    assert "https://" not in text.replace("https://mail.example.org", ""), (
                        f"{path} loads from elsewhere"
                    )


def test_the_quickstart_prints_a_key_and_calls_that_work(make_server: Make) -> None:
    server = make_server().start("quickstart")
    printed = server.output
    key = next(line.split()[-1] for line in printed.splitlines() if line.startswith("Agent key:"))
    address = next(line.split()[-1] for line in printed.splitlines() if line.startswith("Agent:"))
    assert key.startswith("am_")
    assert "Owner key: mk_" in printed
    assert f"{server.url}/v0/inboxes/{address}/messages" in printed
    assert server.stop() == 0
    again = server.start("quickstart").output
    assert key in again, "the same agent the second time"
    assert "mk_" not in again
