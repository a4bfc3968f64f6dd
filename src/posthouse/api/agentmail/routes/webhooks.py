"""Webhooks of the organisation, a pod or an inbox: make, list, get, change, delete, and what was sent with each."""

from __future__ import annotations

from dataclasses import replace

from litestar import delete, get, patch, post, put

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import allowance, pods
from posthouse.accounts.reach import Reach
from posthouse.accounts.rights import hidden_from
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.auth import SURFACE
from posthouse.api.agentmail.permissions import hidden_labels, may, need
from posthouse.api.agentmail.routes.common import Limit, PageToken, cut, limit_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import webhooks as shapes
from posthouse.api.agentmail.shapes.common import WEBHOOK_PREFIX, core_id
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.paging import Position, page_token, read_page_token
from posthouse.api.services import Services
from posthouse.events import outbox
from posthouse.kit.errors import Conflict, Forbidden, Invalid, NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.principal import Principal
from posthouse.net.dialer import DialRefused
from posthouse.store import accounts, webhooks
from posthouse.store.database import Tx
from posthouse.store.webhooks import WebhookEndpoint
from posthouse.wire import svix

ONE = "/webhooks/{webhook_id:str}"


@post(scope.paths("/webhooks"), status_code=200, operation_id=scope.operation("webhooks_create"))
async def create_webhook(
    services: Services, principal: Principal, where: Where, data: shapes.CreateWebhook
) -> shapes.Webhook:
    """Have events posted to a URL, signed with the secret in the answer."""
    need(principal, "webhook_create")
    check_client_id(data.client_id)
    _check_url(services, data.url)
    types = _allowed_types(principal, shapes.check_event_types(data.event_types))
    headers = shapes.check_headers(data.headers)
    inbox_ids = shapes.check_filter(data.inbox_ids, "inbox_ids")
    pod_ids = shapes.check_filter(data.pod_ids, "pod_ids")
    _check_scope(where, inbox_ids=data.inbox_ids, pod_ids=data.pod_ids)
    at = services.clock()

    async def unit(tx: Tx) -> shapes.Webhook:
        within = await scope.reach(tx, principal, where)
        known = await webhooks.by_client_id(tx, principal.organization_id, data.client_id) if data.client_id else None
        if known is not None:
            if known.surface != SURFACE or not within.has_bound(known.pod_id, known.account_id):
                raise Conflict("this client_id is in use", field="client_id", reason="client_id_taken")
            same = data.url if data.url == known.url else None
            return sight.webhook(principal, await shown(tx, known), url=same)
        await allowance.check(tx, principal.organization_id, "webhooks")
        endpoint = WebhookEndpoint(
            id=new_id(),
            organization_id=principal.organization_id,
            pod_id=within.pod_id,
            account_id=within.account_id,
            surface=SURFACE,
            url=data.url,
            secret=svix.new_secret(),
            is_enabled=data.enabled,
            event_types=types,
            account_ids=await _accounts(tx, within, principal, inbox_ids),
            pod_ids=await _pods(tx, principal, pod_ids),
            headers=headers,
            client_id=data.client_id,
            hidden=sorted(hidden_from(principal)),
            created_at=at,
            updated_at=at,
        )
        await webhooks.add(tx, endpoint)
        await account_rules.note_organization(
            tx, principal.organization_id, "WebhookEndpoint", endpoint.id, "created", at
        )
        return await shown(tx, endpoint)

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
    size = limit_of(limit)
    filters = {"of": "webhooks", "in": [where.pod_id, where.inbox_id], "ascending": ascending}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> tuple[list[shapes.Webhook], Position | None]:
        within = await scope.reach(tx, principal, where)
        found = await webhooks.page(
            tx,
            within.organization_id,
            surface=SURFACE,
            pod_id=within.pod_id,
            account_id=within.account_id,
            after=after,
            ascending=ascending,
            limit=size + 1,
        )
        page, more = cut(found, size)
        return [await shown(tx, endpoint) for endpoint in page], more

    items, more = await services.db.read(unit)
    return shapes.WebhookList(len(items), size, items, page_token(more, filters))


@get(scope.paths(ONE), operation_id=scope.operation("webhooks_get"))
async def get_webhook(services: Services, principal: Principal, where: Where, webhook_id: str) -> shapes.Webhook:
    """One webhook, with its secret."""
    need(principal, "webhook_read")

    async def unit(tx: Tx) -> shapes.Webhook:
        return await shown(tx, await find(tx, principal, where, webhook_id))

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
        endpoint = await find(tx, principal, where, webhook_id)
        await webhooks.delete(tx, principal.organization_id, endpoint.id)
        await account_rules.note_organization(
            tx, principal.organization_id, "WebhookEndpoint", endpoint.id, "destroyed", services.clock()
        )

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
    given, gone = data.headers or {}, {name.lower() for name in data.remove_headers or ()}
    if not given and not gone:
        raise Invalid("give headers or remove_headers")
    if gone & {name.lower() for name in given}:
        raise Invalid("a header is both set and taken away", field="remove_headers")

    async def unit(tx: Tx) -> None:
        endpoint = await to_change(tx, principal, where, webhook_id)
        replaced = gone | {name.lower() for name in given}
        kept = {name: value for name, value in endpoint.headers.items() if name.lower() not in replaced}
        headers = shapes.check_headers(kept | given)
        at = services.clock()
        await webhooks.set_headers(tx, endpoint.organization_id, endpoint.id, headers, at)
        await account_rules.note_organization(
            tx, endpoint.organization_id, "WebhookEndpoint", endpoint.id, "updated", at
        )

    await services.db.write(unit)


async def _update(
    services: Services, principal: Principal, where: Where, webhook_id: str, data: shapes.UpdateWebhook
) -> shapes.Webhook:
    need(principal, "webhook_update")
    if data.url is not None:
        _check_url(services, data.url)
    types = _allowed_types(principal, shapes.check_event_types(data.event_types)) if data.event_types else None
    _check_scope(
        where, inbox_ids=data.inbox_ids, pod_ids=data.pod_ids, add_inbox_ids=data.add_inbox_ids,
        add_pod_ids=data.add_pod_ids,
    )  # fmt: skip
    at = services.clock()

    async def unit(tx: Tx) -> shapes.Webhook:
        within = await scope.reach(tx, principal, where)
        endpoint = await to_change(tx, principal, where, webhook_id)
        account_ids = list(endpoint.account_ids)
        if data.inbox_ids is not None:
            account_ids = await _accounts(tx, within, principal, data.inbox_ids)
        account_ids += await _accounts(tx, within, principal, data.add_inbox_ids or [])
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
        return sight.webhook(principal, await shown(tx, changed), url=data.url)

    return await services.db.write(unit)


def _check_scope(where: Where, **filters: list[str] | None) -> None:
    """A path that names a pod or an inbox has said already what its webhooks hear of."""
    for name, given in filters.items():
        fixed = where.inbox_id if "inbox" in name else where.pod_id or where.inbox_id
        if given and fixed is not None:
            raise Invalid("the path names what is heard of already", field=name)


def _check_url(services: Services, url: str) -> None:
    try:
        services.dialer.check_url(shapes.check_url_length(url))
    except DialRefused as error:
        raise Invalid(error.message, field="url") from error


def _allowed_types(principal: Principal, types: list[str]) -> list[str]:
    need(principal, "message_read")  # what is posted is what a reader of messages sees
    for name in types:
        label = shapes.LABEL_OF_TYPE.get(name)
        if label in hidden_labels(principal):
            raise Forbidden(f"this key may not hear of {label} mail", reason="missing_permission")
    if outbox.DOMAIN_VERIFIED in types:
        need(principal, "domain_read")
    if not types and not may(principal, "domain_read"):  # all standard ones, as far as this key may read
        return [name for name in shapes.EVENT_TYPES if name not in outbox.ONLY_IF_NAMED | {outbox.DOMAIN_VERIFIED}]
    return types


async def find(tx: Tx, principal: Principal, where: Where, webhook_id: str) -> WebhookEndpoint:
    """A webhook within what the path names. Raises `NotFound`."""
    within = await scope.reach(tx, principal, where)
    endpoint = await webhooks.get(tx, within.organization_id, core_id(webhook_id, WEBHOOK_PREFIX, "webhook"))
    if endpoint is None or endpoint.surface != SURFACE or not within.has_bound(endpoint.pod_id, endpoint.account_id):
        raise NotFound("there is no such webhook", field="webhook_id")
    return endpoint


async def to_change(tx: Tx, principal: Principal, where: Where, webhook_id: str) -> WebhookEndpoint:
    """A webhook to be changed or made to speak.

    Raises:
        NotFound: there is none within what the path names.
        Forbidden: it hears of mail that this key may not see (reason `permission_escalation`).
    """
    endpoint = await find(tx, principal, where, webhook_id)
    if hidden_from(principal) - set(endpoint.hidden) or not may(principal, "message_read"):
        raise Forbidden("this webhook hears of mail that this key may not see", reason="permission_escalation")
    return endpoint


async def _accounts(tx: Tx, within: Reach, principal: Principal, inbox_ids: list[str]) -> list[str]:
    found = []
    for inbox_id in inbox_ids:
        account = await account_rules.find_in_scope(tx, principal, inbox_id)
        if not within.has(account):
            raise NotFound("there is no such inbox", field="inbox_ids")
        found.append(account.id)
    return found


async def _account_or_none(tx: Tx, principal: Principal, inbox_id: str) -> str | None:
    try:
        return (await account_rules.find_in_scope(tx, principal, inbox_id)).id
    except NotFound:
        return None  # a filter may still name an inbox that is gone; taking it out is no error


async def _pods(tx: Tx, principal: Principal, pod_ids: list[str]) -> list[str]:
    return [(await pods.find_in_scope(tx, principal, pod_id)).id for pod_id in pod_ids]


async def shown(tx: Tx, endpoint: WebhookEndpoint) -> shapes.Webhook:
    """A webhook as AgentMail shows it."""
    known = await accounts.get_many(tx, endpoint.account_ids) if endpoint.account_ids else {}
    return shapes.webhook_of(endpoint, {account.id: account.main_address for account in known.values()})
