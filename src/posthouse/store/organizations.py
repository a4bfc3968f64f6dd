"""Organisations and their pods."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store import pages
from posthouse.store.database import Tx
from posthouse.store.keys import KEYS
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Organization:
    """A tenant: owns pods, accounts, domains, keys. `level` is the default of its accounts."""

    id: str
    name: str
    slug: str | None
    level: str
    modseq: int
    self_registered: bool
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Pod:
    """A group of accounts inside an organisation; every organisation has a default one."""

    id: str
    organization_id: str
    name: str
    client_id: str | None
    is_default: bool
    created_at: int
    updated_at: int


async def add(tx: Tx, organization: Organization) -> None:
    """Insert an organisation."""
    await tx.run(
        """INSERT INTO organization (id, name, slug, level, modseq, self_registered, created_at, updated_at)
           VALUES (:id, :name, :slug, :level, 0, :self_registered, :at, :at)""",
        id=organization.id, name=organization.name, slug=organization.slug, level=organization.level,
        self_registered=organization.self_registered, at=organization.created_at,
    )  # fmt: skip


async def get(tx: Tx, organization_id: str) -> Organization | None:
    """The organisation, or None."""
    row = await tx.one("SELECT * FROM organization WHERE id = :id", id=organization_id)
    return load(Organization, row, flags=("self_registered",)) if row else None


async def first(tx: Tx) -> Organization | None:
    """The oldest organisation: the installation's own, made by init."""
    row = await tx.one("SELECT * FROM organization ORDER BY created_at, id LIMIT 1")
    return load(Organization, row, flags=("self_registered",)) if row else None


# What is counted of an organisation, and where it lies.
_TABLES = {
    "inboxes": "account", "domains": "domain", "pods": "pod", "keys": "api_key", "list_entries": "list_entry",
    "webhooks": "webhook_endpoint",
}  # fmt: skip


async def count(tx: Tx, organization_id: str, kind: str) -> int:
    """How many of a kind (a name of `_TABLES`) the organisation has."""
    row = await tx.one(
        f"SELECT count(*) AS total FROM {_TABLES[kind]} WHERE organization_id = :organization_id",
        organization_id=organization_id,
    )
    return int(row["total"]) if row else 0


async def lock(tx: Tx, organization_id: str) -> None:
    """Nobody else counts or changes what is the organisation's until this unit ends."""
    await tx.run("UPDATE organization SET modseq = modseq WHERE id = :id", id=organization_id)


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation as its owner sees it. `human_email` is who vouches for it, `verified_at` when they did."""

    id: str
    name: str
    level: str
    self_registered: bool
    created_at: int
    inboxes: int
    human_email: str | None
    verified_at: int | None


async def tenants(tx: Tx, limit: int) -> list[Tenant]:
    """All organisations, newest first."""
    rows = await tx.all(
        """SELECT organization.id, name, level, self_registered, organization.created_at, human_email, verified_at,
             (SELECT count(*) FROM account WHERE account.organization_id = organization.id) AS inboxes
           FROM organization LEFT JOIN signup ON signup.organization_id = organization.id
           ORDER BY organization.created_at DESC, organization.id DESC LIMIT :limit""",
        limit=limit,
    )
    return [load(Tenant, row, flags=("self_registered",)) for row in rows]


async def set_level(tx: Tx, organization_id: str, level: str, at: int) -> None:
    """Change the default oversight level."""
    await tx.run(
        "UPDATE organization SET level = :level, updated_at = :at WHERE id = :id",
        id=organization_id, level=level, at=at,
    )  # fmt: skip


async def add_pod(tx: Tx, pod: Pod) -> None:
    """Insert a pod."""
    await tx.run(
        """INSERT INTO pod (id, organization_id, name, client_id, is_default, created_at, updated_at)
           VALUES (:id, :organization_id, :name, :client_id, :is_default, :at, :at)""",
        id=pod.id, organization_id=pod.organization_id, name=pod.name, client_id=pod.client_id,
        is_default=pod.is_default, at=pod.created_at,
    )  # fmt: skip


async def default_pod(tx: Tx, organization_id: str) -> Pod | None:
    """The organisation's default pod."""
    row = await tx.one(
        "SELECT * FROM pod WHERE organization_id = :organization_id AND is_default",
        organization_id=organization_id,
    )
    return load(Pod, row, flags=("is_default",)) if row else None


async def get_pod(tx: Tx, organization_id: str, pod_id: str) -> Pod | None:
    """The pod, by its id or its client id."""
    row = await tx.one(
        """SELECT * FROM pod WHERE organization_id = :organization_id AND (id = :pod_id OR client_id = :pod_id)
           ORDER BY CASE WHEN id = :pod_id THEN 0 ELSE 1 END LIMIT 1""",
        organization_id=organization_id, pod_id=pod_id,
    )  # fmt: skip
    return load(Pod, row, flags=("is_default",)) if row else None


async def pod_by_client_id(tx: Tx, organization_id: str, client_id: str) -> Pod | None:
    """The pod a caller named so when creating it."""
    row = await tx.one(
        "SELECT * FROM pod WHERE organization_id = :organization_id AND client_id = :client_id",
        organization_id=organization_id, client_id=client_id,
    )  # fmt: skip
    return load(Pod, row, flags=("is_default",)) if row else None


async def pods(
    tx: Tx,
    organization_id: str,
    *,
    pod_id: str | None = None,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[Pod]:
    """A page of pods in the order of creation, after a keyset position (created_at, id)."""
    scope = {"organization_id": organization_id, "id": pod_id}
    rows = await pages.in_order_of_creation(tx, "pod", scope, after=after, ascending=ascending, limit=limit)
    return [load(Pod, row, flags=("is_default",)) for row in rows]


async def pod_holds(tx: Tx, pod_id: str) -> tuple[int, int]:
    """How many accounts and how many domains are in a pod."""
    row = await tx.one(
        """SELECT (SELECT count(*) FROM account WHERE pod_id = :pod_id) AS accounts,
                  (SELECT count(*) FROM domain WHERE pod_id = :pod_id) AS domains""",
        pod_id=pod_id,
    )
    assert row is not None  # a count always answers
    return int(row["accounts"]), int(row["domains"])


async def delete_pod(tx: Tx, organization_id: str, pod_id: str) -> bool:
    """Delete a pod with its keys, lists and endpoints; False when there was none."""
    tx.wake(KEYS)
    return bool(
        await tx.run(
            "DELETE FROM pod WHERE organization_id = :organization_id AND id = :pod_id",
            organization_id=organization_id, pod_id=pod_id,
        )
    )  # fmt: skip
