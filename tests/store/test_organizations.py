"""Organisations and pods."""

from posthouse.store import changes, organizations
from posthouse.store.database import Database, Tx
from store.builders import AT, house, organization, pod


async def test_the_oldest_organisation_is_the_installation_s_own(db: Database) -> None:
    first = organization("zeta", self_registered=True, slug="z")

    async def unit(tx: Tx) -> None:
        await organizations.add(tx, organization("alpha", at=AT + 1))
        await organizations.add(tx, first)

    assert await db.read(organizations.first) is None
    await db.write(unit)
    assert await db.read(organizations.first) == first
    assert await db.read(lambda tx: organizations.get(tx, "zeta")) == first
    assert await db.read(lambda tx: organizations.get(tx, "none")) is None


async def test_the_level_of_an_organisation_can_change(db: Database) -> None:
    await house(db)
    await db.write(lambda tx: organizations.set_level(tx, "org", "gated", AT + 5))
    found = await db.read(lambda tx: organizations.get(tx, "org"))
    assert found is not None
    assert (found.level, found.updated_at, found.created_at) == ("gated", AT + 5, AT)


async def test_a_pod_is_found_by_its_id_before_its_client_id_and_only_in_its_organisation(db: Database) -> None:
    await house(db)
    await house(db, organization_id="other")
    side = pod("side", client_id="other-name", is_default=False)
    clash = pod("other-name", client_id="third", is_default=False)

    async def unit(tx: Tx) -> None:
        await organizations.add_pod(tx, side)
        assert await organizations.get_pod(tx, "org", "other-name") == side
        await organizations.add_pod(tx, clash)

    await db.write(unit)
    assert await db.read(lambda tx: organizations.get_pod(tx, "org", "other-name")) == clash
    assert await db.read(lambda tx: organizations.get_pod(tx, "org", "side")) == side
    assert await db.read(lambda tx: organizations.get_pod(tx, "other", "side")) is None
    assert await db.read(lambda tx: organizations.default_pod(tx, "org")) == pod()
    assert await db.read(lambda tx: organizations.default_pod(tx, "none")) is None


async def test_an_organisation_counts_its_own_changes(db: Database) -> None:
    await house(db)
    taken = [await db.write(lambda tx: changes.next_organization_modseq(tx, "org")) for _ in range(3)]
    assert taken == [1, 2, 3]
    assert await db.write(lambda tx: changes.next_organization_modseq(tx, "none")) is None
