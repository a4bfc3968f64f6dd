"""The accounts within a reach, as whoever runs them works with them: made, listed, searched, changed, taken down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import pauses
from posthouse.accounts.accounts import note_organization
from posthouse.accounts.reach import Reach
from posthouse.kit.errors import Conflict, Forbidden, NotFound
from posthouse.kit.pages import Page, PageRequest, cut
from posthouse.kit.principal import Principal
from posthouse.store import accounts
from posthouse.store.accounts import Account
from posthouse.store.database import Tx

Status = Literal["active", "paused"]


@dataclass(frozen=True, slots=True)
class Member:
    """An account, and whether what it sends is stopped."""

    account: Account
    is_paused: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """An account to be made; what is left out is chosen here.

    Attributes:
        client_id: the same one finds the account made before.
    """

    local_part: str | None = None
    domain: str | None = None
    display_name: str | None = None
    client_id: str | None = None
    metadata: dict[str, Any] | None = None
    status: Status | None = None


async def create(
    tx: Tx, principal: Principal, within: Reach, wanted: Wanted, *, default_domain: str, at: int
) -> tuple[Member, bool]:
    """Make an account within a reach; returns it, and whether this call made it.

    Raises:
        Conflict: the `client_id` is that of an account elsewhere (reason `client_id_taken`).
        As `accounts.create` does.
    """
    made = await account_rules.create(
        tx,
        within.organization_id,
        at=at,
        default_domain=default_domain,
        local_part=wanted.local_part,
        domain=wanted.domain,
        display_name=wanted.display_name,
        client_id=wanted.client_id,
        metadata=wanted.metadata,
        pod_id=within.pod_id,
    )
    if not within.has(made.account):
        raise Conflict("this client_id is in use", field="client_id", reason="client_id_taken")
    if made.is_new:
        await set_status(tx, principal, made.account, wanted.status, at)
    return (await _members(tx, [made.account]))[0], made.is_new


async def page(tx: Tx, within: Reach, asked: PageRequest, *, text: str | None = None) -> Page[Member]:
    """The accounts within a reach; with `text`, those whose address or name has it in it."""
    if text is None:
        found = await accounts.page(
            tx, within.organization_id, pod_id=within.pod_id, account_id=within.account_id, after=asked.after,
            ascending=asked.ascending, limit=asked.size + 1,
        )  # fmt: skip
    else:
        found = await accounts.find(
            tx, within.organization_id, text, pod_id=within.pod_id, account_id=within.account_id, after=asked.after,
            limit=asked.size + 1,
        )  # fmt: skip
    shown = cut(found, asked.size)
    return Page(await _members(tx, shown.items), shown.more)


async def get(tx: Tx, within: Reach) -> Member:
    """The one account of a reach. Raises `NotFound` where it is not of one."""
    return (await _members(tx, [_only(within)]))[0]


async def change(
    tx: Tx,
    principal: Principal,
    within: Reach,
    *,
    display_name: str | None,
    metadata: Mapping[str, Any] | None,
    status: Status | None,
    at: int,
) -> Member:
    """Give the one account of a reach this name and these notes; stop what it sends, or let it go on.

    Raises:
        NotFound: the reach is not of one account.
        Forbidden: it was paused by somebody who reaches further.
    """
    account = _only(within)
    notes = None if metadata is None else dict(metadata)
    await accounts.update(tx, account.id, display_name=display_name, metadata=notes, at=at)
    await note_organization(tx, account.organization_id, "Account", account.id, "updated", at)
    await set_status(tx, principal, account, status, at)
    changed = await accounts.get(tx, account.id)
    assert changed is not None  # it was changed just now
    return (await _members(tx, [changed]))[0]


async def destroy(tx: Tx, within: Reach, *, operator_address: str, at: int) -> None:
    """Take the one account of a reach down with all it holds; the owner can bring it back for a while.

    Raises:
        NotFound: the reach is not of one account.
        Forbidden: it is the operator's own (reason `cannot_delete`).
    """
    account = _only(within)
    if account.main_address == operator_address:
        raise Forbidden("the operator's own inbox stays", reason="cannot_delete")
    await account_rules.destroy(tx, account, at)


async def set_status(tx: Tx, principal: Principal, account: Account, status: Status | None, at: int) -> None:
    """Stop what an account sends, or let it go on; None leaves it. Raises as `pauses.resume_account`."""
    if status == "paused":
        await pauses.pause_account(tx, principal, account, at)
    elif status == "active":
        await pauses.resume_account(tx, principal, account, at)


async def _members(tx: Tx, found: Sequence[Account]) -> list[Member]:
    paused = await pauses.paused_ids(tx, found)
    return [Member(account, account.id in paused) for account in found]


def _only(within: Reach) -> Account:
    if within.account is None:
        raise NotFound("there is no such inbox", field="inbox_id")
    return within.account
