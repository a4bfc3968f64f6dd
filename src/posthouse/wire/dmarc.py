"""DMARC: does the domain a reader sees in From vouch for the mail, and what is wished if not? (RFC 9989)

The domain of an organisation is found by walking up the DNS, not by a list of public suffixes (§4.10).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from posthouse.kit.errors import Invalid
from posthouse.wire.address import to_ascii
from posthouse.wire.dkim_verify import DkimResult
from posthouse.wire.resolver import NameNotFound, Resolver, ResolverFailure
from posthouse.wire.spf import SpfResult

Result = Literal["pass", "fail", "none", "temperror", "permerror"]
Policy = Literal["none", "quarantine", "reject"]

_WALK = 8  # RFC 9989 §4.10: longer names are cut, so that a walk takes at most eight queries
_MAX_ADDRESSES = 20

_VERSION = re.compile(r"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")  # RFC 9989 §4.8: the value's case counts
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s,!;]+")
_POLICIES = ("none", "quarantine", "reject")
_TESTING: dict[Policy, Policy] = {"reject": "quarantine", "quarantine": "none", "none": "none"}


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A policy record (RFC 9989 §4.7), defaults filled in.

    Attributes:
        policy: p=; None where it is missing or no policy.
        subdomain_policy: sp=; None where it is missing.
        nonexistent_policy: np=; None likewise.
        is_sound: p= is a policy, and so are sp= and np= where they stand.
        strict_dkim, strict_spf: adkim=s, aspf=s: the names must be the same.
        is_testing: t=y: one step milder than the policy says.
        psd: `y`: a public suffix; `n`: the top of an organisation; `u`: not said.
        rua, ruf: where reports are wished, valid URIs only.
    """

    policy: Policy | None = None
    subdomain_policy: Policy | None = None
    nonexistent_policy: Policy | None = None
    is_sound: bool = False
    strict_dkim: bool = False
    strict_spf: bool = False
    is_testing: bool = False
    psd: Literal["y", "n", "u"] = "u"
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DmarcResult:
    """The answer for one From domain.

    Attributes:
        result: `pass`: SPF or DKIM passed for a name of the same organisation; it says who, not whether
            they are good. `fail`: neither did. `none`: no policy applies. `temperror`: DNS gave no answer just
            now and one could have meant a pass. `permerror`: the From domain is no domain.
        from_domain: lower case, A-labels; as written where it is no domain.
        policy: what the owner wishes for mail that fails, softened by t=y; `none` where the record is not known.
        published_policy: the same before t=y.
        domain_found_at: where the record stands: From's domain, its organisation's, or a public suffix;
            "" for none.
        organizational_domain: of From's domain; "" where it was not needed.
        aligned_by: which of `spf` and `dkim` passed in alignment.
        aligned_domains: the names they passed for.
        record: the record applied; None for none.
        reason: a few words for people.
    """

    result: Result
    from_domain: str
    policy: Policy = "none"
    published_policy: Policy = "none"
    domain_found_at: str = ""
    organizational_domain: str = ""
    aligned_by: tuple[Literal["spf", "dkim"], ...] = ()
    aligned_domains: tuple[str, ...] = ()
    record: DmarcRecord | None = None
    reason: str = ""


def parse(text: str) -> DmarcRecord | None:
    """Read a policy record; None where it is none, that is, does not begin with v=DMARC1.

    Unknown tags and values are passed over and the defaults stand (RFC 9989 §4.8). Of a tag that occurs
    twice, the first counts.
    """
    if not _VERSION.match(text):
        return None
    tags: dict[str, str] = {}
    for piece in text.split(";")[1:]:
        name, equals, value = piece.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t").lower(), value.strip(" \t"))
    policies = {tag: _policy(tags[tag]) for tag in ("p", "sp", "np") if tag in tags}
    psd = tags.get("psd", "u").lower()
    return DmarcRecord(
        policy=policies.get("p"),
        subdomain_policy=policies.get("sp"),
        nonexistent_policy=policies.get("np"),
        is_sound="p" in policies and None not in policies.values(),
        strict_dkim=tags.get("adkim", "").lower() == "s",
        strict_spf=tags.get("aspf", "").lower() == "s",
        is_testing=tags.get("t", "").lower() == "y",
        psd=cast(Literal["y", "n", "u"], psd if psd in ("y", "n") else "u"),
        rua=_uris(tags.get("rua", "")),
        ruf=_uris(tags.get("ruf", "")),
    )


@dataclass(slots=True)
class Found:
    """What the DNS says of one From domain, before anything is known of the mail.

    Attributes:
        verdict: where that settles it: no policy, no domain, no answer.
    """

    domain: str
    walker: _Walker
    found_at: str = ""
    record: DmarcRecord | None = None
    published: Policy = "none"
    verdict: DmarcResult | None = None


async def discover(from_domain: str, resolver: Resolver) -> Found:
    """Look up the policy of a From domain.

    It takes nothing of the mail's, so it can be done beside SPF and DKIM: their slow answers, which a sender may
    have made slow, do not keep the policy from being known.

    Args:
        from_domain: of one address in From.
        resolver: at most eight look-ups are made, and one of addresses.

    Source: RFC 9989 §4.10.
    """
    domain = _ascii(from_domain)
    found = Found(domain, _Walker(resolver))
    if not domain:
        found.verdict = DmarcResult("permerror", from_domain.lower(), reason="From has no domain")
        return found
    try:
        found.found_at, record = await _discover(found.walker, domain)
        if record is None:
            found.verdict = DmarcResult("none", domain, reason="no policy")
        elif not record.is_sound and not record.rua:  # RFC 9989 §4.10.1
            found.verdict = DmarcResult(
                "none", domain, domain_found_at=found.found_at, record=record, reason="the policy cannot be read"
            )
        else:
            found.record = record
            found.published = await _published(found.walker, record, domain, found.found_at)
    except ResolverFailure:
        found.verdict = DmarcResult("temperror", domain, reason="the policy could not be looked up")
    return found


async def evaluate(
    from_domain: str, spf: SpfResult | None, dkim: Sequence[DkimResult], resolver: Resolver
) -> DmarcResult:
    """Look up a From domain's policy and hold SPF and DKIM against it: `discover`, then `judge`."""
    return await judge(await discover(from_domain, resolver), spf, dkim, resolver)


async def judge(found: Found, spf: SpfResult | None, dkim: Sequence[DkimResult], resolver: Resolver) -> DmarcResult:
    """Evaluate a mail whose From names a domain.

    Args:
        found: what `discover` found. A mail whose From has no domain, or several, is not evaluated by DMARC
            (RFC 9989 §5.3.1): the caller decides about it.
        spf: of the reverse-path, or of HELO where that was null; None if not checked.
        dkim: every signature's result.
        resolver: at most eight look-ups are made per name that may align.

    Source: RFC 9989 §4.10, §5.3.
    """
    record, domain, published = found.record, found.domain, found.published
    if record is None:
        assert found.verdict is not None
        return found.verdict
    walker = _Walker(resolver, found.walker.records)
    aligned: list[tuple[Literal["spf", "dkim"], str]] = []
    is_open = False  # an answer that did not come could have meant a pass
    organization = ""
    for method, outcome, name in _identifiers(spf, dkim):
        is_strict = record.strict_spf if method == "spf" else record.strict_dkim
        try:
            if name != domain and not is_strict:
                organization = organization or await walker.organization(domain)
            if not await _is_aligned(walker, name, domain, organization, is_strict=is_strict):
                continue
        except ResolverFailure:
            is_open = True
            continue
        if outcome == "pass":
            if (method, name) not in aligned:
                aligned.append((method, name))
        else:
            is_open = True
    if aligned:
        result: Result = "pass"
        reason = ""
    elif is_open:  # RFC 9989 §5.3.6: neither pass nor fail
        result, reason = "temperror", "SPF, DKIM or alignment could not be looked up"
    else:
        result, reason = "fail", "nothing that passed is of From's domain"
    return DmarcResult(
        result=result,
        from_domain=domain,
        policy=_TESTING[published] if record.is_testing else published,
        published_policy=published,
        domain_found_at=found.found_at,
        organizational_domain=organization,
        aligned_by=tuple(dict.fromkeys(method for method, _ in aligned)),
        aligned_domains=tuple(dict.fromkeys(name for _, name in aligned)),
        record=record,
        reason=reason,
    )


async def organizational_domain(domain: str, resolver: Resolver) -> str:
    """The top of the organisation a domain belongs to, as its DNS tells (RFC 9989 §4.10.2).

    Raises:
        ResolverFailure: DNS gave no answer just now.
    """
    return await _Walker(resolver).organization(_ascii(domain) or domain.lower())


@dataclass(slots=True)
class _Walker:
    """Walks up the DNS; no name is asked twice."""

    resolver: Resolver
    records: dict[str, DmarcRecord | None] = field(default_factory=dict)

    async def record(self, name: str) -> DmarcRecord | None:
        if name not in self.records:
            try:
                texts = await self.resolver.txt(f"_dmarc.{name}")
            except NameNotFound:
                texts = []
            parsed = [found for text in texts if (found := parse(text.decode("latin-1"))) is not None]
            # RFC 9989 §4.10, steps 2 and 6: several are as good as none.
            self.records[name] = parsed[0] if len(parsed) == 1 else None
        return self.records[name]

    async def walk(self, domain: str) -> list[tuple[str, DmarcRecord]]:
        """The records from a domain up, the longest name first (RFC 9989 §4.10)."""
        found: list[tuple[str, DmarcRecord]] = []
        name = domain
        while name:
            record = await self.record(name)
            if record is not None:
                found.append((name, record))
                if record.psd != "u":
                    break
            labels = name.split(".")
            name = ".".join(labels[1:] if len(labels) < _WALK else labels[1 - _WALK :])
        return found

    async def organization(self, domain: str) -> str:
        """RFC 9989 §4.10.2, steps 1 to 3."""
        found = await self.walk(domain)
        for name, record in found:
            if record.psd == "n":
                return name
            if record.psd == "y" and name != domain:
                below = domain.removesuffix("." + name).rpartition(".")[2]
                return f"{below}.{name}"
        return found[-1][0] if found else domain


async def _discover(walker: _Walker, domain: str) -> tuple[str, DmarcRecord | None]:
    """Find the record to apply: From's domain's, its organisation's, its public suffix's (RFC 9989 §4.10.1)."""
    own = await walker.record(domain)
    if own is not None:
        return domain, own
    found = dict(await walker.walk(domain))
    organization = await walker.organization(domain)
    if organization in found:
        return organization, found[organization]
    for name, record in found.items():
        if record.psd == "y":
            return name, record
    return "", None


async def _published(walker: _Walker, record: DmarcRecord, domain: str, found_at: str) -> Policy:
    """Which of p=, sp= and np= applies (RFC 9989 §4.7, §4.10.1)."""
    policy = record.policy or "none"
    if not record.is_sound:
        return "none"
    if domain == found_at:
        return policy
    below = record.subdomain_policy or policy
    if record.nonexistent_policy is None or record.nonexistent_policy == below:
        return below
    try:
        await walker.resolver.addresses(domain)
    except NameNotFound as absent:
        # RFC 9989 §3.2.13: NXDOMAIN; a name without addresses exists.
        return record.nonexistent_policy if absent.no_domain else below
    return below


def _identifiers(spf: SpfResult | None, dkim: Sequence[DkimResult]) -> list[tuple[Literal["spf", "dkim"], str, str]]:
    """What passed, or might have with a better DNS: method, result, name."""
    found: list[tuple[Literal["spf", "dkim"], str, str]] = []
    if spf is not None and spf.result in ("pass", "temperror"):
        found.append(("spf", spf.result, _ascii(spf.domain)))
    found += [("dkim", one.result, _ascii(one.domain)) for one in dkim if one.result in ("pass", "temperror")]
    return [(method, result, name) for method, result, name in found if name]


async def _is_aligned(walker: _Walker, name: str, domain: str, organization: str, *, is_strict: bool) -> bool:
    """RFC 9989 §3.2.10, §4.10.2. A record applies to `domain`."""
    if name == domain:
        return True
    # Only a name within the organisation can have it as its own: no walk for strangers.
    if is_strict or not (name == organization or name.endswith("." + organization)):
        return False
    return await walker.organization(name) == organization


def _policy(value: str) -> Policy | None:
    return cast(Policy, value.lower()) if value.lower() in _POLICIES else None


def _uris(value: str) -> tuple[str, ...]:
    # The size after "!" is obsolete and ignored (RFC 9989 §4.8).
    pieces = (piece.strip(" \t").partition("!")[0] for piece in value.split(","))
    return tuple(piece for piece in pieces if _URI.fullmatch(piece))[:_MAX_ADDRESSES]


def _ascii(domain: str) -> str:
    """Lower case, A-labels, no final full stop (RFC 9989 §5.3.1); "" for what is no domain."""
    name = domain.strip().removesuffix(".").lower()
    if not name.isascii():
        try:
            name = to_ascii(name)
        except Invalid:
            return ""
    labels = name.split(".")
    if len(name) > 253 or not all(re.fullmatch(r"[a-z0-9_-]{1,63}", label) for label in labels):
        return ""
    return name
