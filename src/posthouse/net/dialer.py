"""The one guarded dialer: HTTP calls to addresses that a caller chose.

Whoever may name a URL (webhooks, push, attachments by address) could otherwise make the server call its own
neighbours: the database beside it, the cloud's metadata service, a printer. So names are resolved here, every
address is judged before anything is connected, and the address judged is the address connected to.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import re
import socket
import ssl
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from posthouse import __version__
from posthouse.kit.errors import Invalid, Unavailable
from posthouse.net.dns import literal
from posthouse.net.turns import Turns
from posthouse.wire.resolver import NameNotFound, Resolver, ResolverFailure

LONGEST_URL = 2_048
# Whole bodies are fetched into memory: so many owners' at once, and how long the others wait.
_FETCHES, _FETCHES_OF_ONE, _FETCH_WAIT_S = 8, 2, 30.0
# Below the five seconds after which Node's server hangs up: a POST on a connection the other side has just
# closed fails, and may not be repeated.
KEEP_ALIVE_S = 4.0

_IPv4 = ipaddress.IPv4Address
_IPv6 = ipaddress.IPv6Address

# IANA IPv4 Special-Purpose Address Registry (RFC 6890), with multicast and the reserved block.
_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # a cloud's host agent behind an address that looks public
    )
)  # fmt: skip
# Of IPv6 only 2000::/3 is given out at all; these parts of it are not for hosts of the public Internet.
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, among them Teredo and benchmarking (RFC 2928)
        "2001:db8::/32", "3fff::/20",  # documentation (RFC 3849, RFC 9637)
    )
)  # fmt: skip
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291 §2.5.5.2
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1
_6TO4 = ipaddress.IPv6Network("2002::/16")  # RFC 3056 §2
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214 §6.1

# Services that would read an HTTP request as their own language (WHATWG Fetch, "port blocking").
_REFUSED_PORTS = frozenset(
    {1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104,
     109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515,
     526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049,
     3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)  # fmt: skip

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\\u0080-\u00a0\u2028\u2029\ud800-\udfff]")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.1
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 §5.5
# Those that steer the connection or belong to it: no caller sets them.
OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te", "trailer",
     "expect", "accept-encoding", "proxy-connection", "proxy-authorization", "cookie"}
)  # fmt: skip

_NOT_PUBLIC = "its address is not on the public Internet"
_OS_WORDS = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was reset",
    errno.EHOSTUNREACH: "the host can not be reached",
    errno.ENETUNREACH: "the network can not be reached",
    errno.ETIMEDOUT: "the connection timed out",
}


class DialRefused(Invalid):
    """Not called, or not read to the end, by rule: the same call is refused again."""


class TooLong(DialRefused):
    """A body of which all was wanted is longer than what was said."""


class DialFailed(Unavailable):
    """The other side could not be reached or gave no usable answer; it may do later."""


@dataclass(frozen=True, slots=True)
class DialResponse:
    """What the other side answered. A 3xx or 5xx is an answer like any other.

    Attributes:
        status: HTTP status code.
        headers: names in lower case; of a repeated one the values, joined by a comma.
        body: at most as many bytes as were asked for.
        elapsed_ms: from the call to the last byte read.
        truncated: there was more body, which was not read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_ms: int
    truncated: bool = False


def is_public(address: str) -> bool:
    """Whether an IP address is a host's on the public Internet; text that is no address is not.

    IPv4 inside IPv6 (mapped, NAT64, 6to4, ISATAP) is judged by the IPv4 address, since that is where packets
    may end up. Teredo and the deprecated compatible form are never public.

    Source: RFC 6890, RFC 4291 §2.5.5, RFC 6052 §2, RFC 3056 §2, RFC 5214 §6.1.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, _IPv4):
        return _is_public_4(parsed)
    packed = parsed.packed
    if parsed.scope_id is not None:
        return False
    if parsed in _MAPPED or parsed in _NAT64:
        return _is_public_4(_IPv4(packed[12:]))
    if parsed in _6TO4 and not _is_public_4(_IPv4(packed[2:6])):
        return False
    if packed[8:12] in _ISATAP and not _is_public_4(_IPv4(packed[12:])):
        return False
    return parsed in _GLOBAL_6 and not any(parsed in network for network in _NOT_PUBLIC_6)


def _is_public_4(address: ipaddress.IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


class GuardedDialer:
    """Calls the URLs of callers. One for the process; connections are kept for a few seconds and used again.

    Nothing is followed, remembered or taken from the environment: no redirects, no cookies, no proxies, no
    netrc. A kept connection is one whose address was judged when it was opened.

    Args:
        resolver: who looks up host names.
        allow_private: let loopback, private and other special addresses be called.
        ssl_context: for `https`; None trusts what the system trusts. Own authorities and tests hand one over.
        user_agent: sent unless the caller's headers name one.
        max_connections: open at a time, over all hosts.
        max_connections_per_host: so that one slow host does not use up all of them.
        refused_networks: further networks never called, such as the house's own public ones or the prefix of
            a NAT64 that is not the well-known one (RFC 6052 §2.2); they hold with `allow_private` too.
    """

    def __init__(
        self,
        resolver: Resolver,
        allow_private: bool,
        *,
        ssl_context: ssl.SSLContext | None = None,
        user_agent: str = f"Posthouse/{__version__}",
        max_connections: int = 200,
        max_connections_per_host: int = 20,
        refused_networks: Sequence[str] = (),
    ) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._ssl_context = ssl_context
        self._user_agent = user_agent
        self._max_connections = max_connections
        self._max_connections_per_host = max_connections_per_host
        self._refused_networks = tuple(ipaddress.ip_network(network) for network in refused_networks)
        self._session: aiohttp.ClientSession | None = None
        # Taken by whoever fetches for a caller, for all that one request wants.
        self.turns = Turns(_FETCHES, _FETCHES_OF_ONE, wait_s=_FETCH_WAIT_S)

    def check_url(self, url: str) -> None:
        """Judge a URL as far as it can be without DNS: its form, and its host when that is an address.

        Raises:
            DialRefused: `post` and `get` would refuse it as well. That they will not is not promised.
        """
        self._checked(url)

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        max_response_bytes: int,
    ) -> DialResponse:
        """POST bytes and read the beginning of the answer.

        Args:
            url: absolute, http or https.
            body: sent as it is; name its type in `headers`.
            headers: the caller's; those that steer the connection are refused.
            timeout_s: for everything together, look-up and reading included.
            max_response_bytes: what is beyond is not read, and `truncated` says so.

        Raises:
            DialRefused: against the rules.
            DialFailed: no answer.
        """
        return await self._call(
            "POST", url, body, headers, timeout_s=timeout_s, max_bytes=max_response_bytes, whole=False
        )

    async def get(self, url: str, *, timeout_s: float, max_bytes: int) -> DialResponse:
        """GET a whole body; gzip and deflate are undone though they were not asked for.

        Args:
            url: absolute, http or https.
            timeout_s: for everything together, look-up and reading included.
            max_bytes: longest body, before and after decompression; a longer one is refused.

        Raises:
            DialRefused: against the rules.
            TooLong: the body is longer than `max_bytes`.
            DialFailed: no answer, or one that can not be read.
        """
        return await self._call("GET", url, None, {}, timeout_s=timeout_s, max_bytes=max_bytes, whole=True)

    async def aclose(self) -> None:
        """Close all connections. The dialer opens new ones when it is used again."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _call(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        max_bytes: int,
        whole: bool,
    ) -> DialResponse:
        target = self._checked(url)
        sent = self._headers(headers)
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                async with self._open_session().request(
                    method, target, data=body, headers=sent, allow_redirects=False
                ) as response:
                    content, truncated = await _read(response, max_bytes, whole=whole)
                    answered = {name.lower(): ", ".join(response.headers.getall(name)) for name in response.headers}
        except TimeoutError as exc:
            raise DialFailed(f"{target.raw_host}: no complete answer within {timeout_s:g} s.") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise _told(exc, target) from exc
        return DialResponse(
            status=response.status,
            headers=answered,
            body=content,
            elapsed_ms=round((time.monotonic() - started) * 1000),
            truncated=truncated,
        )

    def _checked(self, url: str) -> URL:
        """The URL as it will be called, judged. What is judged and what is called are one parsed object."""
        if len(url) > LONGEST_URL:
            raise DialRefused(f"The URL is longer than {LONGEST_URL:,} characters.")
        if _UNSAFE.search(url):
            raise DialRefused("The URL contains a blank, a backslash or a control character.")
        try:
            target = URL(url)
            host, port = target.raw_host or "", target.port
        except (ValueError, UnicodeError) as exc:
            raise DialRefused("The URL can not be read.") from exc
        if target.scheme not in ("http", "https"):
            raise DialRefused("The URL must begin with http:// or https://.")
        if "@" in url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]:
            raise DialRefused("The URL must not contain a user name or password.")
        if not host:
            raise DialRefused("The URL names no host.")
        if not port or port in _REFUSED_PORTS:
            raise DialRefused(f"Port {port} is not called.")
        return self._with_checked_host(target, host)

    def _with_checked_host(self, target: URL, host: str) -> URL:
        """Judge a host that yarl has brought to ASCII (so full-width digits are digits by now)."""
        host = host.removesuffix(".").lower()
        if (address := literal(host)) is not None:
            self._judge(address)
            return target.with_host(address)
        labels = host.split(".")
        if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
            raise DialRefused("The URL's host is neither a host name nor an address.")
        # `127.1`, `2130706433`, `0x7f.0.0.1`: numbers to some, names to others. No top-level domain is one.
        if _NUMBER.fullmatch(labels[-1]):
            raise DialRefused("The URL's host is a number; write an IPv4 address as four decimal numbers.")
        if labels[-1] == "localhost" and not self._allow_private:  # RFC 6761 §6.3
            raise DialRefused(f"{host} is not called: {_NOT_PUBLIC}.")
        return target.with_host(host)

    def _judge(self, address: str) -> None:
        """Refuse an address the caller typed."""
        if not self._may_call(address):
            raise DialRefused(f"{address} is not called: {_NOT_PUBLIC}.")

    def _may_call(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        forms: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [parsed]
        if isinstance(parsed, _IPv6) and parsed.ipv4_mapped is not None:
            forms.append(parsed.ipv4_mapped)
        if any(form in network for form in forms for network in self._refused_networks):
            return False
        return self._allow_private or is_public(address)

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        sent = {"User-Agent": self._user_agent, "Accept": "*/*"}
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise DialRefused("A header's name or value has a character that HTTP does not allow.")
            if name.lower() in OWN_HEADERS:
                raise DialRefused(f"The header {name} is not the caller's to set.")
            for ours in [ours for ours in sent if ours.lower() == name.lower()]:
                del sent[ours]
            sent[name] = value
        sent["Accept-Encoding"] = "identity"  # nothing to decompress, so no bomb
        return sent

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_CheckedAddresses(self),
                use_dns_cache=False,  # the resolver keeps answers for their TTL
                limit=self._max_connections,
                limit_per_host=self._max_connections_per_host,
                keepalive_timeout=KEEP_ALIVE_S,
                ssl=self._ssl_context if self._ssl_context is not None else True,
                socket_factory=self._socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=None),  # `_call` bounds everything at once
                max_line_size=8_190,
                max_field_size=8_190,
                skip_auto_headers=("Content-Type",),
            )
        return self._session

    def _socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        """The last gate before a connection: whatever led here, this is the address connected to."""
        family, kind, protocol, _, address = address_info
        if not self._may_call(address[0]):
            raise PermissionError(errno.EACCES, _NOT_PUBLIC)
        return socket.socket(family=family, type=kind, proto=protocol)

    async def _addresses(self, host: str) -> list[str]:
        """The addresses of a host, all of them fit to be called."""
        try:
            addresses = await self._resolver.addresses(host)
        except NameNotFound as exc:
            raise DialFailed(f"{host}: there is no host of this name.") from exc
        except ResolverFailure as exc:
            raise DialFailed(f"{host}: the host name can not be looked up just now.") from exc
        # One bad address is enough: who answers with a mixture is trying which one we take.
        if not addresses or not all(self._may_call(address) for address in addresses):
            raise DialRefused(f"{host} is not called: {_NOT_PUBLIC}.")
        return addresses


class _CheckedAddresses(AbstractResolver):
    """What aiohttp asks before it connects: only judged addresses come out."""

    def __init__(self, dialer: GuardedDialer) -> None:
        self._dialer = dialer

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._dialer._addresses(host)
        ]

    async def close(self) -> None:
        pass  # the resolver belongs to whoever made it


async def _read(response: aiohttp.ClientResponse, max_bytes: int, *, whole: bool) -> tuple[bytes, bool]:
    """Read a body up to a limit.

    Returns:
        The bytes, and whether there was more. With `whole`, more is an error.
    """
    too_long = TooLong(f"The body is longer than {max_bytes:,} bytes.")
    if whole and (response.content_length or 0) > max_bytes:
        raise too_long
    content = bytearray()
    async for chunk in response.content.iter_any():
        content += chunk
        if len(content) > max_bytes:
            if whole:
                raise too_long
            response.close()  # the rest will not be read, so this connection can not be used again
            return bytes(content[:max_bytes]), True
    if not whole:
        return bytes(content), False
    return _decoded(bytes(content), response.headers.get("Content-Encoding", ""), max_bytes, too_long), False


def _decoded(content: bytes, encoding: str, max_bytes: int, too_long: TooLong) -> bytes:
    """Undo a content coding that came unasked (RFC 9110 §8.4.1), never past the limit."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not content:
        return content
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise DialFailed("The body came in a content encoding that was not asked for.")
    # 32 + 15: zlib or gzip by its header. "deflate" without a header is what some servers mean by it.
    for window_bits in (47, -15) if encoding == "deflate" else (47,):
        inflater = zlib.decompressobj(window_bits)
        try:
            decoded = inflater.decompress(content, max_bytes + 1)
        except zlib.error:
            continue
        if len(decoded) > max_bytes:
            raise too_long
        if inflater.eof:
            return decoded
    raise DialFailed("The body's content encoding is broken.")


def _told(exc: Exception, target: URL) -> DialFailed | DialRefused:
    """Words for a failure that name the host the caller typed and no address they did not."""
    host = target.raw_host
    if isinstance(exc, aiohttp.InvalidURL):
        return DialRefused("The URL can not be called.")
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return DialFailed(f"{host}: the TLS certificate is not valid for this host or not trusted.")
    if isinstance(exc, aiohttp.ClientSSLError | ssl.SSLError):
        return DialFailed(f"{host}: the TLS handshake failed.")
    if isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return DialFailed(f"{host}: the connection was closed before the answer was complete.")
    if isinstance(exc, aiohttp.ClientResponseError):
        return DialFailed(f"{host}: the answer is not HTTP, or its header is too long.")
    if isinstance(exc, OSError):
        if exc.errno == errno.EACCES:
            return DialRefused(f"{host} is not called: {_NOT_PUBLIC}.")
        return DialFailed(f"{host}: {_OS_WORDS.get(exc.errno or 0, 'the connection failed')}.")
    return DialFailed(f"{host}: the call failed.")
