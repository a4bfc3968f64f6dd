"""Whose things the owner means, and who there is."""

from __future__ import annotations

from typing import Any

from posthouse.accounts import accounts as account_rules
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.store import organizations
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.organizations import Organization


async def named(tx: Tx, name: str | None) -> Organization:
    """The organisation the owner names, by its id or by an address of one of its inboxes; None is the default one.

    Raises:
        NotFound: there is none.
    """
    if name is None:
        found = await organizations.first(tx)
        if found is None:
            raise NotFound("the installation has not been initialised: run `posthouse init`")
        return found
    account = await account_rules.find(tx, name) if "@" in name else None
    found = await organizations.get(tx, account.organization_id if account else name)
    if found is None:
        raise NotFound(f"there is no organisation {name}; `posthouse organization list` shows them")
    return found


async def inbox(tx: Tx, address: str) -> Account:
    """An inbox of whichever organisation. Raises `NotFound`."""
    account = await account_rules.find(tx, address)
    if account is None:
        raise NotFound(f"there is no inbox {address}")
    return account


async def owner(house: House) -> Principal:
    """The owner, who asks: of the default organisation."""
    organization = await house.db.read(lambda tx: named(tx, None))
    return Principal(organization.id, is_owner=True)


async def listed(house: House, *, limit: int = 100) -> dict[str, Any]:
    """Who there is, newest first, with how closely each is watched and who vouches for it."""

    async def unit(tx: Tx) -> dict[str, Any]:
        default = await named(tx, None)
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
