"""What a key is shown of what it did: a permission to change something is none to read it.

Whoever may read is answered with the whole object; whoever may not, with its ids and what it gave itself. Every
answer of an operation that changes goes through here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from posthouse.api.agentmail.permissions import hidden_labels, may
from posthouse.api.agentmail.shapes.api_keys import ApiKey
from posthouse.api.agentmail.shapes.domains import Domain
from posthouse.api.agentmail.shapes.drafts import Draft
from posthouse.api.agentmail.shapes.inboxes import Inbox
from posthouse.api.agentmail.shapes.lists import ListEntry
from posthouse.api.agentmail.shapes.messages import Message, Updated
from posthouse.api.agentmail.shapes.pods import Pod
from posthouse.api.agentmail.shapes.webhooks import Delivery, Webhook
from posthouse.kit.principal import Principal


def labels(principal: Principal, there: Iterable[str], given: Collection[str]) -> list[str]:
    """A message's labels after a change: all that the key sees, or those of them that it has just put on."""
    seen = set(there) - hidden_labels(principal)
    return sorted(seen if may(principal, "message_read") else seen & set(given))


def message(principal: Principal, shown: Message, given: Collection[str]) -> Message | Updated:
    """A message that was changed."""
    if may(principal, "message_read"):
        return shown
    return Updated(shown.message_id, labels(principal, shown.labels, given))


def draft(principal: Principal, shown: Draft) -> Draft:
    """A draft that was written or changed."""
    if may(principal, "draft_read"):
        return shown
    kept = [label for label in shown.labels if label in ("draft", "scheduled")]
    return Draft(
        inbox_id=shown.inbox_id, thread_id=shown.thread_id, draft_id=shown.draft_id, labels=kept,
        created_at=shown.created_at, updated_at=shown.updated_at, client_id=shown.client_id,
        send_status=shown.send_status, send_at=shown.send_at,
    )  # fmt: skip


def webhook(principal: Principal, shown: Webhook, *, is_new: bool = False, url: str | None = None) -> Webhook:
    """A webhook; its secret is for who made it just now or may read it, its URL also for who gave it."""
    if is_new or may(principal, "webhook_read"):
        return shown
    return Webhook(
        webhook_id=shown.webhook_id, url=url or "", secret="", enabled=shown.enabled, created_at=shown.created_at,
        updated_at=shown.updated_at, client_id=shown.client_id,
    )  # fmt: skip


def delivery(principal: Principal, shown: Delivery) -> Delivery:
    """A telling that was asked for."""
    return shown if may(principal, "webhook_read") else msgspec.structs.replace(shown, attempts=[])


def inbox(principal: Principal, shown: Inbox, *, is_new: bool = False) -> Inbox:
    """An inbox that was made or changed."""
    if is_new or may(principal, "inbox_read"):
        return shown
    return msgspec.structs.replace(shown, display_name=None, metadata=None)


def domain(principal: Principal, shown: Domain, *, is_new: bool = False) -> Domain:
    """A domain that was added or changed; its records prove it."""
    if is_new or may(principal, "domain_read"):
        return shown
    return msgspec.structs.replace(shown, records=[], reason=None)


def key(principal: Principal, shown: ApiKey) -> ApiKey:
    """A key that was changed."""
    if may(principal, "api_key_read"):
        return shown
    return ApiKey(
        type=shown.type, api_key_id=shown.api_key_id, prefix=shown.prefix, name="", created_at=shown.created_at,
        updated_at=shown.updated_at,
    )  # fmt: skip


def entry(principal: Principal, shown: ListEntry, *, reason: str | None) -> ListEntry:
    """An entry that was put on a list, or was on it: then its reason may be another's."""
    return shown if may(principal, "list_entry_read") else msgspec.structs.replace(shown, reason=reason)


def pod(principal: Principal, shown: Pod, *, is_new: bool = False) -> Pod:
    """A pod that was made, or found by its client id."""
    return shown if is_new or may(principal, "pod_read") else msgspec.structs.replace(shown, name="")
