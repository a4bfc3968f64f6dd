"""API keys. Only a digest is kept; the key itself is shown once, when it is made."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from posthouse.store import pages
from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load

# Woken when a key is no longer what it was.
KEYS = "keys"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A credential of an organisation, a pod or an account. `rights` None means all there are within its reach."""

    id: str
    organization_id: str
    pod_id: str | None
    account_id: str | None
    surface: str
    name: str
    prefix: str
    digest: str
    rights: list[str] | None
    level: str | None
    is_owner: bool
    expires_at: int | None
    used_at: int | None
    created_at: int


def _key(row: Row) -> ApiKey:
    return load(ApiKey, row, json=("rights",), flags=("is_owner",))


async def add(tx: Tx, key: ApiKey) -> None:
    """Insert a key."""
    await tx.run(
        """INSERT INTO api_key (id, organization_id, pod_id, account_id, surface, name, prefix, digest, rights,
                                level, is_owner, expires_at, created_at)
           VALUES (:id, :organization_id, :pod_id, :account_id, :surface, :name, :prefix, :digest, :rights,
                   :level, :is_owner, :expires_at, :created_at)""",
        id=key.id, organization_id=key.organization_id, pod_id=key.pod_id, account_id=key.account_id,
        surface=key.surface, name=key.name, prefix=key.prefix, digest=key.digest,
        rights=None if key.rights is None else dump(key.rights), level=key.level, is_owner=key.is_owner,
        expires_at=key.expires_at, created_at=key.created_at,
    )  # fmt: skip


async def by_digest(tx: Tx, digest: str) -> ApiKey | None:
    """The key with this digest, whatever its state."""
    row = await tx.one("SELECT * FROM api_key WHERE digest = :digest", digest=digest)
    return _key(row) if row else None


async def page(
    tx: Tx,
    organization_id: str,
    *,
    pod_id: str | None = None,
    account_id: str | None = None,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int = 1_000,
) -> list[ApiKey]:
    """Keys in the order of creation, after a keyset position (created_at, id)."""
    scope = {"organization_id": organization_id, "pod_id": pod_id, "account_id": account_id}
    rows = await pages.in_order_of_creation(tx, "api_key", scope, after=after, ascending=ascending, limit=limit)
    return [_key(row) for row in rows]


async def get(tx: Tx, organization_id: str, key_id: str) -> ApiKey | None:
    """The key, or None."""
    row = await tx.one(
        "SELECT * FROM api_key WHERE organization_id = :organization_id AND id = :id",
        organization_id=organization_id, id=key_id,
    )  # fmt: skip
    return _key(row) if row else None


async def organization_of(tx: Tx, key_id: str) -> str | None:
    """Whose key it is: for the owner's commands, which reach every organisation."""
    row = await tx.one("SELECT organization_id FROM api_key WHERE id = :id", id=key_id)
    return row["organization_id"] if row else None


async def owner_key(tx: Tx) -> ApiKey | None:
    """The installation owner's key, where init made one."""
    row = await tx.one("SELECT * FROM api_key WHERE is_owner ORDER BY created_at LIMIT 1")
    return _key(row) if row else None


async def delete(tx: Tx, organization_id: str, key_id: str) -> bool:
    """Revoke for good; False when there was no such key."""
    tx.wake(KEYS)
    return bool(
        await tx.run(
            "DELETE FROM api_key WHERE organization_id = :organization_id AND id = :id",
            organization_id=organization_id, id=key_id,
        )
    )  # fmt: skip


async def delete_all(tx: Tx, organization_id: str) -> None:
    """Revoke every key of an organisation for good."""
    tx.wake(KEYS)
    await tx.run("DELETE FROM api_key WHERE organization_id = :organization_id", organization_id=organization_id)


async def touch(tx: Tx, key_id: str, at: int) -> None:
    """Remember when the key was last used."""
    await tx.run("UPDATE api_key SET used_at = :at WHERE id = :id", id=key_id, at=at)


async def exists(tx: Tx, key_id: str) -> bool:
    """Whether a key has not been revoked."""
    return await tx.one("SELECT 1 AS one FROM api_key WHERE id = :id", id=key_id) is not None


async def is_open(tx: Tx, organization_id: str, pod_id: str, account_id: str, at: int) -> bool:
    """Whether a key that is not the owner's opens an account."""
    row = await tx.one(
        """SELECT 1 AS found FROM api_key
           WHERE organization_id = :organization_id AND NOT is_owner AND (expires_at IS NULL OR expires_at > :at)
             AND (account_id = :account_id OR (account_id IS NULL AND (pod_id IS NULL OR pod_id = :pod_id))) LIMIT 1""",
        organization_id=organization_id, account_id=account_id, pod_id=pod_id, at=at,
    )  # fmt: skip
    return row is not None


async def update(tx: Tx, key_id: str, *, name: str, rights: list[str] | None) -> None:
    """Replace a key's name and permissions."""
    await tx.run(
        "UPDATE api_key SET name = :name, rights = :rights WHERE id = :id",
        id=key_id, name=name, rights=None if rights is None else dump(rights),
    )  # fmt: skip
    tx.wake(KEYS)


async def page_of_surface(
    tx: Tx,
    organization_id: str,
    surface: str,
    *,
    pod_id: str | None,
    account_id: str | None,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
) -> list[ApiKey]:
    """One surface's keys of a scope, in the order of creation, after a keyset position (created_at, id)."""
    scope = {"organization_id": organization_id, "surface": surface, "pod_id": pod_id, "account_id": account_id}
    rows = await pages.in_order_of_creation(
        tx, "api_key", scope, after=after, ascending=ascending, limit=limit, also="NOT is_owner"
    )
    return [_key(row) for row in rows]


async def get_many(tx: Tx, key_ids: Collection[str]) -> dict[str, ApiKey]:
    """Keys by id, of whatever organisation: for those who hold a lease on them."""
    rows = await tx.all("SELECT * FROM api_key WHERE id IN (:ids...)", ids=list(key_ids))
    return {row["id"]: _key(row) for row in rows}
