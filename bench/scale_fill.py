"""A mailbox of any size, written straight into a data folder: `fill` with the server stopped.

One account's mail of some years, made from a seed, so that a smaller mailbox is the end of a larger one's kind: 50
frequent writers send half of it and 5,000 others the rest, threads have one to four messages, one message in ten is
unread, a few are flagged, one in fifty carries a keyword, six mailboxes share them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posthouse.mail import indexing
from posthouse.mail.mailboxes import LASTING
from posthouse.store import accounts, mailboxes, messages, search
from posthouse.store.database import Tx
from posthouse.store.messages import Message, MessageBody, Person
from posthouse.store.sqlite import SqliteDatabase

UNIT = 1_000
STEP_MS = 60_000
BEGIN = 1_600_000_000_000
# A word of every body, one of a body in three, one of a body in a hundred; and such words of subjects.
COMMON, FREQUENT, UNCOMMON = "regards", "meeting", "zebra"
KEYWORD = "urgent"
FREQUENT_WRITER, RARE_WRITER = "writer7@frequent.example", "person77@rare.example"
_ROLES = (("inbox", 60), ("archive", 25), ("sent", 5), ("junk", 5), ("trash", 3), ("drafts", 2))


def fill(database: Path, address: str, count: int, seed: int = 7) -> None:
    """Write `count` messages to the account of an address, indexed and counted."""
    asyncio.run(_fill(database, address, count, random.Random(seed)))


async def _fill(database: Path, address: str, count: int, chance: random.Random) -> None:
    db = await SqliteDatabase.open(database)
    try:
        account_id, boxes = await db.read(lambda tx: _look(tx, address))
        made = _messages(chance, account_id, address, boxes, count)
        modseq = 0
        for begin in range(0, count, UNIT):
            batch = [next(made) for _ in range(min(UNIT, count - begin))]
            modseq += 1

            async def unit(tx: Tx, batch: list[_Made] = batch, modseq: int = modseq) -> None:
                await _write(tx, account_id, batch, modseq)

            await db.write(unit, heavy=True)
        await db.write(lambda tx: _count(tx, account_id, modseq + 1), heavy=True)
        await indexing.drain(db, account_id)
    finally:
        await db.close()


async def _look(tx: Tx, address: str) -> tuple[str, dict[str, str]]:
    account = await accounts.by_address(tx, address)
    assert account is not None
    return account.id, {box.role or "": box.id for box in await mailboxes.all_of(tx, account.id)}


class _Made:
    """A message with where it lies and its words."""

    __slots__ = ("body", "entry", "mailbox_id", "message", "thread", "uid")

    def __init__(self, message: Message, body: MessageBody, mailbox_id: str, uid: int, thread: tuple[str, int]) -> None:
        self.message = message
        self.body = body
        self.mailbox_id = mailbox_id
        self.uid = uid
        self.thread = thread
        sender = message.from_list[0]
        people = f"{sender.name} {sender.email}", message.to_list[0].email
        self.entry = search.prepare(
            search.Entry(
                message.id, message.account_id, message.subject, " ".join(people), body.text_body or "",
                senders=people[0], recipients=people[1], author=sender.name,
            )
        )  # fmt: skip


def _messages(
    chance: random.Random, account_id: str, address: str, boxes: dict[str, str], count: int
) -> Iterator[_Made]:
    vocabulary = ["".join(chance.choices("abcdefghijklmnoprstuvw", k=chance.randint(4, 9))) for _ in range(20_000)]
    weights = [1 / (rank + 20) for rank in range(len(vocabulary))]
    words = chance.choices(vocabulary, weights, k=1 << 20)  # drawn once: a draw per word would take minutes
    rolls = chance.choices([role for role, _ in _ROLES], [share for _, share in _ROLES], k=1 << 16)
    uids = dict.fromkeys(boxes.values(), 0)
    open_threads: list[tuple[str, str, int]] = []
    for number in range(count):
        at = BEGIN + number * STEP_MS + chance.randrange(STEP_MS)
        writer = (
            Person(f"Writer {number % 50}", f"writer{number % 50}@frequent.example")
            if chance.random() < 0.5
            else _other(chance)
        )
        message_id = f"{at:012x}{number:020x}"
        if open_threads and chance.random() < 0.5:
            place = chance.randrange(len(open_threads))
            thread_id, subject, left = open_threads[place]
            subject = subject if subject.startswith("Re: ") else "Re: " + subject
            if left == 1:
                open_threads.pop(place)
            else:
                open_threads[place] = (thread_id, subject, left - 1)
        else:
            thread_id = f"t{message_id}"
            start = chance.randrange(len(words) - 8)
            subject = " ".join(words[start : start + chance.randint(2, 6)]).capitalize()
            subject += f" {COMMON}" * (chance.random() < 0.3) + f" {UNCOMMON}" * (chance.random() < 0.01)
            if len(open_threads) < 200 and chance.random() < 0.6:
                open_threads.append((thread_id, subject, chance.randint(1, 3)))
        start = chance.randrange(len(words) - 100)
        text = " ".join(words[start : start + chance.randint(20, 80)])
        text += f"\n{FREQUENT}" * (chance.random() < 0.33) + f"\n{UNCOMMON}" * (chance.random() < 0.01)
        text += f"\n\n{COMMON}\n{writer.name}"
        keywords = tuple(
            name for name, share in (("$flagged", 0.005), ("$seen", 0.9), (KEYWORD, 0.02)) if chance.random() < share
        )
        role = rolls[chance.randrange(len(rolls))]
        mailbox_id = boxes[role]
        uids[mailbox_id] += 1
        values: dict[str, Any] = {
            "id": message_id, "account_id": account_id, "thread_id": thread_id, "blob_hash": message_id,
            "size_bytes": len(text) + chance.randrange(400, 40_000), "direction": "in",
            "header_message_id": f"{message_id}@mail.example", "in_reply_to": (), "refs": (), "subject": subject,
            "from_list": (writer,), "to_list": (Person("", address),), "cc_list": (), "bcc_list": (),
            "reply_to_list": (), "preview": text[:100], "sent_at": at - 2_000, "received_at": at,
            "keywords": keywords, "attachments": (), "delivery_state": None, "origin_mailbox_id": None,
            "modseq": 1, "created_at": at, "updated_at": at, "roles": frozenset((role,)) & LASTING,
        }  # fmt: skip
        headers = [("From", f"{writer.name} <{writer.email}>"), ("To", address), ("Subject", subject)]
        body = MessageBody(message_id, headers, "{}", text, None, text, None, [], {})
        yield _Made(Message(**values), body, mailbox_id, uids[mailbox_id], (thread_id, at))


def _other(chance: random.Random) -> Person:
    number = chance.randrange(5_000)
    return Person(f"Person {number}", f"person{number}@rare.example")


async def _write(tx: Tx, account_id: str, batch: list[_Made], modseq: int) -> None:
    await tx.many(
        """INSERT INTO thread (id, account_id, subject, base_subject, message_count, last_message_at, created_at,
             updated_at)
           VALUES (:id, :account_id, :subject, :base, 1, :at, :at, :at)
           ON CONFLICT (id) DO UPDATE SET message_count = thread.message_count + 1,
             last_message_at = excluded.last_message_at, updated_at = excluded.updated_at""",
        [
            {
                "id": made.thread[0],
                "account_id": account_id,
                "subject": made.message.subject,
                "base": made.entry.subject_key,
                "at": made.thread[1],
            }
            for made in batch
        ],
    )
    for made in batch:
        await messages.add(tx, made.message, made.body)
    await tx.many(
        """INSERT INTO membership (mailbox_id, uid, account_id, message_id, received_at, modseq)
           VALUES (:mailbox_id, :uid, :account_id, :message_id, :at, :modseq)""",
        [
            {
                "mailbox_id": made.mailbox_id,
                "uid": made.uid,
                "account_id": account_id,
                "message_id": made.message.id,
                "at": made.message.received_at,
                "modseq": modseq,
            }
            for made in batch
        ],
    )
    await tx.many(
        """INSERT INTO thread_reference (account_id, reference, thread_id) VALUES (:account_id, :reference, :thread_id)""",
        [
            {"account_id": account_id, "reference": made.message.header_message_id, "thread_id": made.thread[0]}
            for made in batch
        ],
    )
    await tx.many(
        """INSERT INTO change_log (scope_id, type, modseq, object_id, action, at)
           VALUES (:account_id, 'Email', :modseq, :id, 'created', :at)""",
        [
            {"account_id": account_id, "modseq": modseq, "id": made.message.id, "at": made.message.received_at}
            for made in batch
        ],
    )
    await search.add(tx, [made.entry for made in batch])


async def _count(tx: Tx, account_id: str, modseq: int) -> None:
    """Bring the counters up to what has been written."""
    await tx.run(
        """INSERT INTO mailbox_thread (mailbox_id, thread_id, is_unread)
           SELECT membership.mailbox_id, message.thread_id, max(NOT EXISTS (
             SELECT 1 FROM message_keyword WHERE message_keyword.message_id = message.id AND keyword = '$seen'))
           FROM membership JOIN message ON message.id = membership.message_id
           WHERE membership.account_id = :account_id GROUP BY 1, 2""",
        account_id=account_id,
    )
    await tx.run(
        """UPDATE mailbox SET
             uid_next = 1 + coalesce((SELECT max(uid) FROM membership WHERE mailbox_id = mailbox.id), 0),
             total_messages = (SELECT count(*) FROM membership WHERE mailbox_id = mailbox.id),
             unread_messages = (SELECT count(*) FROM membership JOIN message ON message.id = message_id
               WHERE mailbox_id = mailbox.id AND instr(keywords, '"$seen"') = 0),
             total_threads = (SELECT count(*) FROM mailbox_thread WHERE mailbox_id = mailbox.id),
             unread_threads = (SELECT count(*) FROM mailbox_thread WHERE mailbox_id = mailbox.id AND is_unread)
           WHERE account_id = :account_id""",
        account_id=account_id,
    )
    await tx.run(
        """UPDATE account SET modseq = :modseq, indexed_modseq = :modseq,
             used_bytes = (SELECT sum(size_bytes) FROM message WHERE account_id = :account_id) WHERE id = :account_id""",
        account_id=account_id, modseq=modseq,
    )  # fmt: skip
