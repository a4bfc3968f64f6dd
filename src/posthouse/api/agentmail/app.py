"""AgentMail's app: its routes, its errors, what every handler is handed."""

from __future__ import annotations

from functools import cache
from typing import Any

from litestar import Litestar, Request
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from posthouse import __version__
from posthouse.api.agentmail import auth, bodies, errors, fields, openapi, stream
from posthouse.api.agentmail import scope as scope_
from posthouse.api.agentmail.routes import (
    api_keys,
    domains,
    drafts,
    inbox_events,
    inboxes,
    lists,
    messages,
    metrics,
    organizations,
    pods,
    searching,
    sending,
    threads,
    webhook_deliveries,
    webhooks,
)
from posthouse.api.services import Services
from posthouse.api.surface import Receive, Scope, Send
from posthouse.kit.errors import PosthouseError
from posthouse.kit.principal import Principal

# Where a request carries the services of its house.
_SERVICES = "posthouse.services"

HANDLERS = (
    organizations.get_organization,
    organizations.get_identity,
    organizations.sign_up,
    organizations.attach_human,
    organizations.verify,
    inboxes.create_inbox,
    inboxes.list_inboxes,
    inboxes.search_inboxes,
    inboxes.get_inbox,
    inboxes.update_inbox,
    inboxes.delete_inbox,
    inbox_events.list_events,
    messages.list_messages,
    messages.get_message,
    messages.update_message,
    messages.delete_message,
    messages.get_raw,
    messages.get_attachment,
    searching.search_messages,
    searching.batch_get,
    searching.batch_update,
    sending.send_message,
    sending.reply,
    sending.reply_all,
    sending.forward,
    threads.list_threads,
    threads.search_threads,
    threads.get_thread,
    threads.update_thread,
    threads.delete_thread,
    threads.get_attachment,
    drafts.create_draft,
    drafts.list_drafts,
    drafts.get_draft,
    drafts.get_attachment,
    drafts.update_draft,
    drafts.delete_draft,
    drafts.send_draft,
    webhooks.create_webhook,
    webhooks.list_webhooks,
    webhooks.get_webhook,
    webhooks.put_webhook,
    webhooks.patch_webhook,
    webhooks.delete_webhook,
    webhooks.get_headers,
    webhooks.update_headers,
    webhook_deliveries.list_deliveries,
    webhook_deliveries.get_delivery,
    webhook_deliveries.replay_delivery,
    webhook_deliveries.try_webhook,
    webhook_deliveries.get_health,
    domains.create_domain,
    domains.list_domains,
    domains.get_domain,
    domains.update_domain,
    domains.delete_domain,
    domains.verify_domain,
    domains.get_zone_file,
    pods.create_pod,
    pods.list_pods,
    pods.get_pod,
    pods.delete_pod,
    api_keys.create_api_key,
    api_keys.list_api_keys,
    api_keys.get_api_key,
    api_keys.update_api_key,
    api_keys.delete_api_key,
    lists.create_entry,
    lists.list_entries,
    lists.get_entry,
    lists.delete_entry,
    metrics.query_events,
    metrics.query_usage,
    metrics.legacy_metrics,
)


class AgentMailApp:
    """Answers `/v0`: requests, and the WebSocket."""

    def __init__(self, services: Services, max_body_bytes: int) -> None:
        self._services = services
        self._routes = _routes(max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "websocket":
            await stream.serve(self._services, scope, receive, send)
            return
        scope["state"][_SERVICES] = self._services
        await self._routes(scope, receive, send)  # type: ignore[arg-type]

    def openapi(self) -> dict[str, Any]:
        """The description of the routes."""
        return openapi.completed(self._routes.openapi_schema.to_schema())


def _provide_services(request: Request[Any, Any, Any]) -> Services:
    services: Services = request.scope["state"][_SERVICES]
    return services


async def _ask_who(request: Request[Any, Any, Any]) -> None:
    """Before the framework reads a body: of who has no key it is not kept."""
    if "principal" in request.scope["route_handler"].parsed_fn_signature.parameters:
        request.scope["state"]["principal"] = await auth.principal_of(request, request.scope["state"][_SERVICES])
    await bodies.read(request)


# Each names the one before, though it has no use for it: the framework starts a group of tasks for dependencies that
# do not wait for each other, which takes longer than all of them.
async def _provide_principal(request: Request[Any, Any, Any], services: Services) -> Principal:
    await fields.check(request)
    principal: Principal = request.scope["state"]["principal"]
    return principal


def _provide_where(request: Request[Any, Any, Any], principal: Principal) -> scope_.Where:
    return scope_.where_of(request)


@cache
def _routes(max_body_bytes: int) -> Litestar:
    """The routes, of whatever house: the framework takes half a second to look through them all."""
    handlers: dict[Any, Any] = {
        PosthouseError: errors.on_core_error,
        HTTPException: errors.on_http_error,
        UnicodeDecodeError: errors.on_unreadable,
        RecursionError: errors.on_unreadable,
        Exception: errors.on_any_error,
    }
    return Litestar(
        route_handlers=HANDLERS,
        dependencies={
            "services": Provide(_provide_services, sync_to_thread=False),
            "principal": Provide(_provide_principal),
            "where": Provide(_provide_where, sync_to_thread=False),
        },
        exception_handlers=handlers,
        before_request=_ask_who,
        request_max_body_size=max_body_bytes,
        openapi_config=OpenAPIConfig(
            title="Posthouse: AgentMail API", version=__version__, path="/v0/_schema", render_plugins=[]
        ),
        logging_config=None,
    )
