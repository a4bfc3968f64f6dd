"""Domains and the DKIM keys that sign for them."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store import pages
from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


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


async def by_client_id(tx: Tx, organization_id: str, client_id: str) -> Domain | None:
    """The domain a caller named so when adding it."""
    row = await tx.one(
        "SELECT * FROM domain WHERE organization_id = :organization_id AND client_id = :client_id",
        organization_id=organization_id, client_id=client_id,
    )  # fmt: skip
    return _domain(row) if row else None


async def page(
    tx: Tx,
    organization_id: str,
    *,
    pod_id: str | None = None,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[Domain]:
    """A page of the organisation's own domains, or of a pod's, after a keyset position (created_at, name)."""
    scope = {"organization_id": organization_id, "pod_id": pod_id}
    rows = await pages.in_order_of_creation(
        tx, "domain", scope, after=after, ascending=ascending, limit=limit, key="name"
    )
    return [_domain(row) for row in rows]


async def count(tx: Tx, organization_id: str) -> int:
    """How many domains are the organisation's own."""
    row = await tx.one(
        "SELECT count(*) AS total FROM domain WHERE organization_id = :organization_id",
        organization_id=organization_id,
    )
    return int(row["total"]) if row else 0


async def count_addresses(tx: Tx, name: str) -> int:
    """How many addresses in use are in the domain."""
    row = await tx.one(
        "SELECT count(*) AS total FROM address WHERE domain = :name AND account_id IS NOT NULL", name=name
    )
    return int(row["total"]) if row else 0


async def set_flags(tx: Tx, name: str, *, feedback_enabled: bool, subdomains_enabled: bool, at: int) -> None:
    """Change what a caller may change of a domain."""
    await tx.run(
        """UPDATE domain SET feedback_enabled = :feedback_enabled, subdomains_enabled = :subdomains_enabled,
             updated_at = :at WHERE name = :name""",
        name=name, feedback_enabled=feedback_enabled, subdomains_enabled=subdomains_enabled, at=at,
    )  # fmt: skip


async def set_status(tx: Tx, name: str, status: str, at: int) -> None:
    """How far the proof of a domain has come."""
    await tx.run(
        """UPDATE domain SET status = :status, updated_at = :at,
             verified_at = CASE WHEN :status = 'VERIFIED' THEN coalesce(verified_at, :at) ELSE verified_at END
           WHERE name = :name""",
        name=name, status=status, at=at,
    )  # fmt: skip


async def delete(tx: Tx, organization_id: str, name: str) -> bool:
    """Delete a domain with its keys; False when there was none."""
    return bool(
        await tx.run(
            "DELETE FROM domain WHERE organization_id = :organization_id AND name = :name",
            organization_id=organization_id, name=name,
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """What DNS said: a status for each record, by its type and name with a blank between."""

    domain: str
    statuses: dict[str, str]
    reason: str | None
    checked_at: int


async def put_check(tx: Tx, check: DomainCheck) -> None:
    """Keep what DNS said."""
    await tx.run(
        """INSERT INTO domain_check (domain, statuses, reason, checked_at)
           VALUES (:domain, :statuses, :reason, :at)
           ON CONFLICT (domain) DO UPDATE SET statuses = excluded.statuses, reason = excluded.reason,
             checked_at = excluded.checked_at""",
        domain=check.domain, statuses=dump(check.statuses), reason=check.reason, at=check.checked_at,
    )  # fmt: skip


async def get_check(tx: Tx, name: str) -> DomainCheck | None:
    """What DNS said when it was last asked."""
    row = await tx.one("SELECT * FROM domain_check WHERE domain = :name", name=name)
    return load(DomainCheck, row, json=("statuses",)) if row else None
