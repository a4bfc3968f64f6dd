"""Domains: what is only named takes nothing; what is proved is its organisation's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from core.home import Home, refused
from posthouse.accounts import domain_proof
from posthouse.accounts import domains as domain_rules
from posthouse.accounts.domain_proof import FAILED, INVALID, PENDING, VERIFIED, Record
from posthouse.accounts.installation import SELECTORS
from posthouse.inbound import recipients
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.kit.principal import Principal
from posthouse.store import domains, events
from posthouse.store.domains import Domain, OrganizationKey
from posthouse.wire.address import Address
from posthouse.wire.dkim_sign import generate_key
from store.builders import DOMAIN

SHOP = "shop.example"


@pytest.fixture(scope="session")
def pems() -> dict[str, str]:
    """Keys by selector: making one takes longer than a test."""
    return {selector: generate_key(algorithm)[0].decode() for selector, algorithm in SELECTORS}


@pytest.fixture
async def home(home: Home, pems: dict[str, str]) -> Home:
    """A house whose organisation has its DKIM keys already."""
    await give_keys(home, home.organization_id, pems)
    return home


async def give_keys(home: Home, organization_id: str, pems: dict[str, str]) -> None:
    for selector, algorithm in SELECTORS:
        key = OrganizationKey(organization_id, selector, algorithm, pems[selector], home.clock())
        await home.db.write(lambda tx, key=key: domains.add_organization_key(tx, key))


async def name(home: Home, domain: str = SHOP, organization_id: str = "", **more: Any) -> Domain:
    """Say that a domain is to be proved."""
    given = {"pod_id": None, "client_id": None, "feedback_enabled": True, "subdomains_enabled": False}
    by = Principal(organization_id or home.organization_id)
    return (await domain_proof.add(home.db, by, domain, at=home.clock(), **(given | more))).domain


async def wanted(home: Home, domain: Domain) -> list[Record]:
    """What its owner has to publish."""
    found = await home.db.read(lambda tx: domains.dkim_keys(tx, domain.id))
    return domain_proof.records(domain, found, home.house.hostname)


async def publish(home: Home, records: Sequence[Record]) -> None:
    """Put records into DNS."""
    for record in records:
        if record.type == "MX":
            home.zone.hosts[record.name] = [(record.priority or 10, record.value)]
        else:
            home.zone.texts.setdefault(record.name, []).append(record.value)


async def verify(home: Home, domain: Domain) -> Domain:
    """Have DNS asked."""
    await home.db.write(lambda tx: domain_proof.ask_verification(tx, domain, home.clock()))
    await home.settle()
    found = await home.db.read(lambda tx: domains.get(tx, domain.id))
    assert found is not None
    return found


async def proved(home: Home, domain: str = SHOP, **more: Any) -> Domain:
    """A domain of the organisation's that DNS bears out."""
    named = await name(home, domain, **more)
    await publish(home, await wanted(home, named))
    return await verify(home, named)


async def leads_to(home: Home, address: str) -> str:
    found = await home.db.read(
        lambda tx: recipients.resolve(
            tx, address, operator_address=home.house.settings.operator_address, quota_bytes=10**9
        )
    )
    return found.account.main_address


async def test_a_domain_that_is_only_named_takes_nothing(home: Home) -> None:
    await name(home)
    assert not await home.db.read(lambda tx: domain_rules.is_ours(tx, SHOP))
    with refused(Invalid, "domain_not_verified", field="domain"):
        await home.account("info", domain=SHOP)
    for address in (f"info@{SHOP}", f"postmaster@{SHOP}"):
        with refused(Forbidden, "relay_denied", field="recipient"):
            await leads_to(home, address)
    sent = await home.send(to=f"info@{SHOP}")
    await home.settle()
    assert len(home.elsewhere.got(f"info@{SHOP}")) == 1
    assert await home.states(sent) == {f"info@{SHOP}": "delivered"}


async def test_nobody_sends_from_a_domain_that_is_only_named(home: Home) -> None:
    await name(home)
    with refused(Forbidden, "sender_not_allowed"):
        await home.send(from_=Address(f"ann@{SHOP}"))


async def test_a_domain_is_proved_by_its_records(home: Home) -> None:
    domain = await proved(home)
    assert (domain.status, domain.verified_at) == (VERIFIED, home.clock())
    info = await home.account("info", domain=SHOP)
    assert await leads_to(home, f"info@{SHOP}") == info.main_address == f"info@{SHOP}"
    assert await leads_to(home, f"postmaster@{SHOP}") == home.house.settings.operator_address
    with refused(NotFound, "no_such_user"):
        await leads_to(home, f"nobody@{SHOP}")
    told = await home.db.read(lambda tx: events.latest(tx, home.organization_id, 1))
    assert [event.type for event in told] == ["domain.verified"]


async def test_what_leaves_from_a_proved_domain_is_signed_for_it(home: Home) -> None:
    await proved(home)
    info = await home.account("info", domain=SHOP)
    await home.send(account=info, by=home.bound(info))
    await home.settle()
    (parcel,) = home.elsewhere.got()
    assert parcel.raw.count(b"DKIM-Signature:") == len(SELECTORS)
    assert f"d={SHOP}".encode() in parcel.raw


async def test_records_that_are_missing_or_wrong_are_told_apart(home: Home) -> None:
    domain = await name(home)
    assert (await verify(home, domain)).status == PENDING
    records = await wanted(home, domain)
    await publish(home, records)
    home.zone.hosts[SHOP] = [(10, "mx.other.example")]
    assert (await verify(home, domain)).status == INVALID
    check = await home.db.read(lambda tx: domains.get_check(tx, domain.id))
    assert check is not None
    assert {status for record, status in check.statuses.items() if record.startswith("MX")} == {"INVALID"}
    assert {status for record, status in check.statuses.items() if not record.startswith("MX")} == {"VALID"}


async def test_what_is_good_to_have_is_not_waited_for(home: Home) -> None:
    domain = await name(home)
    await publish(home, [record for record in await wanted(home, domain) if record.is_required])
    assert (await verify(home, domain)).status == VERIFIED


async def test_a_proved_domain_stays_so_when_its_records_go(home: Home) -> None:
    domain = await proved(home)
    home.zone.hosts.clear()
    home.zone.texts.clear()
    assert (await verify(home, domain)).status == VERIFIED
    assert await home.db.read(lambda tx: domain_rules.is_ours(tx, SHOP))


async def test_of_two_who_name_it_who_proves_it_first_has_it(home: Home, pems: dict[str, str]) -> None:
    other = await home.organization()
    await give_keys(home, other, pems)
    theirs = await name(home, organization_id=other)
    assert (await proved(home)).status == VERIFIED
    assert (await verify(home, theirs)).status == FAILED
    with refused(Invalid, "domain_not_verified", field="domain"):
        await home.account("info", other, domain=SHOP)
    third = await home.organization("third")
    with refused(Conflict, "domain_exists", field="domain"):
        await name(home, organization_id=third)
    with refused(Conflict, "domain_exists", field="domain"):
        await name(home, f"mail.{SHOP}", organization_id=third)


async def test_keys_that_are_another_organisations_prove_nothing(home: Home) -> None:
    # The records of the first one lie in DNS; whoever names the domain too has other keys, and no use of them.
    await publish(home, await wanted(home, await name(home)))
    other = await home.organization()
    await give_keys(home, other, {selector: generate_key("ed25519-sha256")[0].decode() for selector, _ in SELECTORS})
    assert (await verify(home, await name(home, organization_id=other))).status != VERIFIED


async def test_subdomains_are_ours_where_their_owner_says_so(home: Home) -> None:
    await proved(home)
    assert not await home.db.read(lambda tx: domain_rules.is_ours(tx, f"mail.{SHOP}"))
    await proved(home, "wide.example", subdomains_enabled=True)
    assert await home.db.read(lambda tx: domain_rules.is_ours(tx, "mail.wide.example"))
    made = await home.account("info", domain="mail.wide.example")
    assert await leads_to(home, made.main_address) == made.main_address
    assert not await home.db.read(lambda tx: domain_rules.usable_by(tx, "other", "mail.wide.example"))


async def test_a_domain_is_named_once_and_found_by_its_client_id(home: Home) -> None:
    first = await name(home, client_id="c1")
    assert (await name(home, client_id="c1")).id == first.id
    with refused(Conflict, "domain_exists", field="domain"):
        await name(home, SHOP.upper())
    for text in ("no dots", "localhost", "10.0.0.1", "x.invalid", "-a.example", ""):
        with refused(Invalid, "domain_syntax", field="domain"):
            await name(home, text)
    with refused(Conflict, "domain_exists", field="domain"):
        await name(home, DOMAIN)


async def test_a_domain_with_addresses_is_not_deleted(home: Home) -> None:
    domain = await proved(home)
    await home.account("info", domain=SHOP)
    with refused(Forbidden, "cannot_delete"):
        await home.db.write(lambda tx: domain_proof.delete(tx, domain, home.clock()))
    spare = await name(home, "spare.example")
    await home.db.write(lambda tx: domain_proof.delete(tx, spare, home.clock()))
    whole = Principal(home.organization_id)
    with refused(NotFound, field="domain_id"):
        await home.db.read(lambda tx: domain_proof.find_in_scope(tx, whole, "spare.example"))
    assert (await home.db.read(lambda tx: domain_proof.find_in_scope(tx, whole, f" {SHOP}. "))).id == domain.id
    with refused(NotFound, field="domain_id"):
        await home.db.read(lambda tx: domain_proof.find_in_scope(tx, home.agent, SHOP))


async def test_an_organisations_keys_are_made_once(home: Home) -> None:
    other = await home.organization()
    first = await name(home, organization_id=other)
    second = await name(home, "two.example", organization_id=other)
    one = await home.db.read(lambda tx: domains.dkim_keys(tx, first.id))
    two = await home.db.read(lambda tx: domains.dkim_keys(tx, second.id))
    assert {(key.selector, key.private_key) for key in one} == {(key.selector, key.private_key) for key in two}
    assert {key.selector for key in one} == {selector for selector, _ in SELECTORS}
    zone = domain_proof.zone_file(first, await wanted(home, first))
    assert f"{SHOP}. IN MX 10 {home.house.hostname}." in zone
