"""Mailboxes, and which message lies in which (membership)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A folder. The counters are kept by `add_member` and `expunge`, those of threads by `recount_threads`.

    Unread means with neither `$seen` nor `$draft` (RFC 8621 §2).
    """

    id: str
    account_id: str
    name: str
    parent_id: str | None
    role: str | None
    sort_order: int
    is_subscribed: bool
    uid_validity: int
    uid_next: int
    total_messages: int
    unread_messages: int
    created_at: int
    total_threads: int = 0
    unread_threads: int = 0


@dataclass(frozen=True, slots=True)
class Membership:
    """A message's place in a mailbox. `expunged_modseq` set: it has left, and the row is its tombstone."""

    mailbox_id: str
    uid: int
    account_id: str
    message_id: str
    received_at: int
    modseq: int
    expunged_modseq: int | None


async def add(tx: Tx, mailbox: Mailbox) -> None:
    """Insert an empty mailbox."""
    await tx.run(
        """INSERT INTO mailbox (id, account_id, name, parent_id, role, sort_order, is_subscribed, uid_validity,
                                created_at)
           VALUES (:id, :account_id, :name, :parent_id, :role, :sort_order, :is_subscribed, :uid_validity,
                   :created_at)""",
        id=mailbox.id, account_id=mailbox.account_id, name=mailbox.name, parent_id=mailbox.parent_id,
        role=mailbox.role, sort_order=mailbox.sort_order, is_subscribed=mailbox.is_subscribed,
        uid_validity=mailbox.uid_validity, created_at=mailbox.created_at,
    )  # fmt: skip


async def all_of(tx: Tx, account_id: str) -> list[Mailbox]:
    """The account's mailboxes, in their order."""
    rows = await tx.all(
        "SELECT * FROM mailbox WHERE account_id = :account_id ORDER BY sort_order, name, id", account_id=account_id
    )
    return [load(Mailbox, row, flags=("is_subscribed",)) for row in rows]


async def by_role(tx: Tx, account_id: str, role: str) -> Mailbox | None:
    """The mailbox with this role."""
    row = await tx.one(
        "SELECT * FROM mailbox WHERE account_id = :account_id AND role = :role", account_id=account_id, role=role
    )
    return load(Mailbox, row, flags=("is_subscribed",)) if row else None


async def add_member(
    tx: Tx, *, account_id: str, mailbox_id: str, message_id: str, received_at: int, modseq: int, unread: bool
) -> int | None:
    """Put a message into a mailbox under the next UID; None when the account has no such mailbox."""
    row = await tx.one(
        """UPDATE mailbox SET uid_next = uid_next + 1, total_messages = total_messages + 1,
                              unread_messages = unread_messages + :unread
           WHERE id = :mailbox_id AND account_id = :account_id RETURNING uid_next - 1 AS uid""",
        mailbox_id=mailbox_id, account_id=account_id, unread=int(unread),
    )  # fmt: skip
    if row is None:
        return None
    await tx.run(
        """INSERT INTO membership (mailbox_id, uid, account_id, message_id, received_at, modseq)
           VALUES (:mailbox_id, :uid, :account_id, :message_id, :received_at, :modseq)""",
        mailbox_id=mailbox_id, uid=row["uid"], account_id=account_id, message_id=message_id,
        received_at=received_at, modseq=modseq,
    )  # fmt: skip
    return int(row["uid"])


async def expunge(
    tx: Tx, *, account_id: str, mailbox_id: str, message_id: str, modseq: int, unread: bool
) -> int | None:
    """Take a message out of a mailbox; the UID it had there, or None when it was not in it."""
    row = await tx.one(
        """UPDATE membership SET expunged_modseq = :modseq, modseq = :modseq
           WHERE message_id = :message_id AND mailbox_id = :mailbox_id AND account_id = :account_id
             AND expunged_modseq IS NULL RETURNING uid""",
        message_id=message_id, mailbox_id=mailbox_id, account_id=account_id, modseq=modseq,
    )  # fmt: skip
    if row is None:
        return None
    await tx.run(
        """UPDATE mailbox SET total_messages = total_messages - 1,
                              unread_messages = unread_messages - :unread WHERE id = :mailbox_id""",
        mailbox_id=mailbox_id, unread=int(unread),
    )  # fmt: skip
    return int(row["uid"])


async def count_unread(tx: Tx, mailbox_ids: Sequence[str], added: int) -> None:
    """Add to the unread counters of the mailboxes a message lies in."""
    await tx.run(
        "UPDATE mailbox SET unread_messages = unread_messages + :added WHERE id IN (:ids...)",
        ids=list(mailbox_ids), added=added,
    )  # fmt: skip


async def touch_members(tx: Tx, message_id: str, modseq: int) -> None:
    """A message's keywords changed: its places carry the new change number too (RFC 7162 §3.1)."""
    await tx.run(
        "UPDATE membership SET modseq = :modseq WHERE message_id = :message_id AND expunged_modseq IS NULL",
        message_id=message_id, modseq=modseq,
    )  # fmt: skip


async def places(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, list[Membership]]:
    """Where each of the messages lies now, by message id."""
    rows = await tx.all(
        """SELECT * FROM membership WHERE account_id = :account_id AND message_id IN (:ids...)
             AND expunged_modseq IS NULL ORDER BY message_id, mailbox_id""",
        account_id=account_id, ids=list(message_ids),
    )  # fmt: skip
    found: dict[str, list[Membership]] = {message_id: [] for message_id in message_ids}
    for row in rows:
        found[row["message_id"]].append(load(Membership, row))
    return found


async def prune_tombstones(tx: Tx, limit: int = 5_000) -> int:
    """Forget memberships that ended before their account's change log was cut, `limit` at most: nobody can ask
    what changed since then. UIDs stay unused, `uid_next` only grows."""
    rows = await tx.all(
        """SELECT membership.mailbox_id, membership.uid FROM membership
           JOIN change_log_cut ON change_log_cut.scope_id = membership.account_id
           WHERE membership.expunged_modseq IS NOT NULL AND membership.expunged_modseq <= change_log_cut.modseq
           LIMIT :limit""",
        limit=limit,
    )
    await tx.many(
        "DELETE FROM membership WHERE mailbox_id = :mailbox_id AND uid = :uid AND expunged_modseq IS NOT NULL",
        [{"mailbox_id": row["mailbox_id"], "uid": row["uid"]} for row in rows],
    )
    return len(rows)


async def get(tx: Tx, account_id: str, mailbox_id: str) -> Mailbox | None:
    """The mailbox, or None."""
    row = await tx.one(
        "SELECT * FROM mailbox WHERE account_id = :account_id AND id = :id", account_id=account_id, id=mailbox_id
    )
    return load(Mailbox, row, flags=("is_subscribed",)) if row else None


async def update(tx: Tx, mailbox: Mailbox) -> None:
    """Replace what a caller may change: name, parent, role, order, subscription."""
    await tx.run(
        """UPDATE mailbox SET name = :name, parent_id = :parent_id, role = :role, sort_order = :sort_order,
             is_subscribed = :is_subscribed WHERE id = :id AND account_id = :account_id""",
        id=mailbox.id, account_id=mailbox.account_id, name=mailbox.name, parent_id=mailbox.parent_id,
        role=mailbox.role, sort_order=mailbox.sort_order, is_subscribed=mailbox.is_subscribed,
    )  # fmt: skip


async def delete(tx: Tx, account_id: str, mailbox_id: str) -> None:
    """Delete an empty mailbox with its tombstones."""
    await tx.run(
        "DELETE FROM mailbox WHERE account_id = :account_id AND id = :id", account_id=account_id, id=mailbox_id
    )


async def member_ids(tx: Tx, account_id: str, mailbox_id: str) -> list[str]:
    """The messages that lie in a mailbox."""
    rows = await tx.all(
        """SELECT message_id FROM membership WHERE mailbox_id = :mailbox_id AND account_id = :account_id
             AND expunged_modseq IS NULL ORDER BY message_id""",
        mailbox_id=mailbox_id, account_id=account_id,
    )  # fmt: skip
    return [row["message_id"] for row in rows]


async def _unread_threads(tx: Tx, thread_ids: Sequence[str], where: str) -> list[str]:
    """Those of the threads with an unread message in such a mailbox; the words are those of `message_thread_unread`."""
    rows = await tx.all(
        f"""SELECT thread.id FROM thread WHERE thread.id IN (:ids...) AND EXISTS (
              SELECT 1 FROM message JOIN membership ON membership.message_id = message.id
                AND membership.expunged_modseq IS NULL JOIN mailbox ON mailbox.id = membership.mailbox_id
              WHERE message.thread_id = thread.id AND {where}
                AND length(replace(message.keywords, '"$seen"', '')) = length(message.keywords)
                AND length(replace(message.keywords, '"$draft"', '')) = length(message.keywords))""",
        ids=list(thread_ids),
    )
    return [row["id"] for row in rows]


async def recount_threads(tx: Tx, touched: Mapping[str, Collection[str]]) -> set[str]:
    """Bring the mailboxes' counts of these threads up to date; the mailboxes whose counts changed.

    A thread is unread in a mailbox when any of its messages is, those in the trash set apart: they count for
    the trash alone, and nothing else counts there. What is asked does not grow with the thread.

    Args:
        touched: by thread, the mailboxes that messages of it entered or left.

    Source: RFC 8621 §2, `unreadThreads`.
    """
    wanted = sorted(touched)
    before = {
        (row["mailbox_id"], row["thread_id"]): bool(row["is_unread"])
        for row in await tx.all("SELECT * FROM mailbox_thread WHERE thread_id IN (:ids...)", ids=wanted)
    }
    doubtful = sorted({box for boxes in touched.values() for box in boxes})
    present = {key for key in before if key[0] not in touched[key[1]]}
    if doubtful:
        present |= {
            (row["mailbox_id"], row["thread_id"])
            for row in await tx.all(
                """SELECT mailbox.id AS mailbox_id, thread.id AS thread_id FROM thread CROSS JOIN mailbox
                   WHERE thread.id IN (:ids...) AND mailbox.id IN (:boxes...) AND EXISTS (
                     SELECT 1 FROM message JOIN membership ON membership.message_id = message.id
                       AND membership.mailbox_id = mailbox.id AND membership.expunged_modseq IS NULL
                     WHERE message.thread_id = thread.id)""",
                ids=wanted, boxes=doubtful,
            )
            if row["mailbox_id"] in touched[row["thread_id"]]
        }  # fmt: skip
    boxes = sorted({box for box, _ in present})
    trash = {
        row["id"] for row in await tx.all("SELECT id FROM mailbox WHERE role = 'trash' AND id IN (:ids...)", ids=boxes)
    }
    unread_there = {
        (thread, False) for thread in await _unread_threads(tx, wanted, "mailbox.role IS DISTINCT FROM 'trash'")
    }
    if trash:
        in_trash = sorted({thread for box, thread in present if box in trash})
        unread_there |= {(thread, True) for thread in await _unread_threads(tx, in_trash, "mailbox.role = 'trash'")}
    now = {key: (key[1], key[0] in trash) in unread_there for key in present}
    changed = [key for key in sorted(now.keys() | before.keys()) if now.get(key) != before.get(key)]
    if not changed:
        return set()
    counts: dict[str, list[int]] = {}
    for key in changed:
        total, unread = counts.setdefault(key[0], [0, 0])
        counts[key[0]] = [
            total + (key in now) - (key in before),
            unread + now.get(key, False) - before.get(key, False),
        ]
    await tx.many(
        "DELETE FROM mailbox_thread WHERE mailbox_id = :mailbox_id AND thread_id = :thread_id",
        [{"mailbox_id": box, "thread_id": thread} for box, thread in changed if (box, thread) not in now],
    )
    await tx.many(
        """INSERT INTO mailbox_thread (mailbox_id, thread_id, is_unread) VALUES (:mailbox_id, :thread_id, :is_unread)
           ON CONFLICT (mailbox_id, thread_id) DO UPDATE SET is_unread = excluded.is_unread""",
        [
            {"mailbox_id": box, "thread_id": thread, "is_unread": now[box, thread]}
            for box, thread in changed
            if (box, thread) in now
        ],
    )
    await tx.many(
        """UPDATE mailbox SET total_threads = total_threads + :total, unread_threads = unread_threads + :unread
           WHERE id = :id""",
        [{"id": box, "total": total, "unread": unread} for box, (total, unread) in counts.items()],
    )
    return {box for box, (total, unread) in counts.items() if total or unread}
