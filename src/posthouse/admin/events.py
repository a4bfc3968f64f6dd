"""What happened lately."""

from __future__ import annotations

from typing import Any

from posthouse.admin import organizations
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.store import accounts, events
from posthouse.store.database import Tx


async def latest(house: House, *, limit: int = 50, organization: str | None = None) -> dict[str, Any]:
    """The latest events of the default organisation or of the one named, oldest first."""

    async def unit(tx: Tx) -> dict[str, Any]:
        found = await events.latest(tx, (await organizations.named(tx, organization)).id, limit)
        known = await accounts.get_many(tx, sorted({event.account_id for event in found if event.account_id}))
        return {
            "events": [
                {
                    "id": event.id,
                    "at": iso(event.at),
                    "type": event.type,
                    "inbox": known[event.account_id].main_address if event.account_id in known else None,
                    "message_id": event.message_id,
                    **event.payload,
                }
                for event in reversed(found)
            ]
        }

    return await house.db.read(unit)
