"""Writing events, each with the webhook deliveries it gives rise to, in the unit that made it true."""

from __future__ import annotations

from typing import Any

from posthouse.kit.ids import new_id
from posthouse.store import events, webhooks
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.webhooks import WebhookDelivery, WebhookEndpoint

MESSAGE_RECEIVED = "message.received"
RECEIVED_SPAM = "message.received.spam"
RECEIVED_BLOCKED = "message.received.blocked"
RECEIVED_UNAUTHENTICATED = "message.received.unauthenticated"
MESSAGE_SENT = "message.sent"
MESSAGE_HELD = "message.held"
MESSAGE_DELIVERED = "message.delivered"
MESSAGE_DELAYED = "message.delayed"
MESSAGE_BOUNCED = "message.bounced"
MESSAGE_COMPLAINED = "message.complained"
MESSAGE_REJECTED = "message.rejected"
DOMAIN_VERIFIED = "domain.verified"

TYPES = (
    MESSAGE_RECEIVED,
    RECEIVED_SPAM,
    RECEIVED_BLOCKED,
    RECEIVED_UNAUTHENTICATED,
    MESSAGE_SENT,
    MESSAGE_HELD,
    MESSAGE_DELIVERED,
    MESSAGE_DELAYED,
    MESSAGE_BOUNCED,
    MESSAGE_COMPLAINED,
    MESSAGE_REJECTED,
    DOMAIN_VERIFIED,
)
# Heard only by an endpoint that names them: they carry what others sort out, or are the owner's business.
ONLY_IF_NAMED = frozenset(
    {RECEIVED_SPAM, RECEIVED_BLOCKED, RECEIVED_UNAUTHENTICATED, MESSAGE_HELD, MESSAGE_DELAYED}
)  # fmt: skip
# What an endpoint that names no types hears.
STANDARD = tuple(type_ for type_ in TYPES if type_ not in ONLY_IF_NAMED)


async def publish(
    tx: Tx,
    account: Account,
    type_: str,
    *,
    modseq: int,
    at: int,
    message_id: str | None = None,
    payload: dict[str, Any] | None = None,
) -> events.Event:
    """Write an event of an account and a delivery for each endpoint that wants it."""
    event = events.Event(
        id=new_id(),
        organization_id=account.organization_id,
        pod_id=account.pod_id,
        account_id=account.id,
        modseq=modseq,
        type=type_,
        message_id=message_id,
        payload=payload or {},
        at=at,
    )
    await _tell(tx, event)
    return event


async def publish_for_organization(
    tx: Tx, organization_id: str, pod_id: str | None, type_: str, *, modseq: int, at: int, payload: dict[str, Any]
) -> events.Event:
    """Write an event of an organisation itself, or of one of its pods, that belongs to no account."""
    event = events.Event(
        id=new_id(),
        organization_id=organization_id,
        pod_id=pod_id,
        account_id=None,
        modseq=modseq,
        type=type_,
        message_id=None,
        payload=payload,
        at=at,
    )
    await _tell(tx, event)
    return event


async def _tell(tx: Tx, event: events.Event) -> None:
    await events.add(tx, event)
    listening = await webhooks.enabled(tx, event.organization_id, pod_id=event.pod_id, account_id=event.account_id)
    wanted = [
        WebhookDelivery(
            id=new_id(),
            endpoint_id=endpoint.id,
            organization_id=event.organization_id,
            account_id=event.account_id,
            event_id=event.id,
            event_type=event.type,
            body=None,
            state="pending",
            attempts=0,
            due_at=event.at,
            leased=False,
            last_status=None,
            last_error=None,
            created_at=event.at,
            updated_at=event.at,
        )
        for endpoint in listening
        if wants(endpoint, event)
    ]
    await webhooks.add_deliveries(tx, wanted)


def wants(endpoint: WebhookEndpoint, event: events.Event) -> bool:
    """Whether an endpoint hears of an event: by its types, its scope and its filters."""
    if event.type not in endpoint.event_types and (endpoint.event_types or event.type in ONLY_IF_NAMED):
        return False
    if endpoint.account_id is not None and endpoint.account_id != event.account_id:
        return False
    if endpoint.pod_id is not None and endpoint.pod_id != event.pod_id:
        return False
    if endpoint.account_ids or endpoint.pod_ids:
        return event.account_id in endpoint.account_ids or event.pod_id in endpoint.pod_ids
    return True
