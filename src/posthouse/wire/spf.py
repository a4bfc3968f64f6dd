"""Sender Policy Framework (RFC 7208): may this address send mail for that domain?

`spf_record.py` reads records and macros; here they are evaluated, with every limit of §4.6.4.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Literal

from posthouse.kit.errors import Invalid
from posthouse.wire import spf_record
from posthouse.wire.address import to_ascii
from posthouse.wire.resolver import NameNotFound, Resolver, ResolverFailure
from posthouse.wire.spf_record import IpAddress, MacroValues, Mechanism, SpfRecord, SpfSyntaxError

Result = Literal["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"]

_LOOKUPS = 10  # RFC 7208 §4.6.4: terms that cause DNS queries
_VOID_LOOKUPS = 2  # RFC 7208 §4.6.4: look-ups that find nothing
_NAMES = 10  # RFC 7208 §4.6.4: hosts of one mx, names of one ptr
_MAX_EXPLANATION = 500  # longer ones would not fit a reply

_QUALIFIERS: dict[str, Result] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_LABEL = re.compile(r"[ -\-/-\[\]-~]{1,63}")  # printable ASCII but full stop and backslash


@dataclass(frozen=True, slots=True)
class SpfResult:
    """The answer for one identity.

    Attributes:
        result: the words of RFC 7208 §2.6. `pass`: the address may send for the domain. `fail`: it may
            not; `softfail`: probably not; `neutral`: the domain does not say. `none`: no record, or no
            domain that could have one. `permerror`: a record that cannot be read or asks too much;
            `temperror`: DNS gave no answer just now.
        domain: whose record was asked, lower case.
        identity: `mailfrom`, or `helo` where the reverse-path was null (RFC 7208 §2.4).
        explanation: what the domain says of a fail, ASCII, from outside; "" for nothing.
        mechanism: the directive that decided, as written, `default` where none did, "" without a record.
        reason: what was wrong, for `none`, `permerror` and `temperror`; else "".
        lookups: how many of the ten look-ups were used.
    """

    result: Result
    domain: str
    identity: Literal["mailfrom", "helo"]
    explanation: str = ""
    mechanism: str = ""
    reason: str = ""
    lookups: int = 0


class _Stop(Exception):
    """Evaluation ends here with an error result."""

    def __init__(self, result: Literal["temperror", "permerror"], reason: str) -> None:
        super().__init__(reason)
        self.result: Result = result
        self.reason = reason


@dataclass(slots=True)
class _Evaluation:
    """One check_host with all its recursion: the values that stay, and what is used up."""

    resolver: Resolver
    values: MacroValues
    lookups: int = 0
    voids: int = 0
    explain_domain: str = ""
    explain_at: str = ""

    def count_lookup(self) -> None:
        self.lookups += 1
        if self.lookups > _LOOKUPS:
            raise _Stop("permerror", f"more than {_LOOKUPS} look-ups")

    def count_void(self) -> None:
        self.voids += 1
        if self.voids > _VOID_LOOKUPS:
            raise _Stop("permerror", f"more than {_VOID_LOOKUPS} look-ups found nothing")


async def check_spf(
    ip: str,
    mail_from: str,
    helo: str,
    resolver: Resolver,
    *,
    receiver: str = "unknown",
    at_s: int = 0,
) -> SpfResult:
    """Check the sender of a mail.

    Args:
        ip: the client's address, no brackets; an IPv4-mapped IPv6 address counts as IPv4.
        mail_from: the reverse-path without angle brackets; "" checks `postmaster@` the HELO name.
        helo: the name the client gave.
        resolver: bounded in time; the whole takes at most some 110 look-ups.
        receiver: our host name, for %{r}.
        at_s: seconds since 1970 UTC, for %{t}.

    Raises:
        ValueError: `ip` is no address.

    Source: RFC 7208 §2.4, §4.
    """
    address: IpAddress = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped  # RFC 7208 §5
    identity: Literal["mailfrom", "helo"] = "mailfrom" if mail_from else "helo"
    sender = mail_from or f"postmaster@{helo}"
    local_part, _, domain = sender.rpartition("@")
    domain = _ascii(domain).lower()
    # RFC 7208 §4.3: an empty local-part is postmaster's.
    values = MacroValues(
        sender=f"{local_part or 'postmaster'}@{domain}",
        domain=domain,
        ip=address,
        helo=_ascii(helo),
        validated="unknown",
        receiver=receiver,
        at_s=at_s,
    )
    evaluation = _Evaluation(resolver, values)
    answer = SpfResult("none", domain, identity)
    if not _is_name(domain) or "." not in domain.rstrip(".") or domain.startswith("["):
        return replace(answer, reason="no domain that could have a record")  # RFC 7208 §4.3
    try:
        result, mechanism = await _check_host(evaluation, domain)
    except _Stop as stop:
        return replace(answer, result=stop.result, mechanism="", reason=stop.reason, lookups=evaluation.lookups)
    if result == "none":
        return replace(answer, reason="no record")
    explanation = await _explanation(evaluation) if result == "fail" else ""
    return replace(answer, result=result, explanation=explanation, mechanism=mechanism, lookups=evaluation.lookups)


async def _check_host(evaluation: _Evaluation, domain: str) -> tuple[Result, str]:
    """RFC 7208 §4.4–4.7: find the record, read it, evaluate it."""
    record = await _record(evaluation, domain)
    if record is None:
        return "none", ""
    for mechanism in record.mechanisms:
        if await _matches(evaluation, mechanism, domain):
            result = _QUALIFIERS[mechanism.qualifier]
            if result == "fail":
                evaluation.explain_at, evaluation.explain_domain = record.explanation or "", domain
            return result, mechanism.text
    if record.redirect is None:
        return "neutral", "default"  # RFC 7208 §4.7
    evaluation.count_lookup()
    target = await _target(evaluation, record.redirect, domain)
    result, text = await _check_host(evaluation, target) if _is_name(target) else ("none", "")
    if result == "none":  # RFC 7208 §6.1
        raise _Stop("permerror", "redirect= to a domain without a record")
    return result, text


async def _record(evaluation: _Evaluation, domain: str) -> SpfRecord | None:
    try:
        found = await evaluation.resolver.txt(domain)
    except NameNotFound:
        return None
    except ResolverFailure:
        raise _Stop("temperror", f"the record of {domain} could not be looked up") from None
    # RFC 7208 §4.5: the version is a word of its own, case counts for nothing.
    records = [text for text in found if text[:7].lower() in (b"v=spf1", b"v=spf1 ")]
    if not records:
        return None
    if len(records) > 1:
        raise _Stop("permerror", f"{domain} has {len(records)} records")
    try:
        return spf_record.parse(records[0].decode("ascii"))
    except UnicodeDecodeError:
        raise _Stop("permerror", f"the record of {domain} is not ASCII") from None
    except SpfSyntaxError as error:
        raise _Stop("permerror", f"the record of {domain} cannot be read: {error}") from None


async def _matches(evaluation: _Evaluation, mechanism: Mechanism, domain: str) -> bool:
    name, ip = mechanism.name, evaluation.values.ip
    if name == "all":
        return True
    if mechanism.network is not None:  # ip4, ip6
        return ip.version == mechanism.network.version and ip in mechanism.network
    evaluation.count_lookup()
    target = await _target(evaluation, mechanism.domain, domain) if mechanism.domain else domain
    if name == "include":
        return await _included(evaluation, target)
    if not _is_name(target):  # RFC 7208 §4.3, §4.8: no such name can exist
        return False
    if name == "a":
        return _within(mechanism, ip, await _addresses(evaluation, target))
    if name == "exists":  # RFC 7208 §5.7: an A record, also for an IPv6 client
        return any(found.version == 4 for found in await _addresses(evaluation, target))
    if name == "mx":
        for host in await _exchanges(evaluation, target):
            if _within(mechanism, ip, await _addresses(evaluation, host)):
                return True
        return False
    return await _validated_name(evaluation, target, only_below=True) != "unknown"  # ptr


async def _included(evaluation: _Evaluation, target: str) -> bool:
    """RFC 7208 §5.2: only a pass matches; a domain without record is an error."""
    if not _is_name(target):
        raise _Stop("permerror", "include: of no domain")
    result, _ = await _check_host(evaluation, target)
    if result == "none":
        raise _Stop("permerror", f"include: of {target}, which has no record")
    return result == "pass"


def _within(mechanism: Mechanism, ip: IpAddress, found: list[IpAddress]) -> bool:
    bits = mechanism.prefix4 if ip.version == 4 else mechanism.prefix6
    shift = ip.max_prefixlen - bits
    return any(ip.version == other.version and int(ip) >> shift == int(other) >> shift for other in found)


async def _addresses(evaluation: _Evaluation, host: str) -> list[IpAddress]:
    try:
        found = await evaluation.resolver.addresses(host)
    except NameNotFound:
        found = []
    except ResolverFailure:
        raise _Stop("temperror", f"the addresses of {host} could not be looked up") from None
    if not found:
        # Only a host without any address counts. Counting those of the other family, as RFC 7208 §4.6.4 may be
        # read, makes errors of the records of honest senders that have no IPv6 yet.
        evaluation.count_void()
    return [ipaddress.ip_address(address.partition("%")[0]) for address in found]


async def _exchanges(evaluation: _Evaluation, target: str) -> list[str]:
    try:
        found = sorted(await evaluation.resolver.mx(target))
    except NameNotFound:
        found = []
    except ResolverFailure:
        raise _Stop("temperror", f"the mail exchangers of {target} could not be looked up") from None
    if not found:
        evaluation.count_void()
    if len(found) > _NAMES:  # RFC 7208 §4.6.4
        raise _Stop("permerror", f"{target} has more than {_NAMES} mail exchangers")
    return [host for _, host in found if _is_name(host)]


async def _validated_name(evaluation: _Evaluation, domain: str, *, only_below: bool = False) -> str:
    """A name of the client that leads back to its address (RFC 7208 §5.5, §7.3 on "p").

    DNS errors count as no name here. Best is the domain itself, then one below it, then, unless `only_below`,
    any; "unknown" for none.
    """
    ip = evaluation.values.ip
    try:
        names = await evaluation.resolver.ptr(str(ip))
    except (NameNotFound, ResolverFailure) as error:
        if only_below and isinstance(error, NameNotFound):
            evaluation.count_void()
        return "unknown"
    wanted = domain.rstrip(".").lower()
    best = "unknown"
    for name in (name.rstrip(".") for name in names[:_NAMES]):
        is_below = name.lower().endswith("." + wanted)
        if not _is_name(name) or (only_below and not is_below and name.lower() != wanted):
            continue
        try:
            found = await evaluation.resolver.addresses(name)
        except (NameNotFound, ResolverFailure):
            continue
        if not any(ipaddress.ip_address(address.partition("%")[0]) == ip for address in found):
            continue
        if name.lower() == wanted:
            return name
        if best == "unknown" or (is_below and not best.lower().endswith("." + wanted)):
            best = name
    return best


async def _target(evaluation: _Evaluation, spec: str, domain: str) -> str:
    """A domain-spec with its macros expanded, cut from the left to what a name may be (RFC 7208 §7.3)."""
    if "%" not in spec:
        return spec.rstrip(".") if spec.count(".") else spec
    values = replace(evaluation.values, domain=domain)
    if spf_record.uses_validated_name(spec):
        values = replace(values, validated=await _validated_name(evaluation, domain))
    name = spf_record.expand(spec, values).removesuffix(".")
    while len(name) > 253:
        _, dot, shorter = name.partition(".")
        if not dot:
            break
        name = shorter
    return name


async def _explanation(evaluation: _Evaluation) -> str:
    """What the domain says about the fail (RFC 7208 §6.2). Whatever goes wrong, there is just none."""
    if not evaluation.explain_at:
        return ""
    try:
        target = await _target(evaluation, evaluation.explain_at, evaluation.explain_domain)
        if not _is_name(target):
            return ""
        found = await evaluation.resolver.txt(target)
    except (NameNotFound, ResolverFailure):
        return ""
    if len(found) != 1 or not found[0].isascii():
        return ""
    text = found[0].decode("ascii")
    if not spf_record.is_explanation(text):
        return ""
    values = replace(evaluation.values, domain=evaluation.explain_domain)
    if spf_record.uses_validated_name(text):
        values = replace(values, validated=await _validated_name(evaluation, values.domain))
    return spf_record.expand(text, values)[:_MAX_EXPLANATION]


def _is_name(name: str) -> bool:
    name = name.removesuffix(".")
    return 0 < len(name) <= 253 and all(_LABEL.fullmatch(label) for label in name.split("."))


def _ascii(name: str) -> str:
    """A domain in A-labels (RFC 7208 §4.3); what cannot be one stays as it is, and is then no name."""
    if name.isascii():
        return name
    try:
        return to_ascii(name)
    except Invalid:
        return name
