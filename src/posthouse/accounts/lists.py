"""Allow and block lists: who may be written to, and whose mail is let through.

The most specific scope with an entry for the address decides: the account's own lists, then its pod's, then
the organisation's. Within a scope block beats allow. Where no entry speaks of the address, a list of those
allowed, in any of the scopes, keeps out everybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from posthouse.accounts.domains import check_domain
from posthouse.kit.errors import Invalid
from posthouse.store import lists
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.lists import ListEntry
from posthouse.wire.address import normalize, parse_address, split

Direction = Literal["send", "receive", "reply"]
DIRECTIONS = ("send", "receive", "reply")
KINDS = ("allow", "block")


def check_entry(text: str, field: str = "entry") -> tuple[str, str]:
    """An entry in the form used as key, and its type: `email` or `domain`.

    Raises:
        Invalid: neither an address nor a domain name.
    """
    text = text.strip()
    if "@" in text.lstrip("@"):
        address = parse_address(text)
        if address.name or "@" not in address.email:
            raise Invalid("expected an address such as ann@example.org, or a domain", field=field)
        return normalize(address.email), "email"
    return check_domain(text.removeprefix("@"), field), "domain"


async def barred(tx: Tx, account: Account, direction: Direction, addresses: Sequence[str]) -> set[str]:
    """Those of the addresses that the lists keep out, in the form used as key."""
    keys = {normalize(address) for address in addresses if "@" in address}
    scopes = (account.id, account.pod_id, account.organization_id)
    names = sorted(keys | {split(key)[1] for key in keys})
    hits = await lists.hits(tx, scopes, direction, names) if names else []
    only_allowed = await lists.has_allow(tx, scopes, direction)
    return {key for key in keys if _is_barred(key, scopes, hits, only_allowed=only_allowed)}


def _is_barred(key: str, scopes: Sequence[str], hits: Sequence[ListEntry], *, only_allowed: bool) -> bool:
    names = {key, split(key)[1]}
    for scope in scopes:
        kinds = {hit.kind for hit in hits if hit.scope_id == scope and hit.entry in names}
        if kinds:
            return "block" in kinds
    return only_allowed
