"""What a connection may do follows its key; run on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from posthouse.accounts import keys as key_rules
from posthouse.accounts.leases import Leases
from posthouse.accounts.rights import Right
from posthouse.kit.errors import Unauthenticated
from posthouse.kit.principal import Principal
from posthouse.store import keys, organizations
from posthouse.store.database import Database
from posthouse.store.keys import ApiKey
from store.builders import organization

_WITHIN_S = 5.0


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.at = 1_790_000_000_000

    def __call__(self) -> int:
        return self.at


@dataclass
class Place:
    """An organisation, and whoever leases its keys."""

    db: Database
    clock: Clock
    leases: Leases
    organization_id: str

    async def key(self, **fields: Any) -> ApiKey:
        async def unit(tx: Any) -> ApiKey:
            made, _ = await key_rules.create(
                tx, organization_id=self.organization_id, surface="agentmail", at=self.clock(), **fields
            )
            return made

        return await self.db.write(unit)


@pytest.fixture
async def place(db: Database) -> AsyncIterator[Place]:
    clock = Clock()
    await db.write(lambda tx: organizations.add(tx, organization("one")))
    leases = Leases(db, clock)
    yield Place(db, clock, leases, "one")
    await leases.aclose()


async def test_a_revoked_key_ends_its_leases_and_no_others(place: Place) -> None:
    key, other = await place.key(), await place.key()
    leases = [place.leases.take(key_rules.principal_of(each)) for each in (key, key, other)]
    assert (await leases[0].check()).key_id == key.id
    await place.db.write(lambda tx: keys.delete(tx, place.organization_id, key.id))
    async with asyncio.timeout(_WITHIN_S):
        await asyncio.gather(leases[0].ended(), leases[1].ended())
    with pytest.raises(Unauthenticated):
        await leases[0].check()
    assert (await leases[2].check()).key_id == other.id


async def test_narrower_rights_and_a_tighter_level_hold_at_once(place: Place) -> None:
    key = await place.key()
    lease = place.leases.take(key_rules.principal_of(key))
    assert (await lease.check()).may(Right.MESSAGE_SEND)
    await place.db.write(lambda tx: keys.update(tx, key.id, name="n", rights=[Right.MESSAGE_READ]))
    async with asyncio.timeout(_WITHIN_S):
        while (await lease.check()).may(Right.MESSAGE_SEND):
            await asyncio.sleep(0)
    assert (await lease.check()).may(Right.MESSAGE_READ)
    assert not lease.is_over


async def test_a_key_that_changed_between_its_check_and_the_lease_is_read_again(place: Place) -> None:
    key = await place.key()
    await place.db.write(lambda tx: keys.delete(tx, place.organization_id, key.id))
    with pytest.raises(Unauthenticated):
        await place.leases.take(key_rules.principal_of(key)).check()


async def test_a_lease_ends_when_the_key_runs_out(place: Place) -> None:
    key = await place.key(expires_at=place.clock() + 1_000)
    lease = place.leases.take(key_rules.principal_of(key))
    await lease.check()
    place.clock.at += 1_000
    with pytest.raises(Unauthenticated):
        await lease.check()
    later = place.leases.take(key_rules.principal_of(key))
    async with asyncio.timeout(_WITHIN_S):
        await later.ended()


async def test_the_owner_s_lease_never_ends(place: Place) -> None:
    lease = place.leases.take(Principal(place.organization_id, is_owner=True))
    place.clock.at += 10**12
    assert (await lease.check()).is_owner
