"""DNS for the whole house: dnspython underneath, a small cache on top, a quick no when DNS is gone."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver
import dns.reversename

from posthouse.wire.resolver import NameNotFound, ResolverFailure

LONGEST_TTL_S = 3_600.0  # a record changed by its owner is seen within the hour, whatever its TTL said
LONGEST_NEGATIVE_TTL_S = 60.0  # somebody is adding that record right now and trying again
FAILURE_TTL_S = 5.0  # RFC 9520 §3.2: a failure is remembered too, for at least a second
PATIENCE_S = 1.0  # a live name server answers something within this, if only for the root
SILENCE_S = 5.0  # between two looks whether silent name servers are back
EDNS_PAYLOAD_BYTES = 1_232  # fits one unfragmented packet on every path

_Records = list[Any]


def to_ascii(name: str) -> str:
    """A domain name in lower-case A-labels, without a trailing dot (RFC 5891 §4, mapped by UTS 46).

    Raises:
        ValueError: a label that is no valid internationalised name.
    """
    name = name.removesuffix(".")
    if name.isascii():
        return name.lower()
    try:
        labels = dns.name.from_unicode(name, origin=None, idna_codec=dns.name.IDNA_2008_UTS_46)
    except (dns.exception.DNSException, UnicodeError) as exc:
        raise ValueError("not an internationalised domain name") from exc
    return ".".join(label.decode("ascii") for label in labels.labels if label).lower()


def literal(text: str) -> str | None:
    """The canonical form of an IP address, or None when the text is none. Scoped IPv6 addresses are none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, ipaddress.IPv6Address) and address.scope_id else str(address)


class DnsResolver:
    """The `Resolver` of a running server.

    Answers are kept as long as their TTL says (an hour at most), absences a minute at most, failures five
    seconds; a question under way is asked once however many wait for it. When no name server answers even a
    question about the root, every question fails at once until one does, so that a machine without DNS is
    slow for one second and not for five seconds a message.

    Args:
        nameservers: addresses as `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:5353`; None reads the
            system's configuration, and a system without one fails every question.
        timeout_s: longest time for one question, over all servers and tries.
        cache_size: most questions remembered; the one unused for longest goes first.
        clock: seconds, monotonic.

    Raises:
        ValueError: a name server that is no address.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        timeout_s: float = 5.0,
        cache_size: int = 4_096,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if nameservers is None:
            self._servers = _system_nameservers()
        else:
            self._servers = [_host_and_port(text) for text in nameservers]
        self._timeout_s = timeout_s
        self._patience_s = min(PATIENCE_S, timeout_s / 2)
        self._cache_size = cache_size
        self._clock = clock
        self._cache: OrderedDict[tuple[str, str], tuple[float, _Records | Exception]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[_Records]] = {}
        self._silent = False
        self._probe_after = 0.0
        self._probe: asyncio.Task[bool] | None = None
        self._stub = dns.asyncresolver.Resolver(configure=False)
        self._stub.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in self._servers]
        self._stub.timeout = max(timeout_s / 3, 0.05)
        self._stub.lifetime = timeout_s
        self._stub.cache = None
        self._stub.use_edns(0, 0, EDNS_PAYLOAD_BYTES)

    async def txt(self, name: str) -> list[bytes]:
        """TXT records, the strings of each joined without a space (RFC 7208 §3.3, RFC 6376 §3.6.2.2)."""
        return [b"".join(record.strings) for record in await self._records(name, "TXT")]

    async def mx(self, name: str) -> list[tuple[int, str]]:
        """MX records, lowest preference first; a null MX is (0, "") (RFC 7505 §3)."""
        records = await self._records(name, "MX")
        return sorted((record.preference, _host(record.exchange)) for record in records)

    async def addresses(self, name: str) -> list[str]:
        """IPv6, then IPv4 addresses of a host; an address answers itself, `localhost` needs no DNS.

        When one family cannot be looked up and the other can, what was found is the answer.
        """
        if (address := literal(name)) is not None:
            return [address]
        if _is_localhost(name):
            return ["::1", "127.0.0.1"]  # RFC 6761 §6.3
        answers = await asyncio.gather(self._records(name, "AAAA"), self._records(name, "A"), return_exceptions=True)
        found: list[str] = []
        problems: list[BaseException] = []
        for answer in answers:
            if isinstance(answer, BaseException):
                problems.append(answer)
            else:
                found.extend(record.address for record in answer)
        if found:
            return found
        # A failure outweighs an absence: the missing half may hold the address.
        raise next((problem for problem in problems if not isinstance(problem, NameNotFound)), problems[0])

    async def ptr(self, address: str) -> list[str]:
        """Host names an address points back to, lower-case, without the last dot."""
        if (canonical := literal(address)) is None:
            raise NameNotFound(address, no_domain=True)
        name = dns.reversename.from_address(canonical).to_text(omit_final_dot=True)
        return [_host(record.target) for record in await self._records(name, "PTR")]

    async def aclose(self) -> None:
        """Stop the questions under way; those who wait for one are told `ResolverFailure`."""
        tasks: list[asyncio.Task[Any]] = [*self._asking.values()]
        if self._probe is not None:
            tasks.append(self._probe)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _records(self, name: str, kind: str) -> _Records:
        """The records of one type, out of the cache or asked."""
        qname = _qname(name)
        key = (name.removesuffix(".").lower(), kind)
        if (kept := self._cache.get(key)) is not None:
            expires, outcome = kept
            if self._clock() < expires:
                self._cache.move_to_end(key)
                if isinstance(outcome, Exception):
                    raise _again(outcome, name)
                return outcome
            del self._cache[key]
        if (task := self._asking.get(key)) is None:
            task = asyncio.create_task(self._ask_and_keep(key, qname), name=f"dns {kind} {name}")
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        try:
            # One of those who wait may be cancelled; the others still want the answer.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise ResolverFailure("the resolver is shutting down") from None
            raise
        except (NameNotFound, ResolverFailure) as exc:
            raise _again(exc, name) from exc

    def _asked(self, key: tuple[str, str], task: asyncio.Task[_Records]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # read, so that a question all askers gave up on is not reported as lost

    async def _ask_and_keep(self, key: tuple[str, str], qname: dns.name.Name) -> _Records:
        outcome: _Records | Exception
        try:
            outcome, ttl_s = await self._ask(qname, key[1])
        except _Absent as exc:
            outcome, ttl_s = NameNotFound(key[0], no_domain=exc.no_domain), exc.ttl_s
        except ResolverFailure as exc:
            # Silence of every server is kept in one place only, not against each name.
            outcome, ttl_s = exc, 0.0 if self._silent else FAILURE_TTL_S
        if ttl_s > 0 and self._cache_size > 0:
            self._cache[key] = (self._clock() + ttl_s, outcome)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _ask(self, qname: dns.name.Name, kind: str) -> tuple[_Records, float]:
        """Ask the name servers.

        Returns:
            The records and the seconds they may be kept.
        """
        if not self._servers:
            raise ResolverFailure("no name server is configured")
        if self._silent:
            self._look_again()
            raise ResolverFailure("no name server answers")
        question = asyncio.ensure_future(self._stub.resolve(qname, kind, raise_on_no_answer=False, search=False))
        try:
            done, _ = await asyncio.wait({question}, timeout=self._patience_s)
            if not done and not await self._alive():
                self._silent = True
                self._probe_after = self._clock() + SILENCE_S
                raise ResolverFailure("no name server answers")
            answer = await question
        except dns.resolver.NXDOMAIN as exc:
            raise _Absent(_nxdomain_ttl_s(exc), no_domain=True) from exc
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as exc:
            # SERVFAIL, time-out, a broken packet, an unreachable network: dnspython has tried every server.
            raise ResolverFailure(f"no answer to {kind} {qname}: {type(exc).__name__}") from exc
        finally:
            question.cancel()
        ttl_s = float(answer.chaining_result.minimum_ttl)
        if answer.rrset is None:
            raise _Absent(_negative_ttl_s(ttl_s), no_domain=False)
        return list(answer.rrset), min(ttl_s, LONGEST_TTL_S)

    def _look_again(self) -> None:
        """Every few seconds see in the background whether a name server is back; nobody waits for it."""
        if self._clock() < self._probe_after:
            return
        self._probe_after = self._clock() + SILENCE_S
        self._start_probe()

    async def _alive(self) -> bool:
        """Whether any name server says anything at all; asked once for all who want to know."""
        return await asyncio.shield(self._start_probe())

    def _start_probe(self) -> asyncio.Task[bool]:
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask_for_the_root(), name="dns probe")
        return self._probe

    async def _ask_for_the_root(self) -> bool:
        # Every recursive server has the root's name servers at hand; a refusal is a sign of life as well.
        query = dns.message.make_query(dns.name.root, "NS")
        asked = [
            asyncio.ensure_future(dns.asyncquery.udp(query, host, timeout=self._patience_s, port=port))
            for host, port in self._servers
        ]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        alive = any(isinstance(outcome, dns.message.Message) for outcome in outcomes)
        self._silent = not alive
        return alive


class _Absent(Exception):
    """There is no such name or no such record, and that may be kept for a while."""

    def __init__(self, ttl_s: float, *, no_domain: bool) -> None:
        super().__init__()
        self.ttl_s = ttl_s
        self.no_domain = no_domain


def _again(outcome: Exception, name: str) -> Exception:
    """A fresh exception of the same meaning: one object raised in many tasks collects their tracebacks."""
    if isinstance(outcome, NameNotFound):
        return NameNotFound(name, no_domain=outcome.no_domain)
    return ResolverFailure(*outcome.args)


def _qname(name: str) -> dns.name.Name:
    """The absolute name to ask for.

    Labels are taken as they stand: names come out of strangers' mail, and a backslash in one is no escape.
    A name that can not exist is an absence, not an error of the caller (RFC 7208 §4.3).
    """
    try:
        text = to_ascii(name)
        qname = dns.name.Name([*(label.encode("ascii") for label in text.split(".")), b""])
    except (ValueError, dns.exception.DNSException) as exc:
        raise NameNotFound(name, no_domain=True) from exc
    # RFC 6761 §6.3 and §6.4, RFC 7686 §2: names that never leave the house. They have no records here.
    if qname.labels[-2].lower() in (b"localhost", b"invalid", b"onion"):
        raise NameNotFound(name, no_domain=qname.labels[-2].lower() != b"localhost")
    return qname


def _is_localhost(name: str) -> bool:
    name = name.removesuffix(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _negative_ttl_s(ttl_s: float) -> float:
    # Without an SOA there is nothing to say how long (RFC 2308 §5); dnspython then gives the largest TTL.
    return 0.0 if ttl_s >= 2**31 - 1 else min(ttl_s, LONGEST_NEGATIVE_TTL_S)


def _nxdomain_ttl_s(exc: dns.resolver.NXDOMAIN) -> float:
    try:
        response = next(iter(exc.kwargs["responses"].values()))
        return _negative_ttl_s(float(response.resolve_chaining().minimum_ttl))
    except (dns.exception.DNSException, KeyError, StopIteration):
        return 0.0


def _host_and_port(text: str) -> tuple[str, int]:
    """Split `host`, `host:port`, `[v6]` or `[v6]:port`."""
    host, port = text, 53
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = int(rest.removeprefix(":") or 53)
    elif text.count(":") == 1:
        host, _, number = text.partition(":")
        port = int(number)
    if literal(host) is None or not 0 < port < 65_536:
        raise ValueError(f"not the address of a name server: {text}")
    return host, port


def _system_nameservers() -> list[tuple[str, int]]:
    try:
        system = dns.resolver.Resolver()
    except (dns.exception.DNSException, OSError):
        return []
    return [(str(server), 53) for server in system.nameservers if literal(str(server)) is not None]
