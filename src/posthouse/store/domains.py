"""Domains and the DKIM keys that sign for them."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store.database import Row, Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain whose mail is ours. Without an organisation it is the shared one."""

    name: str
    organization_id: str | None
    pod_id: str | None
    client_id: str | None
    status: str
    feedback_enabled: bool
    subdomains_enabled: bool
    verified_at: int | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class StoredDkimKey:
    """A signing key of a domain; `private_key` is PEM."""

    domain: str
    selector: str
    algorithm: str
    private_key: str
    created_at: int
    retired_at: int | None


def _domain(row: Row) -> Domain:
    return load(Domain, row, flags=("feedback_enabled", "subdomains_enabled"))


async def add(tx: Tx, domain: Domain) -> bool:
    """Insert a domain; False when it is there already."""
    return bool(
        await tx.run(
            """INSERT INTO domain (name, organization_id, pod_id, client_id, status, feedback_enabled,
                                   subdomains_enabled, verified_at, created_at, updated_at)
               VALUES (:name, :organization_id, :pod_id, :client_id, :status, :feedback_enabled,
                       :subdomains_enabled, :verified_at, :at, :at)
               ON CONFLICT (name) DO NOTHING""",
            name=domain.name, organization_id=domain.organization_id, pod_id=domain.pod_id,
            client_id=domain.client_id, status=domain.status, feedback_enabled=domain.feedback_enabled,
            subdomains_enabled=domain.subdomains_enabled, verified_at=domain.verified_at, at=domain.created_at,
        )
    )  # fmt: skip


async def get(tx: Tx, name: str) -> Domain | None:
    """The domain, or None."""
    row = await tx.one("SELECT * FROM domain WHERE name = :name", name=name)
    return _domain(row) if row else None


async def all_names(tx: Tx) -> list[str]:
    """Every domain whose mail is ours."""
    return [row["name"] for row in await tx.all("SELECT name FROM domain ORDER BY name")]


async def add_dkim_key(tx: Tx, key: StoredDkimKey) -> None:
    """Insert a signing key."""
    await tx.run(
        """INSERT INTO dkim_key (domain, selector, algorithm, private_key, created_at)
           VALUES (:domain, :selector, :algorithm, :private_key, :created_at)
           ON CONFLICT (domain, selector) DO NOTHING""",
        domain=key.domain, selector=key.selector, algorithm=key.algorithm, private_key=key.private_key,
        created_at=key.created_at,
    )  # fmt: skip


async def dkim_keys(tx: Tx, domain: str) -> list[StoredDkimKey]:
    """The signing keys in use for a domain, oldest first."""
    rows = await tx.all(
        "SELECT * FROM dkim_key WHERE domain = :domain AND retired_at IS NULL ORDER BY created_at, selector",
        domain=domain,
    )
    return [load(StoredDkimKey, row) for row in rows]
