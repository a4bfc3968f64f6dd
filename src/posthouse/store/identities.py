"""Identities (RFC 8621 §6): the names an account writes under."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Identity:
    """A From an account uses. Lists of addresses are of (name, email) pairs; None says nothing."""

    id: str
    account_id: str
    name: str
    email: str
    reply_to: list[list[str]] | None
    bcc: list[list[str]] | None
    text_signature: str
    html_signature: str
    may_delete: bool
    created_at: int


def _identity(row: Row) -> Identity:
    return load(Identity, row, json=("reply_to", "bcc"), flags=("may_delete",))


async def put(tx: Tx, identity: Identity) -> None:
    """Insert an identity, or replace the one with this id in the same account."""
    await tx.run(
        """INSERT INTO identity (id, account_id, name, email, reply_to, bcc, text_signature, html_signature,
                                 may_delete, created_at)
           VALUES (:id, :account_id, :name, :email, :reply_to, :bcc, :text_signature, :html_signature, :may_delete,
                   :created_at)
           ON CONFLICT (id) DO UPDATE SET name = excluded.name, reply_to = excluded.reply_to, bcc = excluded.bcc,
             text_signature = excluded.text_signature, html_signature = excluded.html_signature
             WHERE identity.account_id = excluded.account_id""",
        id=identity.id, account_id=identity.account_id, name=identity.name, email=identity.email,
        reply_to=None if identity.reply_to is None else dump(identity.reply_to),
        bcc=None if identity.bcc is None else dump(identity.bcc), text_signature=identity.text_signature,
        html_signature=identity.html_signature, may_delete=identity.may_delete, created_at=identity.created_at,
    )  # fmt: skip


async def all_of(tx: Tx, account_id: str) -> list[Identity]:
    """The account's stored identities, oldest first."""
    rows = await tx.all(
        "SELECT * FROM identity WHERE account_id = :account_id ORDER BY created_at, id", account_id=account_id
    )
    return [_identity(row) for row in rows]


async def delete(tx: Tx, account_id: str, identity_id: str) -> bool:
    """Delete one; False when there was none."""
    return bool(
        await tx.run(
            "DELETE FROM identity WHERE account_id = :account_id AND id = :id", account_id=account_id, id=identity_id
        )
    )
