"""Mailboxes and membership: roles, counters, and UIDs that are never used twice."""

import asyncio
from dataclasses import replace

import pytest

from posthouse.mail.journal import changing
from posthouse.mail.mailboxes import provision
from posthouse.store import changes, mailboxes
from posthouse.store.database import Database, Tx
from posthouse.store.mailboxes import Mailbox
from store.builders import AT, house, role, rows, settle_in


async def _enter(
    tx: Tx, mailbox_id: str, message_id: str, *, unread: bool = True, account_id: str = "ann"
) -> int | None:
    return await mailboxes.add_member(
        tx, account_id=account_id, mailbox_id=mailbox_id, message_id=message_id, received_at=AT, modseq=1, unread=unread
    )


async def _leave(
    tx: Tx, mailbox_id: str, message_id: str, modseq: int = 2, account_id: str = "ann", *, unread: bool = True
) -> int | None:
    return await mailboxes.expunge(
        tx, account_id=account_id, mailbox_id=mailbox_id, message_id=message_id, modseq=modseq, unread=unread
    )


async def test_a_new_account_has_its_six_mailboxes_in_order(db: Database) -> None:
    await house(db, "ann")
    found = await db.read(lambda tx: mailboxes.all_of(tx, "ann"))
    assert [box.role for box in found] == ["inbox", "drafts", "sent", "archive", "junk", "trash"]
    for box in found:
        assert (box.uid_next, box.total_messages, box.unread_messages) == (1, 0, 0)
        assert box.is_subscribed is True
        assert 0 < box.uid_validity < 2**32  # RFC 9051 §2.3.1.1
        assert await db.read(lambda tx, box=box: mailboxes.by_role(tx, "ann", str(box.role))) == box
    assert await db.read(lambda tx: mailboxes.by_role(tx, "bob", "inbox")) is None


async def test_mailboxes_are_listed_by_order_then_name(db: Database) -> None:
    await house(db, "ann")
    plain = Mailbox("m", "ann", "B", None, None, 3, False, 7, 1, 0, 0, AT)

    async def unit(tx: Tx) -> None:
        await mailboxes.add(tx, plain)
        await mailboxes.add(tx, replace(plain, id="n", name="a", parent_id="m"))

    await db.write(unit)
    found = await db.read(lambda tx: mailboxes.all_of(tx, "ann"))
    assert [box.name for box in found] == ["Inbox", "Drafts", "B", "Sent", "a", "Archive", "Junk", "Trash"]
    assert found[2] == plain


async def test_a_uid_is_never_used_twice(db: Database) -> None:
    await house(db, "ann")
    inbox = await role(db, "ann", "inbox")

    async def unit(tx: Tx) -> list[int | None]:
        uids = [await _enter(tx, inbox.id, "m1"), await _enter(tx, inbox.id, "m2")]
        assert await _leave(tx, inbox.id, "m2") == 2
        uids += [await _enter(tx, inbox.id, "m2")]
        assert await _leave(tx, inbox.id, "m2", 3) == 3
        await changes.record(tx, "ann", 100, 1, [("Email", "m2", "destroyed")])
        await changes.prune(tx, 2)
        assert await mailboxes.prune_tombstones(tx) == 2
        return [*uids, await _enter(tx, inbox.id, "m3")]

    assert await db.write(unit) == [1, 2, 3, 4]


async def test_uids_and_counters_hold_when_many_enter_at_once(db: Database) -> None:
    await house(db, "ann")
    inbox = await role(db, "ann", "inbox")
    uids = await asyncio.gather(
        *(db.write(lambda tx, n=n: _enter(tx, inbox.id, f"m{n}", unread=n % 2 == 0)) for n in range(40))
    )
    assert sorted(uid for uid in uids if uid) == list(range(1, 41))
    inbox = await role(db, "ann", "inbox")
    assert (inbox.total_messages, inbox.unread_messages, inbox.uid_next) == (40, 20, 41)


async def test_leaving_a_mailbox_counts_down_once_and_leaves_a_tombstone(db: Database) -> None:
    await house(db, "ann")
    inbox = await role(db, "ann", "inbox")
    await db.write(lambda tx: _enter(tx, inbox.id, "m1"))
    await db.write(lambda tx: _enter(tx, inbox.id, "m2", unread=False))
    assert await db.write(lambda tx: _leave(tx, inbox.id, "m1", 9)) == 1
    assert await db.write(lambda tx: _leave(tx, inbox.id, "m1", 10)) is None
    inbox = await role(db, "ann", "inbox")
    assert (inbox.total_messages, inbox.unread_messages) == (1, 0)
    [gone] = await rows(db, "SELECT uid, modseq, expunged_modseq FROM membership WHERE message_id = 'm1'")
    assert gone == {"uid": 1, "modseq": 9, "expunged_modseq": 9}


async def test_a_tombstone_is_forgotten_when_nobody_can_ask_what_changed_since(db: Database) -> None:
    await house(db, "ann", "bob")
    for account_id in ("ann", "bob"):
        box = (await role(db, account_id, "inbox")).id
        for message_id, modseq in (("m1", 9), ("m2", 10), ("m3", 11)):
            await db.write(lambda tx, a=account_id, b=box, m=message_id: _enter(tx, b, f"{a}-{m}", account_id=a))
            await db.write(lambda tx, a=account_id, b=box, m=message_id, s=modseq: _leave(tx, b, f"{a}-{m}", s, a))
    assert await db.write(mailboxes.prune_tombstones) == 0
    await db.write(lambda tx: changes.record(tx, "ann", 10, 1, [("Email", "m", "destroyed")]))
    await db.write(lambda tx: changes.prune(tx, 2))
    assert await db.write(lambda tx: mailboxes.prune_tombstones(tx, 1)) == 1
    assert await db.write(lambda tx: mailboxes.prune_tombstones(tx, 1)) == 1
    assert await db.write(mailboxes.prune_tombstones) == 0
    left = await rows(db, "SELECT message_id FROM membership ORDER BY message_id")
    assert [row["message_id"] for row in left] == ["ann-m3", "bob-m1", "bob-m2", "bob-m3"]


async def test_another_account_s_mailbox_takes_nothing_and_gives_nothing(db: Database) -> None:
    await house(db, "ann", "bob")
    theirs = await role(db, "bob", "inbox")
    assert await db.write(lambda tx: _enter(tx, theirs.id, "m1")) is None
    assert await db.write(lambda tx: _enter(tx, theirs.id, "m1", account_id="bob")) == 1
    assert await db.write(lambda tx: _leave(tx, theirs.id, "m1")) is None
    assert await db.read(lambda tx: mailboxes.places(tx, "ann", ["m1"])) == {"m1": []}
    theirs = await role(db, "bob", "inbox")
    assert (theirs.total_messages, theirs.unread_messages, theirs.uid_next) == (1, 1, 2)


async def test_places_are_those_a_message_lies_in_now(db: Database) -> None:
    await house(db, "ann")
    inbox, archive = await role(db, "ann", "inbox"), await role(db, "ann", "archive")

    async def unit(tx: Tx) -> None:
        for box in (inbox, archive):
            await _enter(tx, box.id, "m1")
        await _leave(tx, inbox.id, "m1")
        await mailboxes.touch_members(tx, "m1", 7)

    await db.write(unit)
    places = await db.read(lambda tx: mailboxes.places(tx, "ann", ["m1", "m2"]))
    assert places == {"m1": [mailboxes.Membership(archive.id, 1, "ann", "m1", AT, 7, None)], "m2": []}


async def test_a_role_is_held_by_one_mailbox(db: Database) -> None:
    await house(db, "ann")

    async def twice(tx: Tx) -> None:
        async with changing(tx, "ann", AT) as journal:
            await provision(tx, journal)

    with pytest.raises(Exception, match=r"mailbox[._]role"):
        await db.write(twice)
    assert len(await db.read(lambda tx: mailboxes.all_of(tx, "ann"))) == 6
    await db.write(lambda tx: settle_in(tx, "bob"))
    assert len(await db.read(lambda tx: mailboxes.all_of(tx, "bob"))) == 6
