"""What was put on messages and taken off them after they were filed, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.kit.ids import new_id
from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Marking:
    """One mark put on or taken off: a keyword, or `role:` and the role of a mailbox it went to or left."""

    id: str
    account_id: str
    message_id: str
    mark: str
    is_added: bool
    at: int


async def add(tx: Tx, account_id: str, message_id: str, added: Sequence[str], removed: Sequence[str], at: int) -> None:
    """Write down what changed on a message."""
    await tx.many(
        """INSERT INTO marking (id, account_id, message_id, mark, is_added, at)
           VALUES (:id, :account_id, :message_id, :mark, :is_added, :at)""",
        [
            {
                "id": new_id(), "account_id": account_id, "message_id": message_id, "mark": mark,
                "is_added": is_added, "at": at,
            }
            for marks, is_added in ((removed, False), (added, True))
            for mark in sorted(marks)
        ],
    )  # fmt: skip


async def page(
    tx: Tx, account_id: str, *, after: tuple[int, str] | None, ascending: bool = False, limit: int
) -> list[Marking]:
    """A page of an account's markings, after a keyset position (at, id)."""
    values: dict[str, Any] = {"account_id": account_id, "limit": limit}
    keyset = ""
    if after is not None:
        keyset = f"AND (at, id) {'>' if ascending else '<'} (:after_at, :after_id)"
        values["after_at"], values["after_id"] = after
    order = "ASC" if ascending else "DESC"
    rows = await tx.all(
        f"SELECT * FROM marking WHERE account_id = :account_id {keyset} ORDER BY at {order}, id {order} LIMIT :limit",
        **values,
    )
    return [load(Marking, row, flags=("is_added",)) for row in rows]


async def prune(tx: Tx, before: int) -> int:
    """Forget markings older than `before`."""
    return await tx.run("DELETE FROM marking WHERE at < :before", before=before)
