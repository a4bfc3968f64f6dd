"""Who a mail is really from: SPF, DKIM and DMARC of what came in by SMTP from another host.

Mail handed in on this machine, by its own accounts or from a loopback address is known by how it was handed
in and is not asked about. Look-ups are bounded; what DNS cannot answer now says nothing against a mail.
"""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass
from typing import Any

from posthouse.kit.clock import Clock
from posthouse.store.spool import Spooled
from posthouse.wire import authentication_results
from posthouse.wire.address import split
from posthouse.wire.authentication_results import AuthenticationResults
from posthouse.wire.dkim_verify import DkimResult, verify
from posthouse.wire.dmarc import DmarcResult, evaluate
from posthouse.wire.message import ParsedMessage
from posthouse.wire.resolver import Resolver, ResolverFailure
from posthouse.wire.spf import SpfResult, check_spf

# RFC 7208 §4.6.4: at least 20 seconds are allowed for; past them it is a temporary error.
_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Authentication:
    """What was found.

    Attributes:
        header: the value of the `Authentication-Results` field that says so.
        failed: a policy the sender's domain published was not met: DMARC under quarantine or reject, or
            `-all` of SPF where no aligned signature vouches. No policy and no answer are no failure.
        summary: the results by method, for the message's own record.
    """

    header: str
    failed: bool
    summary: dict[str, Any]


class Authenticator:
    """Checks mails against DNS."""

    def __init__(self, resolver: Resolver, clock: Clock, authserv_id: str) -> None:
        self._resolver = resolver
        self._clock = clock
        self._authserv_id = authserv_id

    async def check(self, row: Spooled, raw: bytes, parsed: ParsedMessage) -> Authentication | None:
        """The results for a mail, None where there is nothing to ask."""
        client = row.handed_in.get("client_address", "")
        if row.handed_in.get("via") != "smtp" or not client or ipaddress.ip_address(client).is_loopback:
            return None
        helo = row.handed_in.get("helo", "")
        spf: SpfResult | None = None
        dkim: tuple[DkimResult, ...] = ()
        dmarc: DmarcResult | None = None
        authors = {split(author.email)[1].lower() for author in parsed.from_ if "@" in author.email}
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                spf, dkim = await asyncio.gather(
                    check_spf(client, row.mail_from, helo, self._resolver, receiver=self._authserv_id),
                    verify(raw, self._resolver, at_s=self._clock() // 1000),
                )
                if len(authors) == 1:
                    dmarc = await evaluate(next(iter(authors)), spf, dkim, self._resolver)
        except (TimeoutError, ResolverFailure):
            pass  # what was found until then counts; the rest is as if DNS had given no answer
        results = authentication_results.collect(spf=spf, dkim=dkim, dmarc=dmarc, mail_from=row.mail_from, helo=helo)
        field = authentication_results.build(AuthenticationResults(self._authserv_id, results=results))
        value = field.decode("utf-8", "replace").partition(":")[2].strip()
        return Authentication(
            header=value,
            failed=_failed(spf, dkim, dmarc),
            summary={result.method: result.result for result in results},
        )


def _failed(spf: SpfResult | None, dkim: tuple[DkimResult, ...], dmarc: DmarcResult | None) -> bool:
    if dmarc is not None and dmarc.result == "fail":
        return dmarc.policy in ("quarantine", "reject")
    if dmarc is not None and dmarc.result == "pass":
        return False
    vouched = any(result.result == "pass" for result in dkim)
    return spf is not None and spf.result == "fail" and not vouched
