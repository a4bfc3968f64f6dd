"""Webhooks: endpoints as AgentMail shows them, and the bodies of what they are told."""

from __future__ import annotations

from typing import Literal

import msgspec

from posthouse.api.agentmail.shapes.common import DELIVERY_PREFIX, EVENT_PREFIX, WEBHOOK_PREFIX, time
from posthouse.events import outbox
from posthouse.kit.errors import Invalid
from posthouse.net.dialer import OWN_HEADERS
from posthouse.store.webhook_health import WebhookHealth
from posthouse.store.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

EVENT_TYPES = (
    outbox.MESSAGE_RECEIVED,
    outbox.RECEIVED_SPAM,
    outbox.RECEIVED_BLOCKED,
    outbox.RECEIVED_UNAUTHENTICATED,
    outbox.MESSAGE_SENT,
    outbox.MESSAGE_DELIVERED,
    outbox.MESSAGE_BOUNCED,
    outbox.MESSAGE_COMPLAINED,
    outbox.MESSAGE_REJECTED,
    outbox.DOMAIN_VERIFIED,
)
# Subscribing to these needs the right to see the label.
LABEL_OF_TYPE = {
    outbox.RECEIVED_SPAM: "spam",
    outbox.RECEIVED_BLOCKED: "blocked",
    outbox.RECEIVED_UNAUTHENTICATED: "unauthenticated",
}
_MAX_FILTER = 10
_MAX_URL = 2_048


class Webhook(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An endpoint and the secret its deliveries are signed with."""

    webhook_id: str
    url: str
    secret: str
    enabled: bool
    created_at: str
    updated_at: str
    event_types: list[str] | None = None
    pod_ids: list[str] | None = None
    inbox_ids: list[str] | None = None
    client_id: str | None = None


class WebhookList(msgspec.Struct, omit_defaults=True):
    """A page of endpoints; `count` is of this page."""

    count: int
    limit: int
    webhooks: list[Webhook]
    next_page_token: str | None = None


class CreateWebhook(msgspec.Struct):
    """Where to tell, of what. Without event types: of all standard ones."""

    url: str
    event_types: list[str] | None = None
    inbox_ids: list[str] | None = None
    pod_ids: list[str] | None = None
    client_id: str | None = None
    enabled: bool = True
    headers: dict[str, str] | None = None


class UpdateWebhook(msgspec.Struct):
    """What to change; what is left out stays."""

    url: str | None = None
    enabled: bool | None = None
    event_types: list[str] | None = None
    inbox_ids: list[str] | None = None
    pod_ids: list[str] | None = None
    add_inbox_ids: list[str] | None = None
    remove_inbox_ids: list[str] | None = None
    add_pod_ids: list[str] | None = None
    remove_pod_ids: list[str] | None = None


class WebhookHeaders(msgspec.Struct):
    """The names of what is sent along; the values are not shown again."""

    header_names: list[str]


class UpdateWebhookHeaders(msgspec.Struct):
    """Headers to set and to take away; at least one, and none in both."""

    headers: dict[str, str] | None = None
    remove_headers: list[str] | None = None


class Attempt(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One try: what the receiver answered, or what went wrong."""

    attempt: int
    at: str
    elapsed_ms: int
    status: int | None = None
    error: str | None = None


class Delivery(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One telling; `status` is pending, failed (will be tried again), delivered or dead."""

    delivery_id: str
    event_id: str
    event_type: str
    status: str
    created_at: str
    attempts: list[Attempt]
    next_attempt_at: str | None = None


class DeliveryList(msgspec.Struct, omit_defaults=True):
    """A page of tellings, newest first."""

    count: int
    limit: int
    deliveries: list[Delivery]
    next_page_token: str | None = None


class TryWebhook(msgspec.Struct):
    """Which kind of event to make up."""

    event_type: str = outbox.MESSAGE_RECEIVED


class Health(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How an endpoint has been answering. While the circuit is open nothing is tried."""

    webhook_id: str
    circuit: Literal["closed", "open"]
    failures_in_a_row: int
    deliveries: dict[str, int]
    paused_until: str | None = None
    last_success_at: str | None = None
    last_failure_at: str | None = None
    last_error: str | None = None


def delivery_of(delivery: WebhookDelivery, attempts: list[WebhookAttempt]) -> Delivery:
    """A telling with its tries."""
    return Delivery(
        delivery_id=DELIVERY_PREFIX + delivery.id,
        event_id=EVENT_PREFIX + delivery.event_id,
        event_type=delivery.event_type,
        status=delivery.state,
        created_at=time(delivery.created_at),
        attempts=[
            Attempt(
                attempt=each.attempt, at=time(each.at), elapsed_ms=each.elapsed_ms, status=each.status,
                error=each.error,
            )
            for each in attempts
        ],
        next_attempt_at=time(delivery.due_at) if delivery.due_at is not None else None,
    )  # fmt: skip


def health_of(endpoint: WebhookEndpoint, health: WebhookHealth | None, counts: dict[str, int], at: int) -> Health:
    """An endpoint's health."""
    is_open = health is not None and health.paused_until > at
    return Health(
        webhook_id=WEBHOOK_PREFIX + endpoint.id,
        circuit="open" if is_open else "closed",
        failures_in_a_row=health.failures if health else 0,
        deliveries=counts,
        paused_until=time(health.paused_until) if health and is_open else None,
        last_success_at=time(health.last_success_at) if health and health.last_success_at else None,
        last_failure_at=time(health.last_failure_at) if health and health.last_failure_at else None,
        last_error=health.last_error if health else None,
    )


def webhook_of(endpoint: WebhookEndpoint, addresses: dict[str, str]) -> Webhook:
    """An endpoint; `addresses` are the inbox ids of its account ids."""
    return Webhook(
        webhook_id=WEBHOOK_PREFIX + endpoint.id,
        url=endpoint.url,
        secret=endpoint.secret,
        enabled=endpoint.is_enabled,
        created_at=time(endpoint.created_at),
        updated_at=time(endpoint.updated_at),
        event_types=endpoint.event_types or None,
        pod_ids=endpoint.pod_ids or None,
        inbox_ids=[addresses[account] for account in endpoint.account_ids if account in addresses] or None,
        client_id=endpoint.client_id,
    )


def check_event_types(types: list[str] | None) -> list[str]:
    """Known event types, each once; an empty list stands for all standard ones.

    Raises:
        Invalid: one is unknown.
    """
    for index, name in enumerate(types or ()):
        if name not in EVENT_TYPES:
            raise Invalid(
                f"{name!r} is no event type; there are {', '.join(EVENT_TYPES)}", field=f"event_types.{index}"
            )
    return list(dict.fromkeys(types or ()))


def check_filter(ids: list[str] | None, field: str) -> list[str]:
    """At most ten ids, each once.

    Raises:
        Invalid: more than ten.
    """
    found = list(dict.fromkeys(ids or ()))
    if len(found) > _MAX_FILTER:
        raise Invalid(f"at most {_MAX_FILTER}", field=field)
    return found


def check_url_length(url: str) -> str:
    """Raises `Invalid` for a URL longer than 2,048 characters."""
    if len(url) > _MAX_URL:
        raise Invalid(f"at most {_MAX_URL} characters", field="url")
    return url


_RESERVED_HEADERS = ("svix-", "content-", "webhook-")


def check_headers(headers: dict[str, str] | None) -> dict[str, str]:
    """Headers to send along with each delivery.

    Raises:
        Invalid: a name that is no token or is the server's own, a value that is not one line, or too many.
    """
    found = headers or {}
    if len(found) > 20:
        raise Invalid("at most 20 headers", field="headers")
    for name, value in found.items():
        token = name and all(c.isascii() and (c.isalnum() or c in "!#$%&'*+-.^_`|~") for c in name)
        taken = name.lower() in OWN_HEADERS or name.lower().startswith(_RESERVED_HEADERS)
        if not token or len(name) > 100 or taken:
            raise Invalid(f"{name!r} cannot be sent along", field=f"headers.{name}")
        if len(value) > 2_000 or any(ord(c) < 32 or ord(c) > 126 for c in value):
            raise Invalid("one line of ASCII, at most 2,000 characters", field=f"headers.{name}")
    return found
