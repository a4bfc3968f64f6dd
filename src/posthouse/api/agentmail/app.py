"""AgentMail's app: its routes, its errors, what every handler is handed."""

from __future__ import annotations

from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from posthouse import __version__
from posthouse.api.agentmail import auth, errors
from posthouse.api.agentmail.routes import inboxes, messages, sending, threads, webhooks
from posthouse.api.kit import Services
from posthouse.kit.errors import PosthouseError

HANDLERS = (
    inboxes.create_inbox,
    inboxes.list_inboxes,
    inboxes.get_inbox,
    inboxes.update_inbox,
    inboxes.delete_inbox,
    messages.list_messages,
    messages.get_message,
    messages.update_message,
    messages.delete_message,
    messages.get_raw,
    messages.get_attachment,
    sending.send_message,
    sending.reply,
    sending.reply_all,
    sending.forward,
    threads.list_threads,
    threads.get_thread,
    threads.delete_thread,
    threads.get_attachment,
    webhooks.create_webhook,
    webhooks.list_webhooks,
    webhooks.get_webhook,
    webhooks.put_webhook,
    webhooks.patch_webhook,
    webhooks.delete_webhook,
)


def create(services: Services, *, max_body_bytes: int) -> Litestar:
    """The app for `/v0`."""

    def provide_services() -> Services:
        return services

    handlers: dict[Any, Any] = {
        PosthouseError: errors.on_core_error,
        HTTPException: errors.on_http_error,
        Exception: errors.on_any_error,
    }
    return Litestar(
        route_handlers=HANDLERS,
        dependencies={
            "services": Provide(provide_services, sync_to_thread=False),
            "principal": Provide(auth.principal_of),
        },
        exception_handlers=handlers,
        state=State({"services": services}),
        request_max_body_size=max_body_bytes,
        openapi_config=OpenAPIConfig(
            title="Posthouse: AgentMail API", version=__version__, path="/v0/_schema", render_plugins=[]
        ),
        logging_config=None,
    )
