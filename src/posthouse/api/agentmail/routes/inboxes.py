"""Inboxes of the organisation and of a pod: make, list, search, get, change, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import pauses
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.common import Limit, PageToken, Query, cut, limit_of, query_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import inboxes as shapes
from posthouse.api.paging import page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.kit.principal import Principal
from posthouse.store import accounts
from posthouse.store.accounts import Account
from posthouse.store.database import Tx

# Inboxes, and the ids of those of them that are paused.
_Page = tuple[Sequence[Account], frozenset[str]]


@post(scope.paths("/inboxes", inbox=False), status_code=200, operation_id=scope.operation("inboxes_create"))
async def create_inbox(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    where: Where,
    data: shapes.CreateInbox | None = None,
) -> shapes.Inbox:
    """Make an inbox. Every field may be left out; the same `client_id` answers the first one again."""
    need(principal, "inbox_create")
    if principal.account_id is not None:
        raise Forbidden("a key of one inbox cannot make another", reason="missing_permission")
    given = data or shapes.CreateInbox()
    shapes.check_client_id(given.client_id)
    display_name = shapes.check_display_name(given.display_name)
    metadata = shapes.check_metadata(given.metadata)
    status = shapes.check_status(given.status)

    async def unit(tx: Tx) -> tuple[account_rules.Created, frozenset[str]]:
        within = await scope.reach(tx, principal, where)
        created = await account_rules.create(
            tx,
            principal.organization_id,
            at=services.clock(),
            default_domain=services.settings.domain,
            local_part=given.username,
            domain=given.domain,
            display_name=display_name,
            client_id=given.client_id,
            metadata=metadata,
            pod_id=within.pod_id,
        )
        if not within.has(created.account):
            raise Conflict("this client_id is in use", field="client_id", reason="client_id_taken")
        if created.is_new:
            await _set_status(tx, principal, created.account, status, services.clock())
        return created, await pauses.paused_ids(tx, [created.account])

    created, paused = await services.db.write(unit)
    return sight.inbox(principal, shapes.inbox_of(created.account, paused), is_new=created.is_new)


@get(scope.paths("/inboxes", inbox=False), operation_id=scope.operation("inboxes_list"))
async def list_inboxes(
    services: Services,
    principal: Principal,
    where: Where,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.InboxList:
    """The inboxes the key may see, newest first."""
    need(principal, "inbox_read")
    size = limit_of(limit)
    filters = {"of": "inboxes", "in": where.pod_id, "ascending": ascending}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> _Page:
        within = await scope.reach(tx, principal, where)
        found = await accounts.page(
            tx,
            within.organization_id,
            pod_id=within.pod_id,
            account_id=within.account_id,
            after=after,
            ascending=ascending,
            limit=size + 1,
        )
        return found, await pauses.paused_ids(tx, found)

    return _listed(await services.db.read(unit), size, filters)


@get(scope.paths("/inboxes/search", inbox=False), operation_id=scope.operation("inboxes_search"))
async def search_inboxes(
    services: Services,
    principal: Principal,
    where: Where,
    q: Query,
    limit: Limit = None,
    page_token_: PageToken = None,
) -> shapes.InboxList:
    """Inboxes whose address or name has a text in it, newest first."""
    need(principal, "inbox_read")
    size, text = limit_of(limit), query_of(q).strip()
    filters = {"of": "inbox search", "in": where.pod_id, "q": q}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> _Page:
        within = await scope.reach(tx, principal, where)
        found = await accounts.find(
            tx, within.organization_id, text, pod_id=within.pod_id, account_id=within.account_id, after=after,
            limit=size + 1,
        )  # fmt: skip
        return found, await pauses.paused_ids(tx, found)

    return _listed(await services.db.read(unit), size, filters)


def _listed(page: _Page, size: int, filters: Mapping[str, Any]) -> shapes.InboxList:
    (shown, more), paused = cut(page[0], size), page[1]
    return shapes.InboxList(
        count=len(shown),
        limit=size,
        inboxes=[shapes.inbox_of(account, paused) for account in shown],
        next_page_token=page_token(more, filters),
    )


@get(["/v0/inboxes/{inbox_id:str}", "/v0/pods/{pod_id:str}/inboxes/{inbox_id:str}"],
     operation_id=scope.operation("inboxes_get"))  # fmt: skip
async def get_inbox(services: Services, principal: Principal, where: Where) -> shapes.Inbox:
    """One inbox."""
    need(principal, "inbox_read")
    return shapes.inbox_of(*await services.db.read(lambda tx: _shown(tx, principal, where)))


@patch(["/v0/inboxes/{inbox_id:str}", "/v0/pods/{pod_id:str}/inboxes/{inbox_id:str}"],
       operation_id=scope.operation("inboxes_update"))  # fmt: skip
async def update_inbox(
    services: Services, principal: Principal, where: Where, data: shapes.UpdateInbox
) -> shapes.Inbox:
    """Change an inbox's name or notes, stop what it sends (`paused`), or let it go on (`active`)."""
    need(principal, "inbox_update")
    status = shapes.check_status(data.status)
    if data.display_name is msgspec.UNSET and data.metadata is msgspec.UNSET and data.status is None:
        raise Invalid("give display_name, metadata or status")

    async def unit(tx: Tx) -> tuple[Account, frozenset[str]]:
        account = await _inbox(tx, principal, where)
        name = account.display_name if data.display_name is msgspec.UNSET else data.display_name
        notes = (
            account.metadata
            if data.metadata is msgspec.UNSET
            else shapes.merged_metadata(account.metadata, data.metadata)
        )
        at = services.clock()
        await accounts.update(tx, account.id, display_name=shapes.check_display_name(name), metadata=notes, at=at)
        await account_rules.note_organization(tx, account.organization_id, "Account", account.id, "updated", at)
        await _set_status(tx, principal, account, status, at)
        return await _shown(tx, principal, where)

    return sight.inbox(principal, shapes.inbox_of(*await services.db.write(unit)))


@delete(["/v0/inboxes/{inbox_id:str}", "/v0/pods/{pod_id:str}/inboxes/{inbox_id:str}"],
        operation_id=scope.operation("inboxes_delete"))  # fmt: skip
async def delete_inbox(services: Services, principal: Principal, where: Where) -> None:
    """Delete an inbox with all it holds. The owner can bring it back for 30 days."""
    need(principal, "inbox_delete")

    async def unit(tx: Tx) -> None:
        account = await _inbox(tx, principal, where)
        if account.main_address == services.settings.operator_address:
            raise Forbidden("the operator's own inbox stays", reason="cannot_delete")
        await account_rules.destroy(tx, account, services.clock())

    await services.db.write(unit)


async def _inbox(tx: Tx, principal: Principal, where: Where) -> Account:
    account = (await scope.reach(tx, principal, where)).account
    if account is None:
        raise NotFound("there is no such inbox", field="inbox_id")
    return account


async def _shown(tx: Tx, principal: Principal, where: Where) -> tuple[Account, frozenset[str]]:
    account = await _inbox(tx, principal, where)
    return account, await pauses.paused_ids(tx, [account])


async def _set_status(tx: Tx, principal: Principal, account: Account, status: str | None, at: int) -> None:
    if status == "paused":
        await pauses.pause_account(tx, principal, account, at)
    elif status == "active":
        await pauses.resume_account(tx, principal, account, at)
