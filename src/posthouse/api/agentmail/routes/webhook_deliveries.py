"""What webhooks were sent: every telling with its tries, telling one again, a made-up one, and how they answer."""

from __future__ import annotations

from litestar import get, post

from posthouse.accounts import endpoints
from posthouse.accounts.endpoints import Telling
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.events import DIALECT
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, request_of
from posthouse.api.agentmail.routes.webhooks import ONE, find, find_to_change
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import webhooks as shapes
from posthouse.api.agentmail.shapes.values import DELIVERY_PREFIX, core_id
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.kit.pages import Page
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx

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
    marks = {"of": "deliveries", "webhook": webhook_id, "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)

    async def unit(tx: Tx) -> Page[Telling]:
        return await endpoints.tellings(tx, await find(tx, principal, where, webhook_id), asked)

    page = await services.db.read(unit)
    items = [shapes.delivery_of(telling) for telling in page.items]
    return shapes.DeliveryList(len(items), asked.size, items, page_token(page.more, marks))


@get(scope.paths(_DELIVERIES + "/{delivery_id:str}"), operation_id=scope.operation("webhooks_deliveries_get"))
async def get_delivery(
    services: Services, principal: Principal, where: Where, webhook_id: str, delivery_id: str
) -> shapes.Delivery:
    """One telling with its tries."""
    need(principal, "webhook_read")

    async def unit(tx: Tx) -> Telling:
        endpoint = await find(tx, principal, where, webhook_id)
        return await endpoints.telling(tx, endpoint, core_id(delivery_id, DELIVERY_PREFIX, "delivery"))

    return shapes.delivery_of(await services.db.read(unit))


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

    async def unit(tx: Tx) -> Telling:
        endpoint = await find_to_change(tx, principal, where, webhook_id)
        given = core_id(delivery_id, DELIVERY_PREFIX, "delivery")
        return await endpoints.replay(tx, endpoint, given, services.clock())

    return sight.delivery(principal, shapes.delivery_of(await services.db.write(unit)))


@post(scope.paths(ONE + "/test"), status_code=200, operation_id=scope.operation("webhooks_test"))
async def try_webhook(
    services: Services, principal: Principal, where: Where, webhook_id: str, data: shapes.TryWebhook | None = None
) -> shapes.Delivery:
    """Tell a made-up event, signed like all others; it is no event of any inbox."""
    need(principal, "webhook_update")
    event_type = shapes.check_event_types([(data or shapes.TryWebhook()).event_type])[0]

    async def unit(tx: Tx) -> Telling:
        endpoint = await find_to_change(tx, principal, where, webhook_id)
        return await endpoints.try_out(tx, endpoint, DIALECT, event_type, services.clock())

    return sight.delivery(principal, shapes.delivery_of(await services.db.write(unit)))


@get(scope.paths(ONE + "/health"), operation_id=scope.operation("webhooks_health"))
async def get_health(services: Services, principal: Principal, where: Where, webhook_id: str) -> shapes.Health:
    """How a webhook has been answering. After ten failures in a row it is left alone for a minute."""
    need(principal, "webhook_read")

    async def unit(tx: Tx) -> endpoints.Health:
        return await endpoints.health(tx, await find(tx, principal, where, webhook_id))

    return shapes.health_of(await services.db.read(unit), services.clock())
