"""Webhooks: endpoints as AgentMail shows them, and the bodies of what they are told."""

from __future__ import annotations

from typing import Literal

import msgspec

from posthouse.accounts import endpoints
from posthouse.accounts.endpoints import Changes, Edit, Telling, Wanted
from posthouse.api.agentmail.shapes.values import DELIVERY_PREFIX, EVENT_PREFIX, WEBHOOK_PREFIX, time
from posthouse.events import outbox
from posthouse.kit.errors import Invalid
from posthouse.store.webhooks import WebhookEndpoint

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


def delivery_of(telling: Telling) -> Delivery:
    """A telling with its tries."""
    delivery = telling.delivery
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
            for each in telling.attempts
        ],
        next_attempt_at=time(delivery.due_at) if delivery.due_at is not None else None,
    )  # fmt: skip


def health_of(found: endpoints.Health, at: int) -> Health:
    """An endpoint's health."""
    health = found.answers
    is_open = health is not None and health.paused_until > at
    return Health(
        webhook_id=WEBHOOK_PREFIX + found.endpoint.id,
        circuit="open" if is_open else "closed",
        failures_in_a_row=health.failures if health else 0,
        deliveries=found.deliveries,
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


def wanted_of(data: CreateWebhook) -> Wanted:
    """What to make.

    Raises:
        Invalid: an unknown event type.
    """
    return Wanted(
        url=data.url,
        event_types=check_event_types(data.event_types),
        inbox_ids=data.inbox_ids or (),
        pod_ids=data.pod_ids or (),
        headers=data.headers or {},
        client_id=data.client_id,
        is_enabled=data.enabled,
    )


def changes_of(data: UpdateWebhook) -> Changes:
    """What to change. Raises as `wanted_of`."""
    return Changes(
        url=data.url,
        is_enabled=data.enabled,
        event_types=check_event_types(data.event_types),
        inbox_ids=Edit(data.inbox_ids, data.add_inbox_ids or (), data.remove_inbox_ids or ()),
        pod_ids=Edit(data.pod_ids, data.add_pod_ids or (), data.remove_pod_ids or ()),
    )
