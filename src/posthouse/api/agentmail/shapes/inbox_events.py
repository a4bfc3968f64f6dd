"""The log of an inbox's labels."""

from __future__ import annotations

from typing import Literal

import msgspec

from posthouse.api.agentmail.shapes.labels import label_of_mark
from posthouse.api.agentmail.shapes.values import EVENT_PREFIX, MESSAGE_PREFIX, time
from posthouse.store.accounts import Account
from posthouse.store.markings import Marking


class InboxEvent(msgspec.Struct):
    """A label came to a message or went from it."""

    organization_id: str
    pod_id: str
    inbox_id: str
    event_id: str
    event_type: Literal["label.added", "label.removed"]
    message_id: str
    label: str
    event_at: str
    created_at: str


class InboxEventList(msgspec.Struct, omit_defaults=True):
    """A page of the log, newest first; `count` is of this page."""

    count: int
    limit: int
    events: list[InboxEvent]
    next_page_token: str | None = None


def event_of(marking: Marking, account: Account) -> InboxEvent | None:
    """A marking as a change of a label; None where it is none."""
    named = label_of_mark(marking.mark, is_added=marking.is_added)
    if named is None:
        return None
    label, is_added = named
    return InboxEvent(
        organization_id=account.organization_id,
        pod_id=account.pod_id,
        inbox_id=account.main_address,
        event_id=EVENT_PREFIX + marking.id,
        event_type="label.added" if is_added else "label.removed",
        message_id=MESSAGE_PREFIX + marking.message_id,
        label=label,
        event_at=time(marking.at),
        created_at=time(marking.at),
    )
