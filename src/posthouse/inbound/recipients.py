"""Whom an address leads to: ours, alive, with room."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.accounts import domains
from posthouse.kit.errors import Forbidden, Invalid, NotFound, OverQuota
from posthouse.store import accounts, spool
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import normalize, split

# RFC 5321 §4.5.1 and RFC 2142: these reach the operator in every domain of ours.
_OPERATOR = frozenset({"postmaster", "abuse", "hostmaster", "security"})
# More than waits for one account in the moments before it is filed.
_AMPLE_BYTES = 256 * 1024 * 1024


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
    await check_room(tx, account, quota_bytes)
    return Recipient(key, account, tag)


def is_tight(account: Account, quota_bytes: int) -> bool:
    """Whether what waits to be filed may fill an account that has room: then it is counted before more is taken."""
    quota = account.quota_bytes if account.quota_bytes is not None else quota_bytes
    return quota - account.used_bytes < max(quota // 2, _AMPLE_BYTES)


async def check_room(tx: Tx, account: Account, quota_bytes: int) -> None:
    """Whether an account has room for a mail, with what has been taken in for it and not filed yet.

    A mailbox with any room takes one mail more, whatever its size; many at once are no way round that.

    Raises:
        OverQuota: it is full.
    """
    quota = account.quota_bytes if account.quota_bytes is not None else quota_bytes
    waiting = await spool.waiting_bytes(tx, account.id) if is_tight(account, quota_bytes) else 0
    if account.used_bytes + waiting >= quota:
        raise OverQuota("the mailbox is full", field="recipient")
