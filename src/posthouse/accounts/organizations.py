"""An organisation as its own keys see it."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.store import accounts, domains, organizations
from posthouse.store.database import Tx
from posthouse.store.organizations import Organization


@dataclass(frozen=True, slots=True)
class Overview:
    """An organisation, and how much it has."""

    organization: Organization
    accounts: int
    domains: int


async def overview(tx: Tx, principal: Principal) -> Overview:
    """The organisation of a caller that is bound to no part of it. Raises `NotFound`."""
    found = await organizations.get(tx, principal.organization_id)
    if found is None or principal.pod_id is not None or principal.account_id is not None:
        raise NotFound("there is no organisation this key may see")
    return Overview(found, await accounts.count(tx, found.id), await domains.count(tx, found.id))
