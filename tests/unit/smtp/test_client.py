"""The couriers against scripted servers on loopback: every way a remote may answer, or not."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.kit.errors import Invalid
from posthouse.net.tls import make_self_signed, server_context
from posthouse.outbound.courier import Courier, DeliveryResult, Parcel
from posthouse.smtp.client import MxCourier, SmarthostCourier, Timeouts
from posthouse.wire.resolver import NameNotFound, ResolverFailure

CLOSE = "CLOSE"
HANG = "HANG"
GARBAGE = "GARBAGE"
Reply = str | Sequence[str]

QUICK = Timeouts(connect_s=2, greeting_s=2, command_s=2, data_s=2, done_s=2, quit_s=0.5)
TINY = Timeouts(connect_s=0.05, greeting_s=0.05, command_s=0.05, data_s=0.05, done_s=0.05, quit_s=0.05)
PARCEL = Parcel("a@sender.example", ("b@example.com",), b"Subject: x\r\n\r\nbody\r\n", "example.com")
TWO = replace(PARCEL, recipients=("b@example.com", "c@example.com"))
THREE = replace(PARCEL, recipients=("b@example.com", "c@example.com", "d@example.com"))


def ehlo(*extensions: str, name: str = "mx.example.com") -> str:
    lines = [name, *extensions]
    return "\r\n".join(f"250{'-' if line is not lines[-1] else ' '}{line}" for line in lines)


class Host:
    """A mail host that answers each verb out of its script: the replies in turn, the last one for ever.

    `greeting` is the first line, `dot` the answer to the message. CLOSE, HANG and GARBAGE do what they say.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, **script: Reply) -> None:
        self.tls = tls
        self.script: dict[str, list[str]] = {
            "greeting": ["220 mx.example.com ESMTP"],
            "EHLO": [ehlo("8BITMIME")],
            "HELO": ["250 mx.example.com"],
            "DATA": ["354 go on"],
            "dot": ["250 2.0.0 queued as 1"],
            "STARTTLS": ["220 go on"],
            "AUTH": ["235 2.7.0 welcome"],
            "QUIT": ["221 bye"],
        }
        for verb, replies in script.items():
            self.script[verb] = [replies] if isinstance(replies, str) else list(replies)
        self.lines: list[str] = []
        self.messages: list[bytes] = []
        self.connections = 0
        self.open_now = 0
        self.most_open = 0
        self.secured = 0
        self.gate: asyncio.Event | None = None
        self.changed = asyncio.Event()
        self.address = ""
        self.port = 0

    def next_reply(self, verb: str) -> str:
        replies = self.script.get(verb, ["250 2.1.0 ok"])
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def verbs(self) -> list[str]:
        return [line.split()[0] for line in self.lines]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 5)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.open_now -= 1
            self.changed.set()
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb = "greeting"
        while True:
            reply = self.next_reply(verb)
            self.changed.set()
            if reply == CLOSE:
                return
            if reply == HANG:
                await reader.read()
                return
            if reply == GARBAGE:
                reply = "\x00\xff no SMTP"
            writer.write(reply.encode("utf-8", "surrogateescape") + b"\r\n")
            await writer.drain()
            if verb == "QUIT":
                return
            if verb == "STARTTLS" and reply.startswith("220"):
                if self.tls is None:
                    writer.write(b"this is no handshake\r\n")
                    return
                await writer.start_tls(self.tls)
                self.secured += 1
            if verb == "DATA" and reply.startswith("3"):
                self.messages.append(await reader.readuntil(b"\r\n.\r\n"))
                if self.gate is not None:
                    self.changed.set()
                    await self.gate.wait()
                verb = "dot"
                continue
            line = (await reader.readuntil(b"\r\n")).decode()
            self.lines.append(line.rstrip("\r\n"))
            verb = line.split()[0].upper()


class Zone:
    """DNS out of dictionaries; `Exception` values are raised."""

    def __init__(
        self,
        mx: dict[str, list[tuple[int, str]] | Exception] | None = None,
        addresses: dict[str, list[str] | Exception] | None = None,
    ) -> None:
        self.records = mx if mx is not None else {"example.com": [(10, "mx.example.com")]}
        self.hosts = addresses if addresses is not None else {"mx.example.com": ["127.0.0.1"]}

    async def mx(self, name: str) -> list[tuple[int, str]]:
        found = self.records.get(name, NameNotFound(name))
        if isinstance(found, Exception):
            raise found
        return found

    async def addresses(self, name: str) -> list[str]:
        found = self.hosts.get(name, NameNotFound(name, no_domain=True))
        if isinstance(found, Exception):
            raise found
        return found

    async def txt(self, name: str) -> list[bytes]:
        raise NameNotFound(name)

    async def ptr(self, address: str) -> list[str]:
        raise NameNotFound(address)


Start = Callable[..., Awaitable[Host]]
Courierly = Callable[..., MxCourier]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers: list[asyncio.Server] = []

    async def run(host: Host, address: str = "127.0.0.1", port: int = 0) -> Host:
        servers.append(await asyncio.start_server(host.serve, address, port))
        host.address, host.port = servers[-1].sockets[0].getsockname()[:2]
        return host

    yield run
    for server in servers:
        server.close()


@pytest.fixture
async def mx() -> AsyncIterator[Courierly]:
    made: list[MxCourier] = []

    def courier(host: Host | int, zone: Zone | None = None, **options: object) -> MxCourier:
        options = {"hostname": "out.sender.example", "allow_private": True, "timeouts": QUICK} | options
        options.setdefault("shuffle", lambda hosts: None)
        port = host if isinstance(host, int) else host.port
        made.append(MxCourier(zone or Zone(), port=port, **options))
        return made[-1]

    yield courier
    for one in made:
        await one.aclose()


def brief(results: Sequence[DeliveryResult]) -> list[tuple[str, str]]:
    return [(result.outcome, result.status) for result in results]


# --- one transaction -------------------------------------------------------------------------------------


async def test_a_message_is_handed_over_and_the_remotes_words_are_kept(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    assert await mx(host).deliver(PARCEL) == [
        DeliveryResult("b@example.com", "delivered", "2.0.0", "250 2.0.0 queued as 1", "mx.example.com", 250)
    ]
    assert host.lines == [
        "EHLO out.sender.example",
        "MAIL FROM:<a@sender.example>",
        "RCPT TO:<b@example.com>",
        "DATA",
    ]
    assert host.messages == [b"Subject: x\r\n\r\nbody\r\n.\r\n"]


async def test_each_recipient_is_told_what_became_of_it(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 no such user", "450 4.2.1 busy", "250 ok"]))
    results = await mx(host).deliver(THREE)
    assert brief(results) == [("failed", "5.1.1"), ("deferred", "4.2.1"), ("delivered", "2.0.0")]
    assert [result.recipient for result in results] == list(THREE.recipients)
    assert [result.smtp_code for result in results] == [550, 450, 250]


async def test_no_data_is_sent_when_every_recipient_is_refused(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT="550 5.7.1 no"))
    assert brief(await mx(host).deliver(TWO)) == [("failed", "5.7.1")] * 2
    assert "DATA" not in host.verbs()


@pytest.mark.parametrize(
    ("step", "reply", "expected"),
    [
        ("MAIL", "550 5.7.1 not you", ("failed", "5.7.1")),
        ("MAIL", "451 4.7.1 greylisted", ("deferred", "4.7.1")),
        ("DATA", "554 no valid recipients", ("failed", "5.0.0")),
        ("DATA", "451 4.3.0 later", ("deferred", "4.3.0")),
        ("dot", "554 5.6.0 spam", ("failed", "5.6.0")),
        ("dot", "452 4.3.1 disk full", ("deferred", "4.3.1")),
        ("dot", "421 4.3.2 shutting down", ("deferred", "4.3.2")),
        ("dot", "354 again?", ("deferred", "4.5.0")),
        ("RCPT", "552 mailbox full", ("failed", "5.2.2")),
        ("RCPT", "251 will forward", ("delivered", "2.0.0")),
        ("RCPT", "252 will try", ("delivered", "2.0.0")),
    ],
)
async def test_a_reply_decides_for_all_it_speaks_of(
    start: Start, mx: Courierly, step: str, reply: str, expected: tuple[str, str]
) -> None:
    host = await start(Host(**{step: reply}))
    assert brief(await mx(host).deliver(TWO)) == [expected] * 2


async def test_a_refusal_after_data_leaves_earlier_refusals_as_they_were(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 who?", "250 ok"], dot="451 4.7.0 later"))
    assert brief(await mx(host).deliver(TWO)) == [("failed", "5.1.1"), ("deferred", "4.7.0")]


async def test_552_after_an_accepted_recipient_means_enough_for_now(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["250 ok", "552 too many recipients", "552 5.2.2 mailbox full"]))
    results = await mx(host).deliver(THREE)
    assert brief(results) == [("delivered", "2.0.0"), ("deferred", "4.5.3"), ("failed", "5.2.2")]


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ("550 no such user", "5.0.0"),
        ("550 4.1.1 muddled", "5.0.0"),
        ("550 5.01.0001 padded", "5.0.0"),
        ("550 5.1.10 null mx", "5.1.10"),
        ("550 5.7.1: colon", "5.0.0"),
        ("553 bad name", "5.1.3"),
        ("450 busy", "4.2.0"),
        ("451 error", "4.3.0"),
        ("452 full", "4.3.1"),
        ("499 odd", "4.0.0"),
    ],
)
async def test_the_enhanced_status_is_read_or_derived(start: Start, mx: Courierly, reply: str, status: str) -> None:
    host = await start(Host(RCPT=reply))
    assert (await mx(host).deliver(PARCEL))[0].status == status


async def test_the_remotes_words_are_made_one_harmless_line(start: Start, mx: Courierly) -> None:
    reply = "550-5.7.1 first\x1b[31m\x07 line\r\n550-5.7.1 second\u202e\udcff\r\n550 5.7.1 " + "x" * 900
    host = await start(Host(RCPT=reply))
    (result,) = await mx(host).deliver(PARCEL)
    assert result.diagnostic.startswith("550 5.7.1 first [31m line second")
    assert result.diagnostic.isprintable() and len(result.diagnostic) == 500


# --- what is sent ----------------------------------------------------------------------------------------


async def test_dots_are_doubled_and_bare_line_ends_can_not_end_the_message(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    await mx(host).deliver(replace(PARCEL, raw=b".a\r\n..b\r\nc\n.\nMAIL FROM:<x>\r.\rend"))
    assert host.messages == [b"..a\r\n...b\r\nc\r\n..\r\nMAIL FROM:<x>\r\n..\r\nend\r\n.\r\n"]
    assert host.verbs() == ["EHLO", "MAIL", "RCPT", "DATA"]


async def test_size_is_announced_and_a_message_too_large_is_not_sent(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("SIZE 100")))
    courier = mx(host)
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.lines[1] == f"MAIL FROM:<a@sender.example> SIZE={len(PARCEL.raw)}"
    results = await courier.deliver(replace(TWO, raw=b"x" * 200))
    assert brief(results) == [("failed", "5.3.4")] * 2
    assert len(host.messages) == 1


@pytest.mark.parametrize("size", ["SIZE", "SIZE 0", "SIZE what", "SIZE ١٢"])
async def test_a_size_without_a_limit_limits_nothing(start: Start, mx: Courierly, size: str) -> None:
    host = await start(Host(EHLO=ehlo(size)))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]


async def test_eight_bit_is_asked_for_where_offered_and_sent_anyway_where_not(start: Start, mx: Courierly) -> None:
    parcel = replace(PARCEL, raw="Grüße\r\n".encode(), requires_8bit=True)
    modern, old = await start(Host()), await start(Host(EHLO=ehlo()))
    await mx(modern).deliver(parcel)
    assert modern.lines[1].endswith(" BODY=8BITMIME")
    assert brief(await mx(old).deliver(parcel)) == [("delivered", "2.0.0")]
    assert old.lines[1] == "MAIL FROM:<a@sender.example>"
    assert old.messages[0].startswith("Grüße".encode())


async def test_internationalised_mail_goes_only_where_it_is_offered(start: Start, mx: Courierly) -> None:
    parcel = replace(PARCEL, recipients=("jürgen@bücher.example",), requires_utf8=True)
    modern, old = await start(Host(EHLO=ehlo("8BITMIME", "SMTPUTF8"))), await start(Host())
    assert brief(await mx(modern).deliver(parcel)) == [("delivered", "2.0.0")]
    assert modern.lines[1] == "MAIL FROM:<a@sender.example> BODY=8BITMIME SMTPUTF8"
    assert modern.lines[2] == "RCPT TO:<jürgen@xn--bcher-kva.example>"
    assert brief(await mx(old).deliver(parcel)) == [("failed", "5.6.7")]
    assert old.verbs() == ["EHLO"]


async def test_dsn_parameters_are_passed_on_where_offered(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("DSN", "SMTPUTF8")))
    courier = mx(host)
    await courier.deliver(replace(PARCEL, recipients=("b+c=d@example.com",), envelope_id="id+1 ü"))
    assert host.lines[1] == "MAIL FROM:<a@sender.example> RET=HDRS ENVID=id+2B1+20+C3+BC"
    assert host.lines[2] == "RCPT TO:<b+c=d@example.com> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b+2Bc+3Dd@example.com"
    await courier.deliver(replace(PARCEL, mail_from="", recipients=("ü@example.com",), requires_utf8=True))
    assert host.lines[-3] == "MAIL FROM:<> SMTPUTF8 RET=HDRS"
    assert host.lines[-2] == r"RCPT TO:<ü@example.com> NOTIFY=NEVER ORCPT=utf-8;\x{FC}@example.com"


@pytest.mark.parametrize(
    "address",
    ["b", "@example.com", "b@", "b> c@example.com", "b@example.com>\r\nDATA", "a b@example.com", "b@exa mple.com",
     "<b@example.com>", 'b"c@example.com', '"b\r\n"@example.com', "b@[1.2.3.4", "ü@example.com", "b@a@example.com",
     "b\x00@example.com", "b@example.com\n", "\ud800@example.com", "b@" + "ü" * 70 + ".de"],
)  # fmt: skip
async def test_an_address_that_can_not_be_said_in_smtp_fails_alone(start: Start, mx: Courierly, address: str) -> None:
    host = await start(Host())
    results = await mx(host).deliver(replace(PARCEL, recipients=(address, "b@example.com")))
    assert brief(results) == [("failed", "5.1.3"), ("delivered", "2.0.0")]
    assert host.verbs() == ["EHLO", "MAIL", "RCPT", "DATA"]


async def test_a_malformed_sender_or_no_speakable_recipient_sends_nothing(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    courier = mx(host)
    assert brief(await courier.deliver(replace(PARCEL, mail_from="a\r\nDATA"))) == [("failed", "5.1.7")]
    assert brief(await courier.deliver(replace(PARCEL, recipients=("b",)))) == [("failed", "5.1.3")]
    assert host.verbs() == ["EHLO"]


async def test_a_quoted_local_part_and_an_address_literal_are_sent_as_they_are(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    recipients = ('"a b>\\"c"@example.com', "b@[IPv6:2001:db8::1]")
    assert brief(await mx(host).deliver(replace(PARCEL, recipients=recipients))) == [("delivered", "2.0.0")] * 2
    assert host.lines[2:4] == [f"RCPT TO:<{recipient}>" for recipient in recipients]


# --- connections lost ------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize("how", [CLOSE, HANG, GARBAGE])
async def test_whatever_breaks_off_or_falls_silent_is_deferred(
    start: Start, mx: Courierly, verb: str, how: str
) -> None:
    host = await start(Host(**{verb: how}))
    (result,) = await mx(host, timeouts=TINY).deliver(PARCEL)
    assert result.outcome == "deferred"
    assert result.status == ("4.5.0" if how == GARBAGE else "4.4.2")
    assert result.diagnostic.startswith("mx.example.com: ")


async def test_after_the_last_dot_no_other_host_is_tried(start: Start, mx: Courierly) -> None:
    first = await start(Host(dot=CLOSE), "127.0.0.1")
    second = await start(Host(), "127.0.0.2", first.port)
    courier = mx(first, Zone(addresses={"mx.example.com": ["127.0.0.1", "127.0.0.2"]}))
    assert brief(await courier.deliver(PARCEL)) == [("deferred", "4.4.2")]
    assert second.connections == 0


@pytest.mark.parametrize(
    "script",
    [
        {"greeting": "421 4.3.2 busy"},
        {"greeting": "554 5.7.1 go away"},
        {"EHLO": CLOSE},
        {"MAIL": "421 4.7.0 slow down"},
        {"RCPT": CLOSE},
        {"DATA": "421 closing"},
        {"DATA": "250 what?"},
        {"MAIL": "354 what?"},
    ],
)
async def test_trouble_before_the_message_was_handed_over_leads_to_the_next_host(
    start: Start, mx: Courierly, script: dict[str, Reply]
) -> None:
    first = await start(Host(**script), "127.0.0.1")
    second = await start(Host(), "127.0.0.2", first.port)
    zone = Zone(
        {"example.com": [(20, "two.example.com"), (10, "one.example.com")]},
        {"one.example.com": ["127.0.0.1"], "two.example.com": ["127.0.0.2"]},
    )
    (result,) = await mx(first, zone).deliver(PARCEL)
    assert (result.outcome, result.remote_mta) == ("delivered", "two.example.com")
    assert (first.connections, len(second.messages)) == (1, 1)


async def test_a_refused_recipient_stays_refused_when_the_connection_is_lost_later(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 who?", CLOSE]))
    assert brief(await mx(host).deliver(TWO)) == [("failed", "5.1.1"), ("deferred", "4.4.2")]


async def test_the_greetings_own_refusal_is_final_when_no_host_gives_hope(start: Start, mx: Courierly) -> None:
    first = await start(Host(greeting="554 5.7.1 blocked"), "127.0.0.1")
    zone = Zone(addresses={"mx.example.com": ["127.0.0.1", "127.0.0.2"]})
    (result,) = await mx(first, Zone()).deliver(PARCEL)
    assert (result.outcome, result.status, result.smtp_code) == ("failed", "5.7.1", 554)
    (result,) = await mx(first, zone).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.4.1")  # the other one may answer later


async def test_a_host_that_takes_no_mail_says_so_for_good(start: Start, mx: Courierly) -> None:
    host = await start(Host(greeting="521 no mail here"))
    assert brief(await mx(host).deliver(PARCEL)) == [("failed", "5.3.2")]


async def test_a_connection_refused_is_deferred(mx: Courierly) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (result,) = await mx(unused.getsockname()[1]).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.4.1")
    assert result.diagnostic == "mx.example.com[127.0.0.1]: connection refused"
    assert result.remote_mta is None


async def test_helo_is_said_to_servers_older_than_extensions(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO="502 what?"))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs()[:2] == ["EHLO", "HELO"]


async def test_cancelling_closes_the_connection(start: Start, mx: Courierly) -> None:
    host = await start(Host(MAIL=HANG))
    task = asyncio.create_task(mx(host).deliver(PARCEL))
    await host.until(lambda: "MAIL" in host.verbs())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await host.until(lambda: host.open_now == 0)


# --- where to ----------------------------------------------------------------------------------------------


async def test_hosts_are_tried_by_preference_and_equals_in_shuffled_order(start: Start, mx: Courierly) -> None:
    asked: list[str] = []

    class Watching(Zone):
        async def addresses(self, name: str) -> list[str]:
            asked.append(name)
            raise NameNotFound(name)

    records = [(20, "c.example"), (10, "a.example"), (10, "B.Example."), (5, "first.example")]
    courier = mx(1, Watching({"example.com": records}), shuffle=lambda hosts: hosts.sort(reverse=True))
    assert brief(await courier.deliver(PARCEL)) == [("failed", "5.1.2")]
    assert asked == ["first.example", "b.example", "a.example", "c.example"]


async def test_a_null_mx_fails_for_good(mx: Courierly) -> None:
    assert brief(await mx(1, Zone({"example.com": [(0, "")]})).deliver(TWO)) == [("failed", "5.1.10")] * 2


async def test_a_domain_without_mx_is_its_own_host(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    (result,) = await mx(host, Zone({}, {"example.com": ["127.0.0.1"]})).deliver(PARCEL)
    assert (result.outcome, result.remote_mta) == ("delivered", "example.com")


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        (Zone({"example.com": NameNotFound("example.com", no_domain=True)}), ("failed", "5.1.2")),
        (Zone({}, {}), ("failed", "5.1.2")),
        (Zone({"example.com": [(1, "gone.example")]}), ("failed", "5.1.2")),
        (Zone({"example.com": [(1, "b\\032d host.example")]}), ("failed", "5.1.2")),
        (Zone({"example.com": ResolverFailure("x")}), ("deferred", "4.4.3")),
        (Zone({}, {"example.com": ResolverFailure("x")}), ("deferred", "4.4.3")),
        (Zone(addresses={"mx.example.com": ResolverFailure("x")}), ("deferred", "4.4.3")),
    ],
)
async def test_what_dns_says_decides_between_never_and_later(
    mx: Courierly, zone: Zone, expected: tuple[str, str]
) -> None:
    assert brief(await mx(1, zone).deliver(PARCEL)) == [expected]


async def test_an_exchanger_that_can_not_be_looked_up_is_a_hope_beside_one_that_refuses(
    start: Start, mx: Courierly
) -> None:
    host = await start(Host(greeting="554 no"))
    zone = Zone(
        {"example.com": [(1, "mx.example.com"), (2, "two.example")]},
        {"mx.example.com": ["127.0.0.1"], "two.example": ResolverFailure("x")},
    )
    assert brief(await mx(host, zone).deliver(PARCEL)) == [("deferred", "4.4.3")]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1"])
async def test_a_private_exchanger_is_not_called(start: Start, mx: Courierly, address: str) -> None:
    host = await start(Host())
    courier = mx(host, Zone(addresses={"mx.example.com": [address]}), allow_private=False)
    assert brief(await courier.deliver(PARCEL)) == [("failed", "5.4.4")]
    literal = replace(PARCEL, domain=f"[{'ipv6:' if ':' in address else ''}{address}]")
    assert brief(await courier.deliver(literal)) == [("failed", "5.4.4")]
    assert host.connections == 0


@pytest.mark.parametrize("domain", ["[127.0.0.1]", "[ipv6:::1]"])
async def test_an_address_literal_needs_no_dns(start: Start, mx: Courierly, domain: str) -> None:
    host = await start(Host(), "::1" if "6" in domain else "127.0.0.1")
    (result,) = await mx(host, Zone({}, {})).deliver(replace(PARCEL, domain=domain))
    assert (result.outcome, result.remote_mta) == ("delivered", host.address)


async def test_nonsense_between_brackets_fails(mx: Courierly) -> None:
    assert brief(await mx(1).deliver(replace(PARCEL, domain="[x]"))) == [("failed", "5.1.2")]


async def test_families_are_tried_by_turns_ipv6_first(start: Start, mx: Courierly) -> None:
    host = await start(Host(), "127.0.0.2")
    zone = Zone(addresses={"mx.example.com": ["127.0.0.2", "127.0.0.3", "::1"]})
    courier = mx(host, zone)
    assert courier._in_turn(zone.hosts["mx.example.com"]) == ["::1", "127.0.0.2", "127.0.0.3"]
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]


async def test_only_so_many_addresses_are_tried(mx: Courierly) -> None:
    zone = Zone(addresses={"mx.example.com": [f"127.0.1.{last}" for last in range(1, 200)]})
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (result,) = await mx(unused.getsockname()[1], zone).deliver(PARCEL)
    assert "[127.0.1.8]" in result.diagnostic


async def test_neither_we_nor_anyone_after_us_is_tried(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    records = [(10, "mx.example.com"), (20, "us.sender.example"), (20, "equal.example"), (30, "after.example")]
    courier = mx(host, Zone({"example.com": records}), own=["Us.Sender.example"])
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    courier = mx(host, Zone({"example.com": records[1:]}), own=["us.sender.example"])
    assert brief(await courier.deliver(PARCEL)) == [("failed", "5.4.6")]


async def test_our_own_address_under_a_strangers_name_is_a_loop(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    assert brief(await mx(host, own=["127.0.0.1"]).deliver(PARCEL)) == [("failed", "5.4.6")]
    assert host.connections == 0


async def test_a_host_that_calls_itself_by_our_name_is_a_loop(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("SIZE", name="us.sender.example")))
    assert brief(await mx(host, own=["us.sender.example"]).deliver(PARCEL)) == [("failed", "5.4.6")]
    assert "MAIL" not in host.verbs()


# --- connections kept ---------------------------------------------------------------------------------------


async def test_a_connection_is_used_again(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    courier = mx(host)
    for _ in range(3):
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert (host.connections, len(host.messages)) == (1, 3)
    assert "RSET" not in host.verbs()


async def test_after_a_transaction_that_stayed_open_comes_a_reset(start: Start, mx: Courierly) -> None:
    host = await start(Host(RCPT=["550 5.1.1 who?", "250 ok"]))
    courier = mx(host)
    await courier.deliver(PARCEL)
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs() == ["EHLO", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "DATA"]


async def test_a_connection_that_was_idle_is_asked_whether_it_lives(start: Start, mx: Courierly) -> None:
    host = await start(Host(RSET=[HANG, "250 ok"]))
    courier = mx(host, timeouts=replace(QUICK, command_s=0.05, fresh_s=0))
    for _ in range(2):
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.connections == 2


@pytest.mark.parametrize("stale", [CLOSE, "421 4.4.2 idle for too long"])
async def test_a_stale_connection_is_replaced_without_a_word(start: Start, mx: Courierly, stale: str) -> None:
    host = await start(Host(MAIL=["250 ok", stale, "250 ok"]))
    courier = mx(host)
    for _ in range(2):
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert (host.connections, len(host.messages)) == (2, 2)


async def test_a_connection_the_server_has_closed_is_not_taken(start: Start, mx: Courierly) -> None:
    host = await start(Host(dot=["250 ok\r\n421 bye", "250 ok"]))
    courier = mx(host)
    for _ in range(2):
        assert brief(await courier.deliver(PARCEL))[0][0] == "delivered"


async def test_a_connection_ends_after_so_many_messages(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    courier = mx(host, max_messages=2)
    for _ in range(3):
        await courier.deliver(PARCEL)
    assert host.connections == 2
    await host.until(lambda: host.verbs().count("QUIT") == 1)


async def test_an_idle_connection_says_goodbye(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    await mx(host, idle_s=0.01).deliver(PARCEL)
    await host.until(lambda: host.open_now == 0)
    assert host.verbs()[-1] == "QUIT"


async def test_closing_says_goodbye_and_does_not_wait_for_the_answer(start: Start, mx: Courierly) -> None:
    host = await start(Host(QUIT=HANG))
    courier = mx(host, timeouts=replace(QUICK, quit_s=0.02))
    await courier.deliver(PARCEL)
    await courier.aclose()
    assert host.verbs()[-1] == "QUIT"


async def test_destinations_do_not_share_connections(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    zone = Zone({}, {"one.example": ["127.0.0.1"], "two.example": ["127.0.0.1"]})
    courier = mx(host, zone)
    for domain in ("one.example", "two.example", "one.example"):
        await courier.deliver(replace(PARCEL, domain=domain))
    assert host.connections == 2


async def test_only_so_many_transactions_run_to_one_destination(start: Start, mx: Courierly) -> None:
    host = await start(Host())
    host.gate = asyncio.Event()
    courier = mx(host, per_destination=3)
    tasks = [asyncio.create_task(courier.deliver(PARCEL)) for _ in range(10)]
    await host.until(lambda: len(host.messages) == 3)
    host.gate.set()
    assert [brief(results) for results in await asyncio.gather(*tasks)] == [[("delivered", "2.0.0")]] * 10
    assert host.most_open == 3
    assert courier._pool._slots == {}


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    make_self_signed(["mx.example.com"], tmp_path / "key", tmp_path / "cert")
    return tmp_path / "cert", tmp_path / "key"


@pytest.fixture
def tls(pair: tuple[Path, Path]) -> ssl.SSLContext:
    return server_context(*pair)


async def test_tls_is_used_when_offered_whatever_the_certificate(
    start: Start, mx: Courierly, tls: ssl.SSLContext
) -> None:
    host = await start(Host(tls, EHLO=[ehlo("STARTTLS", "SIZE 1"), ehlo("SIZE")]))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs() == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA"]
    assert host.secured == 1


async def test_a_failed_handshake_leads_to_plain_text(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("STARTTLS")))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert (host.connections, host.secured) == (2, 0)


async def test_a_refused_starttls_leads_to_plain_text_on_the_same_connection(start: Start, mx: Courierly) -> None:
    host = await start(Host(EHLO=ehlo("STARTTLS"), STARTTLS="454 4.7.0 not now"))
    assert brief(await mx(host).deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.connections == 1


async def test_plain_text_slipped_in_before_tls_is_not_read_as_an_answer(
    start: Start, mx: Courierly, tls: ssl.SSLContext
) -> None:
    host = await start(
        Host(tls, EHLO=ehlo("STARTTLS"), STARTTLS="220 go on\r\n250 2.0.0 injected", RCPT="550 5.1.1 who?")
    )
    results = await mx(host).deliver(PARCEL)
    assert brief(results) == [("failed", "5.1.1")]


# --- smarthost ---------------------------------------------------------------------------------------------


@pytest.fixture
async def relay() -> AsyncIterator[Callable[..., SmarthostCourier]]:
    made: list[SmarthostCourier] = []

    def courier(url: str, **options: object) -> SmarthostCourier:
        options = {"hostname": "out.sender.example", "timeouts": QUICK} | options
        made.append(SmarthostCourier(url, **options))
        return made[-1]

    yield courier
    for one in made:
        await one.aclose()


Relay = Callable[..., SmarthostCourier]


async def test_a_smarthost_takes_every_domain_over_one_connection(start: Start, relay: Relay) -> None:
    host = await start(Host())
    courier = relay(f"smtp://localhost:{host.port}")
    for domain in ("one.example", "two.example"):
        (result,) = await courier.deliver(replace(PARCEL, domain=domain))
        assert (result.outcome, result.remote_mta) == ("delivered", "localhost")
    assert host.connections == 1


async def test_user_and_password_are_said_to_a_loopback_smarthost_in_plain_text(start: Start, relay: Relay) -> None:
    host = await start(Host(EHLO=ehlo("AUTH CRAM-MD5 PLAIN LOGIN")))
    courier = relay(f"smtp://us%40er:p%3Ass@127.0.0.1:{host.port}")
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.lines[1] == "AUTH PLAIN " + base64.b64encode(b"\0us@er\0p:ss").decode()


async def test_the_password_is_said_under_tls_when_offered(start: Start, relay: Relay, tls: ssl.SSLContext) -> None:
    host = await start(Host(tls, EHLO=ehlo("STARTTLS", "AUTH PLAIN")))
    courier = relay(f"smtp://u:p@127.0.0.1:{host.port}")
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
    assert host.verbs()[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


NEAR = Zone({}, {"relay.example": ["127.0.0.1"], "mx.example.com": ["127.0.0.1"]})  # distant by name only


async def test_no_password_goes_to_a_distant_smarthost_without_tls(start: Start, relay: Relay) -> None:
    host = await start(Host(EHLO=ehlo("AUTH PLAIN")))
    (result,) = await relay(f"smtp://u:p@relay.example:{host.port}", resolver=NEAR).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.7.11")
    assert host.verbs() == ["EHLO"]


@pytest.mark.parametrize("starttls", ["220 go on", "454 4.7.0 no"])
async def test_no_password_goes_to_a_distant_smarthost_whose_handshake_fails(
    start: Start, relay: Relay, starttls: str
) -> None:
    host = await start(Host(EHLO=ehlo("STARTTLS", "AUTH PLAIN"), STARTTLS=starttls))
    (result,) = await relay(f"smtp://u:p@relay.example:{host.port}", resolver=NEAR).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.7.5")
    assert "AUTH" not in host.verbs() and host.connections == 1


async def test_no_password_goes_to_a_distant_smarthost_with_a_strangers_certificate(
    start: Start, relay: Relay, tls: ssl.SSLContext
) -> None:
    host = await start(Host(tls, EHLO=ehlo("STARTTLS", "AUTH PLAIN")))
    (result,) = await relay(f"smtp://u:p@relay.example:{host.port}", resolver=NEAR).deliver(PARCEL)
    assert (result.outcome, result.status) == ("deferred", "4.7.5")
    assert "AUTH" not in host.verbs()


async def test_the_password_goes_to_a_distant_smarthost_whose_certificate_is_trusted(
    start: Start, relay: Relay, tls: ssl.SSLContext, pair: tuple[Path, Path]
) -> None:
    host = await start(Host(tls, EHLO=ehlo("STARTTLS", "AUTH LOGIN"), AUTH="334 VXNlcm5hbWU6"))
    host.script[base64.b64encode(b"p").decode().upper()] = ["235 2.7.0 ok"]
    trusting = ssl.create_default_context(cafile=str(pair[0]))
    courier = relay(f"smtp://u:p@mx.example.com:{host.port}", resolver=NEAR, ssl_context=trusting)
    assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]


async def _implicit(host: Host, tls: ssl.SSLContext) -> asyncio.Server:
    server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=tls)
    host.port = server.sockets[0].getsockname()[1]
    return server


async def test_smtps_speaks_tls_from_the_first_octet(
    relay: Relay, tls: ssl.SSLContext, pair: tuple[Path, Path]
) -> None:
    host = Host()
    async with await _implicit(host, tls):
        courier = relay(f"smtps://127.0.0.1:{host.port}")
        assert brief(await courier.deliver(PARCEL)) == [("delivered", "2.0.0")]
        trusting = ssl.create_default_context(cafile=str(pair[0]))
        checked = relay(f"smtps://mx.example.com:{host.port}", resolver=NEAR, ssl_context=trusting)
        assert brief(await checked.deliver(PARCEL)) == [("delivered", "2.0.0")]
        stranger = relay(f"smtps://relay.example:{host.port}", resolver=NEAR)
        assert brief(await stranger.deliver(PARCEL)) == [("deferred", "4.7.5")]
        await courier.aclose()
        await checked.aclose()


async def test_smtps_to_a_plain_port_is_deferred(start: Start, relay: Relay) -> None:
    host = await start(Host())
    assert brief(await relay(f"smtps://127.0.0.1:{host.port}").deliver(PARCEL)) == [("deferred", "4.7.5")]


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ({"greeting": "554 5.7.1 not you"}, "4.7.1", 554),
        ({"EHLO": "550 5.7.1 no", "HELO": "550 5.7.1 no"}, "4.7.1", 550),
        ({"EHLO": ehlo("AUTH PLAIN"), "AUTH": "535 5.7.8 wrong"}, "4.7.8", 535),
        ({"EHLO": ehlo("AUTH GSSAPI")}, "4.7.0", None),
        ({"EHLO": ehlo()}, "4.7.0", None),
        ({"EHLO": ehlo("AUTH PLAIN"), "AUTH": CLOSE}, "4.4.2", None),
    ],
)
async def test_trouble_at_the_smarthosts_door_is_never_final(
    start: Start, relay: Relay, script: dict[str, Reply], status: str, code: int | None
) -> None:
    host = await start(Host(**script))
    (result,) = await relay(f"smtp://u:p@127.0.0.1:{host.port}").deliver(PARCEL)
    assert (result.outcome, result.status, result.smtp_code) == ("deferred", status, code)
    assert host.verbs().count("AUTH") <= 1


async def test_the_smarthosts_verdict_on_a_recipient_is_final(start: Start, relay: Relay) -> None:
    host = await start(Host(RCPT="550 5.1.1 who?"))
    assert brief(await relay(f"smtp://127.0.0.1:{host.port}").deliver(PARCEL)) == [("failed", "5.1.1")]


async def test_a_smarthost_that_can_not_be_found_is_deferred(relay: Relay) -> None:
    for resolver in (NEAR, None):
        courier = relay("smtp://nowhere.invalid:25", resolver=resolver)
        assert brief(await courier.deliver(PARCEL)) == [("deferred", "4.4.3")]


@pytest.mark.parametrize(
    "url",
    ["", "relay.example:25", "http://relay.example", "smtp://", "smtp://u:secret@", "smtp://h:0", "smtp://h:99999",
     "smtp://u:secret@h/path", "smtp://h?x=secret", "smtp://[::1"],
)  # fmt: skip
async def test_a_smarthost_url_of_the_wrong_form_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Invalid) as caught:
        SmarthostCourier(url, hostname="out.example")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "port"),
    [("smtp://h", 25), ("smtp://u:p@h", 587), ("smtps://u:p@h", 465), ("smtp://u:p@h:2525/", 2525)],
)
async def test_a_smarthost_has_the_usual_port(url: str, port: int) -> None:
    assert SmarthostCourier(url, hostname="out.example")._port == port


def test_both_are_couriers() -> None:
    couriers: list[Courier] = [
        MxCourier(Zone(), hostname="out.example"),
        SmarthostCourier("smtp://h", hostname="[192.0.2.1]"),
    ]
    assert len(couriers) == 2
