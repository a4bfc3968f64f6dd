"""Webhooks of the organisation: make, list, get, change, delete."""

from __future__ import annotations

from dataclasses import replace

from litestar import delete, get, patch, post, put

from posthouse.accounts import accounts as account_rules
from posthouse.api.agentmail.auth import SURFACE, hidden_labels, need
from posthouse.api.agentmail.routes.common import Limit, PageToken, limit_of
from posthouse.api.agentmail.shapes import webhooks as shapes
from posthouse.api.agentmail.shapes.common import WEBHOOK_PREFIX, core_id
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.kit import Services, page_token, read_page_token
from posthouse.kit.errors import Forbidden, Invalid, NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.principal import Principal
from posthouse.net.dialer import DialRefused
from posthouse.store import accounts, organizations, webhooks
from posthouse.store.database import Tx
from posthouse.store.webhooks import WebhookEndpoint
from posthouse.wire import svix


@post("/v0/webhooks", status_code=200, operation_id="webhooks_create")
async def create_webhook(services: Services, principal: Principal, data: shapes.CreateWebhook) -> shapes.Webhook:
    """Have events posted to a URL, signed with the secret in the answer."""
    need(principal, "webhook_create")
    check_client_id(data.client_id)
    _check_url(services, data.url)
    types = _allowed_types(principal, shapes.check_event_types(data.event_types))
    headers = shapes.check_headers(data.headers)
    inbox_ids = shapes.check_filter(data.inbox_ids, "inbox_ids")
    pod_ids = shapes.check_filter(data.pod_ids, "pod_ids")
    at = services.clock()

    async def unit(tx: Tx) -> shapes.Webhook:
        known = await webhooks.by_client_id(tx, principal.organization_id, data.client_id) if data.client_id else None
        if known is not None and known.surface == SURFACE:
            return await _shown(tx, known)
        endpoint = WebhookEndpoint(
            id=new_id(),
            organization_id=principal.organization_id,
            pod_id=principal.pod_id,
            account_id=principal.account_id,
            surface=SURFACE,
            url=data.url,
            secret=svix.new_secret(),
            is_enabled=data.enabled,
            event_types=types,
            account_ids=await _accounts(tx, principal, inbox_ids),
            pod_ids=await _pods(tx, principal, pod_ids),
            headers=headers,
            client_id=data.client_id,
            hidden_labels=sorted(hidden_labels(principal)),
            created_at=at,
            updated_at=at,
        )
        await webhooks.add(tx, endpoint)
        await account_rules.note_organization(
            tx, principal.organization_id, "WebhookEndpoint", endpoint.id, "created", at
        )
        return await _shown(tx, endpoint)

    return await services.db.write(unit)


@get("/v0/webhooks", operation_id="webhooks_list")
async def list_webhooks(
    services: Services,
    principal: Principal,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.WebhookList:
    """The webhooks the key may see, newest first."""
    need(principal, "webhook_read")
    size = limit_of(limit)
    filters = {"of": "webhooks", "ascending": ascending}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> shapes.WebhookList:
        found = await webhooks.page(
            tx,
            principal.organization_id,
            surface=SURFACE,
            pod_id=principal.pod_id,
            account_id=principal.account_id,
            after=after,
            ascending=ascending,
            limit=size + 1,
        )
        shown = found[:size]
        position = (shown[-1].created_at, shown[-1].id) if len(found) > size else None
        return shapes.WebhookList(
            count=len(shown),
            limit=size,
            webhooks=[await _shown(tx, endpoint) for endpoint in shown],
            next_page_token=page_token(position, filters),
        )

    return await services.db.read(unit)


@get("/v0/webhooks/{webhook_id:str}", operation_id="webhooks_get")
async def get_webhook(services: Services, principal: Principal, webhook_id: str) -> shapes.Webhook:
    """One webhook, with its secret."""
    need(principal, "webhook_read")

    async def unit(tx: Tx) -> shapes.Webhook:
        return await _shown(tx, await _find(tx, principal, webhook_id))

    return await services.db.read(unit)


@put("/v0/webhooks/{webhook_id:str}", operation_id="webhooks_replace")
async def put_webhook(
    services: Services, principal: Principal, webhook_id: str, data: shapes.UpdateWebhook
) -> shapes.Webhook:
    """Change a webhook; what is left out stays."""
    return await _update(services, principal, webhook_id, data)


@patch("/v0/webhooks/{webhook_id:str}", operation_id="webhooks_update")
async def patch_webhook(
    services: Services, principal: Principal, webhook_id: str, data: shapes.UpdateWebhook
) -> shapes.Webhook:
    """Change a webhook; what is left out stays."""
    return await _update(services, principal, webhook_id, data)


@delete("/v0/webhooks/{webhook_id:str}", operation_id="webhooks_delete")
async def delete_webhook(services: Services, principal: Principal, webhook_id: str) -> None:
    """Delete a webhook with its undelivered events."""
    need(principal, "webhook_delete")

    async def unit(tx: Tx) -> None:
        endpoint = await _find(tx, principal, webhook_id)
        await webhooks.delete(tx, principal.organization_id, endpoint.id)
        await account_rules.note_organization(
            tx, principal.organization_id, "WebhookEndpoint", endpoint.id, "destroyed", services.clock()
        )

    await services.db.write(unit)


async def _update(
    services: Services, principal: Principal, webhook_id: str, data: shapes.UpdateWebhook
) -> shapes.Webhook:
    need(principal, "webhook_update")
    if data.url is not None:
        _check_url(services, data.url)
    types = _allowed_types(principal, shapes.check_event_types(data.event_types)) if data.event_types else None
    at = services.clock()

    async def unit(tx: Tx) -> shapes.Webhook:
        endpoint = await _find(tx, principal, webhook_id)
        account_ids = list(endpoint.account_ids)
        if data.inbox_ids is not None:
            account_ids = await _accounts(tx, principal, data.inbox_ids)
        account_ids += await _accounts(tx, principal, data.add_inbox_ids or [])
        removed = {await _account_or_none(tx, principal, inbox_id) for inbox_id in data.remove_inbox_ids or []}
        pod_ids = list(endpoint.pod_ids)
        if data.pod_ids is not None:
            pod_ids = await _pods(tx, principal, data.pod_ids)
        pod_ids += await _pods(tx, principal, data.add_pod_ids or [])
        changed = replace(
            endpoint,
            url=data.url or endpoint.url,
            is_enabled=endpoint.is_enabled if data.enabled is None else data.enabled,
            event_types=types or endpoint.event_types,
            account_ids=shapes.check_filter([a for a in account_ids if a not in removed], "inbox_ids"),
            pod_ids=shapes.check_filter([p for p in pod_ids if p not in (data.remove_pod_ids or [])], "pod_ids"),
            updated_at=at,
        )
        await webhooks.replace(tx, changed)
        await account_rules.note_organization(
            tx, principal.organization_id, "WebhookEndpoint", endpoint.id, "updated", at
        )
        return await _shown(tx, changed)

    return await services.db.write(unit)


def _check_url(services: Services, url: str) -> None:
    try:
        services.dialer.check_url(shapes.check_url_length(url))
    except DialRefused as error:
        raise Invalid(error.message, field="url") from error


def _allowed_types(principal: Principal, types: list[str]) -> list[str]:
    for name in types:
        label = shapes.LABEL_OF_TYPE.get(name)
        if label in hidden_labels(principal):
            raise Forbidden(f"this key may not hear of {label} mail", reason="missing_permission")
    return types


async def _find(tx: Tx, principal: Principal, webhook_id: str) -> WebhookEndpoint:
    endpoint = await webhooks.get(tx, principal.organization_id, core_id(webhook_id, WEBHOOK_PREFIX, "webhook"))
    if (
        endpoint is None
        or endpoint.surface != SURFACE
        or (principal.pod_id is not None and endpoint.pod_id != principal.pod_id)
        or (principal.account_id is not None and endpoint.account_id != principal.account_id)
    ):
        raise NotFound("there is no such webhook", field="webhook_id")
    return endpoint


async def _accounts(tx: Tx, principal: Principal, inbox_ids: list[str]) -> list[str]:
    return [(await account_rules.find_in_scope(tx, principal, inbox_id)).id for inbox_id in inbox_ids]


async def _account_or_none(tx: Tx, principal: Principal, inbox_id: str) -> str | None:
    try:
        return (await account_rules.find_in_scope(tx, principal, inbox_id)).id
    except NotFound:
        return None  # a filter may still name an inbox that is gone; taking it out is no error


async def _pods(tx: Tx, principal: Principal, pod_ids: list[str]) -> list[str]:
    found = []
    for pod_id in pod_ids:
        pod = await organizations.get_pod(tx, principal.organization_id, pod_id)
        if pod is None or (principal.pod_id is not None and pod.id != principal.pod_id):
            raise NotFound("there is no such pod", field="pod_ids")
        found.append(pod.id)
    return found


async def _shown(tx: Tx, endpoint: WebhookEndpoint) -> shapes.Webhook:
    known = await accounts.get_many(tx, endpoint.account_ids) if endpoint.account_ids else {}
    return shapes.webhook_of(endpoint, {account.id: account.main_address for account in known.values()})
