"""Whom an address leads to: ours, alive, with room."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.accounts import domains
from posthouse.kit.errors import Forbidden, Invalid, NotFound, OverQuota
from posthouse.store import accounts
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import normalize, split

# RFC 5321 §4.5.1 and RFC 2142: these reach the operator in every domain of ours.
_OPERATOR = frozenset({"postmaster", "abuse", "hostmaster", "security"})


@dataclass(frozen=True, slots=True)
class Recipient:
    """An address of ours and the account behind it.

    Attributes:
        address: normalised, as it was named.
        tag: what follows `+` in the local part; "" without.
    """

    address: str
    account: Account
    tag: str


async def resolve(tx: Tx, address: str, *, operator_address: str, quota_bytes: int) -> Recipient:
    """The account an address leads to.

    Args:
        operator_address: the owner's account, which gets postmaster's mail.
        quota_bytes: room of an account that has no quota of its own.

    Raises:
        Invalid: not an address.
        Forbidden: not a domain of ours, and we relay for nobody (reason `relay_denied`).
        NotFound: no such user (reason `no_such_user`).
        OverQuota: the account is full.
    """
    if address.lower() == "postmaster":  # RFC 5321 §4.5.1: without a domain, too
        address = operator_address
    key = normalize(address)
    if "@" not in key:
        raise Invalid(f"{address!r} is not an address", field="recipient")
    local, domain = split(key)
    if not await domains.is_ours(tx, domain):
        raise Forbidden("relaying denied", field="recipient", reason="relay_denied")
    account, tag = await accounts.by_address(tx, key), ""
    if account is None and "+" in local:
        base, _, tag = local.partition("+")
        account = await accounts.by_address(tx, f"{base}@{domain}")
        local = base
    if account is None and local in _OPERATOR:
        account = await accounts.by_address(tx, operator_address)
    if account is None:
        raise NotFound(f"there is no {address} here", field="recipient", reason="no_such_user")
    if account.used_bytes >= (account.quota_bytes if account.quota_bytes is not None else quota_bytes):
        raise OverQuota("the mailbox is full", field="recipient")
    return Recipient(key, account, tag)
