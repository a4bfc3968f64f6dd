"""Who may register without a key: the rule, head by head. The doors are tried from outside in `tests/api`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from posthouse.api.newcomers import Caller, OurNames, caller_of, check, check_no_page, network_of
from posthouse.kit.errors import Forbidden

OURS = OurNames("agents.example", "https://mail.example:8443")
AT_HOME = Caller("127.0.0.1", hosts=("localhost:8025",), content_types=("application/json",))

Setting = Literal["loopback", "open", "off"]


def is_let_in(caller: Caller, setting: Setting = "loopback") -> bool:
    try:
        check(setting, caller, OURS)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8025", "localhost.:1", "a.localhost", "127.0.0.1:8025", "127.3.2.1", "[::1]:8025",
        "agents.example", "Agents.Example:8025", "mail.example:8443", "mail.example",
    ],
)  # fmt: skip
def test_a_caller_on_this_machine_that_calls_us_by_our_name_is_let_in(address: str, host: str) -> None:
    assert is_let_in(replace(AT_HOME, address=address, hosts=(host,)))


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "::2", "fe80::1", "::ffff:10.0.0.1", "", "unix", "127.1"])
def test_a_caller_from_elsewhere_is_let_in_only_where_everybody_is(address: str) -> None:
    caller = replace(AT_HOME, address=address)
    assert not is_let_in(caller)
    assert is_let_in(caller, "open")
    assert not is_let_in(caller, "off")
    assert not is_let_in(AT_HOME, "off")


@pytest.mark.parametrize(
    "hosts",
    [
        ("evil.example:8025",), ("localhost.evil.example",), ("agents.example.evil.example",), ("evil-localhost",),
        ("x.agents.example",), ("10.0.0.1",), ("[::2]:8025",), ("",), (":8025",), (), ("localhost", "evil.example"),
        ("evil.example", "localhost"), ("127.0.0.1.evil.example",), ("0.0.0.0",),
    ],
)  # fmt: skip
def test_a_page_whose_name_was_made_to_lead_here_calls_us_by_the_wrong_name(hosts: tuple[str, ...]) -> None:
    assert not is_let_in(replace(AT_HOME, hosts=hosts))


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "https://evil.example:8025", "null", "", "http://localhost:3000", "http://localhost",
        "http://127.0.0.1:8025", "https://mail.example", "chrome-extension://abcdef", "file://", "localhost:8025",
        "http://localhost:8025.evil.example", "http://evil.example@localhost:8025", "ftp://localhost:8025",
    ],
)  # fmt: skip
@pytest.mark.parametrize("setting", ["loopback", "open"])
def test_pages_of_other_origins_are_refused_wherever_they_are_shown(origin: str, setting: Setting) -> None:
    assert not is_let_in(replace(AT_HOME, origins=(origin,)), setting)
    assert not is_let_in(replace(AT_HOME, origins=("http://localhost:8025", origin)), setting)
    with pytest.raises(Forbidden):
        check_no_page(replace(AT_HOME, origins=(origin,)), OURS)


@pytest.mark.parametrize("origin", ["http://localhost:8025", "https://LocalHost:8025", "https://mail.example:8443"])
def test_our_own_pages_are_at_home(origin: str) -> None:
    assert is_let_in(replace(AT_HOME, origins=(origin,), fetch_sites=("same-origin",)))


def test_a_page_at_home_with_a_name_of_its_own_is_refused_though_it_is_of_one_origin_with_its_call() -> None:
    rebound = replace(AT_HOME, hosts=("evil.example:8025",), origins=("http://evil.example:8025",))
    for setting in ("loopback", "open"):
        assert not is_let_in(replace(rebound, fetch_sites=("same-origin",)), setting)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "unheard-of", ""])
def test_what_the_browser_calls_another_site_is_refused(site: str) -> None:
    for setting in ("loopback", "open"):
        assert not is_let_in(replace(AT_HOME, fetch_sites=(site,)), setting)
    assert is_let_in(replace(AT_HOME, fetch_sites=("none",)))


@pytest.mark.parametrize(
    "kinds",
    [(), ("text/plain",), ("application/x-www-form-urlencoded",), ("multipart/form-data",),
     ("application/json", "text/plain")],
)  # fmt: skip
def test_what_a_form_may_send_anywhere_registers_nobody(kinds: tuple[str, ...]) -> None:
    for setting in ("loopback", "open"):
        assert not is_let_in(replace(AT_HOME, content_types=kinds), setting)


@pytest.mark.parametrize(
    "name",
    ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "via", "x-real-ip", "x-forwarded"],
)
def test_what_any_proxy_adds_means_that_somebody_else_calls(name: str) -> None:
    head = [(b"host", b"localhost:8025"), (b"content-type", b"application/json; charset=utf-8")]
    scope: dict[str, Any] = {"client": ("127.0.0.1", 50_000), "headers": head}
    assert is_let_in(caller_of(scope))
    scope["headers"] = [*head, (name.encode(), b"127.0.0.1")]
    assert not is_let_in(caller_of(scope))
    assert is_let_in(caller_of(scope), "open")


def test_ipv6_callers_are_counted_by_their_network_and_what_is_no_address_together() -> None:
    assert network_of({"client": ("2001:db8:1:2:3::4", 1)}) == "2001:db8:1:2::/64"
    assert network_of({"client": ("::1", 1)}) == "::1"
    assert network_of({"client": ("::ffff:192.0.2.7", 1)}) == network_of({"client": ("192.0.2.7", 1)}) == "192.0.2.7"
    assert network_of({"client": None}) == network_of({"client": ("x", 1)}) == "unknown"
