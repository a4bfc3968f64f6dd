"""Domains of the organisation and of a pod: add, list, get, change, verify, delete, and their zone file."""

from __future__ import annotations

from litestar import Response, delete, get, patch, post

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import domain_proof
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.common import Limit, PageToken, cut, limit_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import domains as shapes
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.paging import Position, page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Conflict, Forbidden, Invalid
from posthouse.kit.principal import Principal
from posthouse.store import domains
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
    if principal.account_id is not None:
        raise Forbidden("a key of one inbox adds no domains", reason="missing_permission")
    _check_restrictions(data.inbound_enabled)
    within = await services.db.read(lambda tx: scope.reach(tx, principal, where))
    known = await services.db.read(lambda tx: _known(tx, principal, data.client_id))
    made = await domain_proof.add(
        services.db, principal.organization_id, data.domain, pod_id=within.pod_id, client_id=data.client_id,
        feedback_enabled=data.feedback_enabled is not False, subdomains_enabled=bool(data.subdomains_enabled),
        at=services.clock(),
    )  # fmt: skip
    if within.pod_id not in (None, made.pod_id):
        raise Conflict("this client_id is in use", field="client_id", reason="client_id_taken")
    return sight.domain(principal, await services.db.read(lambda tx: _shown(tx, services, made)), is_new=known is None)


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
    size = limit_of(limit)
    filters = {"of": "domains", "in": where.pod_id, "ascending": ascending}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> tuple[list[shapes.Domain], Position | None]:
        within = await scope.reach(tx, principal, where)
        if within.account is not None:
            return [], None
        found = await domains.page(
            tx, within.organization_id, pod_id=within.pod_id, after=after, ascending=ascending, limit=size + 1
        )
        shown, more = cut(found, size)
        return [await _shown(tx, services, domain) for domain in shown], more

    items, more = await services.db.read(unit)
    return shapes.DomainList(len(items), size, items, page_token(more, filters))


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
        domain = await _find(tx, principal, where, domain_id)
        at = services.clock()
        await domains.set_flags(
            tx, domain.id, at=at,
            feedback_enabled=domain.feedback_enabled if data.feedback_enabled is None else data.feedback_enabled,
            subdomains_enabled=(
                domain.subdomains_enabled if data.subdomains_enabled is None else data.subdomains_enabled
            ),
        )  # fmt: skip
        await account_rules.note_organization(tx, principal.organization_id, "Domain", domain.name, "updated", at)
        return sight.domain(principal, await _shown(tx, services, await _find(tx, principal, where, domain_id)))

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
        domain = await _find(tx, principal, where, domain_id)
        wanted = domain_proof.records(domain, await domains.dkim_keys(tx, domain.id), services.hostname)
        return domain_proof.zone_file(domain, wanted)

    return Response(await services.db.read(unit), media_type="text/plain")


async def _find(tx: Tx, principal: Principal, where: Where, domain_id: str) -> Domain:
    within = await scope.reach(tx, principal, where)
    return await domain_proof.find_in_scope(tx, principal, domain_id, within.pod_id)


def _check_restrictions(inbound_enabled: bool | None) -> None:
    if inbound_enabled is False:
        raise Invalid("this server takes in mail for every domain it has", field="inbound_enabled")


async def _known(tx: Tx, principal: Principal, client_id: str | None) -> Domain | None:
    return await domains.by_client_id(tx, principal.organization_id, client_id) if client_id else None


async def _shown(tx: Tx, services: Services, domain: Domain) -> shapes.Domain:
    wanted = domain_proof.records(domain, await domains.dkim_keys(tx, domain.id), services.hostname)
    return shapes.domain_of(domain, wanted, await domains.get_check(tx, domain.id))
