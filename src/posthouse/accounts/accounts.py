"""Making accounts, finding them, taking them down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import coolname

from posthouse.accounts import allowance, domains
from posthouse.kit.clock import DAY
from posthouse.kit.errors import Conflict, Invalid, NotFound
from posthouse.kit.ids import new_id, new_uuid
from posthouse.kit.principal import Principal, strictest
from posthouse.mail.filing import GRAVEYARD_DAYS
from posthouse.mail.journal import changing
from posthouse.mail.mailboxes import provision
from posthouse.store import accounts, changes, graveyard, messages, organizations, search
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import normalize

# A dot-atom of ASCII (RFC 5322 §3.2.3) without `+`, which sets a tag apart, and `%` `!` `/`, which routed once.
_LOCAL_PART = re.compile(r"[a-z0-9_](?:[a-z0-9_&'*=?^{}~-]|\.(?=[a-z0-9_]))*")
_MAX_LOCAL_PART = 64  # RFC 5321 §4.5.3.1.1

# Names the installation answers itself (RFC 2142, RFC 5321 §4.5.1).
RESERVED = frozenset(
    {
        "postmaster", "abuse", "mailer-daemon", "hostmaster", "webmaster", "noc", "security", "root",
        "catch", "no-reply", "noreply", "bounce", "bounces",
    }
)  # fmt: skip

_NAME_TRIES = 20


@dataclass(frozen=True, slots=True)
class Created:
    """An account, and whether this call made it (a repeated `client_id` finds the first one)."""

    account: Account
    is_new: bool


def check_local_part(name: str, field: str = "username") -> str:
    """A local part fit for a new address, lower-case.

    Raises:
        Invalid: not a dot-atom of letters, digits and common signs; too long; reserved.
    """
    key = name.strip().lower()
    if not key or len(key) > _MAX_LOCAL_PART or not _LOCAL_PART.fullmatch(key):
        raise Invalid(
            f"{name!r} cannot be the local part of an address: use letters, digits, dots, hyphens and "
            f"underscores, at most {_MAX_LOCAL_PART} characters",
            field=field,
            reason="local_part_syntax",
        )
    if key in RESERVED:
        raise Invalid(f"{key!r} is kept for the operator of this server", field=field, reason="local_part_reserved")
    return key


async def create(
    tx: Tx,
    organization_id: str,
    *,
    at: int,
    default_domain: str,
    local_part: str | None = None,
    domain: str | None = None,
    display_name: str | None = None,
    client_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    pod_id: str | None = None,
    level: str | None = None,
    by_owner: bool = False,
) -> Created:
    """Make an account with its main address and its mailboxes.

    Args:
        local_part: None takes two words at random.
        domain: None takes the shared one.
        client_id: makes the call idempotent: the same one finds the account made before.
        by_owner: the owner makes it, who is bound by no allowance.

    Raises:
        Invalid: a name is not acceptable, or the domain is not the organisation's to use.
        Conflict: the address is taken (reason `address_taken`).
        NotFound: no such pod.
        OverQuota: the organisation may have no more (`allowance.check`).
    """
    if client_id is not None:
        known = await accounts.by_client_id(tx, organization_id, client_id)
        if known is not None:
            return Created(known, is_new=False)
    pod = (
        await organizations.default_pod(tx, organization_id)
        if pod_id is None
        else await organizations.get_pod(tx, organization_id, pod_id)
    )
    if pod is None:
        raise NotFound("there is no such pod", field="pod_id")
    host = domains.check_domain(domain) if domain else default_domain
    if not await domains.usable_by(tx, organization_id, host):
        raise Invalid(f"{host!r} is not a verified domain of yours", field="domain", reason="domain_not_verified")
    if not by_owner:
        await allowance.check(tx, organization_id, "inboxes")
    account_id = new_uuid()
    # The row comes first: the address names it.
    for attempt in range(_NAME_TRIES):
        name = check_local_part(local_part) if local_part else _random_name(attempt)
        address = f"{name}@{host}"
        known_address = await accounts.get_address(tx, address)
        free = known_address is None or (known_address.account_id is None and (known_address.reserved_until or 0) <= at)
        if free:
            break
        if local_part:
            raise Conflict(f"{address} is taken", field="username", reason="address_taken")
    else:
        raise Conflict("no free name was found; give one", field="username", reason="address_taken")
    account = Account(
        id=account_id,
        organization_id=organization_id,
        pod_id=pod.id,
        main_address=address,
        display_name=display_name,
        client_id=client_id,
        metadata=metadata,
        level=level,
        modseq=0,
        indexed_modseq=0,
        used_bytes=0,
        quota_bytes=None,
        created_at=at,
        updated_at=at,
    )
    await accounts.add(tx, account)
    if not await accounts.claim_address(tx, address, account_id, host, at):
        raise Conflict(f"{address} is taken", field="username", reason="address_taken")
    async with changing(tx, account_id, at) as journal:
        await provision(tx, journal)
    await note_organization(tx, organization_id, "Account", account_id, "created", at)
    return Created(account, is_new=True)


async def note_organization(
    tx: Tx, organization_id: str, kind: str, object_id: str, action: changes.Action, at: int
) -> None:
    """Write a change of something that belongs to the organisation into its own log."""
    modseq = await changes.next_organization_modseq(tx, organization_id)
    if modseq is not None:
        await changes.record(tx, organization_id, modseq, at, [(kind, object_id, action)])


def _random_name(attempt: int) -> str:
    name = "-".join(coolname.generate(2))
    return name if attempt < _NAME_TRIES // 2 else f"{name}-{new_id()[-4:]}"


async def get_in_scope(tx: Tx, principal: Principal, account_id: str) -> Account:
    """An account by its id, if it is in the caller's scope.

    Raises:
        NotFound: there is none, or none the caller may see.
    """
    return in_scope(principal, await accounts.get(tx, account_id))


async def find_in_scope(tx: Tx, principal: Principal, address: str) -> Account:
    """An account by one of its addresses or its id, if it is in the caller's scope.

    Raises:
        NotFound: there is none, or none the caller may see.
    """
    return in_scope(principal, await find(tx, address))


async def find(tx: Tx, address: str) -> Account | None:
    """An account by one of its addresses or its id, whoever asks."""
    return await (accounts.by_address(tx, normalize(address)) if "@" in address else accounts.get(tx, address))


async def main_addresses(tx: Tx, account_ids: Iterable[str | None]) -> dict[str, str]:
    """The main addresses of accounts, by id; None and those that are gone are left out."""
    wanted = sorted({each for each in account_ids if each})
    known = await accounts.get_many(tx, wanted) if wanted else {}
    return {account.id: account.main_address for account in known.values()}


class _Scoped(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def organization_id(self) -> str: ...
    @property
    def pod_id(self) -> str: ...


A = TypeVar("A", bound=_Scoped)


def in_scope(principal: Principal, account: A | None) -> A:
    """The account, if the caller may see it. Raises `NotFound`."""
    if (
        account is None
        or account.organization_id != principal.organization_id
        or (principal.pod_id is not None and account.pod_id != principal.pod_id)
        or (principal.account_id is not None and account.id != principal.account_id)
    ):
        raise NotFound("there is no such inbox", field="inbox_id")
    return account


async def effective_level(tx: Tx, account: Account, key_level: str | None) -> str:
    """The oversight level that holds: the account's own or its organisation's, tightened by the key's."""
    level = account.level
    if level is None:
        organization = await organizations.get(tx, account.organization_id)
        level = organization.level if organization else None
    return strictest(level, key_level)


async def destroy(tx: Tx, account: Account, at: int) -> int:
    """Take an account down with all it holds; its mail stays in the graveyard. Answers how many mails.

    Its addresses stay reserved as long, so that nobody else gets what is still on its way to them.
    """
    until = at + GRAVEYARD_DAYS * DAY
    held = await accounts.addresses(tx, account.id)
    total = await graveyard.bury_account(tx, account, held, at, until)
    await accounts.reserve_addresses(tx, account.id, until)
    await search.remove(tx, await messages.ids_of_account(tx, account.id))
    await accounts.delete(tx, account.id)
    await note_organization(tx, account.organization_id, "Account", account.id, "destroyed", at)
    tx.wake(f"account:{account.id}")
    return total
