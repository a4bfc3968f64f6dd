"""Inboxes of the organisation and of a pod: make, list, search, get, change, delete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from posthouse.accounts import members
from posthouse.accounts.members import Member, Wanted
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, Query, query_of, request_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import inboxes as shapes
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Forbidden, Invalid
from posthouse.kit.pages import Page, PageRequest
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx


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

    wanted = Wanted(given.username, given.domain, display_name, given.client_id, metadata, status)

    async def unit(tx: Tx) -> tuple[Member, bool]:
        within = await scope.reach(tx, principal, where)
        return await members.create(
            tx, principal, within, wanted, default_domain=services.settings.domain, at=services.clock()
        )

    made, is_new = await services.db.write(unit)
    return sight.inbox(principal, shapes.inbox_of(made), is_new=is_new)


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
    marks = {"of": "inboxes", "in": where.pod_id, "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)
    return await _listed(services, principal, where, asked, marks)


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
    text = query_of(q).strip()
    marks = {"of": "inbox search", "in": where.pod_id, "q": q}
    return await _listed(services, principal, where, request_of(limit, page_token_, marks), marks, text)


async def _listed(
    services: Services,
    principal: Principal,
    where: Where,
    asked: PageRequest,
    marks: Mapping[str, Any],
    text: str | None = None,
) -> shapes.InboxList:
    async def unit(tx: Tx) -> Page[Member]:
        return await members.page(tx, await scope.reach(tx, principal, where), asked, text=text)

    page = await services.db.read(unit)
    return shapes.InboxList(
        count=len(page.items),
        limit=asked.size,
        inboxes=[shapes.inbox_of(member) for member in page.items],
        next_page_token=page_token(page.more, marks),
    )


@get(["/v0/inboxes/{inbox_id:str}", "/v0/pods/{pod_id:str}/inboxes/{inbox_id:str}"],
     operation_id=scope.operation("inboxes_get"))  # fmt: skip
async def get_inbox(services: Services, principal: Principal, where: Where) -> shapes.Inbox:
    """One inbox."""
    need(principal, "inbox_read")

    async def unit(tx: Tx) -> Member:
        return await members.get(tx, await scope.reach(tx, principal, where))

    return shapes.inbox_of(await services.db.read(unit))


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

    async def unit(tx: Tx) -> Member:
        within = await scope.reach(tx, principal, where)
        before = (await members.get(tx, within)).account
        name = before.display_name if data.display_name is msgspec.UNSET else data.display_name
        notes = before.metadata
        if data.metadata is not msgspec.UNSET:
            notes = shapes.merged_metadata(before.metadata, data.metadata)
        return await members.change(
            tx, principal, within, display_name=shapes.check_display_name(name), metadata=notes, status=status,
            at=services.clock(),
        )  # fmt: skip

    return sight.inbox(principal, shapes.inbox_of(await services.db.write(unit)))


@delete(["/v0/inboxes/{inbox_id:str}", "/v0/pods/{pod_id:str}/inboxes/{inbox_id:str}"],
        operation_id=scope.operation("inboxes_delete"))  # fmt: skip
async def delete_inbox(services: Services, principal: Principal, where: Where) -> None:
    """Delete an inbox with all it holds. The owner can bring it back for 30 days."""
    need(principal, "inbox_delete")

    async def unit(tx: Tx) -> None:
        within = await scope.reach(tx, principal, where)
        operator = services.settings.operator_address
        await members.destroy(tx, within, operator_address=operator, at=services.clock())

    await services.db.write(unit)
