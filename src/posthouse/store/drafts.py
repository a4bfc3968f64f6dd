"""Drafts: a row that names the message holding the current text; each edit makes a new message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Draft:
    """A message being written.

    Attributes:
        message_id: the `$draft` message with the current text.
        kind: `new`, `reply`, `reply_all` or `forward`; `parent_message_id` is what it answers or forwards.
        send_status: None, `scheduled`, `sending` or `failed`.
        level: the strictest level of the keys that wrote the text; it holds whoever sends it.
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
    level: str | None = None


async def add(tx: Tx, draft: Draft) -> None:
    """Insert a draft."""
    await tx.run(
        """INSERT INTO draft (id, account_id, message_id, kind, parent_message_id, client_id, send_at,
                              send_status, created_at, updated_at, level)
           VALUES (:id, :account_id, :message_id, :kind, :parent_message_id, :client_id, :send_at,
                   :send_status, :at, :at, :level)""",
        id=draft.id, account_id=draft.account_id, message_id=draft.message_id, kind=draft.kind,
        parent_message_id=draft.parent_message_id, client_id=draft.client_id, send_at=draft.send_at,
        send_status=draft.send_status, at=draft.created_at, level=draft.level,
    )  # fmt: skip


async def get(tx: Tx, account_id: str, draft_id: str) -> Draft | None:
    """The draft, or None."""
    row = await tx.one(
        "SELECT * FROM draft WHERE account_id = :account_id AND id = :id", account_id=account_id, id=draft_id
    )
    return load(Draft, row) if row else None


async def replace_message(tx: Tx, account_id: str, draft_id: str, message_id: str, level: str | None, at: int) -> None:
    """The draft's text is now in another message, and `level` is that of its writers."""
    await tx.run(
        """UPDATE draft SET message_id = :message_id, level = :level, updated_at = :at
           WHERE account_id = :account_id AND id = :id""",
        account_id=account_id, id=draft_id, message_id=message_id, level=level, at=at,
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


async def account_of(tx: Tx, draft_id: str) -> str | None:
    """Whose draft it is. Whether the caller may see that account is for the caller to check."""
    row = await tx.one("SELECT account_id FROM draft WHERE id = :id", id=draft_id)
    return row["account_id"] if row else None


async def by_client_id(tx: Tx, organization_id: str, client_id: str) -> list[Draft]:
    """The drafts of an organisation that callers named so when creating them."""
    rows = await tx.all(
        """SELECT draft.* FROM draft JOIN account ON account.id = draft.account_id
           WHERE account.organization_id = :organization_id AND draft.client_id = :client_id ORDER BY draft.id""",
        organization_id=organization_id, client_id=client_id,
    )  # fmt: skip
    return [load(Draft, row) for row in rows]


async def page(
    tx: Tx,
    account_ids: Sequence[str],
    *,
    keywords: Sequence[str] = (),
    is_scheduled: bool = False,
    updated_after: int | None = None,
    updated_before: int | None = None,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[Draft]:
    """A page of drafts in the order of their last change, after a keyset position (updated_at, id).

    Args:
        keywords: the draft's message has all of these.
        is_scheduled: only those that wait to be sent.
    """
    where = ["draft.account_id IN (:account_ids...)"]
    values: dict[str, Any] = {"account_ids": list(account_ids), "limit": limit}
    for index, keyword in enumerate(keywords):
        where.append(
            "EXISTS (SELECT 1 FROM message_keyword k "
            f"WHERE k.message_id = draft.message_id AND k.keyword = :keyword{index})"
        )
        values[f"keyword{index}"] = keyword
    if is_scheduled:
        where.append("draft.send_status = 'scheduled'")
    if updated_after is not None:
        where.append("draft.updated_at >= :updated_after")
        values["updated_after"] = updated_after
    if updated_before is not None:
        where.append("draft.updated_at < :updated_before")
        values["updated_before"] = updated_before
    if after is not None:
        where.append(f"(draft.updated_at, draft.id) {'>' if ascending else '<'} (:after_at, :after_id)")
        values["after_at"], values["after_id"] = after
    order = "ASC" if ascending else "DESC"
    rows = await tx.all(
        f"SELECT * FROM draft WHERE {' AND '.join(where)} "
        f"ORDER BY draft.updated_at {order}, draft.id {order} LIMIT :limit",
        **values,
    )
    return [load(Draft, row) for row in rows]


async def level_of_message(tx: Tx, account_id: str, message_id: str) -> str | None:
    """The level of the draft whose text a message is; None without an opinion, or when it is no draft."""
    row = await tx.one(
        "SELECT level FROM draft WHERE account_id = :account_id AND message_id = :message_id LIMIT 1",
        account_id=account_id, message_id=message_id,
    )  # fmt: skip
    return row["level"] if row else None


async def delete_of_message(tx: Tx, account_id: str, message_id: str) -> None:
    """The message is no draft any more."""
    await tx.run(
        "DELETE FROM draft WHERE account_id = :account_id AND message_id = :message_id",
        account_id=account_id, message_id=message_id,
    )  # fmt: skip
