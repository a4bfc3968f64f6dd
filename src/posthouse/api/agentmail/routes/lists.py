"""Allow and block lists of the organisation, a pod or an inbox."""

from __future__ import annotations

from litestar import delete, get, post

from posthouse.accounts import lists as list_rules
from posthouse.accounts.reach import Reach
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, request_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import lists as shapes
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.kit.pages import Page
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx

_LIST = "/lists/{direction:str}/{type:str}"
_ENTRY = _LIST + "/{entry:str}"


@post(scope.paths(_LIST), status_code=200, operation_id=scope.operation("lists_create"))
async def create_entry(
    services: Services, principal: Principal, where: Where, direction: str, type: str, data: shapes.CreateListEntry
) -> shapes.ListEntry:
    """Put an address or a domain on a list; one that is on it already takes the new reason."""
    need(principal, "list_entry_create")
    shapes.check_list(direction, type)

    async def unit(tx: Tx) -> shapes.ListEntry:
        within = await scope.reach(tx, principal, where)
        stored = await list_rules.put(tx, principal, within, direction, type, data.entry, data.reason, services.clock())
        return sight.entry(principal, shapes.entry_of(stored, _inbox_id(within)), reason=data.reason)

    return await services.db.write(unit)


@get(scope.paths(_LIST), operation_id=scope.operation("lists_list"))
async def list_entries(
    services: Services,
    principal: Principal,
    where: Where,
    direction: str,
    type: str,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.ListEntries:
    """A list, newest entry first."""
    need(principal, "list_entry_read")
    shapes.check_list(direction, type)
    marks = {"of": [direction, type], "in": [where.pod_id, where.inbox_id], "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)

    async def unit(tx: Tx) -> Page[shapes.ListEntry]:
        within = await scope.reach(tx, principal, where)
        page = await list_rules.page(tx, within, direction, type, asked)
        return page.map(lambda entry: shapes.entry_of(entry, _inbox_id(within)))

    page = await services.db.read(unit)
    return shapes.ListEntries(len(page.items), asked.size, list(page.items), page_token(page.more, marks))


@get(scope.paths(_ENTRY), operation_id=scope.operation("lists_get"))
async def get_entry(
    services: Services, principal: Principal, where: Where, direction: str, type: str, entry: str
) -> shapes.ListEntry:
    """One entry."""
    need(principal, "list_entry_read")
    shapes.check_list(direction, type)

    async def unit(tx: Tx) -> shapes.ListEntry:
        within = await scope.reach(tx, principal, where)
        return shapes.entry_of(await list_rules.find(tx, within, direction, type, entry), _inbox_id(within))

    return await services.db.read(unit)


@delete(scope.paths(_ENTRY), operation_id=scope.operation("lists_delete"))
async def delete_entry(
    services: Services, principal: Principal, where: Where, direction: str, type: str, entry: str
) -> None:
    """Take an entry off a list."""
    need(principal, "list_entry_delete")
    shapes.check_list(direction, type)

    async def unit(tx: Tx) -> None:
        within = await scope.reach(tx, principal, where)
        await list_rules.remove(tx, principal, within, direction, type, entry, services.clock())

    await services.db.write(unit)


def _inbox_id(within: Reach) -> str | None:
    return within.account.main_address if within.account else None
