"""The first minute of an installation: organisation, domain with DKIM keys, the owner's account and key."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import keys as key_rules
from posthouse.kit.errors import NotFound
from posthouse.kit.ids import new_id, new_secret, new_uuid
from posthouse.mail.journal import changing
from posthouse.mail.mailboxes import provision
from posthouse.store import accounts, domains, keys, organizations, secrets
from posthouse.store.accounts import Account
from posthouse.store.database import Database, Tx
from posthouse.store.domains import Domain, StoredDkimKey
from posthouse.store.organizations import Organization, Pod
from posthouse.wire.dkim import Algorithm
from posthouse.wire.dkim_sign import generate_key

# One selector for each algorithm: receivers that do not know Ed25519 (RFC 8463) read the other.
SELECTORS: tuple[tuple[str, Algorithm], ...] = (("ph-rsa", "rsa-sha256"), ("ph-ed", "ed25519-sha256"))
INBOUND_SECRET = "inbound"  # noqa: S105 - its name, not the secret


@dataclass(frozen=True, slots=True)
class Initialized:
    """What init made or found.

    Attributes:
        owner_key: the owner's key, on the run that made it and when it is not set from outside; else None.
    """

    organization_id: str
    domain: str
    owner_key: str | None
    is_new: bool


async def initialize(
    db: Database,
    *,
    domain: str,
    operator_address: str,
    makes_owner_key: bool,
    inbound_secret: str,
    at: int,
) -> Initialized:
    """Make what is missing; a second run changes nothing.

    Args:
        makes_owner_key: False when the owner's key comes from the settings: then it is never stored.
        inbound_secret: kept as given; "" makes one.
    """
    pairs = [] if await db.read(lambda tx: domains.proved(tx, domain)) else [
        (selector, algorithm, generate_key(algorithm)[0].decode("ascii")) for selector, algorithm in SELECTORS
    ]  # fmt: skip

    async def unit(tx: Tx) -> Initialized:
        organization = await organizations.first(tx)
        is_new = organization is None
        if organization is None:
            organization = Organization(
                id=new_uuid(), name="Default", slug="default", level="monitored", modseq=0,
                self_registered=False, created_at=at, updated_at=at,
            )  # fmt: skip
            await organizations.add(tx, organization)
            await organizations.add_pod(
                tx,
                Pod(
                    id=new_uuid(), organization_id=organization.id, name="Default", client_id=None,
                    is_default=True, created_at=at, updated_at=at,
                ),
            )  # fmt: skip
        shared = Domain(
            id=new_id(), name=domain, organization_id=None, pod_id=None, client_id=None, status="VERIFIED",
            feedback_enabled=True, subdomains_enabled=False, verified_at=at, created_at=at, updated_at=at,
        )  # fmt: skip
        if await domains.add(tx, shared):
            for selector, algorithm, pem in pairs:
                await domains.add_dkim_key(tx, StoredDkimKey(shared.id, selector, algorithm, pem, at, None))
        if await accounts.by_address(tx, operator_address) is None:
            await _operator(tx, organization.id, operator_address, domain, at)
        await secrets.get_or_add(tx, INBOUND_SECRET, inbound_secret or new_secret("", 24), at)
        owner_key = None
        if makes_owner_key and await keys.owner_key(tx) is None:
            _, owner_key = await key_rules.create(
                tx, organization_id=organization.id, surface="owner", name="owner", is_owner=True, at=at
            )
        return Initialized(organization.id, domain, owner_key, is_new)

    return await db.write(unit)


async def _operator(tx: Tx, organization_id: str, address: str, domain: str, at: int) -> None:
    pod = await organizations.default_pod(tx, organization_id)
    if pod is None:
        raise NotFound("the organisation has no default pod")
    account = Account(
        id=new_uuid(), organization_id=organization_id, pod_id=pod.id, main_address=address,
        display_name="Post house", client_id=None, metadata=None, level=None, modseq=0, indexed_modseq=0,
        used_bytes=0, quota_bytes=None, created_at=at, updated_at=at,
    )  # fmt: skip
    await accounts.add(tx, account)
    await accounts.claim_address(tx, address, account.id, domain, at)
    async with changing(tx, account.id, at) as journal:
        await provision(tx, journal)
    await account_rules.note_organization(tx, organization_id, "Account", account.id, "created", at)
