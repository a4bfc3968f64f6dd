"""Domains of a caller's own: the records that prove them, and asking DNS whether they are there.

An organisation's domains have their DKIM keys in common. The keys are made here and known to nobody else, so that
who publishes them has the domain and wants this organisation to have it.
Follows RFC 6376 §3.6 (keys), RFC 7208 §3 (SPF), RFC 9989 (DMARC), RFC 5321 §5.1 (MX).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from posthouse.accounts import allowance
from posthouse.accounts import reach as reaching
from posthouse.accounts.accounts import note_organization
from posthouse.accounts.domains import check_claimable, check_domain
from posthouse.accounts.installation import SELECTORS
from posthouse.accounts.reach import Reach
from posthouse.events import outbox
from posthouse.kit.clock import Clock
from posthouse.kit.errors import Conflict, Forbidden, NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.pages import Page, PageRequest, cut
from posthouse.kit.principal import Principal
from posthouse.store import changes, domains, jobs, organizations
from posthouse.store.database import Database, Tx
from posthouse.store.domains import Domain, DomainCheck, OrganizationKey, StoredDkimKey
from posthouse.store.jobs import Job
from posthouse.wire.dkim_sign import dns_name, dns_record, generate_key, load_key, split_record
from posthouse.wire.resolver import NameNotFound, Resolver, ResolverFailure

VERIFY_JOB = "verify_domain"
# The words of a domain's status.
PENDING, VERIFYING, VERIFIED, INVALID, FAILED = "PENDING", "VERIFYING", "VERIFIED", "INVALID", "FAILED"
MISSING, WRONG, VALID = "MISSING", "INVALID", "VALID"


@dataclass(frozen=True, slots=True)
class Record:
    """A record to publish. `is_required` False: good to have, and not waited for."""

    type: str
    name: str
    value: str
    priority: int | None = None
    is_required: bool = True

    @property
    def key(self) -> str:
        """Type and name, under which its status is kept."""
        return f"{self.type} {self.name}"


def records(domain: Domain, keys: Sequence[StoredDkimKey], hostname: str) -> list[Record]:
    """What a domain's owner has to publish, the DKIM keys first."""
    found = []
    for stored in keys:
        key = load_key(domain.name, stored.selector, stored.private_key.encode("ascii"))
        found.append(Record("TXT", dns_name(key), dns_record(key), is_required=stored.algorithm == "rsa-sha256"))
    names = [domain.name, f"*.{domain.name}"] if domain.subdomains_enabled else [domain.name]
    found.extend(Record("MX", name, hostname, 10, is_required=name == domain.name) for name in names)
    found.append(Record("TXT", domain.name, f"v=spf1 a:{hostname} ~all"))
    found.append(Record("TXT", f"_dmarc.{domain.name}", "v=DMARC1; p=quarantine", is_required=False))
    return found


def zone_file(domain: Domain, wanted: Sequence[Record]) -> str:
    """The records as a zone file (RFC 1035 §5.1), long texts in strings of 255 octets."""
    lines = [f"; {domain.name}", "$TTL 3600"]
    for record in wanted:
        if record.type == "MX":
            lines.append(f"{record.name}. IN MX {record.priority} {record.value}.")
        else:
            parts = " ".join('"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
                             for part in split_record(record.value))  # fmt: skip
            lines.append(f"{record.name}. IN TXT {parts}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Named:
    """A domain, and whether this call named it (a repeated `client_id` finds the first one)."""

    domain: Domain
    is_new: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """A domain with the records that prove it, and what was found of them when DNS was last asked."""

    domain: Domain
    records: Sequence[Record]
    check: DomainCheck | None


async def add(
    db: Database,
    principal: Principal,
    name: str,
    *,
    pod_id: str | None,
    client_id: str | None,
    feedback_enabled: bool,
    subdomains_enabled: bool,
    at: int,
) -> Named:
    """Name a domain that is to be proved; the same `client_id` finds the one named before.

    Raises:
        Forbidden: the caller is bound to one account, which has no domains (reason `missing_permission`).
        NotFound: the caller sees no such pod.
        Invalid: not a domain name, or none that can be proved.
        Conflict: the organisation has named it, or another has proved it or what it lies in (reason
            `domain_exists`), or the `client_id` is that of a domain elsewhere (`client_id_taken`).
        Forbidden, OverQuota: the organisation may have no more (`allowance.check`).
    """
    if principal.account_id is not None:
        raise Forbidden("a key of one inbox adds no domains", reason="missing_permission")
    within = await db.read(lambda tx: reaching.of(tx, principal, pod_id=pod_id))
    organization_id = within.organization_id
    name = check_domain(name)

    async def known_or_allowed(tx: Tx) -> Domain | None:
        known = await domains.by_client_id(tx, organization_id, client_id) if client_id else None
        if known is not None:
            return known
        organization = await organizations.get(tx, organization_id)
        if organization is None:
            raise NotFound("there is no such organisation")
        if await domains.of_organization(tx, organization_id, name) is not None:
            raise Conflict(f"{name} has been added already", field="domain", reason="domain_exists")
        await check_claimable(tx, organization, name)
        await allowance.check(tx, organization_id, "domains")
        return None

    async def unit(tx: Tx) -> Named:
        known = await known_or_allowed(tx)
        if known is not None:
            return Named(known, is_new=False)
        domain = Domain(
            id=new_id(), name=name, organization_id=organization_id, pod_id=within.pod_id,
            client_id=client_id,
            status="NOT_STARTED", feedback_enabled=feedback_enabled, subdomains_enabled=subdomains_enabled,
            verified_at=None, created_at=at, updated_at=at,
        )  # fmt: skip
        if not await domains.add(tx, domain):
            raise Conflict(f"{name} has been added already", field="domain", reason="domain_exists")
        for key in await domains.organization_keys(tx, organization_id):
            await domains.add_dkim_key(
                tx, StoredDkimKey(domain.id, key.selector, key.algorithm, key.private_key, at, None)
            )
        await note_organization(tx, organization_id, "Domain", name, "created", at)
        return Named(domain, is_new=True)

    # Nothing is made for who may not have it.
    await db.write(known_or_allowed)
    await _make_keys(db, organization_id, at)
    named = await db.write(unit)
    if not within.has_bound(named.domain.pod_id, None):
        raise Conflict("this client_id is in use", field="client_id", reason="client_id_taken")
    return named


async def _make_keys(db: Database, organization_id: str, at: int) -> None:
    """Make the organisation's DKIM keys with its first domain: each RSA key costs as much as a thousand requests."""
    there = {key.selector for key in await db.read(lambda tx: domains.organization_keys(tx, organization_id))}
    for selector, algorithm in SELECTORS:
        if selector not in there:
            pem = (await asyncio.to_thread(generate_key, algorithm))[0].decode("ascii")
            key = OrganizationKey(organization_id, selector, algorithm, pem, at)
            await db.write(lambda tx, key=key: domains.add_organization_key(tx, key))  # type: ignore[misc]


async def find_in_scope(tx: Tx, principal: Principal, name: str, pod_id: str | None = None) -> Domain:
    """A domain of the caller's organisation, and of its pod where the key or `pod_id` names one.

    Raises:
        NotFound: there is none, or none the caller may see.
    """
    domain = await domains.of_organization(tx, principal.organization_id, name.strip().rstrip(".").lower())
    if (
        domain is None
        or principal.account_id is not None
        or principal.pod_id not in (None, domain.pod_id)
        or pod_id not in (None, domain.pod_id)
    ):
        raise NotFound("there is no such domain", field="domain_id")
    return domain


async def named(tx: Tx, organization_id: str, name: str) -> Domain | None:
    """An organisation's domain, whoever asks."""
    return await domains.of_organization(tx, organization_id, name)


async def page(tx: Tx, within: Reach, asked: PageRequest) -> Page[Domain]:
    """The domains within a reach; one of an account has none."""
    if within.account is not None:
        return Page([])
    found = await domains.page(
        tx, within.organization_id, pod_id=within.pod_id, after=asked.after, ascending=asked.ascending,
        limit=asked.size + 1,
    )  # fmt: skip
    return cut(found, asked.size)


async def proof_of(tx: Tx, domain: Domain, hostname: str) -> Proof:
    """What a domain's owner has to publish, and how far that was seen."""
    keys = await domains.dkim_keys(tx, domain.id)
    return Proof(domain, records(domain, keys, hostname), await domains.get_check(tx, domain.id))


async def change(
    tx: Tx, domain: Domain, *, feedback_enabled: bool | None, subdomains_enabled: bool | None, at: int
) -> Domain:
    """Change whether feedback is told, and whether names below it may have accounts; None leaves it as it is."""
    assert domain.organization_id is not None  # found in an organisation's scope
    await domains.set_flags(
        tx,
        domain.id,
        at=at,
        feedback_enabled=domain.feedback_enabled if feedback_enabled is None else feedback_enabled,
        subdomains_enabled=domain.subdomains_enabled if subdomains_enabled is None else subdomains_enabled,
    )
    await note_organization(tx, domain.organization_id, "Domain", domain.name, "updated", at)
    changed = await domains.of_organization(tx, domain.organization_id, domain.name)
    assert changed is not None  # it was changed just now
    return changed


async def delete(tx: Tx, domain: Domain, at: int) -> None:
    """Delete a domain.

    Raises:
        Forbidden: inboxes have addresses in it (reason `cannot_delete`).
    """
    # Addresses in a name that is not proved are somebody else's, or those of the domain above.
    total = await domains.count_addresses(tx, domain.name) if domain.verified_at is not None else 0
    if total:
        raise Forbidden(f"{total} addresses are in this domain", reason="cannot_delete")
    assert domain.organization_id is not None  # found in an organisation's scope
    await domains.delete(tx, domain.organization_id, domain.id)
    await note_organization(tx, domain.organization_id, "Domain", domain.name, "destroyed", at)


async def ask_verification(tx: Tx, domain: Domain, at: int) -> None:
    """Have DNS asked soon. A domain that is verified stays so while it is asked again."""
    if domain.status != VERIFIED:
        await domains.set_status(tx, domain.id, VERIFYING, at)
    await jobs.add(tx, VERIFY_JOB, payload={"domain": domain.id}, dedup_key=domain.id, due_at=at, at=at)


class Verifier:
    """Asks DNS about domains whose owners say they are ready."""

    def __init__(self, db: Database, resolver: Resolver, clock: Clock, hostname: str) -> None:
        self._db = db
        self._clock = clock
        self._resolver = resolver
        self._hostname = hostname

    async def verify(self, job: Job) -> None:
        """Do one job of `VERIFY_JOB`: ask DNS about a domain and write down what it says."""
        domain_id, at = str(job.payload["domain"]), self._clock()

        async def look(tx: Tx) -> tuple[Domain | None, list[StoredDkimKey]]:
            return await domains.get(tx, domain_id), await domains.dkim_keys(tx, domain_id)

        domain, keys = await self._db.read(look)
        if domain is None or domain.organization_id is None:
            return
        wanted = records(domain, keys, self._hostname)
        statuses: dict[str, str] = {}
        for record in wanted:
            statuses[f"{record.key} {record.value}"] = await self._status(record)
        required = [statuses[f"{record.key} {record.value}"] for record in wanted if record.is_required]
        status = VERIFIED if set(required) == {VALID} else INVALID if WRONG in required else PENDING
        reason = None if status == VERIFIED else "some of the records are not published as they should be"
        check = DomainCheck(domain_id, statuses, reason, at)
        await self._db.write(lambda tx: self._settle(tx, status, check))

    async def _settle(self, tx: Tx, status: str, check: DomainCheck) -> None:
        domain = await domains.get(tx, check.domain_id)
        if domain is None or domain.organization_id is None:
            return
        if domain.verified_at is not None:
            # Mail goes on while its owner mends what has gone missing; the records' own statuses say so.
            status = VERIFIED
        elif status == VERIFIED and await self._is_taken(tx, domain):
            status, check = FAILED, replace(check, reason="it was proved by another organisation first")
        await domains.put_check(tx, check)
        if status == domain.status:
            return
        await domains.set_status(tx, domain.id, status, check.checked_at)
        modseq = await changes.next_organization_modseq(tx, domain.organization_id)
        assert modseq is not None  # the domain's row names it
        entry: tuple[str, str, changes.Action] = ("Domain", domain.name, "updated")
        await changes.record(tx, domain.organization_id, modseq, check.checked_at, [entry])
        if status == VERIFIED:
            await outbox.publish_for_organization(
                tx,
                domain.organization_id,
                domain.pod_id,
                outbox.DOMAIN_VERIFIED,
                modseq=modseq,
                at=check.checked_at,
                payload={"domain": domain.name, "hostname": self._hostname},
            )

    async def _is_taken(self, tx: Tx, domain: Domain) -> bool:
        assert domain.organization_id is not None  # looked at before
        organization = await organizations.get(tx, domain.organization_id)
        assert organization is not None  # the domain's row names it
        try:
            await check_claimable(tx, organization, domain.name)
        except Conflict:
            return True
        return False

    async def _status(self, record: Record) -> str:
        try:
            if record.type == "MX":
                hosts = {host.rstrip(".").lower() for _, host in await self._resolver.mx(record.name)}
                return VALID if record.value.lower() in hosts else WRONG
            texts = ["".join(text.decode("utf-8", "replace").split()) for text in await self._resolver.txt(record.name)]
        except (NameNotFound, ResolverFailure):
            return MISSING
        kind = record.value.split(";", 1)[0].split(" ", 1)[0]
        alike = [text for text in texts if text.lower().startswith(kind.lower())]
        if not alike:
            return MISSING
        if kind == "v=spf1":  # any policy of the owner's that names us
            host = record.value.split("a:", 1)[1].split(" ", 1)[0]
            return VALID if any(host in text for text in alike) else WRONG
        if kind == "v=DMARC1":
            return VALID
        return VALID if "".join(record.value.split()) in alike else WRONG
