"""Drafts: a row that names the message holding the current text; each edit makes a new message."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Draft:
    """A message being written.

    Attributes:
        message_id: the `$draft` message with the current text.
        kind: `new`, `reply`, `reply_all` or `forward`; `parent_message_id` is what it answers or forwards.
        send_status: None, `scheduled`, `sending` or `failed`.
    """

    id: str
    account_id: str
    message_id: str
    kind: str
    parent_message_id: str | None
    client_id: str | None
    send_at: int | None
    send_status: str | None
    created_at: int
    updated_at: int


async def add(tx: Tx, draft: Draft) -> None:
    """Insert a draft."""
    await tx.run(
        """INSERT INTO draft (id, account_id, message_id, kind, parent_message_id, client_id, send_at,
                              send_status, created_at, updated_at)
           VALUES (:id, :account_id, :message_id, :kind, :parent_message_id, :client_id, :send_at,
                   :send_status, :at, :at)""",
        id=draft.id, account_id=draft.account_id, message_id=draft.message_id, kind=draft.kind,
        parent_message_id=draft.parent_message_id, client_id=draft.client_id, send_at=draft.send_at,
        send_status=draft.send_status, at=draft.created_at,
    )  # fmt: skip


async def get(tx: Tx, account_id: str, draft_id: str) -> Draft | None:
    """The draft, or None."""
    row = await tx.one(
        "SELECT * FROM draft WHERE account_id = :account_id AND id = :id", account_id=account_id, id=draft_id
    )
    return load(Draft, row) if row else None


async def replace_message(tx: Tx, account_id: str, draft_id: str, message_id: str, at: int) -> None:
    """The draft's text is now in another message."""
    await tx.run(
        """UPDATE draft SET message_id = :message_id, updated_at = :at
           WHERE account_id = :account_id AND id = :id""",
        account_id=account_id, id=draft_id, message_id=message_id, at=at,
    )  # fmt: skip


async def set_schedule(
    tx: Tx, account_id: str, draft_id: str, send_at: int | None, send_status: str | None, at: int
) -> None:
    """Plan the sending, or with None take the plan back."""
    await tx.run(
        """UPDATE draft SET send_at = :send_at, send_status = :send_status, updated_at = :at
           WHERE account_id = :account_id AND id = :id""",
        account_id=account_id, id=draft_id, send_at=send_at, send_status=send_status, at=at,
    )  # fmt: skip


async def delete(tx: Tx, account_id: str, draft_id: str) -> bool:
    """Delete the row (its message is another matter); False when there was none."""
    return bool(
        await tx.run(
            "DELETE FROM draft WHERE account_id = :account_id AND id = :id", account_id=account_id, id=draft_id
        )
    )
