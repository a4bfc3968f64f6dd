"""Domains, who has named and who has proved them, and the DKIM keys that sign for them."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store import pages
from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain name as one organisation has named it. Without an organisation it is the shared one.

    Until it is proved (`verified_at`) it is a name and no more: others may have named it too, no mail is taken
    for it, and nothing is signed for it.
    """

    id: str
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

    domain_id: str
    selector: str
    algorithm: str
    private_key: str
    created_at: int
    retired_at: int | None


def _domain(row: Row) -> Domain:
    return load(Domain, row, flags=("feedback_enabled", "subdomains_enabled"))


async def add(tx: Tx, domain: Domain) -> bool:
    """Insert a domain; False when the organisation has named it already, or it is proved and another has proved it."""
    return bool(
        await tx.run(
            """INSERT INTO domain (id, name, organization_id, pod_id, client_id, status, feedback_enabled,
                                   subdomains_enabled, verified_at, created_at, updated_at)
               VALUES (:id, :name, :organization_id, :pod_id, :client_id, :status, :feedback_enabled,
                       :subdomains_enabled, :verified_at, :at, :at)
               ON CONFLICT DO NOTHING""",
            id=domain.id, name=domain.name, organization_id=domain.organization_id, pod_id=domain.pod_id,
            client_id=domain.client_id, status=domain.status, feedback_enabled=domain.feedback_enabled,
            subdomains_enabled=domain.subdomains_enabled, verified_at=domain.verified_at, at=domain.created_at,
        )
    )  # fmt: skip


async def get(tx: Tx, domain_id: str) -> Domain | None:
    """The domain, or None."""
    row = await tx.one("SELECT * FROM domain WHERE id = :id", id=domain_id)
    return _domain(row) if row else None


async def proved(tx: Tx, name: str) -> Domain | None:
    """The domain of this name whose mail is ours: the shared one, or what an organisation has proved."""
    row = await tx.one("SELECT * FROM domain WHERE name = :name AND verified_at IS NOT NULL", name=name)
    return _domain(row) if row else None


async def of_organization(tx: Tx, organization_id: str, name: str) -> Domain | None:
    """The domain an organisation has named so, proved or not."""
    row = await tx.one(
        "SELECT * FROM domain WHERE organization_id = :organization_id AND name = :name",
        organization_id=organization_id, name=name,
    )  # fmt: skip
    return _domain(row) if row else None


async def all_proved(tx: Tx) -> list[Domain]:
    """Every domain whose mail is ours, by name."""
    return [_domain(row) for row in await tx.all("SELECT * FROM domain WHERE verified_at IS NOT NULL ORDER BY name")]


async def add_dkim_key(tx: Tx, key: StoredDkimKey) -> None:
    """Insert a signing key."""
    await tx.run(
        """INSERT INTO dkim_key (domain_id, selector, algorithm, private_key, created_at)
           VALUES (:domain_id, :selector, :algorithm, :private_key, :created_at)
           ON CONFLICT (domain_id, selector) DO NOTHING""",
        domain_id=key.domain_id, selector=key.selector, algorithm=key.algorithm, private_key=key.private_key,
        created_at=key.created_at,
    )  # fmt: skip


async def dkim_keys(tx: Tx, domain_id: str) -> list[StoredDkimKey]:
    """The keys in use for a domain, oldest first, whether it is proved or not."""
    rows = await tx.all(
        "SELECT * FROM dkim_key WHERE domain_id = :domain_id AND retired_at IS NULL ORDER BY created_at, selector",
        domain_id=domain_id,
    )
    return [load(StoredDkimKey, row) for row in rows]


async def signing_keys(tx: Tx, name: str) -> list[StoredDkimKey]:
    """The keys that sign for a proved domain of this name, oldest first; none for a name nobody has proved."""
    domain = await proved(tx, name)
    return await dkim_keys(tx, domain.id) if domain is not None else []


@dataclass(frozen=True, slots=True)
class OrganizationKey:
    """A DKIM key that an organisation's domains have in common; `private_key` is PEM."""

    organization_id: str
    selector: str
    algorithm: str
    private_key: str
    created_at: int


async def organization_keys(tx: Tx, organization_id: str) -> list[OrganizationKey]:
    """An organisation's keys, by selector."""
    rows = await tx.all(
        "SELECT * FROM organization_dkim_key WHERE organization_id = :organization_id ORDER BY selector",
        organization_id=organization_id,
    )
    return [load(OrganizationKey, row) for row in rows]


async def add_organization_key(tx: Tx, key: OrganizationKey) -> None:
    """Insert a key; one that is there stays."""
    await tx.run(
        """INSERT INTO organization_dkim_key (organization_id, selector, algorithm, private_key, created_at)
           VALUES (:organization_id, :selector, :algorithm, :private_key, :created_at)
           ON CONFLICT (organization_id, selector) DO NOTHING""",
        organization_id=key.organization_id, selector=key.selector, algorithm=key.algorithm,
        private_key=key.private_key, created_at=key.created_at,
    )  # fmt: skip


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


async def set_flags(tx: Tx, domain_id: str, *, feedback_enabled: bool, subdomains_enabled: bool, at: int) -> None:
    """Change what a caller may change of a domain."""
    await tx.run(
        """UPDATE domain SET feedback_enabled = :feedback_enabled, subdomains_enabled = :subdomains_enabled,
             updated_at = :at WHERE id = :id""",
        id=domain_id, feedback_enabled=feedback_enabled, subdomains_enabled=subdomains_enabled, at=at,
    )  # fmt: skip


async def set_status(tx: Tx, domain_id: str, status: str, at: int) -> None:
    """How far the proof of a domain has come."""
    await tx.run(
        """UPDATE domain SET status = :status, updated_at = :at,
             verified_at = CASE WHEN :status = 'VERIFIED' THEN coalesce(verified_at, :at) ELSE verified_at END
           WHERE id = :id""",
        id=domain_id, status=status, at=at,
    )  # fmt: skip


async def delete(tx: Tx, organization_id: str, domain_id: str) -> bool:
    """Delete a domain with its keys; False when there was none."""
    return bool(
        await tx.run(
            "DELETE FROM domain WHERE organization_id = :organization_id AND id = :id",
            organization_id=organization_id, id=domain_id,
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DomainCheck:
    """What DNS said: a status for each record, by its type and name with a blank between."""

    domain_id: str
    statuses: dict[str, str]
    reason: str | None
    checked_at: int


async def put_check(tx: Tx, check: DomainCheck) -> None:
    """Keep what DNS said."""
    await tx.run(
        """INSERT INTO domain_check (domain_id, statuses, reason, checked_at)
           VALUES (:domain_id, :statuses, :reason, :at)
           ON CONFLICT (domain_id) DO UPDATE SET statuses = excluded.statuses, reason = excluded.reason,
             checked_at = excluded.checked_at""",
        domain_id=check.domain_id, statuses=dump(check.statuses), reason=check.reason, at=check.checked_at,
    )  # fmt: skip


async def get_check(tx: Tx, domain_id: str) -> DomainCheck | None:
    """What DNS said when it was last asked."""
    row = await tx.one("SELECT * FROM domain_check WHERE domain_id = :domain_id", domain_id=domain_id)
    return load(DomainCheck, row, json=("statuses",)) if row else None
