"""Entries of allow and block lists."""

from __future__ import annotations

from typing import Literal

import msgspec

from posthouse.accounts.lists import DIRECTIONS, KINDS
from posthouse.api.agentmail.shapes.values import time
from posthouse.kit.errors import NotFound
from posthouse.store.lists import ListEntry as StoredEntry


class ListEntry(msgspec.Struct, omit_defaults=True, kw_only=True):
    """An address or a domain on a list."""

    entry: str
    organization_id: str
    direction: str
    list_type: str
    entry_type: Literal["email", "domain"]
    created_at: str
    reason: str | None = None
    pod_id: str | None = None
    inbox_id: str | None = None


class ListEntries(msgspec.Struct, omit_defaults=True):
    """A page of a list, newest first; `count` is of this page."""

    count: int
    limit: int
    entries: list[ListEntry]
    next_page_token: str | None = None


class CreateListEntry(msgspec.Struct):
    """An address or a domain, and why."""

    entry: str
    reason: str | None = None


def entry_of(entry: StoredEntry, inbox_id: str | None) -> ListEntry:
    """An entry as AgentMail shows it."""
    return ListEntry(
        entry=entry.entry,
        organization_id=entry.organization_id,
        direction=entry.direction,
        list_type=entry.kind,
        entry_type="email" if entry.entry_type == "email" else "domain",
        created_at=time(entry.created_at),
        reason=entry.reason,
        pod_id=entry.pod_id,
        inbox_id=inbox_id,
    )


def check_list(direction: str, kind: str) -> None:
    """Raises `NotFound` where there is no such list."""
    if direction not in DIRECTIONS or kind not in KINDS:
        raise NotFound("there is no such list", field="direction")
