"""Accounts and addresses: who gets a name, who keeps it, and what goes with an account."""

import asyncio

import pytest

from posthouse.store import accounts, organizations, search
from posthouse.store.database import Database, Tx
from store.builders import AT, DOMAIN, account, count, deliver, house, mail, organization, pod, rows


async def test_an_account_is_found_by_id_address_and_client_id(db: Database) -> None:
    await house(db)
    made = account("ann", client_id="c1", metadata={"n": [1, None, "ü"]}, display_name="Ann", quota_bytes=5)

    async def unit(tx: Tx) -> None:
        await accounts.add(tx, made)
        assert await accounts.claim_address(tx, f"ann@{DOMAIN}", "ann", DOMAIN, AT)
        assert await accounts.claim_address(tx, f"a@{DOMAIN}", "ann", DOMAIN, AT)

    await db.write(unit)
    assert await db.read(lambda tx: accounts.get(tx, "ann")) == made
    assert await db.read(lambda tx: accounts.by_address(tx, f"a@{DOMAIN}")) == made
    assert await db.read(lambda tx: accounts.by_client_id(tx, "org", "c1")) == made
    assert await db.read(lambda tx: accounts.by_client_id(tx, "other", "c1")) is None
    assert await db.read(lambda tx: accounts.by_address(tx, f"b@{DOMAIN}")) is None
    assert await db.read(lambda tx: accounts.get(tx, "bob")) is None
    assert await db.read(lambda tx: accounts.get_many(tx, ["ann", "bob"])) == {"ann": made}
    assert await db.read(lambda tx: accounts.addresses(tx, "ann")) == [f"a@{DOMAIN}", f"ann@{DOMAIN}"]
    assert await db.read(lambda tx: accounts.count(tx, "org")) == 1


async def test_what_a_caller_may_change_is_changed_and_nothing_else(db: Database) -> None:
    await house(db, "ann", "bob")

    async def unit(tx: Tx) -> None:
        await accounts.update(tx, "ann", display_name="A", metadata={"k": 1}, at=AT + 1)
        await accounts.set_level(tx, "ann", "gated", AT + 2)

    before = await db.read(lambda tx: accounts.get(tx, "bob"))
    await db.write(unit)
    found = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert found is not None
    assert (found.display_name, found.metadata, found.level, found.updated_at) == ("A", {"k": 1}, "gated", AT + 2)
    assert await db.read(lambda tx: accounts.get(tx, "bob")) == before
    await db.write(lambda tx: accounts.update(tx, "ann", display_name=None, metadata=None, at=AT + 3))
    cleared = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert cleared is not None
    assert (cleared.display_name, cleared.metadata) == (None, None)


async def test_an_address_has_one_account(db: Database) -> None:
    await house(db, "ann", "bob")
    assert not await db.write(lambda tx: accounts.claim_address(tx, f"ann@{DOMAIN}", "bob", DOMAIN, AT))
    found = await db.read(lambda tx: accounts.by_address(tx, f"ann@{DOMAIN}"))
    assert found is not None
    assert found.id == "ann"


async def test_of_many_who_claim_an_address_at_once_one_gets_it(db: Database) -> None:
    names = [f"a{n}" for n in range(8)]
    await house(db, *names)
    got = await asyncio.gather(
        *(
            db.write(lambda tx, name=name: accounts.claim_address(tx, "wanted@x.test", name, "x.test", AT))
            for name in names
        )
    )
    assert got.count(True) == 1
    found = await db.read(lambda tx: accounts.get_address(tx, "wanted@x.test"))
    assert found is not None
    assert found.account_id == names[got.index(True)]


async def test_a_reserved_address_takes_no_mail_and_is_free_again_when_its_time_is_over(db: Database) -> None:
    await house(db, "ann", "bob")
    address = f"ann@{DOMAIN}"

    async def leave(tx: Tx) -> None:
        await accounts.reserve_addresses(tx, "ann", AT + 1_000)
        await accounts.delete(tx, "ann")

    await db.write(leave)
    assert await db.read(lambda tx: accounts.by_address(tx, address)) is None
    kept = await db.read(lambda tx: accounts.get_address(tx, address))
    assert kept == accounts.Address(address, None, DOMAIN, AT + 1_000)
    assert not await db.write(lambda tx: accounts.claim_address(tx, address, "bob", DOMAIN, AT + 999))
    assert await db.write(lambda tx: accounts.claim_address(tx, address, "bob", DOMAIN, AT + 1_000))
    found = await db.read(lambda tx: accounts.get_address(tx, address))
    assert found == accounts.Address(address, "bob", DOMAIN, None)


async def test_change_numbers_are_taken_one_by_one_and_a_gone_account_has_none(db: Database) -> None:
    await house(db, "ann")
    start = (await db.read(lambda tx: accounts.get_many(tx, ["ann"])))["ann"].modseq
    taken = await asyncio.gather(
        *(db.write(lambda tx: accounts.next_modseq(tx, "ann", added_bytes=10)) for _ in range(20))
    )
    assert sorted(turn.modseq for turn in taken if turn) == list(range(start + 1, start + 21))
    assert await db.write(lambda tx: accounts.next_modseq(tx, "nobody")) is None
    await db.write(lambda tx: accounts.add_used_bytes(tx, "ann", -50))
    found = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert found is not None
    assert (found.modseq, found.used_bytes) == (start + 20, 150)


async def test_the_index_mark_only_moves_forward(db: Database) -> None:
    await house(db, "ann")
    for modseq in (5, 3):
        await db.write(lambda tx, modseq=modseq: accounts.set_indexed(tx, "ann", modseq))
    found = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert found is not None
    assert found.indexed_modseq == 5


@pytest.mark.parametrize("ascending", [True, False])
async def test_pages_of_accounts_neither_skip_nor_repeat(db: Database, ascending: bool) -> None:
    async def unit(tx: Tx) -> None:
        for name in ("org", "other"):
            await organizations.add(tx, organization(name))
            await organizations.add_pod(tx, pod(f"{name}-pod", name))
        await organizations.add_pod(tx, pod("side", is_default=False))
        for n in range(9):
            await accounts.add(tx, account(f"a{n}", at=AT + n // 3, pod_id="side" if n % 2 else "org-pod"))
        await accounts.add(tx, account("x", "other"))

    await db.write(unit)
    seen: list[str] = []
    after = None
    while found := await db.read(
        lambda tx, after=after: accounts.page(tx, "org", after=after, ascending=ascending, limit=2)
    ):
        seen += [one.id for one in found]
        after = (found[-1].created_at, found[-1].id)
    expected = [f"a{n}" for n in range(9)]
    assert seen == (expected if ascending else expected[::-1])
    side = await db.read(lambda tx: accounts.page(tx, "org", pod_id="side", ascending=True, limit=9))
    assert [one.id for one in side] == ["a1", "a3", "a5", "a7"]
    one = await db.read(lambda tx: accounts.page(tx, "org", account_id="a4", limit=9))
    assert [found.id for found in one] == ["a4"]


async def test_what_belongs_to_an_account_goes_with_it_and_its_neighbour_stays(db: Database) -> None:
    await house(db, "ann", "bob")
    for name in ("ann", "bob"):
        raw = mail(message_id=f"{name}@x", references=["r@x"])
        await db.write(lambda tx, name=name, raw=raw: deliver(tx, name, raw, keywords=["k"]))

    async def unit(tx: Tx) -> None:
        await search.remove(tx, ["none"])
        await accounts.delete(tx, "ann")

    await db.write(unit)
    for table in ("mailbox", "thread", "thread_reference", "message", "message_keyword", "membership", "address"):
        found = await rows(db, f"SELECT DISTINCT account_id FROM {table} WHERE account_id IS NOT NULL")
        assert [row["account_id"] for row in found] == ["bob"], table
    assert await count(db, "message_body") == 1
