"""Inboxes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from posthouse.accounts.members import Member, Status
from posthouse.api.agentmail.shapes.values import time
from posthouse.kit.errors import Invalid

_CLIENT_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_MAX_DISPLAY_NAME = 256


class Inbox(msgspec.Struct, omit_defaults=True):
    """An inbox; its id is its address."""

    pod_id: str
    inbox_id: str
    email: str
    created_at: str
    updated_at: str
    display_name: str | None = None
    client_id: str | None = None
    metadata: dict[str, Any] | None = None
    status: Literal["paused"] | None = None


class InboxList(msgspec.Struct, omit_defaults=True):
    """A page of inboxes; `count` is of this page."""

    count: int
    limit: int
    inboxes: list[Inbox]
    next_page_token: str | None = None


class CreateInbox(msgspec.Struct):
    """What to make; everything may be left out."""

    username: str | None = None
    domain: str | None = None
    display_name: str | None = None
    client_id: str | None = None
    metadata: dict[str, Any] | None = None
    status: str | None = None


class UpdateInbox(msgspec.Struct):
    """What to change: at least one. In `metadata` a null removes a key, null as a whole removes all."""

    display_name: str | msgspec.UnsetType | None = msgspec.UNSET
    metadata: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    status: str | None = None


def inbox_of(member: Member) -> Inbox:
    """An account as AgentMail shows it."""
    account = member.account
    return Inbox(
        pod_id=account.pod_id,
        inbox_id=account.main_address,
        email=account.main_address,
        created_at=time(account.created_at),
        updated_at=time(account.updated_at),
        display_name=account.display_name,
        client_id=account.client_id,
        metadata=account.metadata,
        status="paused" if member.is_paused else None,
    )


def check_client_id(value: str | None, field: str = "client_id") -> str | None:
    """A caller's own name for a thing, 1 to 256 of `A-Za-z0-9-._~`.

    Raises:
        Invalid: it is not.
    """
    if value is not None and (not 1 <= len(value) <= 256 or not set(value) <= _CLIENT_ID):
        raise Invalid("1 to 256 letters, digits or - . _ ~", field=field)
    return value


def check_status(value: str | None) -> Status | None:
    """A status; None is not given.

    Raises:
        Invalid: neither `active` nor `paused`.
    """
    if value is None:
        return None
    if value not in ("active", "paused"):
        raise Invalid("paused or active", field="status")
    return "active" if value == "active" else "paused"


def check_display_name(value: str | None) -> str | None:
    """A name to show, on one line.

    Raises:
        Invalid: too long, or with control characters.
    """
    if value is not None and (len(value) > _MAX_DISPLAY_NAME or any(ord(c) < 32 or ord(c) == 127 for c in value)):
        raise Invalid(f"at most {_MAX_DISPLAY_NAME} characters and no control characters", field="display_name")
    return value or None


def check_metadata(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """A caller's own notes on an inbox.

    Raises:
        Invalid: more than 50 keys or 16 KB.
    """
    if value is not None and (len(value) > 50 or len(msgspec.json.encode(value)) > 16_384):
        raise Invalid("at most 50 keys and 16 KB", field="metadata")
    return value


def merged_metadata(current: dict[str, Any] | None, change: dict[str, Any] | None) -> dict[str, Any] | None:
    """Metadata after a change.

    Raises:
        Invalid: an empty change, which says nothing.
    """
    if change is None:
        return None
    if not change:
        raise Invalid("an empty object changes nothing; send null to remove all", field="metadata")
    merged = dict(current or {}) | change
    return check_metadata({key: value for key, value in merged.items() if value is not None} or None)
