"""The graveyard: what callers destroyed and the owner can still bring back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from posthouse.kit.ids import new_id
from posthouse.store.accounts import Account
from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Grave:
    """Something destroyed. `kind` is `message` or `account`; `payload` is what is needed to bring it back."""

    id: str
    organization_id: str
    account_id: str
    kind: str
    blob_hash: str | None
    payload: dict[str, Any]
    destroyed_at: int
    expires_at: int


def _grave(row: Row) -> Grave:
    return load(Grave, row, json=("payload",))


async def add(tx: Tx, grave: Grave) -> None:
    """Insert a grave."""
    await tx.run(
        """INSERT INTO graveyard (id, organization_id, account_id, kind, blob_hash, payload, destroyed_at,
                                  expires_at)
           VALUES (:id, :organization_id, :account_id, :kind, :blob_hash, :payload, :destroyed_at, :expires_at)""",
        id=grave.id, organization_id=grave.organization_id, account_id=grave.account_id, kind=grave.kind,
        blob_hash=grave.blob_hash, payload=dump(grave.payload), destroyed_at=grave.destroyed_at,
        expires_at=grave.expires_at,
    )  # fmt: skip


async def bury_account(tx: Tx, account: Account, addresses: Sequence[str], at: int, expires_at: int) -> int:
    """Put an account and every message it holds into the graveyard; answers how many messages."""
    await add(
        tx,
        Grave(
            id=new_id(),
            organization_id=account.organization_id,
            account_id=account.id,
            kind="account",
            blob_hash=None,
            payload={
                "main_address": account.main_address,
                "addresses": list(addresses),
                "pod_id": account.pod_id,
                "display_name": account.display_name,
                "metadata": account.metadata,
                "level": account.level,
            },
            destroyed_at=at,
            expires_at=expires_at,
        ),
    )
    rows = await tx.all(
        """SELECT id, blob_hash, subject, direction, keywords, received_at, delivery_state, bcc_list
           FROM message WHERE account_id = :account_id AND direction <> 'draft' ORDER BY received_at, id""",
        account_id=account.id,
    )
    await tx.many(
        """INSERT INTO graveyard (id, organization_id, account_id, kind, blob_hash, payload, destroyed_at,
                                  expires_at)
           VALUES (:id, :organization_id, :account_id, 'message', :blob_hash, :payload, :at, :expires_at)""",
        [
            {
                "id": new_id(),
                "organization_id": account.organization_id,
                "account_id": account.id,
                "blob_hash": row["blob_hash"],
                "payload": dump(
                    {
                        "subject": row["subject"],
                        "direction": row["direction"],
                        "keywords": msgspec.json.decode(row["keywords"]),
                        "received_at": row["received_at"],
                        "mailbox_ids": [],
                        "delivery_state": row["delivery_state"],
                        "bcc": msgspec.json.decode(row["bcc_list"]),
                    }
                ),
                "at": at,
                "expires_at": expires_at,
            }
            for row in rows
        ],
    )
    return len(rows)


async def page(tx: Tx, organization_id: str, limit: int = 100) -> list[Grave]:
    """The latest graves, newest first."""
    rows = await tx.all(
        """SELECT * FROM graveyard WHERE organization_id = :organization_id
           ORDER BY destroyed_at DESC, id DESC LIMIT :limit""",
        organization_id=organization_id, limit=limit,
    )  # fmt: skip
    return [_grave(row) for row in rows]


async def get(tx: Tx, organization_id: str, grave_id: str) -> Grave | None:
    """The grave, or None."""
    row = await tx.one(
        "SELECT * FROM graveyard WHERE organization_id = :organization_id AND id = :id",
        organization_id=organization_id, id=grave_id,
    )  # fmt: skip
    return _grave(row) if row else None


async def organization_of(tx: Tx, grave_id: str) -> str | None:
    """Whose grave it is: for the owner's commands, which reach every organisation."""
    row = await tx.one("SELECT organization_id FROM graveyard WHERE id = :id", id=grave_id)
    return row["organization_id"] if row else None


async def of_account(tx: Tx, account_id: str) -> list[Grave]:
    """Everything an account left, oldest first."""
    rows = await tx.all(
        "SELECT * FROM graveyard WHERE account_id = :account_id ORDER BY destroyed_at, id", account_id=account_id
    )
    return [_grave(row) for row in rows]


async def delete(tx: Tx, grave_id: str) -> None:
    """Remove a grave: brought back, or gone for good."""
    await tx.run("DELETE FROM graveyard WHERE id = :id", id=grave_id)


async def prune(tx: Tx, at: int) -> int:
    """Forget what nobody brought back in time."""
    return await tx.run("DELETE FROM graveyard WHERE expires_at <= :at", at=at)
