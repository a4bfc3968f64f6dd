"""Which host of a domain is tried, in which order, and which never."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest

from posthouse.wire.resolver import NameNotFound, ResolverFailure
from unit.smtp.hosts import (
    PARCEL,
    TWO,
    Courierly,
    Host,
    Start,
    Zone,
    brief,
    ehlo,
)


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
    found = zone.hosts["mx.example.com"]
    assert isinstance(found, list)
    assert courier._in_turn(found) == ["::1", "127.0.0.2", "127.0.0.3"]
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
