"""Domains and their signing keys."""

from typing import Any

from posthouse.store import domains, secrets
from posthouse.store.database import Database
from posthouse.store.domains import Domain, StoredDkimKey
from store.builders import AT, house


def _domain(name: str, **values: Any) -> Domain:
    given: dict[str, Any] = {
        "organization_id": None, "pod_id": None, "client_id": None, "status": "verified", "feedback_enabled": True,
        "subdomains_enabled": False, "verified_at": AT,
    }  # fmt: skip
    return Domain(name=name, created_at=AT, updated_at=AT, **(given | values))


async def test_a_domain_belongs_to_whoever_came_first(db: Database) -> None:
    await house(db)
    mine = _domain("b.test", organization_id="org", status="pending", verified_at=None, feedback_enabled=False)
    assert await db.write(lambda tx: domains.add(tx, mine))
    assert await db.write(lambda tx: domains.add(tx, _domain("a.test")))
    assert not await db.write(lambda tx: domains.add(tx, _domain("b.test")))
    assert await db.read(lambda tx: domains.get(tx, "b.test")) == mine
    assert await db.read(lambda tx: domains.get(tx, "c.test")) is None
    assert await db.read(domains.all_names) == ["a.test", "b.test"]


async def test_signing_keys_in_use_come_oldest_first(db: Database) -> None:
    await db.write(lambda tx: domains.add(tx, _domain("a.test")))
    new, old = (
        StoredDkimKey("a.test", selector, "rsa-sha256", f"pem {selector}", at, None)
        for selector, at in (("s1", AT + 1), ("s2", AT))
    )
    for key in (new, old, StoredDkimKey("a.test", "s1", "rsa-sha256", "another", AT, None)):
        await db.write(lambda tx, key=key: domains.add_dkim_key(tx, key))
    assert await db.read(lambda tx: domains.dkim_keys(tx, "a.test")) == [old, new]
    await db.write(lambda tx: tx.run("UPDATE dkim_key SET retired_at = 1 WHERE selector = 's2'"))
    assert await db.read(lambda tx: domains.dkim_keys(tx, "a.test")) == [new]
    assert await db.read(lambda tx: domains.dkim_keys(tx, "b.test")) == []


async def test_a_secret_once_made_stays(db: Database) -> None:
    assert await db.read(lambda tx: secrets.get(tx, "s")) is None
    assert await db.write(lambda tx: secrets.get_or_add(tx, "s", "one", AT)) == "one"
    assert await db.write(lambda tx: secrets.get_or_add(tx, "s", "two", AT)) == "one"
    assert await db.read(lambda tx: secrets.get(tx, "s")) == "one"
