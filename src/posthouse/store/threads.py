"""Threads and the index of Message-IDs that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation of one account. Its id never changes, and threads are never merged."""

    id: str
    account_id: str
    subject: str
    base_subject: str
    message_count: int
    last_message_at: int
    created_at: int
    updated_at: int


async def add(tx: Tx, thread: Thread) -> None:
    """Insert a thread that has no messages yet."""
    await tx.run(
        """INSERT INTO thread (id, account_id, subject, base_subject, message_count, last_message_at,
                               created_at, updated_at)
           VALUES (:id, :account_id, :subject, :base_subject, 0, :last_message_at, :at, :at)""",
        id=thread.id, account_id=thread.account_id, subject=thread.subject, base_subject=thread.base_subject,
        last_message_at=thread.last_message_at, at=thread.created_at,
    )  # fmt: skip


async def get(tx: Tx, account_id: str, thread_id: str) -> Thread | None:
    """The thread, or None."""
    row = await tx.one(
        "SELECT * FROM thread WHERE account_id = :account_id AND id = :id", account_id=account_id, id=thread_id
    )
    return load(Thread, row) if row else None


async def by_references(tx: Tx, account_id: str, references: Sequence[str]) -> str | None:
    """The thread of the last of `references` (in the order of the header) that is known."""
    if not references:
        return None
    rows = await tx.all(
        """SELECT reference, thread_id FROM thread_reference
           WHERE account_id = :account_id AND reference IN (:references...)""",
        account_id=account_id, references=list(references),
    )  # fmt: skip
    known = {row["reference"]: row["thread_id"] for row in rows}
    return next((known[reference] for reference in reversed(references) if reference in known), None)


async def by_subject(tx: Tx, account_id: str, base_subject: str, since: int, limit: int = 20) -> list[str]:
    """Threads with this base subject that moved after `since`, latest first."""
    rows = await tx.all(
        """SELECT id FROM thread WHERE account_id = :account_id AND base_subject = :base_subject
             AND last_message_at >= :since ORDER BY last_message_at DESC, id DESC LIMIT :limit""",
        account_id=account_id, base_subject=base_subject, since=since, limit=limit,
    )  # fmt: skip
    return [row["id"] for row in rows]


async def count_message(tx: Tx, thread_id: str, received_at: int, at: int) -> None:
    """A message joined the thread."""
    await tx.run(
        """UPDATE thread SET message_count = message_count + 1, updated_at = :at,
             last_message_at = CASE WHEN last_message_at < :received_at THEN :received_at ELSE last_message_at END
           WHERE id = :id""",
        id=thread_id, received_at=received_at, at=at,
    )  # fmt: skip


async def uncount_message(tx: Tx, thread_id: str, at: int) -> bool:
    """A message left the thread for good; True when it was the last and the thread is gone with it."""
    row = await tx.one(
        """UPDATE thread SET message_count = message_count - 1, updated_at = :at,
             last_message_at = coalesce((SELECT max(received_at) FROM message WHERE thread_id = thread.id),
                                        last_message_at)
           WHERE id = :id RETURNING message_count""",
        id=thread_id, at=at,
    )  # fmt: skip
    if row is not None and row["message_count"] <= 0:
        await tx.run("DELETE FROM thread WHERE id = :id", id=thread_id)
        return True
    return False


async def add_references(tx: Tx, account_id: str, thread_id: str, references: Sequence[str]) -> None:
    """From now on these Message-IDs lead to the thread; one that leads elsewhere keeps doing so."""
    await tx.many(
        """INSERT INTO thread_reference (account_id, reference, thread_id)
           VALUES (:account_id, :reference, :thread_id) ON CONFLICT (account_id, reference) DO NOTHING""",
        [
            {"account_id": account_id, "reference": reference, "thread_id": thread_id}
            for reference in dict.fromkeys(references)
        ],
    )


async def account_of(tx: Tx, thread_id: str) -> str | None:
    """Whose thread it is. Whether the caller may see that account is for the caller to check."""
    row = await tx.one("SELECT account_id FROM thread WHERE id = :id", id=thread_id)
    return row["account_id"] if row else None
