"""The guarded dialer against real sockets on loopback, and against addresses it must never call."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.kit.errors import Invalid, Unavailable
from posthouse.net.dialer import DialFailed, DialRefused, DialResponse, GuardedDialer, is_public
from posthouse.net.tls import make_self_signed, server_context
from posthouse.wire.resolver import NameNotFound, ResolverFailure

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
PUBLIC = "93.184.216.34"


class Names:
    """A resolver out of a dictionary; a list of lists is answered one after the other."""

    def __init__(self, **hosts: list[str]) -> None:
        self.hosts = {name.replace("_", "."): addresses for name, addresses in hosts.items()}
        self.asked: list[str] = []
        self.broken = False

    async def addresses(self, name: str) -> list[str]:
        self.asked.append(name)
        if self.broken:
            raise ResolverFailure("10.0.0.53 is silent")
        if name not in self.hosts:
            raise NameNotFound(name)
        return self.hosts[name]

    async def txt(self, name: str) -> list[bytes]:
        raise NameNotFound(name)

    async def mx(self, name: str) -> list[tuple[int, str]]:
        raise NameNotFound(name)

    async def ptr(self, address: str) -> list[str]:
        raise NameNotFound(address)


class Site:
    """An HTTP server that answers every request with the same bytes."""

    def __init__(self) -> None:
        self.answer = OK
        self.requests: list[bytes] = []
        self.connections = 0
        self.hang = False
        self.endless = b""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if line.startswith(b"content-length:")
                    ),
                    0,
                )
                self.requests.append(head + await reader.readexactly(length))
                if self.hang:
                    await reader.read()
                    return
                writer.write(self.answer)
                while self.endless:
                    writer.write(self.endless)
                    await writer.drain()
                await writer.drain()
                if b"Content-Length" not in self.answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    @property
    def header(self) -> dict[str, str]:
        lines = self.requests[-1].split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


Make = Callable[..., GuardedDialer]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[GuardedDialer] = []

    def dialer(names: Names | None = None, allow_private: bool = False, **options: Any) -> GuardedDialer:
        made.append(GuardedDialer(names or Names(), allow_private, **options))
        return made[-1]

    yield dialer
    for one in made:
        await one.aclose()


def post(dialer: GuardedDialer, url: str, **options: Any) -> Awaitable[DialResponse]:
    return dialer.post(url, b"{}", {}, timeout_s=5, max_response_bytes=100, **options)


PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255", "168.63.129.16", "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::808:808",
    "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::", "2001:0:808:808::f5ff:fffe",
    "2001:2::1", "2001:10::1",
    "2001:db8::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1",
    "ff02::1", "100::1", "2600::5efe:a00:1", "2600::200:5efe:c0a8:1", "4000::1", "no address", "",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.0.1", "100.128.0.1",
     "2606:4700::1111",
     "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
     "2600::5efe:808:808"],
)  # fmt: skip
def test_a_hosts_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd",
        "gopher://example.com/",
        "unix:///var/run/docker.sock", "javascript:alert(1)", "http://", "http:///x", "https://?x",
        "http://user@example.com/", "http://user:pass@example.com/", "http://@example.com/",
        "http://:@h.example/",
        "http://exam ple.com/", "http://example.com/a b", "http://example.com/\r\nX: y",
        "http://example.com\t/",
        "http://example.com\\@127.0.0.1/", "http://example.com/\x00", "http://example.com:0/",
        "http://example.com:99999/", "http://example.com:25/", "https://example.com:6667/",
        "http://[::1/",
        "http://a..b/", "http://.example.com/", "http://example.com../",
        "http://ex%61mple.com/", "http://-a.com/",
        "http://a*b.com/", "http://" + "a" * 64 + ".com/", "http://" + "a." * 130 + "com/",
        "http://h.example/" + "a" * 2_048,
    ],
)  # fmt: skip
def test_a_url_of_the_wrong_form_is_refused(make: Make, url: str) -> None:
    with pytest.raises(DialRefused) as caught:
        make(allow_private=True).check_url(url)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "2130706433", "0x7f000001",
        "0x7f.0.0.1", "0x7f.1", "0177.0.0.1",
        "017700000001", "127.0.0.01", "127.0.0.0x1", "0", "0x", "1.2.3.4.5", "256.256.256.256", "foo.1",
        "１２７.０.０.１", "127。0。0。1", "①②⑦.⓪.⓪.①", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]", "[fe80::1%25eth0]", "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]", "169.254.169.254",
        "[fd00:ec2::254]", "localhost", "LOCALHOST.", "ⓛocalhost", "x.localhost", "10.1",
        "0300.0250.1.1",
    ],
)  # fmt: skip
async def test_no_spelling_of_a_private_host_is_called(make: Make, host: str) -> None:
    names = Names()
    dialer = make(names)
    url = f"http://{host}/"
    with pytest.raises(DialRefused):
        dialer.check_url(url)
    with pytest.raises(DialRefused):
        await post(dialer, url)
    assert names.asked == []


def test_a_good_url_passes_without_dns(make: Make) -> None:
    names = Names()
    for url in ("https://example.com/a?b=c", "HTTP://Example.COM.:8080", "https://8.8.8.8/", "http://[2606:4700::1]/",
                "https://bücher.example/", "https://a_b.example/"):  # fmt: skip
        make(names).check_url(url)
    assert names.asked == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], [PUBLIC, "10.0.0.1"], ["::1", PUBLIC], ["::ffff:10.0.0.1"], []]
)
async def test_one_private_address_among_a_names_addresses_is_enough_to_refuse(
    make: Make, site: Site, addresses: list[str]
) -> None:
    with pytest.raises(DialRefused) as caught:
        await post(make(Names(hook_example=addresses)), f"http://hook.example:{site.port}/")
    assert caught.value.message == "hook.example is not called: its address is not on the public Internet."
    assert site.connections == 0


async def test_the_address_connected_to_is_the_one_judged(make: Make, site: Site) -> None:
    """A name that answers a public address first and a private one next gains nothing: it is asked once."""
    names = Names(hook_example=["127.0.0.1"])
    dialer = make(names, allow_private=True)
    await post(dialer, f"http://hook.example:{site.port}/")
    assert names.asked == ["hook.example"]
    assert site.header["host"] == f"hook.example:{site.port}"


def test_the_last_gate_judges_once_more_what_is_about_to_be_connected(make: Make) -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
    with pytest.raises(PermissionError):
        make()._socket(info)


async def test_refused_networks_hold_even_where_private_ones_are_allowed(make: Make, site: Site) -> None:
    dialer = make(Names(h_example=["127.0.0.1"]), allow_private=True, refused_networks=["127.0.0.0/8"])
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "h.example"):
        with pytest.raises(DialRefused):
            await post(dialer, f"http://{host}:{site.port}/")
    assert site.connections == 0


async def test_a_post_carries_the_bytes_and_the_callers_headers(make: Make, site: Site) -> None:
    answer = await make(allow_private=True).post(
        f"http://127.0.0.1:{site.port}/hook?a=1",
        b'{"x":1}',
        {"Content-Type": "application/json", "Webhook-Id": "msg_1"},
        timeout_s=5,
        max_response_bytes=100,
    )
    assert (answer.status, answer.body, answer.truncated) == (200, b"hi", False)
    assert answer.headers["content-length"] == "2"
    assert answer.elapsed_ms >= 0
    assert site.requests[0].startswith(b"POST /hook?a=1 HTTP/1.1\r\n")
    assert site.requests[0].endswith(b'\r\n\r\n{"x":1}')
    assert site.header["content-type"] == "application/json"
    assert site.header["webhook-id"] == "msg_1"
    assert site.header["user-agent"].startswith("Posthouse/")
    assert site.header["accept-encoding"] == "identity"


async def test_the_caller_may_name_the_user_agent(make: Make, site: Site) -> None:
    url = f"http://127.0.0.1:{site.port}/"
    await make(allow_private=True).post(url, b"", {"user-agent": "x"}, timeout_s=5, max_response_bytes=1)
    assert site.header["user-agent"] == "x"


@pytest.mark.parametrize(
    "header",
    [("Host", "x"), ("content-length", "1"), ("Transfer-Encoding", "chunked"), ("X",
     "a\r\nY: b"), ("X Y", "a"),
     ("", "a"), ("X", "\x00"), ("X", "é€"), ("Cookie", "a=b")],
)  # fmt: skip
async def test_headers_that_steer_the_connection_or_break_out_are_refused(
    make: Make, site: Site, header: tuple[str, str]
) -> None:
    url = f"http://127.0.0.1:{site.port}/"
    with pytest.raises(DialRefused):
        await make(allow_private=True).post(url, b"", dict([header]), timeout_s=5, max_response_bytes=1)
    assert site.requests == []


async def test_a_redirect_is_the_answer_and_is_not_followed(make: Make, site: Site) -> None:
    site.answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n"
    answer = await make(allow_private=True).get(f"http://127.0.0.1:{site.port}/", timeout_s=5, max_bytes=10)
    assert answer.status == 302
    assert len(site.requests) == 1


async def test_cookies_are_forgotten(make: Make, site: Site) -> None:
    site.answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 0\r\n\r\n"
    dialer = make(allow_private=True)
    for _ in range(2):
        answer = await dialer.get(f"http://127.0.0.1:{site.port}/", timeout_s=5, max_bytes=10)
    assert "cookie" not in site.header
    assert answer.headers["set-cookie"] == "a=b, c=d"


async def test_proxies_of_the_environment_are_ignored(make: Make, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await post(make(allow_private=True), f"http://127.0.0.1:{site.port}/")).status == 200


async def test_connections_are_used_again(make: Make, site: Site) -> None:
    dialer = make(allow_private=True)
    for _ in range(5):
        await post(dialer, f"http://127.0.0.1:{site.port}/")
    assert site.connections == 1


async def test_the_answer_to_a_post_is_read_up_to_the_limit(make: Make, site: Site) -> None:
    site.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000
    answer = await post(make(allow_private=True), f"http://127.0.0.1:{site.port}/")
    assert (answer.status, answer.body, answer.truncated) == (200, b"x" * 100, True)


async def test_a_body_without_end_is_not_read_to_the_end(make: Make, site: Site) -> None:
    site.answer, site.endless = b"HTTP/1.1 200 OK\r\n\r\n", b"y" * 65_536
    dialer = make(allow_private=True)
    assert (await post(dialer, f"http://127.0.0.1:{site.port}/")).truncated
    with pytest.raises(DialRefused, match="longer than 1,000,000 bytes"):
        await dialer.get(f"http://127.0.0.1:{site.port}/", timeout_s=5, max_bytes=1_000_000)


async def test_a_get_refuses_a_body_that_says_it_is_too_long(make: Make, site: Site) -> None:
    site.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"
    with pytest.raises(DialRefused, match="longer than 10 bytes"):
        await make(allow_private=True).get(f"http://127.0.0.1:{site.port}/", timeout_s=5, max_bytes=10)


def _encoded(encoding: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _raw_deflate(content: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(content) + squeezer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("gzip", gzip.compress(b"hello", mtime=0)), ("deflate", zlib.compress(b"hello")), ("deflate",
     _raw_deflate(b"hello"))],
)  # fmt: skip
async def test_a_coding_that_came_unasked_is_undone(make: Make, site: Site, encoding: str, body: bytes) -> None:
    site.answer = _encoded(encoding, body)
    answer = await make(allow_private=True).get(f"http://127.0.0.1:{site.port}/", timeout_s=5, max_bytes=1_000)
    assert answer.body == b"hello"


async def test_a_decompression_bomb_is_refused(make: Make, site: Site) -> None:
    site.answer = _encoded("gzip", gzip.compress(bytes(20_000_000)))
    with pytest.raises(DialRefused, match="longer"):
        await make(allow_private=True).get(f"http://127.0.0.1:{site.port}/", timeout_s=5, max_bytes=1_000_000)


@pytest.mark.parametrize(
    ("encoding", "body"), [("br", b"x"), ("gzip", b"not gzip"), ("gzip", gzip.compress(b"hello", mtime=0)[:-9])]
)
async def test_a_coding_that_can_not_be_undone_is_a_failure(make: Make, site: Site, encoding: str, body: bytes) -> None:
    site.answer = _encoded(encoding, body)
    with pytest.raises(DialFailed):
        await make(allow_private=True).get(f"http://127.0.0.1:{site.port}/", timeout_s=5, max_bytes=1_000)


async def test_time_is_bounded_over_all(make: Make, site: Site) -> None:
    site.hang = True
    with pytest.raises(DialFailed, match=r"127\.0\.0\.1: no complete answer within 0\.05 s\."):
        await make(allow_private=True).post(
            f"http://127.0.0.1:{site.port}/", b"", {}, timeout_s=0.05, max_response_bytes=1
        )


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", "header is too long"),
        (b"HTTP/1.1 200 OK\r\nContent-", "closed before"),
    ],
)
async def test_an_answer_that_is_no_answer_is_a_failure(make: Make, site: Site, answer: bytes, words: str) -> None:
    site.answer = answer
    with pytest.raises(DialFailed, match=words):
        await post(make(allow_private=True), f"http://127.0.0.1:{site.port}/")


async def test_a_body_cut_short_is_a_failure(make: Make) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DialFailed, match="closed before"):
            await make(allow_private=True).get(f"http://127.0.0.1:{port}/", timeout_s=5, max_bytes=100)


async def test_failures_are_worth_another_try_and_name_no_address_the_caller_did_not_type(
    make: Make,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        dialer = make(Names(h_example=["127.0.0.1"]), allow_private=True)
        with pytest.raises(DialFailed) as refused:
            await post(dialer, f"http://h.example:{port}/")
    assert refused.value.message == "h.example: the connection was refused."
    with pytest.raises(DialFailed) as unknown:
        await post(dialer, "http://nowhere.example/")
    assert unknown.value.message == "nowhere.example: there is no host of this name."
    broken = Names()
    broken.broken = True
    with pytest.raises(DialFailed) as failed:
        await post(make(broken), "http://h.example/")
    assert "10.0.0.53" not in failed.value.message
    assert failed.value.temporary and isinstance(failed.value, Unavailable)
    assert issubclass(DialRefused, Invalid) and not DialRefused.temporary


async def test_the_next_address_is_tried_when_one_refuses(make: Make, site: Site) -> None:
    dialer = make(Names(h_example=["127.0.0.2", "127.0.0.1"]), allow_private=True)
    assert (await post(dialer, f"http://h.example:{site.port}/")).status == 200


async def test_https_checks_chain_and_name(make: Make, site: Site, tmp_path: Path) -> None:
    make_self_signed(["h.example"], tmp_path / "key", tmp_path / "cert")
    server = await asyncio.start_server(
        site.serve, "127.0.0.1", 0, ssl=server_context(tmp_path / "cert", tmp_path / "key")
    )
    port = server.sockets[0].getsockname()[1]
    names = Names(h_example=["127.0.0.1"], other_example=["127.0.0.1"])
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert"))
    async with server:
        dialer = make(names, allow_private=True, ssl_context=trusting)
        assert (await post(dialer, f"https://h.example:{port}/")).status == 200
        with pytest.raises(DialFailed, match="certificate is not valid"):
            await post(dialer, f"https://other.example:{port}/")
        with pytest.raises(DialFailed, match="certificate is not valid"):
            await post(make(names, allow_private=True), f"https://h.example:{port}/")
        await dialer.aclose()


async def test_https_to_a_port_that_speaks_no_tls_is_a_failure(make: Make) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DialFailed, match=r"TLS handshake failed|reset"):
            await post(make(allow_private=True), f"https://127.0.0.1:{port}/")


async def test_it_can_be_used_again_after_closing(make: Make, site: Site) -> None:
    dialer = make(allow_private=True)
    for _ in range(2):
        await post(dialer, f"http://127.0.0.1:{site.port}/")
        await dialer.aclose()
    assert site.connections == 2
