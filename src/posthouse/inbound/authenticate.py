"""Who a mail is really from: SPF, DKIM and DMARC of what came in by SMTP from another host.

Mail handed in on this machine, by its own accounts or from a loopback address is known by how it was handed
in and is not asked about.

SPF, DKIM and the policy of the author's domain are looked up side by side, each within its own share of time: a
sender can make his own names slow, and must not keep the policy of the name he borrows from being known. A mail
that could not be judged counts as unauthenticated: where DNS did not answer, and where From names nobody who
could be asked. Only the silence of a domain that asks for nothing is no failure.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from posthouse.kit.clock import Clock
from posthouse.store.spool import Spooled
from posthouse.wire import authentication_results, dmarc, raw_headers
from posthouse.wire.address import parse_address_list, split
from posthouse.wire.authentication_results import AuthenticationResults, MethodResult
from posthouse.wire.dkim_verify import DkimResult, verify
from posthouse.wire.dmarc import DmarcResult
from posthouse.wire.message import ParsedMessage
from posthouse.wire.resolver import Resolver, ResolverFailure
from posthouse.wire.spf import SpfResult, check_spf

T = TypeVar("T")

# RFC 7208 §4.6.4: at least 20 seconds are allowed for; past them it is a temporary error.
_SHARE_S = 20.0
# One question's part of its share: a hanging key does not use up the time of the next signature's.
_QUESTION_S = 4.0
# Alignment asks for a few names of the author's own organisation, after SPF and DKIM are known.
_ALIGNMENT_S = 10.0
# More authors' domains than this are not asked for; such a mail counts as unauthenticated.
_MAX_AUTHORS = 5
# The worst first: what a mail with several results of one method is said to have.
_WORST = ("fail", "permerror", "temperror", "none", "pass")


@dataclass(frozen=True, slots=True)
class Authentication:
    """What was found.

    Attributes:
        header: the value of the `Authentication-Results` field that says so.
        failed: the mail is not shown to be from whom it says: a policy of an author's domain was not met (DMARC
            under quarantine or reject, or `-all` of SPF where no signature vouches), or it could not be judged
            (no answer from DNS, no author's domain, more than one From).
        summary: the results by method, for the message's own record.
        proves_sender: the reverse-path is shown to be its domain's: SPF passed for it, or DMARC for an author of the
            same domain. What is sent back to it reaches nobody who did not write.
    """

    header: str
    failed: bool
    summary: dict[str, Any]
    proves_sender: bool = False


class Authenticator:
    """Checks mails against DNS.

    Args:
        share_s, question_s: the longest time of one check, and of one question in it.
    """

    def __init__(
        self,
        resolver: Resolver,
        clock: Clock,
        authserv_id: str,
        *,
        share_s: float = _SHARE_S,
        question_s: float = _QUESTION_S,
    ) -> None:
        self._resolver = resolver
        self._clock = clock
        self._authserv_id = authserv_id
        self._share_s = share_s
        self._question_s = question_s

    def is_asked_about(self, row: Spooled) -> bool:
        """Whether a mail came from where nobody here vouches for it."""
        client = row.handed_in.get("client_address", "")
        return row.handed_in.get("via") == "smtp" and bool(client) and not ipaddress.ip_address(client).is_loopback

    def unasked(self, row: Spooled) -> Authentication | None:
        """What is said of a mail whose checks are given up, because something about it keeps failing."""
        if not self.is_asked_about(row):
            return None
        return self._authentication(row, (MethodResult("dmarc", "temperror", "the checks were given up"),), failed=True)

    async def check(self, row: Spooled, raw: bytes, parsed: ParsedMessage) -> Authentication | None:
        """The results for a mail, None where there is nothing to ask."""
        if not self.is_asked_about(row):
            return None
        client, helo = row.handed_in["client_address"], row.handed_in.get("helo", "")
        domains, is_clear = authors(raw, parsed)
        share = self._share
        spf, dkim, policies = await asyncio.gather(
            check_spf(client, row.mail_from, helo, share(), receiver=self._authserv_id),
            verify(raw, share(), at_s=self._clock() // 1000),
            asyncio.gather(*(dmarc.discover(domain, share()) for domain in domains)),
        )
        judged = await asyncio.gather(*(dmarc.judge(each, spf, dkim, share(_ALIGNMENT_S)) for each in policies))
        results = authentication_results.collect(spf=spf, dkim=dkim, dmarcs=judged, mail_from=row.mail_from, helo=helo)
        if not is_clear:
            results += (MethodResult("dmarc", "permerror", "From does not name one author who could be asked about"),)
        failed = not is_clear or any(_failed(spf, dkim, one) for one in judged)
        sender = split(row.mail_from)[1].lower()
        vouching = {spf.domain if spf.result == "pass" and spf.identity == "mailfrom" else ""}
        vouching |= {one.from_domain for one in judged if one.result == "pass"}
        found = self._authentication(row, results, failed=failed)
        return replace(found, proves_sender=bool(sender) and not failed and sender in vouching)

    def _share(self, seconds: float | None = None) -> Resolver:
        loop = asyncio.get_running_loop()
        share_s = self._share_s if seconds is None else min(seconds, self._share_s)
        return _Share(self._resolver, loop.time() + share_s, self._question_s)

    def _authentication(self, row: Spooled, results: tuple[MethodResult, ...], *, failed: bool) -> Authentication:
        field = authentication_results.build(AuthenticationResults(self._authserv_id, results=results))
        return Authentication(
            header=field.decode("utf-8", "replace").partition(":")[2].strip(), failed=failed, summary=_summary(results)
        )


def authors(raw: bytes, parsed: ParsedMessage) -> tuple[list[str], bool]:
    """The domains of all authors, and whether they are all there is to From.

    It is not where there is more than one From field (each reader believes another one), none, one without an
    address (a group, a bare name), or more domains than are asked about.

    Source: RFC 5322 §3.6.2, RFC 9989 §5.3.1, which leaves such mail to the receiver.
    """
    values = [value.decode("utf-8", "replace") for value in raw_headers.values(raw_headers.split(raw)[0], b"from")]
    seen = [value for name, value in parsed.headers if name.strip().lower() == "from"]
    people = [*parsed.from_, *(person for value in {*values, *seen} for person in parse_address_list(value))]
    domains = list(dict.fromkeys(split(person.email)[1].lower() for person in people))
    is_clear = len(values) == len(seen) == 1 and "" not in domains and 0 < len(domains) <= _MAX_AUTHORS
    return [domain for domain in domains if domain][:_MAX_AUTHORS], is_clear


class _Share:
    """A resolver for one check: past its share of time, and past a question's part of it, nothing is answered."""

    def __init__(self, resolver: Resolver, until: float, question_s: float) -> None:
        self._resolver = resolver
        self._until = until
        self._question_s = question_s

    async def txt(self, name: str) -> list[bytes]:
        return await self._within(self._resolver.txt, name)

    async def mx(self, name: str) -> list[tuple[int, str]]:
        return await self._within(self._resolver.mx, name)

    async def addresses(self, name: str) -> list[str]:
        return await self._within(self._resolver.addresses, name)

    async def ptr(self, address: str) -> list[str]:
        return await self._within(self._resolver.ptr, address)

    async def _within(self, question: Callable[[str], Awaitable[T]], name: str) -> T:
        until = min(self._until, asyncio.get_running_loop().time() + self._question_s)
        try:
            async with asyncio.timeout_at(until):
                return await question(name)
        except TimeoutError:
            raise ResolverFailure(f"no answer for {name} in time") from None


def _failed(spf: SpfResult, dkim: tuple[DkimResult, ...], judged: DmarcResult) -> bool:
    """Whether a mail is not shown to be from one of its authors' domains."""
    if judged.result == "pass":
        return False
    if judged.result == "permerror" or (judged.result == "temperror" and judged.record is None):
        return True
    if judged.policy != "none":  # not met, or nobody can say that it was
        return True
    vouched = any(result.result == "pass" for result in dkim)
    return spf.result == "fail" and not vouched


def _summary(results: tuple[MethodResult, ...]) -> dict[str, Any]:
    """One word a method. DKIM passes when one signature does; of several authors the worst counts."""
    found: dict[str, list[str]] = {}
    for result in results:
        found.setdefault(result.method, []).append(result.result)
    return {
        method: "pass" if method == "dkim" and "pass" in words else min(words, key=_rank)
        for method, words in found.items()
    }


def _rank(word: str) -> int:
    return _WORST.index(word) if word in _WORST else len(_WORST) - 2
