"""How closely the owner watches."""

from __future__ import annotations

from typing import Any

from posthouse.accounts import accounts as account_rules
from posthouse.admin import organizations
from posthouse.admin.known import check_level
from posthouse.app import House
from posthouse.store import accounts
from posthouse.store import organizations as stored_organizations
from posthouse.store.database import Tx


async def set_level(
    house: House, *, level: str, inbox: str | None = None, organization: str | None = None
) -> dict[str, Any]:
    """Change the oversight level of an inbox, or of the organisation named, else of the default one."""
    checked = check_level(level)

    async def unit(tx: Tx) -> dict[str, Any]:
        at = house.clock()
        if inbox is None:
            owner = await organizations.named(tx, organization)
            await stored_organizations.set_level(tx, owner.id, checked, at)
            await account_rules.note_organization(tx, owner.id, "Organization", owner.id, "updated", at)
        else:
            account = await organizations.inbox(tx, inbox)
            await accounts.set_level(tx, account.id, checked, at)
            await account_rules.note_organization(tx, account.organization_id, "Account", account.id, "updated", at)
        return {"level": checked, "inbox": inbox, "organization": owner.id if inbox is None else None}

    return await house.db.write(unit)
