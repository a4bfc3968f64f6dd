"""API keys: found by digest, revoked for good, listed in pages."""

from typing import Any

import pytest

from posthouse.store import accounts, keys, organizations
from posthouse.store.database import Database, Tx
from posthouse.store.keys import ApiKey
from store.builders import AT, house, organization, pod


def _key(id_: str, *, at: int = AT, **values: Any) -> ApiKey:
    given: dict[str, Any] = {
        "organization_id": "org", "pod_id": None, "account_id": None, "surface": "agentmail", "name": id_,
        "prefix": "am_", "digest": f"d-{id_}", "rights": None, "level": None, "is_owner": False,
        "expires_at": None, "used_at": None,
    }  # fmt: skip
    return ApiKey(id=id_, created_at=at, **(given | values))


async def test_a_key_is_found_by_its_digest_with_all_it_says(db: Database) -> None:
    await house(db, "ann")
    made = _key("k", account_id="ann", rights=["a", "b"], level="gated", expires_at=AT + 1)
    none = _key("n", rights=[])
    await db.write(lambda tx: keys.add(tx, made))
    await db.write(lambda tx: keys.add(tx, none))
    assert await db.read(lambda tx: keys.by_digest(tx, "d-k")) == made
    # No rights and all rights are two things.
    assert await db.read(lambda tx: keys.by_digest(tx, "d-n")) == none
    assert await db.read(lambda tx: keys.by_digest(tx, "d-")) is None
    await db.write(lambda tx: keys.touch(tx, "k", AT + 9))
    used = await db.read(lambda tx: keys.get(tx, "org", "k"))
    assert used is not None
    assert used.used_at == AT + 9


async def test_only_its_own_organisation_sees_or_revokes_a_key(db: Database) -> None:
    await house(db)
    await db.write(lambda tx: keys.add(tx, _key("k")))
    assert await db.read(lambda tx: keys.get(tx, "other", "k")) is None
    assert not await db.write(lambda tx: keys.delete(tx, "other", "k"))
    assert await db.read(lambda tx: keys.exists(tx, "k"))
    assert await db.write(lambda tx: keys.delete(tx, "org", "k"))
    assert not await db.write(lambda tx: keys.delete(tx, "org", "k"))
    assert not await db.read(lambda tx: keys.exists(tx, "k"))
    assert await db.read(lambda tx: keys.by_digest(tx, "d-k")) is None


async def test_the_owner_s_key_is_found(db: Database) -> None:
    await house(db)
    await db.write(lambda tx: keys.add(tx, _key("plain")))
    assert await db.read(keys.owner_key) is None
    owner = _key("owner", is_owner=True)
    await db.write(lambda tx: keys.add(tx, owner))
    assert await db.read(keys.owner_key) == owner


async def test_keys_of_an_account_go_with_it(db: Database) -> None:
    await house(db, "ann")
    await db.write(lambda tx: keys.add(tx, _key("k", account_id="ann")))
    await db.write(lambda tx: accounts.delete(tx, "ann"))
    assert not await db.read(lambda tx: keys.exists(tx, "k"))


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_of_keys_neither_skip_nor_repeat_and_stay_in_scope(db: Database, ascending: bool) -> None:
    await house(db, "ann")

    async def unit(tx: Tx) -> None:
        await organizations.add(tx, organization("other"))
        await organizations.add_pod(tx, pod("side", is_default=False))
        for n in range(7):
            await keys.add(tx, _key(f"k{n}", at=AT + n // 3, pod_id="side" if n % 2 else None))
        await keys.add(tx, _key("ann1", at=AT + 9, account_id="ann"))
        await keys.add(tx, _key("x", organization_id="other"))

    await db.write(unit)
    seen: list[str] = []
    after = None
    while found := await db.read(
        lambda tx, after=after: keys.page(tx, "org", after=after, ascending=ascending, limit=3)
    ):
        seen += [key.id for key in found]
        after = (found[-1].created_at, found[-1].id)
    expected = [*(f"k{n}" for n in range(7)), "ann1"]
    assert seen == (expected if ascending else expected[::-1])
    assert [key.id for key in await db.read(lambda tx: keys.page(tx, "org", account_id="ann"))] == ["ann1"]
    assert [key.id for key in await db.read(lambda tx: keys.page(tx, "org", pod_id="side"))] == ["k5", "k3", "k1"]
