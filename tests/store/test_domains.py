"""Domains and their signing keys."""

from typing import Any

from posthouse.store import domains, secrets
from posthouse.store.database import Database
from posthouse.store.domains import Domain, StoredDkimKey
from store.builders import AT, house


def _domain(name: str, **values: Any) -> Domain:
    given: dict[str, Any] = {
        "id": f"id of {name}", "organization_id": None, "pod_id": None, "client_id": None, "status": "VERIFIED",
        "feedback_enabled": True, "subdomains_enabled": False, "verified_at": AT,
    }  # fmt: skip
    return Domain(name=name, created_at=AT, updated_at=AT, **(given | values))


async def test_a_domain_is_named_by_many_and_belongs_to_whoever_proves_it_first(db: Database) -> None:
    for organization_id in ("org", "two"):
        await house(db, organization_id=organization_id)
    named = [
        _domain("b.test", id=f"b of {organization_id}", organization_id=organization_id, status="PENDING",
                verified_at=None, feedback_enabled=False)
        for organization_id in ("org", "two")
    ]  # fmt: skip
    for each in (*named, _domain("a.test")):
        assert await db.write(lambda tx, each=each: domains.add(tx, each))
    again = _domain("b.test", id="again", organization_id="org", status="PENDING", verified_at=None)
    for other in (again, _domain("a.test", id="another", organization_id="org")):
        assert not await db.write(lambda tx, other=other: domains.add(tx, other))
    assert await db.read(lambda tx: domains.of_organization(tx, "org", "b.test")) == named[0]
    assert await db.read(lambda tx: domains.proved(tx, "b.test")) is None
    await db.write(lambda tx: domains.set_status(tx, "b of two", "VERIFIED", AT + 1))
    found = await db.read(lambda tx: domains.proved(tx, "b.test"))
    assert found is not None
    assert (found.id, found.organization_id, found.verified_at) == ("b of two", "two", AT + 1)
    assert await db.read(lambda tx: domains.proved(tx, "c.test")) is None
    assert [each.name for each in await db.read(domains.all_proved)] == ["a.test", "b.test"]
    assert not await db.write(lambda tx: domains.delete(tx, "org", "b of two"))
    assert await db.write(lambda tx: domains.delete(tx, "org", "b of org"))
    assert await db.read(lambda tx: domains.get(tx, "b of two")) == found


async def test_signing_keys_in_use_come_oldest_first_and_only_for_what_is_proved(db: Database) -> None:
    await house(db)
    named = _domain("b.test", organization_id="org", status="PENDING", verified_at=None)
    for each in (_domain("a.test"), named):
        await db.write(lambda tx, each=each: domains.add(tx, each))
    new, old = (
        StoredDkimKey("id of a.test", selector, "rsa-sha256", f"pem {selector}", at, None)
        for selector, at in (("s1", AT + 1), ("s2", AT))
    )
    theirs = StoredDkimKey(named.id, "s1", "rsa-sha256", "pem", AT, None)
    for key in (new, old, StoredDkimKey("id of a.test", "s1", "rsa-sha256", "another", AT, None), theirs):
        await db.write(lambda tx, key=key: domains.add_dkim_key(tx, key))
    assert await db.read(lambda tx: domains.signing_keys(tx, "a.test")) == [old, new]
    await db.write(lambda tx: tx.run("UPDATE dkim_key SET retired_at = 1 WHERE selector = 's2'"))
    assert await db.read(lambda tx: domains.signing_keys(tx, "a.test")) == [new]
    assert await db.read(lambda tx: domains.dkim_keys(tx, named.id)) == [theirs]
    assert await db.read(lambda tx: domains.signing_keys(tx, "b.test")) == []


async def test_a_secret_once_made_stays(db: Database) -> None:
    assert await db.read(lambda tx: secrets.get(tx, "s")) is None
    assert await db.write(lambda tx: secrets.get_or_add(tx, "s", "one", AT)) == "one"
    assert await db.write(lambda tx: secrets.get_or_add(tx, "s", "two", AT)) == "one"
    assert await db.read(lambda tx: secrets.get(tx, "s")) == "one"
