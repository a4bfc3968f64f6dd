"""Filing, moving, marking, destroying: counters, UIDs and the log agree with a simple model whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass, field

import pytest

from posthouse.kit.clock import DAY
from posthouse.kit.errors import Conflict, Invalid, NotFound
from posthouse.mail import filing, reading
from posthouse.mail.journal import EMAIL, MAILBOX, THREAD, changing
from posthouse.mail.marking import Patch, apply
from posthouse.store import accounts, changes, graveyard, mailboxes, messages, threads
from posthouse.store.database import Database, Tx
from posthouse.store.messages import Message
from store.builders import AT, deliver, destroy, file, house, mail, mark, receive, role, rows


async def _roles(db: Database, message: Message) -> set[str]:
    return set((await db.read(lambda tx: reading.get(tx, message.account_id, message.id)))[0].roles)


async def _get(db: Database, message: Message) -> Message:
    found = await db.read(lambda tx: messages.get(tx, message.account_id, message.id))
    assert found is not None
    return found


async def _do(db: Database, message: Message, verb: str, *given: object) -> None:
    async def unit(tx: Tx) -> None:
        async with changing(tx, message.account_id, AT + 1) as journal:
            found = await messages.get(tx, message.account_id, message.id)
            assert found is not None
            await getattr(filing, verb)(tx, journal, found, *given)

    await db.write(unit)


# --- one at a time


async def test_a_filed_message_reads_back_as_it_was_filed(db: Database) -> None:
    await house(db, "ann")
    raw = mail("Grüße", message_id="m@x", references=["a@x", "b@x"], in_reply_to=["b@x"], cc="Cy <cy@x.test>")
    made = await receive(db, "ann", raw, keywords=["zeta", "$seen", "zeta"], handed_in={"via": "smtp"})
    message, body = await db.read(lambda tx: reading.get(tx, "ann", made.id))
    assert message == made
    assert message.roles == {"inbox"}
    assert made.keywords == ("$seen", "zeta")
    assert (made.subject, made.header_message_id, made.refs, made.in_reply_to) == (
        "Grüße",
        "m@x",
        ("a@x", "b@x"),
        ("b@x",),
    )
    assert [(one.name, one.email) for one in made.cc_list] == [("Cy", "cy@x.test")]
    assert body.text_body == "words\n"
    assert body.handed_in == {"via": "smtp"}
    assert body.headers[2][0] == "Subject"
    owner = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert owner is not None
    assert owner.used_bytes == len(raw)
    with pytest.raises(NotFound):
        await db.read(lambda tx: reading.get(tx, "bob", made.id))


async def test_filing_tells_of_the_message_its_thread_and_its_mailbox(db: Database) -> None:
    await house(db, "ann")
    before = (await db.read(lambda tx: accounts.get_many(tx, ["ann"])))["ann"].modseq
    made = await receive(db, "ann")
    inbox = await role(db, "ann", "inbox")
    for kind, created, updated in (
        (EMAIL, (made.id,), ()), (THREAD, (made.thread_id,), ()), (MAILBOX, (), (inbox.id,)),
    ):  # fmt: skip
        found = await db.read(lambda tx, kind=kind: changes.since(tx, "ann", kind, before, before + 1, 9))
        assert found == changes.Changes(created, updated, (), before + 1, False)


async def test_a_unit_that_fails_after_filing_leaves_nothing_at_all(db: Database) -> None:
    await house(db, "ann")

    async def unit(tx: Tx) -> None:
        await deliver(tx, "ann", mail())
        raise Conflict("no")

    with pytest.raises(Conflict):
        await db.write(unit)
    inbox = await role(db, "ann", "inbox")
    assert (inbox.uid_next, inbox.total_messages) == (1, 0)
    for table in ("message", "message_body", "thread", "blob", "job", "membership"):
        assert await rows(db, f"SELECT * FROM {table}") == [], table


async def test_a_mail_goes_nowhere_when_the_account_has_no_such_mailbox(db: Database) -> None:
    await house(db, "ann")
    with pytest.raises(NotFound):
        await receive(db, "ann", mailbox_roles=["inbox", "scheduled"])
    with pytest.raises(NotFound):
        await receive(db, "nobody")
    assert await rows(db, "SELECT * FROM message") == []


@pytest.mark.parametrize("label", ["", "  ", "a\nb", "x" * 256])
async def test_a_label_that_is_none_is_refused_and_nothing_changes(db: Database, label: str) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", keywords=["a"])
    with pytest.raises(Invalid):
        await mark(db, "ann", made.id, ["b", label])
    assert (await _get(db, made)).keywords == ("a",)


async def test_a_message_has_at_most_two_hundred_labels(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann")
    await mark(db, "ann", made.id, [f"l{n}" for n in range(200)])
    with pytest.raises(Invalid):
        await mark(db, "ann", made.id, [f"l{n}" for n in range(201)])
    assert len((await _get(db, made)).keywords) == 200


async def test_a_message_always_lies_in_a_mailbox_of_its_own_account(db: Database) -> None:
    await house(db, "ann", "bob")
    made = await receive(db, "ann")
    theirs = await role(db, "bob", "inbox")
    with pytest.raises(Invalid):
        await _do(db, made, "move", [])
    with pytest.raises(NotFound):
        await _do(db, made, "move", [theirs.id])
    assert await _roles(db, made) == {"inbox"}
    assert (await role(db, "bob", "inbox")).total_messages == 0


async def test_what_went_to_trash_or_junk_comes_back_to_where_it_was(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", mailbox_roles=["archive"])
    await _do(db, made, "move_to_role", "junk")
    await _do(db, made, "move_to_role", "trash")
    assert await _roles(db, made) == {"trash"}
    assert (await _get(db, made)).origin_mailbox_id == (await role(db, "ann", "archive")).id
    await _do(db, made, "restore")
    assert await _roles(db, made) == {"archive"}
    assert (await _get(db, made)).origin_mailbox_id is None


@pytest.mark.parametrize(("direction", "home"), [("in", "inbox"), ("out", "sent"), ("draft", "drafts")])
async def test_what_never_lay_elsewhere_is_restored_to_its_usual_place(db: Database, direction: str, home: str) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", direction=direction, mailbox_roles=["junk"])
    await _do(db, made, "restore")
    assert await _roles(db, made) == {home}


async def test_what_leaves_the_trash_stays_where_it_also_lies(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", mailbox_roles=["inbox", "archive", "junk", "trash"])

    async def take_from(word: str) -> None:
        async def unit(tx: Tx) -> None:
            async with changing(tx, "ann", AT) as journal:
                found = await messages.get_many(tx, "ann", [made.id])
                await apply(tx, journal, found[made.id], Patch(take_from=[word]))

        await db.write(unit)

    await take_from("trash")
    assert await _roles(db, made) == {"inbox", "archive", "junk"}, "the one label was removed, and no other"
    await take_from("junk")
    assert await _roles(db, made) == {"inbox", "archive"}


async def test_a_patch_removes_what_is_in_both_of_its_lists(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", keywords=["a", "b"])

    async def unit(tx: Tx) -> None:
        async with changing(tx, "ann", AT) as journal:
            await apply(tx, journal, made, Patch(add=["c", "a"], remove=["b", "c"], move_to="trash"))

    await db.write(unit)
    assert (await _get(db, made)).keywords == ("a",)
    assert await _roles(db, made) == {"trash"}


async def test_the_delivery_state_of_a_sent_message_is_a_change(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", direction="out", mailbox_roles=["sent"], delivery_state="queued")

    async def unit(tx: Tx) -> int:
        async with changing(tx, "ann", AT + 4) as journal:
            await filing.set_delivery_state(tx, journal, made.id, "delivered")
            return journal.modseq

    modseq = await db.write(unit)
    found = await _get(db, made)
    assert (found.delivery_state, found.modseq, found.updated_at) == ("delivered", modseq, AT + 4)
    told = await db.read(lambda tx: changes.since(tx, "ann", EMAIL, modseq - 1, modseq, 9))
    assert told is not None
    assert told.updated == (made.id,)


async def test_deliveries_that_end_after_their_message_was_destroyed_are_no_change(db: Database) -> None:
    await house(db, "ann")
    made = await receive(db, "ann", direction="out", mailbox_roles=["sent"], delivery_state="queued")
    await destroy(db, made)

    async def unit(tx: Tx) -> int:
        async with changing(tx, "ann", AT + 4) as journal:
            await filing.set_delivery_state(tx, journal, made.id, "delivered")
            return journal.modseq

    modseq = await db.write(unit)
    told = await db.read(lambda tx: changes.since(tx, "ann", EMAIL, modseq - 2, modseq, 9))
    assert told is not None
    assert (told.updated, told.destroyed) == ((), (made.id,))


async def test_what_is_made_and_destroyed_in_one_unit_is_told_to_nobody(db: Database) -> None:
    await house(db, "ann")

    async def unit(tx: Tx) -> int:
        async with changing(tx, "ann", AT) as journal:
            made = await file(tx, journal, mail())
            await filing.destroy(tx, journal, made)
            return journal.modseq

    modseq = await db.write(unit)
    for kind in (EMAIL, THREAD):  # RFC 8620 §5.2: such an id is left out entirely
        told = await db.read(lambda tx, kind=kind: changes.since(tx, "ann", kind, modseq - 1, modseq, 9))
        assert told is not None
        assert (told.created, told.updated, told.destroyed) == ((), (), ())


async def test_what_is_destroyed_leaves_every_view_and_lies_in_the_graveyard(db: Database) -> None:
    await house(db, "ann")
    first = await receive(db, "ann", mail(message_id="1@x"), at=AT)
    second = await receive(db, "ann", mail(references=["1@x"], bcc="b@x"), at=AT + 5, keywords=["k"])
    assert first.thread_id == second.thread_id
    await destroy(db, second, at=AT + 9)
    assert await db.read(lambda tx: messages.get(tx, "ann", second.id)) is None
    assert await db.read(lambda tx: messages.get_bodies(tx, "ann", [second.id])) == {}
    thread = await db.read(lambda tx: threads.get(tx, "ann", first.thread_id))
    assert thread is not None
    assert (thread.message_count, thread.last_message_at) == (1, AT)
    [grave] = await db.read(lambda tx: graveyard.of_account(tx, "ann"))
    assert (grave.kind, grave.blob_hash, grave.expires_at) == ("message", second.blob_hash, AT + 9 + 30 * DAY)
    assert grave.payload["keywords"] == ["k"]
    assert grave.payload["bcc"] == [["", "b@x"]]
    assert grave.payload["mailbox_ids"] == [(await role(db, "ann", "inbox")).id]
    await destroy(db, first, bury=False)
    assert len(await db.read(lambda tx: graveyard.of_account(tx, "ann"))) == 1
    assert await db.read(lambda tx: threads.get(tx, "ann", first.thread_id)) is None
    owner = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert owner is not None
    assert owner.used_bytes == 0
    told = await db.read(lambda tx: changes.since(tx, "ann", THREAD, owner.modseq - 1, owner.modseq, 9))
    assert told is not None
    assert told.destroyed == (first.thread_id,)


# --- whatever happens


@dataclass
class _Box:
    """What a mailbox should look like."""

    id: str
    uid_next: int = 1
    live: dict[str, int] = field(default_factory=dict)
    used: dict[int, str] = field(default_factory=dict)

    def enter(self, message_id: str) -> None:
        self.live[message_id] = self.uid_next
        self.used[self.uid_next] = message_id
        self.uid_next += 1


@dataclass
class _Mail:
    keywords: set[str]
    size_bytes: int
    thread_id: str
    received_at: int
    boxes: set[str]


class _Model:
    """The account's mail as plain dictionaries; `step` does the same thing to both."""

    roles = ("inbox", "sent", "archive", "junk", "trash")
    words = ("$seen", "$flagged", "a", "b", "ü")

    def __init__(self, db: Database, seed: int) -> None:
        self.db = db
        self.random = random.Random(seed)
        self.boxes: dict[str, _Box] = {}
        self.mails: dict[str, _Mail] = {}
        self.gone: set[str] = set()
        self.states: list[tuple[int, set[str]]] = []
        self.clock = AT

    async def begin(self) -> None:
        for box in await self.db.read(lambda tx: mailboxes.all_of(tx, "ann")):
            self.boxes[str(box.role)] = _Box(box.id)

    def _some(self, of: tuple[str, ...], least: int = 0) -> list[str]:
        return self.random.sample(of, self.random.randint(least, 2 if least else len(of)))

    async def step(self) -> None:
        self.clock += self.random.randint(-5, 20)
        verb = self.random.choice(
            ["file", "file", "keywords", "keywords", "move", "move", "role", "restore", "destroy"]
        )
        if not self.mails or len(self.mails) < 5:
            verb = "file"
        fails = self.random.random() < 0.1
        try:
            if verb == "file":
                await self._file(fails)
            else:
                await self._change(verb, self.random.choice(sorted(self.mails)), fails)
        except Conflict:
            assert fails

    async def _file(self, fails: bool) -> None:
        roles, keywords = self._some(self.roles, 1), self._some(self.words)
        known = sorted(self.mails)
        parent = self.random.choice(known) if known and self.random.random() < 0.5 else None
        raw = mail(
            f"s{self.clock}", message_id=f"{self.random.random()}@x", references=[f"{parent}@r"] if parent else []
        )

        async def unit(tx: Tx) -> Message:
            thread_id = self.mails[parent].thread_id if parent else None
            made = await deliver(
                tx, "ann", raw, at=self.clock, mailbox_roles=roles, keywords=keywords, thread_id=thread_id
            )
            if fails:
                raise Conflict("after the fact")
            return made

        made = await self.db.write(unit)
        if parent:
            assert made.thread_id == self.mails[parent].thread_id
        self.mails[made.id] = _Mail(set(keywords), len(raw), made.thread_id, self.clock, set())
        self._place(made.id, set(roles))

    async def _change(self, verb: str, message_id: str, fails: bool) -> None:
        here = self.mails[message_id]
        keywords, roles, single = self._some(self.words), self._some(self.roles, 1), self.random.choice(self.roles)
        origin: list[str] = []

        async def unit(tx: Tx) -> None:
            async with changing(tx, "ann", self.clock) as journal:
                found = await messages.get(tx, "ann", message_id)
                assert found is not None
                origin[:] = [found.origin_mailbox_id or self.boxes["inbox"].id]
                if verb == "keywords":
                    await filing.set_keywords(tx, journal, found, keywords)
                elif verb == "move":
                    await filing.move(tx, journal, found, [self.boxes[name].id for name in roles])
                elif verb == "role":
                    await filing.move_to_role(tx, journal, found, single)
                elif verb == "restore":
                    await filing.restore(tx, journal, found)
                else:
                    await filing.destroy(tx, journal, found)
            if fails:
                raise Conflict("after the fact")

        await self.db.write(unit)
        home = {name for name, box in self.boxes.items() if box.id in origin}
        if verb == "keywords":
            here.keywords = set(keywords)
            if "junk" in here.boxes:  # `$junk` is none of these words, and goes with them
                self._place(message_id, here.boxes - {"junk"} or home)
        elif verb == "destroy":
            self._place(message_id, set())
            del self.mails[message_id]
            self.gone.add(message_id)
        else:
            back = here.boxes - {"junk", "trash"} or home
            self._place(message_id, {"move": set(roles), "role": {single}, "restore": back}[verb])

    def _place(self, message_id: str, wanted: set[str]) -> None:
        here = self.mails[message_id]
        for name in here.boxes - wanted:
            del self.boxes[name].live[message_id]
        for name in wanted - here.boxes:
            self.boxes[name].enter(message_id)
        here.boxes = wanted
        here.keywords = here.keywords - {"$junk"} | ({"$junk"} & {f"${name}" for name in wanted})

    async def check(self) -> None:
        found = {str(box.role): box for box in await self.db.read(lambda tx: mailboxes.all_of(tx, "ann"))}
        for name, box in self.boxes.items():
            unread = sum("$seen" not in self.mails[one].keywords for one in box.live)
            assert (found[name].total_messages, found[name].unread_messages, found[name].uid_next) == (
                len(box.live), unread, box.uid_next,
            ), name  # fmt: skip
            members = await rows(self.db, "SELECT * FROM membership WHERE mailbox_id = :id ORDER BY uid", id=box.id)
            assert {row["uid"]: row["message_id"] for row in members} == box.used
            live = {row["message_id"]: row["uid"] for row in members if row["expunged_modseq"] is None}
            assert live == box.live
            for row in members:
                if row["message_id"] in live and row["expunged_modseq"] is None:
                    assert row["received_at"] == self.mails[row["message_id"]].received_at
        await self._check_messages()
        await self._check_changes()

    async def _check_messages(self) -> None:
        stored = await self.db.read(lambda tx: messages.get_many(tx, "ann", [*self.mails, *self.gone]))
        assert set(stored) == set(self.mails)
        table: dict[str, set[str]] = defaultdict(set)
        for row in await rows(self.db, "SELECT * FROM message_keyword WHERE account_id = 'ann'"):
            table[row["message_id"]].add(row["keyword"])
            assert row["received_at"] == self.mails[row["message_id"]].received_at
        for message_id, one in self.mails.items():
            assert stored[message_id].keywords == tuple(sorted(one.keywords))
            assert table[message_id] == one.keywords
        owner = await self.db.read(lambda tx: accounts.get(tx, "ann"))
        assert owner is not None
        assert owner.used_bytes == sum(one.size_bytes for one in self.mails.values())
        counted = {row["id"]: row for row in await rows(self.db, "SELECT * FROM thread WHERE account_id = 'ann'")}
        assert set(counted) == {one.thread_id for one in self.mails.values()}
        for thread_id, row in counted.items():
            times = [one.received_at for one in self.mails.values() if one.thread_id == thread_id]
            assert (row["message_count"], row["last_message_at"]) == (len(times), max(times))
        self.states.append((owner.modseq, set(self.mails)))

    async def _check_changes(self) -> None:
        """From any state seen before, the log leads to the present one, in steps of any size."""
        current, present = self.states[-1]
        modseq, ids = self.random.choice(self.states)
        ids = set(ids)
        limit = self.random.randint(1, 30)
        while True:
            told = await self.db.read(lambda tx, modseq=modseq: changes.since(tx, "ann", EMAIL, modseq, current, limit))
            assert told is not None
            assert not set(told.created) & ids
            assert set(told.destroyed) <= ids
            assert set(told.updated) <= ids
            ids = (ids | set(told.created)) - set(told.destroyed)
            modseq = told.new_modseq
            if not told.has_more:
                break
        assert (modseq, ids) == (current, present)


async def test_counters_uids_and_states_agree_with_a_model_after_any_operations(db: Database) -> None:
    await house(db, "ann", "bob")
    bystander = await receive(db, "bob")
    model = _Model(db, seed=1)
    await model.begin()
    for step in range(300):
        await model.step()
        if step % 15 == 0:
            await model.check()
    await model.check()
    assert model.gone
    assert any(box.uid_next > len(box.live) + 1 for box in model.boxes.values())
    assert await _get(db, bystander) == bystander


async def test_counters_are_right_when_many_change_the_same_mail_at_once(db: Database) -> None:
    await house(db, "ann")
    made = [await receive(db, "ann", mail(f"m{n}")) for n in range(4)]
    moves = random.Random(3)

    async def change(message: Message, verb: str, *given: object, **named: object) -> None:
        async def unit(tx: Tx) -> None:
            async with changing(tx, "ann", AT) as journal:
                found = await messages.get(tx, "ann", message.id)
                if found is not None:  # another may have destroyed it meanwhile
                    await getattr(filing, verb)(tx, journal, found, *given, **named)

        await db.write(unit)

    await asyncio.gather(
        *(
            change(moves.choice(made), "set_keywords", moves.choice([["$seen"], [], ["$seen", "a"], ["a"]]))
            for _ in range(40)
        ),
        *(change(moves.choice(made), "move_to_role", moves.choice(["inbox", "trash", "archive"])) for _ in range(40)),
        *(change(made[3], "destroy") for _ in range(3)),
    )
    for box in await db.read(lambda tx: mailboxes.all_of(tx, "ann")):
        [counted] = await rows(
            db,
            """SELECT count(*) AS total, count(*) FILTER (WHERE NOT EXISTS (SELECT 1 FROM message_keyword k
                 WHERE k.message_id = membership.message_id AND k.keyword = '$seen')) AS unread
               FROM membership WHERE mailbox_id = :id AND expunged_modseq IS NULL""",
            id=box.id,
        )
        assert (box.total_messages, box.unread_messages) == (counted["total"], counted["unread"]), box.role
    owner = await db.read(lambda tx: accounts.get(tx, "ann"))
    assert owner is not None
    assert owner.used_bytes == sum(one.size_bytes for one in made[:3])
