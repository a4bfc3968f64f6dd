"""Mail out of the house: couriers that speak SMTP to the next hop.

`MxCourier` finds the next hop in DNS (RFC 5321 §5), `SmarthostCourier` is told it. Both keep connections for
the next parcel (`pool.py`) and answer for each recipient by itself. What is said is in `dialogue.py` and, for a
message, in `transaction.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import random
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from posthouse.kit.errors import Invalid
from posthouse.net.dialer import is_public
from posthouse.net.dns import literal, to_ascii
from posthouse.net.tls import client_context
from posthouse.outbound.courier import DeliveryResult, Parcel
from posthouse.smtp.channel import Channel
from posthouse.smtp.dialogue import (
    Dialogue,
    Hop,
    Refused,
    Setback,
    Timeouts,
    lost,
    outcome_of,
    refused_by,
    reply_line,
)
from posthouse.smtp.pool import Pool
from posthouse.smtp.transaction import send
from posthouse.wire.resolver import NameNotFound, Resolver, ResolverFailure

__all__ = ("MxCourier", "SmarthostCourier", "Timeouts")

MAX_HOSTS = 10  # names looked up for one parcel; a domain with more is playing with us
MAX_ADDRESSES = 8  # addresses tried for one parcel; the next attempt shuffles anew

MAX_GIVEN_IDS = 3
# Amazon SES answers `250 Ok 0100018e-…` and writes `<0100018e-…@email.amazonses.com>`; others name the whole id.
_GIVEN_ID = re.compile(r"(?<![\w@.+=-])[\w.+=-]{12,128}(?:@[\w.-]{1,120})?(?![\w@+=-])", re.ASCII)

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Security:
    """How connections to a next hop are protected and opened.

    Attributes:
        context: for TLS.
        implicit: TLS from the first octet (RFC 8314 §3.3).
        required: without TLS nothing is sent; otherwise plain text is the way out (RFC 7435 §3).
        credentials: user and password for AUTH.
    """

    context: ssl.SSLContext
    implicit: bool = False
    required: bool = False
    credentials: tuple[str, str] | None = None


class _NoTls(Exception):
    """STARTTLS led nowhere; the connection is of no more use, the host may still take plain text."""


class _SmtpCourier:
    """What both couriers share: reuse, order of addresses tried, opening a connection."""

    def __init__(
        self,
        hostname: str,
        timeouts: Timeouts,
        *,
        per_destination: int,
        max_messages: int,
        idle_s: float,
    ) -> None:
        self._hostname = to_ascii(hostname) if literal(hostname.strip("[]")) is None else hostname
        self._timeouts = timeouts
        self._max_messages = max_messages
        self._pool = Pool(per_destination, idle_s)

    async def deliver(self, parcel: Parcel) -> Sequence[DeliveryResult]:
        """Try once, for all recipients; one result for each, in the parcel's order."""
        destination = self._destination(parcel)
        async with self._pool.slot(destination):
            while (dialogue := self._pool.take(destination)) is not None:
                try:
                    return await self._use(dialogue, destination, parcel)
                except Setback:
                    continue  # it had gone stale; nothing was handed over on it
            setbacks: list[Setback] = []
            try:
                async with contextlib.aclosing(self._hops(parcel)) as hops:
                    async for hop in hops:
                        try:
                            dialogue = await self._open(hop)
                            return await self._use(dialogue, destination, parcel)
                        except Setback as setback:
                            setbacks.append(setback)
                        if len(setbacks) >= MAX_ADDRESSES:
                            break
            except Setback as setback:
                setbacks.append(setback)
            return _most_telling(setbacks).for_all(parcel)

    async def aclose(self) -> None:
        """Close idle connections politely."""
        await self._pool.aclose()

    def _destination(self, parcel: Parcel) -> str:
        raise NotImplementedError

    def _hops(self, parcel: Parcel) -> AsyncGenerator[Hop, None]:
        """The addresses to try, in order. Raises `Setback` when there is none, or for those it left out."""
        raise NotImplementedError

    def _security(self) -> _Security:
        raise NotImplementedError

    def _refusal_at_the_door(self, hop: Hop, code: int, text: str) -> Setback:
        """What a refusal before MAIL means."""
        raise NotImplementedError

    def _met(self, dialogue: Dialogue) -> None:
        """Look at who answered; raise `Setback` to go away again."""

    async def _use(self, dialogue: Dialogue, destination: str, parcel: Parcel) -> list[DeliveryResult]:
        try:
            results = await send(dialogue, parcel)
        except BaseException:
            dialogue.close()
            raise
        if dialogue.usable and dialogue.sent < self._max_messages:
            self._pool.keep(destination, dialogue)
        else:
            self._pool.part(dialogue)
        return results

    async def _open(self, hop: Hop) -> Dialogue:
        """Connect, EHLO, TLS and AUTH as far as offered and wanted."""
        security = self._security()
        try:
            return await self._greet(hop, security, start_tls=not security.implicit)
        except _NoTls as exc:
            if security.required:
                text = f"{hop.host}: the TLS handshake failed: {exc}"
                raise Setback("4.7.5", text, host=hop.host) from exc
        # RFC 7435 §3: encryption was a bonus; without it the message goes as it always went.
        return await self._greet(hop, security, start_tls=False)

    async def _greet(self, hop: Hop, security: _Security, *, start_tls: bool) -> Dialogue:
        channel = await self._connect(hop, security)
        dialogue = Dialogue(channel, hop, self._timeouts)
        try:
            await dialogue.greet(self._hostname)
            self._met(dialogue)
            if start_tls:
                await self._start_tls(dialogue, security)
            if security.credentials is not None and not await dialogue.authenticate(*security.credentials):
                raise Setback("4.7.0", f"{hop.host} offers no AUTH that is known here", host=hop.host)
        except Refused as refused:
            dialogue.close()
            answer = refused.answer
            raise self._refusal_at_the_door(hop, answer.code, answer.text) from refused
        except BaseException:
            dialogue.close()
            raise
        return dialogue

    async def _start_tls(self, dialogue: Dialogue, security: _Security) -> None:
        if not dialogue.offers("starttls"):
            if security.required:
                host = dialogue.hop.host
                raise Setback("4.7.11", f"{host} offers no TLS, which AUTH needs", host=host)
            return
        try:
            await dialogue.start_tls(security.context)
        except Refused as refused:
            # RFC 3207 §4.2: 454 leaves the session as it was.
            if security.required or not dialogue.usable:
                raise _NoTls(str(refused)) from refused
            return
        except OSError as error:
            trusted = not isinstance(error, ssl.SSLCertVerificationError)
            raise _NoTls("no handshake" if trusted else "certificate not trusted") from error
        await dialogue.hello(self._hostname)

    async def _connect(self, hop: Hop, security: _Security) -> Channel:
        """A connection to exactly this address: names were looked up and judged before."""
        connection = socket.socket(socket.AF_INET6 if ":" in hop.address else socket.AF_INET)
        loop = asyncio.get_running_loop()
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self._timeouts.connect_s):
                await loop.sock_connect(connection, (hop.address, hop.port))
        except OSError as exc:  # TimeoutError is one
            connection.close()
            words = "no connection in time" if isinstance(exc, TimeoutError) else _connection_words(exc)
            raise Setback("4.4.1", f"{hop.host}[{hop.address}]: {words}") from exc
        except BaseException:
            connection.close()
            raise
        tls: dict[str, Any] = {}
        if security.implicit:
            tls = {
                "ssl": security.context,
                "server_hostname": hop.host,
                "ssl_handshake_timeout": self._timeouts.greeting_s,
            }
        try:
            _, channel = await loop.create_connection(Channel, sock=connection, **tls)
        except OSError as exc:
            connection.close()
            raise lost(exc, "the session was open", hop) from exc
        return channel


class MxCourier(_SmtpCourier):
    """Delivers to the mail exchangers of the recipients' domain, as DNS names them (RFC 5321 §5.1).

    Loopback and private exchangers are refused unless allowed, and so are we ourselves: a domain whose best
    exchanger is this house but which this house does not know would otherwise circle. TLS is used when
    offered, without checking certificates, and plain text otherwise (RFC 7435).

    Args:
        resolver: for MX and addresses.
        hostname: what EHLO says we are; a name that points back to us, or an address literal.
        allow_private: deliver to loopback and private addresses too.
        port: other than 25 in tests only.
        own: host names and addresses of this house.
        timeouts: longest waits.
        per_destination: transactions at a time to one domain.
        max_messages: after so many a connection is closed.
        idle_s: how long a connection waits for its next message.
        ssl_context: for STARTTLS; None checks nothing.
        shuffle: puts hosts of equal preference, and addresses of a host, into random order.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        hostname: str,
        allow_private: bool = False,
        port: int = 25,
        own: Collection[str] = (),
        timeouts: Timeouts | None = None,
        per_destination: int = 4,
        max_messages: int = 100,
        idle_s: float = 30.0,
        ssl_context: ssl.SSLContext | None = None,
        shuffle: Callable[[list[str]], None] = random.shuffle,
    ) -> None:
        super().__init__(
            hostname,
            timeouts or Timeouts(),
            per_destination=per_destination,
            max_messages=max_messages,
            idle_s=idle_s,
        )
        self._resolver = resolver
        self._allow_private = allow_private
        self._port = port
        self._own = frozenset(literal(name) or name.lower().removesuffix(".") for name in own)
        self._tls = _Security(ssl_context or client_context(verify=False))
        self._shuffle = shuffle

    def _destination(self, parcel: Parcel) -> str:
        return parcel.domain

    def _security(self) -> _Security:
        return self._tls

    def _refusal_at_the_door(self, hop: Hop, code: int, text: str) -> Setback:
        return refused_by(hop, code, text)

    def _met(self, dialogue: Dialogue) -> None:
        if dialogue.name in self._own:
            raise _loop(dialogue.hop.host)

    async def _hops(self, parcel: Parcel) -> AsyncGenerator[Hop, None]:
        domain = parcel.domain
        hosts = [domain] if domain.startswith("[") else await self._exchangers(domain)
        offered, refused, unknown = False, False, False
        for host in hosts[:MAX_HOSTS]:
            try:
                addresses = await self._addresses(host)
            except NameNotFound:
                continue
            except ResolverFailure:
                unknown = True
                continue
            if not self._own.isdisjoint(addresses):
                # RFC 5321 §5.1: neither ourselves nor anyone after us.
                if offered:
                    break
                raise _loop(domain)
            for address in self._in_turn(addresses):
                if not self._allow_private and not is_public(address):
                    refused = True
                    continue
                offered = True
                yield Hop(address if host.startswith("[") else host, address, self._port)
        if unknown:
            raise Setback("4.4.3", f"{domain}: the addresses of its mail exchangers can not be looked up now")
        if refused and not offered:
            text = f"{domain}: its mail exchangers are not on the public Internet"
            raise Setback("5.4.4", text, final=True)
        if not offered:
            raise Setback("5.1.2", f"{domain}: its mail exchangers have no address", final=True)

    async def _exchangers(self, domain: str) -> list[str]:
        """The hosts to try, in order (RFC 5321 §5.1)."""
        try:
            records = await self._resolver.mx(domain)
        except NameNotFound as exc:
            if exc.no_domain:
                raise Setback("5.1.2", f"{domain}: there is no such domain", final=True) from exc
            return [domain]  # RFC 5321 §5.1: a host that has an address is its own exchanger
        except ResolverFailure as exc:
            raise Setback("4.4.3", f"{domain}: its mail exchangers can not be looked up now") from exc
        hosts = [(preference, host.lower().removesuffix(".")) for preference, host in records]
        if all(not host for _, host in hosts):
            raise Setback("5.1.10", f"{domain} takes no mail (null MX)", final=True)  # RFC 7505 §4.2
        own = min((preference for preference, host in hosts if host in self._own), default=None)
        left = [(preference, host) for preference, host in hosts if host and (own is None or preference < own)]
        if not left:
            raise _loop(domain)
        ordered: list[str] = []
        for level in sorted({preference for preference, _ in left}):
            equals = [host for preference, host in left if preference == level]
            self._shuffle(equals)  # RFC 5321 §5.1: spread the load over equals
            ordered += equals
        return list(dict.fromkeys(ordered))

    async def _addresses(self, host: str) -> list[str]:
        if not host.startswith("["):
            if literal(host) is None and not _HOST.fullmatch(host):
                raise NameNotFound(host)  # a name out of a stranger's zone that TLS could not be told
            return await self._resolver.addresses(host)
        address = literal(re.sub(r"^ipv6:", "", host[1:-1].lower()))  # RFC 5321 §4.1.3
        if address is None:
            raise NameNotFound(host)
        return [address]

    def _in_turn(self, addresses: list[str]) -> list[str]:
        """IPv6 and IPv4 by turns, so that a family that leads nowhere costs one try (RFC 8305 §4)."""
        families = [[each for each in addresses if (":" in each) is six] for six in (True, False)]
        for family in families:
            self._shuffle(family)
        longest = max(map(len, families))
        return [family[turn] for turn in range(longest) for family in families if turn < len(family)]


class SmarthostCourier(_SmtpCourier):
    """Hands everything to one relay.

    Trouble at the relay's door (greeting, EHLO, TLS, AUTH) is the operator's to mend and never final for a
    message. A password goes out over checked TLS only, or to loopback.

    Args:
        url: `smtp://[user:password@]host[:port]` (STARTTLS when offered; port 587 with a user, else 25) or
            `smtps://…` (TLS at once; port 465). User and password are percent-encoded where need be.
        hostname: what EHLO says we are.
        timeouts: longest waits.
        per_destination: transactions at a time.
        max_messages: after so many a connection is closed.
        idle_s: how long a connection waits for its next message.
        resolver: looks up the host; None asks the system, since a relay may be a name of its hosts file or
            of a container's network.
        ssl_context: for TLS; None trusts what the system trusts when there is a password or `smtps`, and
            checks nothing otherwise and on loopback.

    Raises:
        Invalid: the URL is none of these. The message never repeats the URL, which holds a password.
    """

    def __init__(
        self,
        url: str,
        *,
        hostname: str,
        timeouts: Timeouts | None = None,
        per_destination: int = 10,
        max_messages: int = 100,
        idle_s: float = 30.0,
        resolver: Resolver | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            hostname,
            timeouts or Timeouts(),
            per_destination=per_destination,
            max_messages=max_messages,
            idle_s=idle_s,
        )
        try:
            parts = urlsplit(url)
            host, port = to_ascii(parts.hostname or ""), parts.port
        except ValueError as exc:
            raise Invalid("The smarthost is no URL.", field="outbound") from exc
        if parts.scheme not in ("smtp", "smtps") or not host or port == 0:
            raise Invalid("The smarthost must be smtp://host:port or smtps://host:port.", field="outbound")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise Invalid("The smarthost's URL ends after host and port.", field="outbound")
        credentials = None
        if parts.username is not None:
            credentials = unquote(parts.username), unquote(parts.password or "")
        implicit = parts.scheme == "smtps"
        self._resolver = resolver
        self._host = host
        self._port = port or (465 if implicit else 587 if credentials else 25)
        guarded = (implicit or credentials is not None) and not _is_loopback(host)
        self._tls = _Security(
            context=ssl_context or client_context(verify=guarded),
            implicit=implicit,
            required=implicit or guarded,
            credentials=credentials,
        )

    async def deliver(self, parcel: Parcel) -> Sequence[DeliveryResult]:
        """Try once, for all recipients; one result for each, in the parcel's order."""
        return [
            replace(result, given_ids=_ids_in(result.diagnostic)) if result.outcome == "delivered" else result
            for result in await super().deliver(parcel)
        ]

    def _destination(self, parcel: Parcel) -> str:
        return self._host

    def _security(self) -> _Security:
        return self._tls

    def _refusal_at_the_door(self, hop: Hop, code: int, text: str) -> Setback:
        status = "4" + outcome_of(code, text)[1][1:]
        return Setback(status, reply_line(code, text), host=hop.host, code=code)

    async def _hops(self, parcel: Parcel) -> AsyncGenerator[Hop, None]:
        try:
            async with asyncio.timeout(self._timeouts.connect_s):
                addresses = await self._addresses()
        except (OSError, NameNotFound, ResolverFailure) as exc:
            raise Setback("4.4.3", f"{self._host}: the smarthost's name can not be looked up now") from exc
        for address in addresses:
            yield Hop(self._host, address, self._port)

    async def _addresses(self) -> list[str]:
        if self._resolver is not None:
            return await self._resolver.addresses(self._host)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(info[4][0]) for info in found))


def _ids_in(answer: str) -> tuple[str, ...]:
    """What in the answer to the last dot may be an id: long words with a figure in them."""
    words = (word for word in _GIVEN_ID.findall(answer) if any(char.isdigit() for char in word))
    return tuple(dict.fromkeys(words))[:MAX_GIVEN_IDS]


def _is_loopback(host: str) -> bool:
    if (address := literal(host)) is not None:
        return ipaddress.ip_address(address).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def _most_telling(setbacks: Sequence[Setback]) -> Setback:
    """Of several addresses' answers the one to report: a hope of later first, words of a server before ours."""
    hopes = [setback for setback in setbacks if not setback.final] or setbacks
    return next((setback for setback in reversed(hopes) if setback.code is not None), hopes[-1])


def _loop(domain: str) -> Setback:
    return Setback("5.4.6", f"{domain}: its mail comes back to this host", final=True)


def _connection_words(exc: OSError) -> str:
    words = {
        errno.ECONNREFUSED: "connection refused",
        errno.EHOSTUNREACH: "no route to the host",
        errno.ENETUNREACH: "no route to the network",
    }
    return words.get(exc.errno or 0, "no connection")
