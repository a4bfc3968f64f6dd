"""Allow and block lists of the organisation, a pod or an inbox."""

from __future__ import annotations

from litestar import delete, get, post

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import allowance
from posthouse.accounts.lists import check_entry, check_may_change, width_of
from posthouse.accounts.reach import Reach
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.common import Limit, PageToken, cut, limit_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import lists as shapes
from posthouse.api.paging import page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid, NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.principal import Principal
from posthouse.store import lists
from posthouse.store.database import Tx
from posthouse.store.lists import ListEntry as StoredEntry

_LIST = "/lists/{direction:str}/{type:str}"
_ENTRY = _LIST + "/{entry:str}"
_MAX_REASON = 500


@post(scope.paths(_LIST), status_code=200, operation_id=scope.operation("lists_create"))
async def create_entry(
    services: Services, principal: Principal, where: Where, direction: str, type: str, data: shapes.CreateListEntry
) -> shapes.ListEntry:
    """Put an address or a domain on a list; one that is on it already takes the new reason."""
    need(principal, "list_entry_create")
    shapes.check_list(direction, type)
    entry, entry_type = check_entry(data.entry)
    if data.reason is not None and len(data.reason) > _MAX_REASON:
        raise Invalid(f"at most {_MAX_REASON} characters", field="reason")

    async def unit(tx: Tx) -> shapes.ListEntry:
        within = await scope.reach(tx, principal, where)
        at = services.clock()
        known = await lists.get(tx, within.scope_id, direction, type, entry)
        if known is not None:
            check_may_change(principal, known)
        else:
            await allowance.check(tx, within.organization_id, "list_entries")
        stored = await lists.add(
            tx,
            StoredEntry(
                id=new_id(), organization_id=within.organization_id, pod_id=within.pod_id,
                account_id=within.account_id, scope_id=within.scope_id, direction=direction, kind=type, entry=entry,
                entry_type=entry_type, reason=data.reason, created_at=at,
                set_by=width_of(principal),
            ),
        )  # fmt: skip
        await account_rules.note_organization(tx, within.organization_id, "ListEntry", stored.id, "created", at)
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
    size = limit_of(limit)
    filters = {"of": [direction, type], "in": [where.pod_id, where.inbox_id], "ascending": ascending}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> tuple[Reach, list[StoredEntry]]:
        within = await scope.reach(tx, principal, where)
        return within, await lists.page(
            tx, within.scope_id, direction, type, after=after, ascending=ascending, limit=size + 1
        )

    within, found = await services.db.read(unit)
    shown, more = cut(found, size)
    items = [shapes.entry_of(entry, _inbox_id(within)) for entry in shown]
    return shapes.ListEntries(len(items), size, items, page_token(more, filters))


@get(scope.paths(_ENTRY), operation_id=scope.operation("lists_get"))
async def get_entry(
    services: Services, principal: Principal, where: Where, direction: str, type: str, entry: str
) -> shapes.ListEntry:
    """One entry."""
    need(principal, "list_entry_read")
    shapes.check_list(direction, type)

    async def unit(tx: Tx) -> shapes.ListEntry:
        within = await scope.reach(tx, principal, where)
        return shapes.entry_of(await _find(tx, within, direction, type, entry), _inbox_id(within))

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
        found = await _find(tx, within, direction, type, entry)
        check_may_change(principal, found)
        await lists.delete(tx, within.scope_id, direction, type, found.entry)
        at = services.clock()
        await account_rules.note_organization(tx, within.organization_id, "ListEntry", found.id, "destroyed", at)

    await services.db.write(unit)


async def _find(tx: Tx, within: Reach, direction: str, kind: str, entry: str) -> StoredEntry:
    try:
        key = check_entry(entry)[0]
    except Invalid as error:
        raise NotFound("there is no such entry", field="entry") from error
    found = await lists.get(tx, within.scope_id, direction, kind, key)
    if found is None:
        raise NotFound("there is no such entry", field="entry")
    return found


def _inbox_id(within: Reach) -> str | None:
    return within.account.main_address if within.account else None
