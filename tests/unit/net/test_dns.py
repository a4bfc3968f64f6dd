"""The resolver against a name server of a few lines on loopback."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from posthouse.net.dns import DnsResolver, literal, to_ascii
from posthouse.wire.resolver import NameNotFound, ResolverFailure

Answers = dict[tuple[str, str], list[str]]

SOA = "ns.example. admin.example. 1 7200 900 1209600 {minimum}"


class NameServer(asyncio.DatagramProtocol):
    """Answers out of a dictionary; a name it does not know is NXDOMAIN."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[tuple[str, str]] = []
        self.ttl = 300
        self.rcode: dns.rcode.Rcode | None = None
        self.silent = False
        self.silent_for: set[str] = set()
        self.garbage = False
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        host, port = transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"

    def datagram_received(self, data: bytes, sender: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text(omit_final_dot=True)
        kind = query.question[0].rdtype.name
        if name != "@" and name != ".":
            self.asked.append((name, kind))
        if self.silent or name in self.silent_for:
            return
        if self.garbage:
            self.transport.sendto(data[:2] + b"\x81\x80" + b"\xff" * 20, sender)
            return
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        if self.rcode is not None:
            reply.set_rcode(self.rcode)
        elif records := self.answers.get((name, kind)):
            reply.answer.append(dns.rrset.from_text_list(name + ".", self.ttl, "IN", kind, records))
        else:
            if not any(known == name for known, _ in self.answers):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            soa = SOA.format(minimum=30)
            reply.authority.append(dns.rrset.from_text("example.", 900, "IN", "SOA", soa))
        self.transport.sendto(reply.to_wire(), sender)


class Hand:
    """A clock moved by hand, in seconds."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    yield server
    transport.close()


@pytest.fixture
async def make(server: NameServer) -> AsyncIterator[Callable[..., DnsResolver]]:
    made: list[DnsResolver] = []

    def resolver(**options: Any) -> DnsResolver:
        made.append(DnsResolver([server.address], **options))
        return made[-1]

    yield resolver
    for one in made:
        await one.aclose()


Make = Callable[..., DnsResolver]


async def test_the_strings_of_a_txt_record_are_joined_without_a_space(server: NameServer, make: Make) -> None:
    server.answers["example.com", "TXT"] = ['"v=spf1 " "-all"', '"other"']
    assert sorted(await make().txt("Example.COM.")) == [b"other", b"v=spf1 -all"]


async def test_mx_records_come_lowest_preference_first_and_without_the_last_dot(server: NameServer, make: Make) -> None:
    server.answers["example.com", "MX"] = ["20 B.example.net.", "10 a.example.net."]
    assert await make().mx("example.com") == [(10, "a.example.net"), (20, "b.example.net")]


async def test_a_null_mx_has_an_empty_host(server: NameServer, make: Make) -> None:
    server.answers["example.com", "MX"] = ["0 ."]
    assert await make().mx("example.com") == [(0, "")]


async def test_both_families_of_addresses_are_found(server: NameServer, make: Make) -> None:
    server.answers["h.example", "A"] = ["192.0.2.1", "192.0.2.2"]
    server.answers["h.example", "AAAA"] = ["2001:db8::1"]
    found = await make().addresses("h.example")
    assert found[0] == "2001:db8::1" and sorted(found[1:]) == ["192.0.2.1", "192.0.2.2"]


async def test_one_family_is_enough(server: NameServer, make: Make) -> None:
    server.answers["h.example", "A"] = ["192.0.2.1"]
    assert await make().addresses("h.example") == ["192.0.2.1"]


@pytest.mark.parametrize(("text", "address"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8::0:1", "2001:db8::1")])
async def test_an_address_answers_itself_without_dns(server: NameServer, make: Make, text: str, address: str) -> None:
    assert await make().addresses(text) == [address]
    assert server.asked == []


async def test_localhost_is_loopback_without_dns(server: NameServer, make: Make) -> None:
    resolver = make()
    assert await resolver.addresses("localhost") == ["::1", "127.0.0.1"]
    assert await resolver.addresses("agents.LOCALHOST.") == ["::1", "127.0.0.1"]
    with pytest.raises(NameNotFound):
        await resolver.mx("agents.localhost")
    assert server.asked == []


async def test_names_that_must_not_leak_are_not_asked(server: NameServer, make: Make) -> None:
    for name in ("x.invalid", "abc.onion"):
        with pytest.raises(NameNotFound) as caught:
            await make().txt(name)
        assert caught.value.no_domain
    assert server.asked == []


async def test_an_address_points_back_to_names(server: NameServer, make: Make) -> None:
    server.answers["1.2.0.192.in-addr.arpa", "PTR"] = ["Mail.Example.com."]
    assert await make().ptr("192.0.2.1") == ["mail.example.com"]
    with pytest.raises(NameNotFound):
        await make().ptr("no address")


async def test_an_internationalised_name_is_asked_for_in_its_ascii_form(server: NameServer, make: Make) -> None:
    server.answers["xn--bcher-kva.example", "A"] = ["192.0.2.9"]
    assert await make().addresses("Bücher.example") == ["192.0.2.9"]


async def test_a_missing_name_and_a_missing_record_are_told_apart(server: NameServer, make: Make) -> None:
    server.answers["example.com", "A"] = ["192.0.2.1"]
    resolver = make()
    with pytest.raises(NameNotFound) as no_record:
        await resolver.mx("example.com")
    with pytest.raises(NameNotFound) as no_name:
        await resolver.mx("nowhere.example")
    assert not no_record.value.no_domain
    assert no_name.value.no_domain


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".example", "a." * 130 + "example", "\ud800.de"])
async def test_a_name_that_can_not_exist_is_not_found_rather_than_an_error(
    server: NameServer, make: Make, name: str
) -> None:
    with pytest.raises(NameNotFound):
        await make().txt(name)
    assert server.asked == []


async def test_a_backslash_in_a_strangers_name_is_no_escape(server: NameServer, make: Make) -> None:
    with pytest.raises(NameNotFound):
        await make().txt(r"a\046b.example")
    assert server.asked == [(r"a\\046b.example", "TXT")]


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_a_server_that_can_not_answer_is_a_failure(
    server: NameServer, make: Make, rcode: dns.rcode.Rcode
) -> None:
    server.rcode = rcode
    with pytest.raises(ResolverFailure):
        await make().txt("example.com")


async def test_a_broken_packet_is_a_failure(server: NameServer, make: Make) -> None:
    server.garbage = True
    with pytest.raises(ResolverFailure):
        await make(timeout_s=0.2).txt("example.com")


async def test_a_failure_of_one_family_is_no_proof_that_there_is_no_address(server: NameServer, make: Make) -> None:
    server.silent_for = {"h.example"}
    with pytest.raises(ResolverFailure):
        await make(timeout_s=0.1).addresses("h.example")


async def test_an_answer_is_asked_for_once_within_its_ttl(server: NameServer, make: Make) -> None:
    server.answers["example.com", "TXT"] = ["one"]
    clock = Hand()
    resolver = make(clock=clock)
    await resolver.txt("example.com")
    clock.at += 299
    await resolver.txt("EXAMPLE.com.")
    assert len(server.asked) == 1
    clock.at += 2
    server.answers["example.com", "TXT"] = ["two"]
    assert await resolver.txt("example.com") == [b"two"]


async def test_a_long_ttl_counts_as_an_hour(server: NameServer, make: Make) -> None:
    server.answers["example.com", "TXT"] = ["one"]
    server.ttl = 10_000_000
    clock = Hand()
    resolver = make(clock=clock)
    await resolver.txt("example.com")
    clock.at += 3_601
    await resolver.txt("example.com")
    assert len(server.asked) == 2


async def test_an_absence_is_kept_as_long_as_the_zone_says(server: NameServer, make: Make) -> None:
    clock = Hand()
    resolver = make(clock=clock)
    for _ in range(2):
        with pytest.raises(NameNotFound):
            await resolver.txt("nowhere.example")
    assert len(server.asked) == 1
    clock.at += 31  # the SOA's minimum is 30
    server.answers["nowhere.example", "TXT"] = ["here"]
    assert await resolver.txt("nowhere.example") == [b"here"]


async def test_a_failure_is_kept_for_seconds_only(server: NameServer, make: Make) -> None:
    server.rcode = dns.rcode.SERVFAIL
    clock = Hand()
    resolver = make(clock=clock)
    for _ in range(2):
        with pytest.raises(ResolverFailure):
            await resolver.txt("example.com")
    assert len(server.asked) == 1
    server.rcode = None
    server.answers["example.com", "TXT"] = ["back"]
    clock.at += 6
    assert await resolver.txt("example.com") == [b"back"]


async def test_the_cache_is_bounded_and_drops_what_was_unused_longest(server: NameServer, make: Make) -> None:
    for number in range(3):
        server.answers[f"{number}.example", "TXT"] = ["x"]
    resolver = make(cache_size=2)
    for name in ("0.example", "1.example", "0.example", "2.example", "0.example"):
        await resolver.txt(name)
    assert len(server.asked) == 3
    await resolver.txt("1.example")
    assert len(server.asked) == 4


async def test_a_question_under_way_is_asked_once(server: NameServer, make: Make) -> None:
    server.answers["example.com", "TXT"] = ["x"]
    resolver = make()
    assert await asyncio.gather(*(resolver.txt("example.com") for _ in range(20))) == [[b"x"]] * 20
    assert len(server.asked) == 1


async def test_who_gives_up_does_not_take_the_answer_from_others(server: NameServer, make: Make) -> None:
    server.answers["example.com", "TXT"] = ["x"]
    resolver = make()
    impatient = asyncio.create_task(resolver.txt("example.com"))
    patient = asyncio.create_task(resolver.txt("example.com"))
    while not server.asked:
        await asyncio.sleep(0)
    impatient.cancel()
    assert await patient == [b"x"]
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_when_no_server_answers_at_all_questions_fail_at_once_until_one_does(
    server: NameServer, make: Make
) -> None:
    server.silent = True
    clock = Hand()
    resolver = make(timeout_s=0.1, clock=clock)
    with pytest.raises(ResolverFailure):
        await resolver.txt("example.com")
    asked = len(server.asked)
    for name in ("a.example", "b.example"):
        with pytest.raises(ResolverFailure):
            await resolver.txt(name)
    assert len(server.asked) == asked

    server.silent = False
    server.answers["example.com", "TXT"] = ["back"]
    clock.at += 6
    with pytest.raises(ResolverFailure):
        await resolver.txt("example.com")  # nobody waits for the look that this starts
    assert resolver._probe is not None
    await resolver._probe
    assert await resolver.txt("example.com") == [b"back"]


async def test_a_name_whose_own_servers_are_dead_does_not_stop_the_others(server: NameServer, make: Make) -> None:
    server.silent_for = {"lame.example"}
    server.answers["example.com", "TXT"] = ["x"]
    resolver = make(timeout_s=0.1)
    with pytest.raises(ResolverFailure):
        await resolver.txt("lame.example")
    assert await resolver.txt("example.com") == [b"x"]


async def test_the_second_name_server_is_asked_when_the_first_can_not_answer(server: NameServer) -> None:
    server.answers["example.com", "TXT"] = ["x"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{nobody.getsockname()[1]}"
        resolver = DnsResolver([dead, server.address], timeout_s=0.6)
        assert await resolver.txt("example.com") == [b"x"]
        await resolver.aclose()


async def test_without_name_servers_every_question_fails_at_once() -> None:
    resolver = DnsResolver([])
    started = time.monotonic()
    for ask in (resolver.txt, resolver.mx, resolver.addresses):
        with pytest.raises(ResolverFailure):
            await ask("example.com")
    assert time.monotonic() - started < 0.5
    await resolver.aclose()


async def test_closing_tells_those_who_wait(server: NameServer, make: Make) -> None:
    server.silent = True
    resolver = make(timeout_s=30.0)
    waiting = asyncio.create_task(resolver.txt("example.com"))
    while not server.asked:
        await asyncio.sleep(0)
    await resolver.aclose()
    with pytest.raises(ResolverFailure):
        await waiting


@pytest.mark.parametrize("text", ["dns.example", "192.0.2.1:x", "192.0.2.1:0", "[2001:db8::1]:70000", ""])
def test_a_name_server_must_be_an_address(text: str) -> None:
    with pytest.raises(ValueError):
        DnsResolver([text])


def test_names_and_literals_have_one_spelling() -> None:
    assert to_ascii("EXAMPLE.com.") == "example.com"
    assert to_ascii("faß。de") == "xn--fa-hia.de"
    assert literal("fe80::1%eth0") is None
    assert literal("127.1") is None
