"""Inboxes: make, list, get, change, delete."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from posthouse.accounts import accounts as account_rules
from posthouse.api.agentmail import scope
from posthouse.api.agentmail.auth import need
from posthouse.api.agentmail.routes.common import Limit, PageToken, limit_of
from posthouse.api.agentmail.shapes import inboxes as shapes
from posthouse.api.kit import Services, page_token, read_page_token
from posthouse.kit.errors import Forbidden, Invalid
from posthouse.kit.principal import Principal
from posthouse.store import accounts
from posthouse.store.accounts import Account
from posthouse.store.database import Tx


@post("/v0/inboxes", status_code=200, operation_id="inboxes_create")
async def create_inbox(
    request: Request[Any, Any, Any], services: Services, principal: Principal, data: shapes.CreateInbox | None = None
) -> shapes.Inbox:
    """Make an inbox. Every field may be left out; the same `client_id` answers the first one again."""
    need(principal, "inbox_create")
    if principal.account_id is not None:
        raise Forbidden("a key of one inbox cannot make another", reason="missing_permission")
    given = data or shapes.CreateInbox()
    shapes.check_client_id(given.client_id)
    display_name = shapes.check_display_name(given.display_name)
    metadata = shapes.check_metadata(given.metadata)
    created = await services.db.write(
        lambda tx: account_rules.create(
            tx,
            principal.organization_id,
            at=services.clock(),
            default_domain=services.settings.domain,
            local_part=given.username,
            domain=given.domain,
            display_name=display_name,
            client_id=given.client_id,
            metadata=metadata,
            pod_id=principal.pod_id,
        )
    )
    return shapes.inbox_of(created.account)


@get("/v0/inboxes", operation_id="inboxes_list")
async def list_inboxes(
    services: Services,
    principal: Principal,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.InboxList:
    """The inboxes the key may see, newest first."""
    need(principal, "inbox_read")
    size = limit_of(limit)
    filters = {"of": "inboxes", "ascending": ascending}
    after = read_page_token(page_token_, filters)
    found = await services.db.read(
        lambda tx: accounts.page(
            tx,
            principal.organization_id,
            pod_id=principal.pod_id,
            account_id=principal.account_id,
            after=after,
            ascending=ascending,
            limit=size + 1,
        )
    )
    shown = found[:size]
    position = (shown[-1].created_at, shown[-1].id) if len(found) > size else None
    return shapes.InboxList(
        count=len(shown),
        limit=size,
        inboxes=[shapes.inbox_of(account) for account in shown],
        next_page_token=page_token(position, filters),
    )


@get("/v0/inboxes/{inbox_id:str}", operation_id="inboxes_get")
async def get_inbox(services: Services, principal: Principal, inbox_id: str) -> shapes.Inbox:
    """One inbox."""
    need(principal, "inbox_read")
    return shapes.inbox_of(await services.db.read(lambda tx: scope.inbox(tx, principal, inbox_id)))


@patch("/v0/inboxes/{inbox_id:str}", operation_id="inboxes_update")
async def update_inbox(
    services: Services, principal: Principal, inbox_id: str, data: shapes.UpdateInbox
) -> shapes.Inbox:
    """Change an inbox's name or notes."""
    need(principal, "inbox_update")
    if data.display_name is msgspec.UNSET and data.metadata is msgspec.UNSET:
        raise Invalid("give display_name or metadata")

    async def unit(tx: Tx) -> Account:
        account = await scope.inbox(tx, principal, inbox_id)
        name = account.display_name if data.display_name is msgspec.UNSET else data.display_name
        notes = (
            account.metadata
            if data.metadata is msgspec.UNSET
            else shapes.merged_metadata(account.metadata, data.metadata)
        )
        at = services.clock()
        await accounts.update(tx, account.id, display_name=shapes.check_display_name(name), metadata=notes, at=at)
        await account_rules.note_organization(tx, account.organization_id, "Account", account.id, "updated", at)
        return await scope.inbox(tx, principal, inbox_id)

    return shapes.inbox_of(await services.db.write(unit))


@delete("/v0/inboxes/{inbox_id:str}", operation_id="inboxes_delete")
async def delete_inbox(services: Services, principal: Principal, inbox_id: str) -> None:
    """Delete an inbox with all it holds. The owner can bring it back for 30 days."""
    need(principal, "inbox_delete")

    async def unit(tx: Tx) -> None:
        account = await scope.inbox(tx, principal, inbox_id)
        if account.main_address == services.settings.operator_address:
            raise Forbidden("the operator's own inbox stays", reason="cannot_delete")
        await account_rules.destroy(tx, account, services.clock())

    await services.db.write(unit)
