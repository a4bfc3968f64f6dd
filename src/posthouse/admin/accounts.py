"""Inboxes: making one, and bringing back what was destroyed."""

from __future__ import annotations

from typing import Any

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import undelete
from posthouse.admin import organizations
from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.kit.errors import Conflict
from posthouse.store import accounts, graveyard
from posthouse.store.database import Tx
from posthouse.wire.address import normalize


async def create(house: House, *, address: str, organization: str | None = None) -> dict[str, Any]:
    """Make an inbox in the default organisation, or in the one named; one that exists is answered as it is.

    Raises:
        Conflict: it exists in another organisation than the one named.
    """
    local, _, domain = address.strip().rpartition("@")
    if not local:
        local, domain = domain, house.settings.domain

    async def unit(tx: Tx) -> dict[str, Any]:
        owner = await organizations.named(tx, organization)
        existing = await accounts.by_address(tx, normalize(f"{local}@{domain}"))
        if existing is None:
            created = await account_rules.create(
                tx,
                owner.id,
                at=house.clock(),
                default_domain=house.settings.domain,
                local_part=local,
                domain=domain,
                by_owner=True,
            )
            existing = created.account
        elif organization is not None and existing.organization_id != owner.id:
            raise Conflict(f"{existing.main_address} belongs to another organisation", reason="address_taken")
        return {"address": existing.main_address, "id": existing.id}

    return await house.db.write(unit)


async def graves(house: House, *, organization: str | None = None) -> dict[str, Any]:
    """What can still be brought back, newest first, of the default organisation or of the one named."""

    async def unit(tx: Tx) -> dict[str, Any]:
        owner = await organizations.named(tx, organization)
        return {
            "graves": [
                {
                    "id": grave.id,
                    "kind": grave.kind,
                    "what": grave.payload.get("subject") or grave.payload.get("main_address") or "",
                    "destroyed_at": iso(grave.destroyed_at),
                    "until": iso(grave.expires_at),
                }
                for grave in await graveyard.page(tx, owner.id)
            ]
        }

    return await house.db.read(unit)


async def bring_back(house: House, *, id: str) -> dict[str, Any]:
    """Bring back a message, or an inbox with its mail, whosever it was."""
    organization_id = await house.db.read(lambda tx: graveyard.organization_of(tx, id))
    total = await undelete.bring_back(house.db, house.blobs, organization_id or "", id, house.clock())
    return {"id": id, "messages": total}
