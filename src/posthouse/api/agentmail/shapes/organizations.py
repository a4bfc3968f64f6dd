"""The organisation, who a key is, and registering without one."""

from __future__ import annotations

from typing import Literal

import msgspec

from posthouse.accounts.organizations import Overview
from posthouse.api.agentmail.shapes.values import KEY_PREFIX, time
from posthouse.kit.principal import Principal
from posthouse.outbound.newcomers import Invitation

_NEXT_STEPS = {
    "mailed": (
        "A code of six digits was mailed to {human}. Ask them for it and send it to POST /v0/agent/verify before {end}."
        " Until then you can write to them only."
    ),
    "used_up": (
        "The code of {human} was tried too often. Wait until {end}, when it expires, then attach them again for a new"
        " one."
    ),
    "not_mailed": "The code for {human} could not be mailed. Attach them again later, or name another human.",
}


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
    """Who registers, and the human who vouches for them; without one the inbox receives only."""

    username: str
    human_email: str | None = None
    source: str | None = None
    referrer: str | None = None


class SignedUp(msgspec.Struct):
    """A fresh organisation with an inbox and its key, which is shown this once."""

    organization_id: str
    inbox_id: str
    api_key: str


class AttachHuman(msgspec.Struct):
    """The human who shall vouch."""

    human_email: str


class AttachedHuman(msgspec.Struct):
    """The human who was asked, and what the agent does next."""

    human_email: str
    instructions: str


class Verify(msgspec.Struct):
    """The code that was mailed to the human."""

    otp_code: str


class Verified(msgspec.Struct):
    """The code was right."""

    verified: bool


def organization_of(found: Overview) -> Organization:
    """The organisation as AgentMail shows it."""
    kept = found.organization
    return Organization(kept.id, found.accounts, found.domains, time(kept.created_at), time(kept.updated_at))


def attached_of(human_email: str, invitation: Invitation) -> AttachedHuman:
    """The human, with what the agent does next."""
    next_step = _NEXT_STEPS[invitation.outcome].format(human=human_email, end=time(invitation.expires_at))
    return AttachedHuman(human_email, next_step)


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
