"""What a client asks of reports at the submission port reaches the relay, and one report of success comes of it."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator, Iterator

import pytest

from flows.engines import empty_database
from flows.houses import Indoors, indoors
from flows.server import mail, unique
from flows.sinks import MailHost, mail_host
from posthouse.admin import accounts as admin_accounts
from posthouse.admin import events as admin_events
from posthouse.admin import keys as admin_keys
from unit.smtp.hosts import Host


@pytest.fixture(params=["sqlite", "postgres"])
def own_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database for this test alone."""
    with empty_database(str(request.param), request) as url:
        yield url


@pytest.fixture
async def relay() -> AsyncIterator[MailHost]:
    """A relay that offers DSN."""
    async with mail_host() as host:
        yield host


async def _submit(house: Indoors, to: str, *, mail_options: list[str], rcpt_options: list[str]) -> str:
    inbox = await admin_accounts.create(house.house, address=f"{unique('agent')}@{house.domain}")
    key = (await admin_keys.create(house.house, surface="agentmail", inbox=inbox["address"]))["key"]
    sender = inbox["address"]

    def talk() -> None:
        with smtplib.SMTP("127.0.0.1", house.house.ports["submission"], timeout=20) as client:
            client.login(sender, key)
            raw = mail(sender, [to], unique("Wishes")).as_bytes()
            assert client.sendmail(sender, [to], raw, mail_options=mail_options, rcpt_options=rcpt_options) == {}

    await asyncio.to_thread(talk)
    await house.settle()
    return str(sender)


async def _reports(house: Indoors, address: str) -> int:
    events = (await admin_events.latest(house.house, limit=100))["events"]
    return sum(1 for event in events if event["type"] == "message.received" and event["inbox"] == address)


async def test_wishes_reach_a_relay_that_understands_them(own_database: str, relay: MailHost) -> None:
    async with indoors(own_database, outbound=relay.url) as house:
        sender = await _submit(
            house,
            "b@far.example",
            mail_options=["RET=FULL", "ENVID=QQ+2B1"],
            rcpt_options=["NOTIFY=SUCCESS,DELAY", "ORCPT=rfc822;list+2Bx@far.example"],
        )
        (mail_from, rcpt_to) = relay.mails[0].parameters
        assert " RET=FULL ENVID=QQ+2B1" in mail_from
        assert rcpt_to == "RCPT TO:<b@far.example> NOTIFY=DELAY,SUCCESS ORCPT=rfc822;list+2Bx@far.example"
        assert await _reports(house, sender) == 0, "the relay reports, or who comes after it"


async def test_a_client_that_asks_for_nothing_has_nothing_asked_for_it(own_database: str, relay: MailHost) -> None:
    async with indoors(own_database, outbound=relay.url) as house:
        await _submit(house, "b@far.example", mail_options=[], rcpt_options=[])
        mail_from, rcpt_to = relay.mails[0].parameters
        assert "RET=" not in mail_from
        assert "ENVID=" not in mail_from
        assert rcpt_to == "RCPT TO:<b@far.example> ORCPT=rfc822;b@far.example"


async def test_wishes_survive_a_day_in_the_queue(own_database: str, relay: MailHost) -> None:
    relay.answer = lambda line: "451 4.7.1 Greylisted" if line.startswith("RCPT") else None
    async with indoors(own_database, outbound=relay.url, retry_schedule="10m") as house:
        await _submit(house, "b@far.example", mail_options=["RET=HDRS"], rcpt_options=["NOTIFY=NEVER"])
        assert relay.mails == []
        relay.answer = lambda line: None
        await house.later(minutes=15)
        mail_from, rcpt_to = relay.mails[0].parameters
        assert " RET=HDRS" in mail_from
        assert rcpt_to == "RCPT TO:<b@far.example> NOTIFY=NEVER ORCPT=rfc822;b@far.example"


async def test_where_the_relay_does_not_understand_the_report_of_success_is_ours(own_database: str) -> None:
    """RFC 3461 §5.2.2: a `relayed` report, since nobody after us will tell."""
    host = Host()
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        async with indoors(own_database, outbound=f"smtp://127.0.0.1:{port}") as house:
            sender = await _submit(
                house, "b@far.example", mail_options=["RET=FULL"], rcpt_options=["NOTIFY=SUCCESS,DELAY"]
            )
            assert len(host.messages) == 1
            assert not any("NOTIFY" in line or "RET=" in line for line in host.lines)
            await house.settle()
            assert await _reports(house, sender) == 1
    finally:
        server.close()
