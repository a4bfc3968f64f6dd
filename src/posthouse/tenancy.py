"""The owner's commands about all organisations: who there is, and whom nobody of the house writes to.

Functions of a `House`, as in `admin`, which has the table of all commands.
"""

from __future__ import annotations

from typing import Any

from posthouse.accounts import accounts as account_rules
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.kit.errors import NotFound
from posthouse.outbound import suppressions
from posthouse.store import accounts, organizations
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.organizations import Organization


async def organization(tx: Tx, named: str | None) -> Organization:
    """The organisation the owner names, by its id or by an address of one of its inboxes; None is the default one.

    Raises:
        NotFound: there is none.
    """
    if named is None:
        found = await organizations.first(tx)
        if found is None:
            raise NotFound("the installation has not been initialised: run `posthouse init`")
        return found
    account = await account_rules.find(tx, named) if "@" in named else None
    found = await organizations.get(tx, account.organization_id if account else named)
    if found is None:
        raise NotFound(f"there is no organisation {named}; `posthouse organization list` shows them")
    return found


async def inbox(tx: Tx, address: str) -> Account:
    """An inbox of whichever organisation. Raises `NotFound`."""
    account = await account_rules.find(tx, address)
    if account is None:
        raise NotFound(f"there is no inbox {address}")
    return account


async def organization_list(house: House, *, limit: int = 100) -> dict[str, Any]:
    """Who there is, newest first, with how closely each is watched and who vouches for it."""

    async def unit(tx: Tx) -> dict[str, Any]:
        default = await organization(tx, None)
        found = await organizations.tenants(tx, limit + 1)
        return {
            "organizations": [
                {
                    "id": tenant.id,
                    "name": tenant.name,
                    "level": tenant.level,
                    "is_default": tenant.id == default.id,
                    "self_registered": tenant.self_registered,
                    "inboxes": tenant.inboxes,
                    "human": tenant.human_email,
                    "verified_at": iso(tenant.verified_at) if tenant.verified_at else None,
                    "created_at": iso(tenant.created_at),
                }
                for tenant in found[:limit]
            ],
            "has_more": len(found) > limit,
        }

    return await house.db.read(unit)


async def suppression_list(house: House, *, inbox: str | None = None, limit: int = 100) -> dict[str, Any]:
    """Whom no mail is sent to, newest first: by one inbox, or by any."""

    async def unit(tx: Tx) -> dict[str, Any]:
        account = await _inbox(tx, inbox)
        found = await suppressions.listed(tx, account, house.clock(), limit + 1)
        known = await accounts.get_many(tx, sorted({each.account_id for each in found if each.account_id}))
        return {
            "suppressions": [
                {
                    "address": each.address,
                    "inbox": known[each.account_id].main_address if each.account_id else None,
                    "reason": each.reason,
                    "text": each.diagnostic,
                    "created_at": iso(each.created_at),
                    "until": iso(each.expires_at) if each.expires_at else None,
                }
                for each in found[:limit]
            ],
            "has_more": len(found) > limit,
        }

    return await house.db.read(unit)


async def suppression_add(
    house: House, *, address: str, reason: str = "manual", inbox: str | None = None
) -> dict[str, Any]:
    """Send an address no more mail, from one inbox or from the whole house."""

    async def unit(tx: Tx) -> dict[str, Any]:
        account = await _inbox(tx, inbox)
        key = await suppressions.add(tx, account, address, reason, house.clock())
        return {"address": key, "inbox": account.main_address if account else None}

    return await house.db.write(unit)


async def suppression_lift(house: House, *, address: str, inbox: str | None = None) -> dict[str, Any]:
    """Let an inbox write to an address again, or everybody."""

    async def unit(tx: Tx) -> dict[str, Any]:
        account = await _inbox(tx, inbox)
        total = await suppressions.lift(tx, account, address, house.clock())
        return {"address": address, "inbox": account.main_address if account else None, "lifted": total}

    return await house.db.write(unit)


async def _inbox(tx: Tx, address: str | None) -> Account | None:
    return None if address is None else await inbox(tx, address)
