"""Whom nobody of the house, or one inbox, writes to."""

from __future__ import annotations

from typing import Any

from posthouse.admin import organizations
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.outbound import suppressions
from posthouse.store import accounts
from posthouse.store.accounts import Account
from posthouse.store.database import Tx


async def listed(house: House, *, inbox: str | None = None, limit: int = 100) -> dict[str, Any]:
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


async def add(house: House, *, address: str, reason: str = "manual", inbox: str | None = None) -> dict[str, Any]:
    """Send an address no more mail, from one inbox or from the whole house."""

    async def unit(tx: Tx) -> dict[str, Any]:
        account = await _inbox(tx, inbox)
        key = await suppressions.add(tx, account, address, reason, house.clock())
        return {"address": key, "inbox": account.main_address if account else None}

    return await house.db.write(unit)


async def lift(house: House, *, address: str, inbox: str | None = None) -> dict[str, Any]:
    """Let an inbox write to an address again, or everybody."""

    async def unit(tx: Tx) -> dict[str, Any]:
        account = await _inbox(tx, inbox)
        total = await suppressions.lift(tx, account, address, house.clock())
        return {"address": address, "inbox": account.main_address if account else None, "lifted": total}

    return await house.db.write(unit)


async def _inbox(tx: Tx, address: str | None) -> Account | None:
    return None if address is None else await organizations.inbox(tx, address)
