"""How AgentMail tells of an event: the body, and the Svix headers that sign it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import domain_proof
from posthouse.api.agentmail.shapes import domains as domain_shapes
from posthouse.api.agentmail.shapes import messages as message_shapes
from posthouse.api.agentmail.shapes import threads as thread_shapes
from posthouse.api.agentmail.shapes.values import EVENT_PREFIX, MESSAGE_PREFIX, THREAD_PREFIX, time
from posthouse.events import outbox, signatures
from posthouse.events.webhooks import MAX_BODY_BYTES, Breaker, Dialect
from posthouse.kit.clock import HOUR, MINUTE, SECOND
from posthouse.kit.errors import NotFound
from posthouse.mail import reading, visibility
from posthouse.outbound import suppressions
from posthouse.store.database import Tx
from posthouse.store.domains import Domain
from posthouse.store.events import Event
from posthouse.store.webhooks import WebhookDelivery, WebhookEndpoint

_RECEIVED = (
    outbox.MESSAGE_RECEIVED,
    outbox.RECEIVED_SPAM,
    outbox.RECEIVED_BLOCKED,
    outbox.RECEIVED_UNAUTHENTICATED,
)
# What a body that is too long goes without.
_TEXTS = frozenset({"html", "text", "extracted_html", "extracted_text", "headers"})
_MOST_FIELDS = 100
# The object beside the ids, by event type.
_KEYS = {
    outbox.MESSAGE_SENT: "send",
    outbox.MESSAGE_DELIVERED: "delivery",
    outbox.MESSAGE_BOUNCED: "bounce",
    outbox.MESSAGE_COMPLAINED: "complaint",
    outbox.MESSAGE_REJECTED: "reject",
}


async def body_of(tx: Tx, event: Event, hidden: Collection[str]) -> dict[str, Any] | None:
    """An event as AgentMail's webhooks and its WebSocket tell it; None when its message is gone.

    Args:
        hidden: the kinds of mail that do not exist for who is told.
    """
    told: dict[str, Any] = {"type": "event", "event_type": event.type, "event_id": EVENT_PREFIX + event.id}
    if event.type == outbox.DOMAIN_VERIFIED:
        domain = await domain_proof.named(tx, event.organization_id, str(event.payload["domain"]))
        return None if domain is None else told | {"domain": await _domain(tx, domain, str(event.payload["hostname"]))}
    account = await account_rules.find(tx, event.account_id) if event.account_id else None
    if account is None or event.message_id is None:
        return None
    if event.type in _RECEIVED:
        try:
            message, body = await reading.get(tx, account.id, event.message_id)
            thread = await reading.get_thread(tx, account.id, message.thread_id)
        except NotFound:
            return None
        visible = thread.seen(hidden)
        if message.id not in {each.id for each in visible}:
            return None
        known = await reading.named_by(tx, account.id, [message])
        message = msgspec.to_builtins(message_shapes.message_of(message, body, account.main_address, known))
        # An older documented payload has these two. They come first: clients that rename `from` keep the later.
        message = {"from_": [message["from"]], "organization_id": event.organization_id} | message
        told["message"] = message
        told["thread"] = msgspec.to_builtins(thread_shapes.item_of(thread, account.main_address, visible))
        return told
    if event.type not in _KEYS:
        return None
    if hidden:
        about = await reading.find(tx, account.id, event.message_id)
        if about is not None and not visibility.kinds_of(about).isdisjoint(hidden):
            return None
    facts: dict[str, Any] = {
        "inbox_id": account.main_address,
        "thread_id": THREAD_PREFIX + event.payload["thread_id"],
        "message_id": MESSAGE_PREFIX + event.message_id,
        "timestamp": time(event.at),
    }
    recipients = event.payload.get("recipients", [])
    if event.type == outbox.MESSAGE_REJECTED:
        facts["reason"] = event.payload.get("reason") or "rejected"
    elif event.type == outbox.MESSAGE_BOUNCED:
        facts |= {"type": bounce_type(recipients), "sub_type": "General", "recipients": recipients}
    elif event.type == outbox.MESSAGE_COMPLAINED:
        facts |= {"type": "abuse", "sub_type": event.payload.get("type", "abuse"), "recipients": recipients}
    else:
        facts["recipients"] = recipients
    told[_KEYS[event.type]] = facts
    return told


def bounce_type(recipients: Sequence[dict[str, Any]]) -> str:
    """What AgentMail calls a bounce, by the status of each recipient: Transient where all of them pass."""
    passing = recipients and all(suppressions.is_transient(str(each.get("status") or "")) for each in recipients)
    return "Transient" if passing else "Permanent"


async def _domain(tx: Tx, domain: Domain, hostname: str) -> dict[str, Any]:
    shown = domain_shapes.domain_of(await domain_proof.proof_of(tx, domain, hostname))
    return msgspec.to_builtins(shown)  # type: ignore[no-any-return]


def sample(event_type: str, event_id: str, at: int) -> dict[str, Any]:
    """A made-up event of a kind, to try a receiver with; its ids lead nowhere."""
    told: dict[str, Any] = {"type": "event", "event_type": event_type, "event_id": EVENT_PREFIX + event_id}
    ids = {"inbox_id": "sample@example.com", "thread_id": THREAD_PREFIX + "sample", "timestamp": time(at)}
    if event_type in _RECEIVED:
        item = ids | {
            "labels": ["received", "unread"], "subject": "A sample", "preview": "This message was made up.",
            "size": 42, "created_at": time(at), "updated_at": time(at),
        }  # fmt: skip
        told["message"] = item | {
            "message_id": MESSAGE_PREFIX + "sample", "from": "ann@example.com", "from_": ["ann@example.com"],
            "to": ["sample@example.com"], "text": "This message was made up.",
        }  # fmt: skip
        told["thread"] = item | {
            "senders": ["ann@example.com"], "recipients": ["sample@example.com"], "message_count": 1,
            "last_message_id": MESSAGE_PREFIX + "sample", "last_message_at": time(at),
            "participants": ["ann@example.com", "sample@example.com"],
        }  # fmt: skip
    elif event_type in _KEYS:
        told[_KEYS[event_type]] = ids | {"message_id": MESSAGE_PREFIX + "sample", "recipients": ["ann@example.com"]}
    else:
        told["domain"] = {"domain_id": "example.com", "domain": "example.com", "status": "VERIFIED", "records": []}
    return told


def encoded(told: Mapping[str, Any]) -> bytes:
    """An event's JSON, never longer than `MAX_BODY_BYTES`, which is less than what clients take in a frame (1 MiB).

    What is too long comes without its texts. A mail whose ids, names and addresses alone are longer has them cut:
    whoever can write to an inbox must not be able to end its stream.
    """
    data = msgspec.json.encode(told)
    if len(data) > MAX_BODY_BYTES and "message" in told:
        told = {**told, "message": {name: value for name, value in told["message"].items() if name not in _TEXTS}}
        data = msgspec.json.encode(told)
    for most in (1_000, 100, 10):
        if len(data) <= MAX_BODY_BYTES:
            break
        data = msgspec.json.encode(_cut(told, most))
    return data


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str):
        return value[:most]
    if isinstance(value, list):
        return [_cut(each, most) for each in value[:most]]
    if isinstance(value, dict):
        return {name: _cut(each, most) for name, each in list(value.items())[:_MOST_FIELDS]}
    return value


async def _render(tx: Tx, endpoint: WebhookEndpoint, event: Event) -> bytes | None:
    told = await body_of(tx, event, endpoint.hidden)
    return None if told is None else encoded(told)


def _headers(endpoint: WebhookEndpoint, delivery: WebhookDelivery, at: int, body: bytes) -> Mapping[str, str]:
    return signatures.svix_headers(endpoint.secret, MESSAGE_PREFIX + delivery.id, at, body)


def _sample(event_type: str, event_id: str, at: int) -> bytes:
    return msgspec.json.encode(sample(event_type, event_id, at))


DIALECT = Dialect(
    render=_render,
    headers=_headers,
    audience=lambda endpoint: tuple(endpoint.hidden),
    sample=_sample,
    new_secret=signatures.new_svix_secret,
    standard=outbox.STANDARD,
    own_headers=("svix-", "webhook-"),
    retry_ms=(5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR),
    timeout_s=15.0,
    breaker=Breaker(failures=10, pause_ms=MINUTE),
)
