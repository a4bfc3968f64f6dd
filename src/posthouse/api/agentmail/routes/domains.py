"""Domains of the organisation and of a pod: add, list, get, change, verify, delete, and their zone file."""

from __future__ import annotations

from litestar import Response, delete, get, patch, post

from posthouse.accounts import domain_proof
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, request_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import domains as shapes
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid
from posthouse.kit.pages import Position
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx
from posthouse.store.domains import Domain

_ONE = "/domains/{domain_id:str}"


@post(scope.paths("/domains", inbox=False), status_code=200, operation_id=scope.operation("domains_create"))
async def create_domain(
    services: Services, principal: Principal, where: Where, data: shapes.CreateDomain
) -> shapes.Domain:
    """Add a domain; the answer says which records prove it."""
    need(principal, "domain_create")
    check_client_id(data.client_id)
    _check_restrictions(data.inbound_enabled)
    made = await domain_proof.add(
        services.db, principal, data.domain, pod_id=where.pod_id, client_id=data.client_id,
        feedback_enabled=data.feedback_enabled is not False, subdomains_enabled=bool(data.subdomains_enabled),
        at=services.clock(),
    )  # fmt: skip
    proof = await services.db.read(lambda tx: domain_proof.proof_of(tx, made.domain, services.hostname))
    return sight.domain(principal, shapes.domain_of(proof), is_new=made.is_new)


@get(scope.paths("/domains", inbox=False), operation_id=scope.operation("domains_list"))
async def list_domains(
    services: Services,
    principal: Principal,
    where: Where,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.DomainList:
    """The domains the key may see, newest first."""
    need(principal, "domain_read")
    marks = {"of": "domains", "in": where.pod_id, "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)

    async def unit(tx: Tx) -> tuple[list[shapes.Domain], Position | None]:
        page = await domain_proof.page(tx, await scope.reach(tx, principal, where), asked)
        return [await _shown(tx, services, domain) for domain in page.items], page.more

    items, more = await services.db.read(unit)
    return shapes.DomainList(len(items), asked.size, items, page_token(more, marks))


@get(scope.paths(_ONE, inbox=False), operation_id=scope.operation("domains_get"))
async def get_domain(services: Services, principal: Principal, where: Where, domain_id: str) -> shapes.Domain:
    """One domain with its records and whether they were found."""
    need(principal, "domain_read")

    async def unit(tx: Tx) -> shapes.Domain:
        return await _shown(tx, services, await _find(tx, principal, where, domain_id))

    return await services.db.read(unit)


@patch(scope.paths(_ONE, inbox=False), operation_id=scope.operation("domains_update"))
async def update_domain(
    services: Services, principal: Principal, where: Where, domain_id: str, data: shapes.UpdateDomain
) -> shapes.Domain:
    """Change whether feedback is told and whether subdomains may have inboxes."""
    need(principal, "domain_update")
    _check_restrictions(data.inbound_enabled)
    if data.feedback_enabled is None and data.subdomains_enabled is None and data.inbound_enabled is None:
        raise Invalid("give feedback_enabled, subdomains_enabled or inbound_enabled")

    async def unit(tx: Tx) -> shapes.Domain:
        changed = await domain_proof.change(
            tx, await _find(tx, principal, where, domain_id), feedback_enabled=data.feedback_enabled,
            subdomains_enabled=data.subdomains_enabled, at=services.clock(),
        )  # fmt: skip
        return sight.domain(principal, await _shown(tx, services, changed))

    return await services.db.write(unit)


@delete(scope.paths(_ONE, inbox=False), operation_id=scope.operation("domains_delete"))
async def delete_domain(services: Services, principal: Principal, where: Where, domain_id: str) -> None:
    """Delete a domain that no inbox has an address in."""
    need(principal, "domain_delete")

    async def unit(tx: Tx) -> None:
        await domain_proof.delete(tx, await _find(tx, principal, where, domain_id), services.clock())

    await services.db.write(unit)


@post(scope.paths(_ONE + "/verify", inbox=False), status_code=204, operation_id=scope.operation("domains_verify"))
async def verify_domain(services: Services, principal: Principal, where: Where, domain_id: str) -> None:
    """Have DNS asked for the records, soon; `domain.verified` tells of success."""
    need(principal, "domain_update")

    async def unit(tx: Tx) -> None:
        await domain_proof.ask_verification(tx, await _find(tx, principal, where, domain_id), services.clock())

    await services.db.write(unit)


@get(
    scope.paths(_ONE + "/zone-file", inbox=False),
    media_type="text/plain",
    operation_id=scope.operation("domains_get_zone_file"),
)
async def get_zone_file(services: Services, principal: Principal, where: Where, domain_id: str) -> Response[str]:
    """The records as a zone file, to be imported where the domain's DNS is kept."""
    need(principal, "domain_read")

    async def unit(tx: Tx) -> str:
        proof = await domain_proof.proof_of(tx, await _find(tx, principal, where, domain_id), services.hostname)
        return domain_proof.zone_file(proof.domain, proof.records)

    return Response(await services.db.read(unit), media_type="text/plain")


async def _find(tx: Tx, principal: Principal, where: Where, domain_id: str) -> Domain:
    within = await scope.reach(tx, principal, where)
    return await domain_proof.find_in_scope(tx, principal, domain_id, within.pod_id)


def _check_restrictions(inbound_enabled: bool | None) -> None:
    if inbound_enabled is False:
        raise Invalid("this server takes in mail for every domain it has", field="inbound_enabled")


async def _shown(tx: Tx, services: Services, domain: Domain) -> shapes.Domain:
    return shapes.domain_of(await domain_proof.proof_of(tx, domain, services.hostname))
