"""API keys."""

from __future__ import annotations

from typing import Any

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import keys as key_rules
from posthouse.admin import organizations
from posthouse.admin.known import check_level, check_surface
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.kit.errors import Invalid, NotFound
from posthouse.store import accounts, keys
from posthouse.store.database import Tx
from posthouse.wire.address import normalize


async def create(
    house: House,
    *,
    surface: str,
    inbox: str | None = None,
    scopes: list[str] | None = None,
    level: str | None = None,
    name: str = "",
    organization: str | None = None,
) -> dict[str, Any]:
    """Make a key for a surface, for one inbox or for a whole organisation: the one named, else the default one."""
    spoken = check_surface(surface)
    unknown = sorted(set(scopes or ()) - spoken.permissions.keys())
    if unknown:
        raise Invalid(f"{unknown[0]!r} is no permission of {surface}", field="scopes")
    checked = None if level is None else check_level(level)

    async def unit(tx: Tx) -> dict[str, Any]:
        account = await accounts.by_address(tx, normalize(inbox)) if inbox else None
        owner = await organizations.named(tx, account.organization_id if account and not organization else organization)
        if inbox:
            if account is None or account.organization_id != owner.id:
                raise Invalid(f"there is no inbox {inbox}; make it with `posthouse inbox create`", field="inbox")
        elif spoken.is_of_one_account:
            domain = house.settings.domain
            created = await account_rules.create(tx, owner.id, at=house.clock(), default_domain=domain, by_owner=True)
            account = created.account
        key, secret = await key_rules.create(
            tx,
            organization_id=owner.id,
            surface=surface,
            name=name or "made on the command line",
            pod_id=account.pod_id if account else None,
            account_id=account.id if account else None,
            rights=None if scopes is None else spoken.rights_of(scopes),
            level=checked,
            at=house.clock(),
        )
        return {
            "key": secret,
            "id": key.id,
            "surface": surface,
            "inbox": account.main_address if account else None,
            "organization": owner.id,
        }

    return await house.db.write(unit)


async def listed(house: House, *, organization: str | None = None) -> dict[str, Any]:
    """The keys of the default organisation or of the one named, newest first; never the secrets."""

    async def unit(tx: Tx) -> dict[str, Any]:
        found = await keys.page(tx, (await organizations.named(tx, organization)).id)
        known = await accounts.get_many(tx, [key.account_id for key in found if key.account_id])
        return {
            "keys": [
                {
                    "id": key.id,
                    "prefix": key.prefix,
                    "surface": key.surface,
                    "name": key.name,
                    "inbox": known[key.account_id].main_address if key.account_id in known else None,
                    "level": key.level,
                    "created_at": iso(key.created_at),
                    "used_at": iso(key.used_at) if key.used_at else None,
                }
                for key in found
            ]
        }

    await house.keys.flush()
    return await house.db.read(unit)


async def revoke(house: House, *, id: str) -> dict[str, Any]:
    """Make a key worthless from now on, whosever it is."""

    async def unit(tx: Tx) -> dict[str, Any]:
        organization_id = await keys.organization_of(tx, id)
        if organization_id is None or not await key_rules.revoke(tx, organization_id, id, house.clock()):
            raise NotFound(f"there is no key {id}; `posthouse key list` shows them")
        return {"revoked": id}

    return await house.db.write(unit)
