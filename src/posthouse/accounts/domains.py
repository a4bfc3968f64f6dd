"""Domains whose mail is ours."""

from __future__ import annotations

import re

from posthouse.kit.errors import Invalid
from posthouse.store import domains
from posthouse.store.database import Tx
from posthouse.wire.address import to_ascii

# RFC 5321 §2.3.5 with RFC 5890 A-labels; one label is enough ("localhost" installations).
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")


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
    domain = await domains.get(tx, name)
    if domain is not None:
        return domain.organization_id in (None, organization_id) and domain.status == "VERIFIED"
    parent = await _parent_with_subdomains(tx, name)
    return parent is not None and parent.organization_id == organization_id


async def is_ours(tx: Tx, name: str) -> bool:
    """Whether mail for this domain is ours to take: no other host is asked about it."""
    domain = await domains.get(tx, name)
    if domain is not None:
        return domain.status == "VERIFIED"
    return await _parent_with_subdomains(tx, name) is not None


async def _parent_with_subdomains(tx: Tx, name: str) -> domains.Domain | None:
    labels = name.split(".")
    for start in range(1, len(labels) - 1):
        parent = await domains.get(tx, ".".join(labels[start:]))
        if parent is not None:
            return parent if parent.subdomains_enabled and parent.status == "VERIFIED" else None
    return None
