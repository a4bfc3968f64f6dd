"""Entries of allow and block lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.store import pages
from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class ListEntry:
    """An address or a domain on a list.

    Attributes:
        scope_id: the account, pod or organisation the list belongs to.
        direction: `send`, `receive` or `reply`.
        kind: `allow` or `block`.
        entry: an address in the form used as key, or a domain name.
        entry_type: `email` or `domain`.
        set_by: how wide the key was that set it: `organization`, `pod` or `account`.
    """

    id: str
    organization_id: str
    pod_id: str | None
    account_id: str | None
    scope_id: str
    direction: str
    kind: str
    entry: str
    entry_type: str
    reason: str | None
    created_at: int
    set_by: str = "account"


async def add(tx: Tx, entry: ListEntry) -> ListEntry:
    """Insert an entry; one that is there already takes the new reason."""
    row = await tx.one(
        """INSERT INTO list_entry (id, organization_id, pod_id, account_id, scope_id, direction, kind, entry,
             entry_type, reason, created_at, set_by)
           VALUES (:id, :organization_id, :pod_id, :account_id, :scope_id, :direction, :kind, :entry,
             :entry_type, :reason, :created_at, :set_by)
           ON CONFLICT (scope_id, direction, kind, entry)
             DO UPDATE SET reason = coalesce(excluded.reason, list_entry.reason), set_by = excluded.set_by
           RETURNING *""",
        id=entry.id, organization_id=entry.organization_id, pod_id=entry.pod_id, account_id=entry.account_id,
        scope_id=entry.scope_id, direction=entry.direction, kind=entry.kind, entry=entry.entry,
        entry_type=entry.entry_type, reason=entry.reason, created_at=entry.created_at,
        set_by=entry.set_by,
    )  # fmt: skip
    assert row is not None  # RETURNING of an upsert
    return load(ListEntry, row)


async def get(tx: Tx, scope_id: str, direction: str, kind: str, entry: str) -> ListEntry | None:
    """The entry, or None."""
    row = await tx.one(
        """SELECT * FROM list_entry WHERE scope_id = :scope_id AND direction = :direction AND kind = :kind
             AND entry = :entry""",
        scope_id=scope_id, direction=direction, kind=kind, entry=entry,
    )  # fmt: skip
    return load(ListEntry, row) if row else None


async def page(
    tx: Tx,
    scope_id: str,
    direction: str,
    kind: str,
    *,
    after: tuple[int, str] | None,
    ascending: bool = False,
    limit: int,
) -> list[ListEntry]:
    """A page of a list in the order of creation, after a keyset position (created_at, id)."""
    scope = {"scope_id": scope_id, "direction": direction, "kind": kind}
    rows = await pages.in_order_of_creation(tx, "list_entry", scope, after=after, ascending=ascending, limit=limit)
    return [load(ListEntry, row) for row in rows]


async def delete(tx: Tx, scope_id: str, direction: str, kind: str, entry: str) -> bool:
    """Take an entry off a list; False when it was not on it."""
    return bool(
        await tx.run(
            """DELETE FROM list_entry WHERE scope_id = :scope_id AND direction = :direction AND kind = :kind
                 AND entry = :entry""",
            scope_id=scope_id, direction=direction, kind=kind, entry=entry,
        )
    )  # fmt: skip


async def hits(tx: Tx, scope_ids: Sequence[str], direction: str, keys: Sequence[str]) -> list[ListEntry]:
    """The entries among `keys` (addresses and domains) on the lists of these scopes."""
    rows = await tx.all(
        """SELECT * FROM list_entry WHERE scope_id IN (:scope_ids...) AND direction = :direction
             AND kind IN ('allow', 'block') AND entry IN (:keys...)""",
        scope_ids=list(scope_ids), direction=direction, keys=list(keys),
    )  # fmt: skip
    return [load(ListEntry, row) for row in rows]


async def allowing(tx: Tx, scope_ids: Sequence[str], direction: str) -> set[str]:
    """Who has set a list of those allowed in one of these scopes: `organization`, `pod`, `account`."""
    rows = await tx.tuples(
        """SELECT DISTINCT set_by FROM list_entry
           WHERE scope_id IN (:scope_ids...) AND direction = :direction AND kind = 'allow'""",
        scope_ids=list(scope_ids), direction=direction,
    )  # fmt: skip
    return {row[0] for row in rows}
