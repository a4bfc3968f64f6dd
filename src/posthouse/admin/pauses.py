"""One switch that stops what leaves: from an inbox, an organisation, or everything."""

from __future__ import annotations

from typing import Any

from posthouse.accounts import pauses as rules
from posthouse.admin import organizations
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.kit.errors import Invalid
from posthouse.kit.principal import Principal
from posthouse.store import accounts, pauses
from posthouse.store.database import Tx


async def pause(
    house: House,
    *,
    inbox: str | None = None,
    organization: str | None = None,
    everything: bool = False,
    reason: str | None = None,
) -> dict[str, Any]:
    """Stop what leaves. Without `inbox` and `everything`: the organisation named, else the default one."""
    _check_one(inbox, organization, everything)

    async def unit(tx: Tx) -> dict[str, Any]:
        at = house.clock()
        if everything:
            await rules.pause_all(tx, None, at, reason)
            return {"paused": "everything"}
        if inbox is None:
            owner = await organizations.named(tx, organization)
            await rules.pause_all(tx, owner.id, at, reason)
            return {"paused": owner.id}
        account = await organizations.inbox(tx, inbox)
        principal = Principal(account.organization_id, is_owner=True)
        await rules.pause_account(tx, principal, account, at, reason)
        return {"paused": account.main_address}

    return await house.db.write(unit)


async def resume(
    house: House, *, inbox: str | None = None, organization: str | None = None, everything: bool = False
) -> dict[str, Any]:
    """Let it go on; what waited leaves. What is paused by itself, within what is resumed, stays so."""
    _check_one(inbox, organization, everything)

    async def unit(tx: Tx) -> dict[str, Any]:
        at = house.clock()
        if everything:
            return {"resumed": "everything", "was_paused": await rules.resume_all(tx, None, at)}
        if inbox is None:
            owner = await organizations.named(tx, organization)
            return {"resumed": owner.id, "was_paused": await rules.resume_all(tx, owner.id, at)}
        account = await organizations.inbox(tx, inbox)
        principal = Principal(account.organization_id, is_owner=True)
        was_paused = await rules.resume_account(tx, principal, account, at)
        return {"resumed": account.main_address, "was_paused": was_paused}

    return await house.db.write(unit)


async def listed(house: House) -> dict[str, Any]:
    """What is paused, the oldest first."""

    async def unit(tx: Tx) -> dict[str, Any]:
        found = await pauses.all_of(tx)
        named = await accounts.get_many(tx, [each.scope_id for each in found])
        return {
            "pauses": [
                {
                    "what": "everything"
                    if each.scope_id == pauses.ALL
                    else named[each.scope_id].main_address
                    if each.scope_id in named
                    else each.scope_id,
                    "by": f"key {each.paused_by}" if each.paused_by else "the owner",
                    "reason": each.reason,
                    "paused_at": iso(each.paused_at),
                }
                for each in found
            ]
        }

    return await house.db.read(unit)


def _check_one(inbox: str | None, organization: str | None, everything: bool) -> None:
    if sum((inbox is not None, organization is not None, everything)) > 1:
        raise Invalid("name one: an inbox, an organisation, or everything")
