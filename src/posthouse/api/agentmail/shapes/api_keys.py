"""API keys and the permissions they carry."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from posthouse.accounts.rights import Right
from posthouse.api.agentmail.permissions import PERMISSIONS, permissions_of, rights_of
from posthouse.api.agentmail.shapes.values import KEY_PREFIX, time
from posthouse.kit.errors import Invalid
from posthouse.store.keys import ApiKey as StoredKey

_MAX_NAME = 256


class ApiKey(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A key, without what it opens with. Without `permissions` it may do everything in its scope."""

    type: Literal["bearer"]
    api_key_id: str
    prefix: str
    name: str
    created_at: str
    updated_at: str
    pod_id: str | None = None
    inbox_id: str | None = None
    used_at: str | None = None
    expires_at: str | None = None
    permissions: dict[str, bool] | None = None


class CreatedApiKey(ApiKey, omit_defaults=True, kw_only=True):
    """A fresh key; `api_key` is shown this once."""

    api_key: str


class ApiKeyList(msgspec.Struct, omit_defaults=True):
    """A page of keys; `count` is of this page."""

    count: int
    limit: int
    api_keys: list[ApiKey]
    next_page_token: str | None = None


class CreateApiKey(msgspec.Struct):
    """What to make. `permissions` are by name; what is not named true is not allowed.

    Without `expires_at` it ends with the key it is made with.
    """

    name: str | None = None
    permissions: dict[str, bool | None] | None = None
    expires_at: datetime | None = None


class UpdateApiKey(msgspec.Struct):
    """What to change: at least one; what is left out stays."""

    name: str | None = None
    permissions: dict[str, bool | None] | None = None


def key_of(key: StoredKey, inbox_id: str | None) -> ApiKey:
    """A key as AgentMail shows it."""
    return ApiKey(
        type="bearer",
        api_key_id=KEY_PREFIX + key.id,
        prefix=key.prefix,
        name=key.name,
        created_at=time(key.created_at),
        updated_at=time(key.created_at),
        pod_id=key.pod_id,
        inbox_id=inbox_id,
        used_at=time(key.used_at) if key.used_at else None,
        expires_at=time(key.expires_at) if key.expires_at else None,
        permissions=None if key.rights is None else dict.fromkeys(permissions_of(key.rights), True),
    )


def created_key_of(key: StoredKey, inbox_id: str | None, secret: str) -> CreatedApiKey:
    """A fresh key with its secret."""
    shown = key_of(key, inbox_id)
    return CreatedApiKey(**{field: getattr(shown, field) for field in shown.__struct_fields__}, api_key=secret)


def check_type(given: str | None) -> str:
    """A kind of key. Raises `Invalid`."""
    if given not in (None, "bearer", "public_key"):
        raise Invalid("bearer or public_key", field="type")
    return given or "bearer"


def check_name(name: str | None) -> str:
    """A name on one line.

    Raises:
        Invalid: too long, or with control characters.
    """
    if name is not None and (len(name) > _MAX_NAME or any(ord(c) < 32 or ord(c) == 127 for c in name)):
        raise Invalid(f"at most {_MAX_NAME} characters and no control characters", field="name")
    return (name or "").strip()


def granted(permissions: dict[str, bool | None] | None) -> list[Right] | None:
    """The rights a body grants; None for all.

    Raises:
        Invalid: one is unknown. Those of parts this server lacks are passed over when they are false.
    """
    if permissions is None:
        return None
    for name, given in permissions.items():
        if given and name not in PERMISSIONS:
            raise Invalid(f"{name!r} is no permission here", field=f"permissions.{name}")
    return rights_of([name for name, given in permissions.items() if given])
