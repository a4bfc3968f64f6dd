"""The organisation, who a key is, and registering without one."""

from __future__ import annotations

from typing import Literal

import msgspec

from posthouse.api.agentmail.shapes.common import KEY_PREFIX, time
from posthouse.kit.principal import Principal
from posthouse.store.organizations import Organization as StoredOrganization


class Organization(msgspec.Struct, omit_defaults=True):
    """The tenant a key belongs to."""

    organization_id: str
    inbox_count: int
    domain_count: int
    created_at: str
    updated_at: str


class Identity(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a key is a key to."""

    scope_type: Literal["organization", "pod", "inbox"]
    scope_id: str
    organization_id: str
    pod_id: str | None = None
    inbox_id: str | None = None
    api_key_id: str | None = None


class SignUp(msgspec.Struct):
    """Who registers, and the human who vouches for them."""

    human_email: str
    username: str
    source: str | None = None
    referrer: str | None = None


class SignedUp(msgspec.Struct):
    """A fresh organisation with an inbox and its key, which is shown this once."""

    organization_id: str
    inbox_id: str
    api_key: str


class Verify(msgspec.Struct):
    """The code that was mailed to the human."""

    otp_code: str


class Verified(msgspec.Struct):
    """The code was right."""

    verified: bool


def organization_of(organization: StoredOrganization, inboxes: int, domains: int) -> Organization:
    """The organisation as AgentMail shows it."""
    return Organization(organization.id, inboxes, domains, time(organization.created_at), time(organization.updated_at))


def identity_of(principal: Principal, inbox_id: str | None) -> Identity:
    """What a key is a key to."""
    if inbox_id is not None:
        scope: tuple[Literal["organization", "pod", "inbox"], str] = ("inbox", inbox_id)
    elif principal.pod_id is not None:
        scope = ("pod", principal.pod_id)
    else:
        scope = ("organization", principal.organization_id)
    return Identity(
        scope_type=scope[0],
        scope_id=scope[1],
        organization_id=principal.organization_id,
        pod_id=principal.pod_id,
        inbox_id=inbox_id,
        api_key_id=KEY_PREFIX + principal.key_id if principal.key_id else None,
    )
