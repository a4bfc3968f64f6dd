"""What webhooks were sent: every telling with its tries, telling one again, a made-up one, and how they answer."""

from __future__ import annotations

import msgspec
from litestar import get, post

from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.events import sample
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.common import Limit, PageToken, cut, limit_of
from posthouse.api.agentmail.routes.webhooks import ONE, find, to_change
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import webhooks as shapes
from posthouse.api.agentmail.shapes.common import DELIVERY_PREFIX, core_id
from posthouse.api.paging import Position, page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.errors import NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.principal import Principal
from posthouse.store import webhook_health, webhooks
from posthouse.store.database import Tx
from posthouse.store.webhooks import WebhookDelivery

_DELIVERIES = ONE + "/deliveries"


@get(scope.paths(_DELIVERIES), operation_id=scope.operation("webhooks_deliveries_list"))
async def list_deliveries(
    services: Services,
    principal: Principal,
    where: Where,
    webhook_id: str,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.DeliveryList:
    """What a webhook was sent, newest first, with each try and its answer."""
    need(principal, "webhook_read")
    size = limit_of(limit)
    filters = {"of": "deliveries", "webhook": webhook_id, "ascending": ascending}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> tuple[list[shapes.Delivery], Position | None]:
        endpoint = await find(tx, principal, where, webhook_id)
        found = await webhooks.deliveries(tx, endpoint.id, after=after, ascending=ascending, limit=size + 1)
        page, more = cut(found, size)
        attempts = await webhooks.attempts(tx, [each.id for each in page]) if page else {}
        return [shapes.delivery_of(each, attempts[each.id]) for each in page], more

    items, more = await services.db.read(unit)
    return shapes.DeliveryList(len(items), size, items, page_token(more, filters))


@get(scope.paths(_DELIVERIES + "/{delivery_id:str}"), operation_id=scope.operation("webhooks_deliveries_get"))
async def get_delivery(
    services: Services, principal: Principal, where: Where, webhook_id: str, delivery_id: str
) -> shapes.Delivery:
    """One telling with its tries."""
    need(principal, "webhook_read")

    async def unit(tx: Tx) -> shapes.Delivery:
        endpoint = await find(tx, principal, where, webhook_id)
        return await _shown(tx, await _delivery(tx, endpoint.id, delivery_id))

    return await services.db.read(unit)


@post(
    scope.paths(_DELIVERIES + "/{delivery_id:str}/replay"),
    status_code=200,
    operation_id=scope.operation("webhooks_deliveries_replay"),
)
async def replay_delivery(
    services: Services, principal: Principal, where: Where, webhook_id: str, delivery_id: str
) -> shapes.Delivery:
    """Tell it once more, the same bytes under the same id; the circuit closes."""
    need(principal, "webhook_update")

    async def unit(tx: Tx) -> shapes.Delivery:
        endpoint = await to_change(tx, principal, where, webhook_id)
        delivery = await _delivery(tx, endpoint.id, delivery_id)
        await webhook_health.reset(tx, endpoint.id)
        await webhooks.replay(tx, delivery.id, services.clock())
        return sight.delivery(principal, await _shown(tx, await _delivery(tx, endpoint.id, delivery_id)))

    return await services.db.write(unit)


@post(scope.paths(ONE + "/test"), status_code=200, operation_id=scope.operation("webhooks_test"))
async def try_webhook(
    services: Services, principal: Principal, where: Where, webhook_id: str, data: shapes.TryWebhook | None = None
) -> shapes.Delivery:
    """Tell a made-up event, signed like all others; it is no event of any inbox."""
    need(principal, "webhook_update")
    event_type = shapes.check_event_types([(data or shapes.TryWebhook()).event_type])[0]
    at = services.clock()

    async def unit(tx: Tx) -> shapes.Delivery:
        endpoint = await to_change(tx, principal, where, webhook_id)
        event_id = new_id()
        body = msgspec.json.encode(sample(event_type, event_id, at))
        delivery = WebhookDelivery(
            id=new_id(), endpoint_id=endpoint.id, organization_id=endpoint.organization_id,
            account_id=endpoint.account_id, event_id=event_id, event_type=event_type, body=body, state="pending",
            attempts=0, due_at=at, leased=False, last_status=None, last_error=None, created_at=at, updated_at=at,
        )  # fmt: skip
        await webhooks.add_rendered(tx, delivery)
        return sight.delivery(principal, await _shown(tx, delivery))

    return await services.db.write(unit)


@get(scope.paths(ONE + "/health"), operation_id=scope.operation("webhooks_health"))
async def get_health(services: Services, principal: Principal, where: Where, webhook_id: str) -> shapes.Health:
    """How a webhook has been answering. After ten failures in a row it is left alone for a minute."""
    need(principal, "webhook_read")

    async def unit(tx: Tx) -> shapes.Health:
        endpoint = await find(tx, principal, where, webhook_id)
        health = await webhook_health.get(tx, endpoint.id)
        counts = await webhooks.count_by_state(tx, endpoint.id)
        return shapes.health_of(endpoint, health, counts, services.clock())

    return await services.db.read(unit)


async def _delivery(tx: Tx, endpoint_id: str, delivery_id: str) -> WebhookDelivery:
    found = await webhooks.get_delivery(tx, endpoint_id, core_id(delivery_id, DELIVERY_PREFIX, "delivery"))
    if found is None:
        raise NotFound("there is no such delivery", field="delivery_id")
    return found


async def _shown(tx: Tx, delivery: WebhookDelivery) -> shapes.Delivery:
    return shapes.delivery_of(delivery, (await webhooks.attempts(tx, [delivery.id]))[delivery.id])
