"""Domains whose mail is ours."""

from __future__ import annotations

import re

from posthouse.kit.errors import Conflict, Invalid
from posthouse.store import domains
from posthouse.store.database import Tx
from posthouse.store.organizations import Organization
from posthouse.wire.address import to_ascii

# RFC 5321 §2.3.5 with RFC 5890 A-labels; one label is enough ("localhost" installations).
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
# RFC 6761 §6.3–6.4, names of one label, and addresses: no DNS of the world has records of somebody's for them.
_UNPROVABLE = re.compile(r"\.(?:localhost|invalid|onion|[0-9]+)$|^\.[^.]+$")


def check_domain(name: str, field: str = "domain") -> str:
    """A domain name in the form used as key: lower-case A-labels.

    Raises:
        Invalid: not a host name.
    """
    try:
        key = to_ascii(name.strip())
    except Invalid:
        key = ""
    if not _DOMAIN.fullmatch(key):
        raise Invalid(f"{name!r} is not a domain name", field=field, reason="domain_syntax")
    return key


async def usable_by(tx: Tx, organization_id: str, name: str) -> bool:
    """Whether the organisation may have addresses in this domain."""
    domain = await domains.proved(tx, name)
    if domain is not None:
        return domain.organization_id in (None, organization_id)
    parent = await parent_of(tx, name)
    return parent is not None and parent.subdomains_enabled and parent.organization_id == organization_id


async def is_ours(tx: Tx, name: str) -> bool:
    """Whether mail for this domain is ours to take: no other host is asked about it."""
    if await domains.proved(tx, name) is not None:
        return True
    parent = await parent_of(tx, name)
    return parent is not None and parent.subdomains_enabled


async def parent_of(tx: Tx, name: str) -> domains.Domain | None:
    """The nearest domain above this one that is proved, or shared. What is only named stands in nobody's way."""
    labels = name.split(".")
    for start in range(1, len(labels)):
        parent = await domains.proved(tx, ".".join(labels[start:]))
        if parent is not None:
            return parent
    return None


async def check_claimable(tx: Tx, organization: Organization, name: str) -> None:
    """Whether an organisation may name this domain, or be given it: nobody else has proved it, or what it lies in.

    Raises:
        Conflict: somebody has (reason `domain_exists`).
        Invalid: no DNS ever answers for it (reason `domain_syntax`).
    """
    if _UNPROVABLE.search(f".{name}"):
        raise Invalid(f"nobody can prove {name!r} in DNS", field="domain", reason="domain_syntax")
    known = await domains.proved(tx, name)
    if known is not None and known.organization_id != organization.id:
        raise Conflict(f"{name} is a domain of this server already", field="domain", reason="domain_exists")
    parent = await parent_of(tx, name)
    if parent is None or parent.organization_id == organization.id:
        return
    # The owner's organisations may have names below the shared domain; the shared domain is the owner's.
    if parent.organization_id is not None or organization.self_registered:
        raise Conflict(f"{name} lies in {parent.name}, which is taken", field="domain", reason="domain_exists")
