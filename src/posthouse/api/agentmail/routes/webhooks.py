"""Webhooks of the organisation, a pod or an inbox: make, list, get, change, delete, and what was sent with each."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import delete, get, patch, post, put

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import endpoints
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.auth import SURFACE
from posthouse.api.agentmail.events import DIALECT
from posthouse.api.agentmail.permissions import need, need_to_hear
from posthouse.api.agentmail.routes.listing import Limit, PageToken, request_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import webhooks as shapes
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.agentmail.shapes.values import WEBHOOK_PREFIX, core_id
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.events import outbox
from posthouse.kit.errors import Invalid
from posthouse.kit.pages import Page
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx
from posthouse.store.webhooks import WebhookEndpoint

ONE = "/webhooks/{webhook_id:str}"


@post(scope.paths("/webhooks"), status_code=200, operation_id=scope.operation("webhooks_create"))
async def create_webhook(
    services: Services, principal: Principal, where: Where, data: shapes.CreateWebhook
) -> shapes.Webhook:
    """Have events posted to a URL, signed with the secret in the answer."""
    need(principal, "webhook_create")
    check_client_id(data.client_id)
    endpoints.check_url(services.dialer, data.url)
    wanted = shapes.wanted_of(data)
    _need_to_hear(principal, wanted.event_types)
    _check_path(where, inbox_ids=data.inbox_ids, pod_ids=data.pod_ids)

    async def unit(tx: Tx) -> shapes.Webhook:
        within = await scope.reach(tx, principal, where)
        made = await endpoints.create(
            tx, principal, within, wanted, surface=SURFACE, dialect=DIALECT, at=services.clock()
        )
        url = data.url if data.url == made.endpoint.url else None
        return sight.webhook(principal, await _shown(tx, made.endpoint), is_new=made.is_new, url=url)

    return await services.db.write(unit)


@get(scope.paths("/webhooks"), operation_id=scope.operation("webhooks_list"))
async def list_webhooks(
    services: Services,
    principal: Principal,
    where: Where,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.WebhookList:
    """The webhooks the key may see, newest first."""
    need(principal, "webhook_read")
    marks = {"of": "webhooks", "in": [where.pod_id, where.inbox_id], "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)

    async def unit(tx: Tx) -> Page[shapes.Webhook]:
        page = await endpoints.page(tx, await scope.reach(tx, principal, where), SURFACE, asked)
        named = await account_rules.main_addresses(tx, [id_ for each in page.items for id_ in each.account_ids])
        return page.map(lambda endpoint: shapes.webhook_of(endpoint, named))

    page = await services.db.read(unit)
    return shapes.WebhookList(len(page.items), asked.size, list(page.items), page_token(page.more, marks))


@get(scope.paths(ONE), operation_id=scope.operation("webhooks_get"))
async def get_webhook(services: Services, principal: Principal, where: Where, webhook_id: str) -> shapes.Webhook:
    """One webhook, with its secret."""
    need(principal, "webhook_read")

    async def unit(tx: Tx) -> shapes.Webhook:
        return await _shown(tx, await find(tx, principal, where, webhook_id))

    return await services.db.read(unit)


@put("/v0/webhooks/{webhook_id:str}", operation_id="webhooks_replace")
async def put_webhook(
    services: Services, principal: Principal, where: Where, webhook_id: str, data: shapes.UpdateWebhook
) -> shapes.Webhook:
    """Change a webhook; what is left out stays."""
    return await _update(services, principal, where, webhook_id, data)


@patch(scope.paths(ONE), operation_id=scope.operation("webhooks_update"))
async def patch_webhook(
    services: Services, principal: Principal, where: Where, webhook_id: str, data: shapes.UpdateWebhook
) -> shapes.Webhook:
    """Change a webhook; what is left out stays."""
    return await _update(services, principal, where, webhook_id, data)


@delete(scope.paths(ONE), operation_id=scope.operation("webhooks_delete"))
async def delete_webhook(services: Services, principal: Principal, where: Where, webhook_id: str) -> None:
    """Delete a webhook with its undelivered events."""
    need(principal, "webhook_delete")

    async def unit(tx: Tx) -> None:
        await endpoints.end(tx, await find(tx, principal, where, webhook_id), services.clock())

    await services.db.write(unit)


@get(scope.paths(ONE + "/headers"), operation_id=scope.operation("webhooks_get_headers"))
async def get_headers(services: Services, principal: Principal, where: Where, webhook_id: str) -> shapes.WebhookHeaders:
    """The names of the headers sent along; their values are not shown."""
    need(principal, "webhook_read")
    endpoint = await services.db.read(lambda tx: find(tx, principal, where, webhook_id))
    return shapes.WebhookHeaders(sorted(endpoint.headers))


@patch(scope.paths(ONE + "/headers"), status_code=204, operation_id=scope.operation("webhooks_update_headers"))
async def update_headers(
    services: Services, principal: Principal, where: Where, webhook_id: str, data: shapes.UpdateWebhookHeaders
) -> None:
    """Set headers to send along with each delivery, or take them away."""
    need(principal, "webhook_update")
    given, gone = data.headers or {}, data.remove_headers or ()
    if not given and not gone:
        raise Invalid("give headers or remove_headers")

    async def unit(tx: Tx) -> None:
        endpoint = await find_to_change(tx, principal, where, webhook_id)
        await endpoints.set_headers(tx, DIALECT, endpoint, given, gone, services.clock())

    await services.db.write(unit)


async def _update(
    services: Services, principal: Principal, where: Where, webhook_id: str, data: shapes.UpdateWebhook
) -> shapes.Webhook:
    need(principal, "webhook_update")
    if data.url is not None:
        endpoints.check_url(services.dialer, data.url)
    changes = shapes.changes_of(data)
    if changes.event_types:
        _need_to_hear(principal, changes.event_types)
    _check_path(
        where, inbox_ids=data.inbox_ids, pod_ids=data.pod_ids, add_inbox_ids=data.add_inbox_ids,
        add_pod_ids=data.add_pod_ids,
    )  # fmt: skip

    async def unit(tx: Tx) -> shapes.Webhook:
        within = await scope.reach(tx, principal, where)
        endpoint = await find_to_change(tx, principal, where, webhook_id)
        changed = await endpoints.change(tx, principal, within, endpoint, changes, services.clock())
        return sight.webhook(principal, await _shown(tx, changed), url=data.url)

    return await services.db.write(unit)


def _check_path(where: Where, **filters: list[str] | None) -> None:
    """A path that names a pod or an inbox has said already what its webhooks hear of."""
    for name, given in filters.items():
        fixed = where.inbox_id if "inbox" in name else where.pod_id or where.inbox_id
        if given and fixed is not None:
            raise Invalid("the path names what is heard of already", field=name)


def _need_to_hear(principal: Principal, types: Sequence[str]) -> None:
    """What the core refuses all the same, in the words of AgentMail's permissions."""
    need(principal, "message_read")
    need_to_hear(principal, types)
    if outbox.DOMAIN_VERIFIED in types:
        need(principal, "domain_read")


async def find(tx: Tx, principal: Principal, where: Where, webhook_id: str) -> WebhookEndpoint:
    """A webhook within what the path names. Raises `NotFound`."""
    within = await scope.reach(tx, principal, where)
    return await endpoints.find(tx, within, SURFACE, core_id(webhook_id, WEBHOOK_PREFIX, "webhook"))


async def find_to_change(tx: Tx, principal: Principal, where: Where, webhook_id: str) -> WebhookEndpoint:
    """A webhook to be changed or made to speak. Raises as `endpoints.find_to_change`."""
    within = await scope.reach(tx, principal, where)
    return await endpoints.find_to_change(
        tx, principal, within, SURFACE, core_id(webhook_id, WEBHOOK_PREFIX, "webhook")
    )


async def _shown(tx: Tx, endpoint: WebhookEndpoint) -> shapes.Webhook:
    return shapes.webhook_of(endpoint, await account_rules.main_addresses(tx, endpoint.account_ids))
