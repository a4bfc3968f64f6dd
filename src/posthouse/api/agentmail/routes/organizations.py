"""The organisation, who a key is, and registering without one."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post

from posthouse.accounts import organizations
from posthouse.api import newcomers
from posthouse.api.agentmail import fields, scope
from posthouse.api.agentmail.auth import SURFACE
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import organizations as shapes
from posthouse.api.agentmail.shapes.values import read_addresses
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid
from posthouse.kit.principal import Principal
from posthouse.wire.address import Address

_MAX_NOTE = 2_048
# Registrations and attached humans an hour, from one address; the code's mail goes to whom a stranger names.
_SIGNUPS_AN_HOUR = 20


@get("/v0/organizations", operation_id="organizations_get")
async def get_organization(services: Services, principal: Principal) -> shapes.Organization:
    """The organisation of a key that is the whole organisation's."""

    return shapes.organization_of(await services.db.read(lambda tx: organizations.overview(tx, principal)))


@get("/v0/auth/me", operation_id="auth_me")
async def get_identity(services: Services, principal: Principal) -> shapes.Identity:
    """What the key is a key to."""
    within = await services.db.read(lambda tx: scope.reach(tx, principal, Where(None, None)))
    return shapes.identity_of(principal, within.account.main_address if within.account else None)


@post("/v0/agent/sign-up", status_code=200, operation_id="agent_sign_up", security=[{}])
async def sign_up(request: Request[Any, Any, Any], services: Services, data: shapes.SignUp) -> shapes.SignedUp:
    """Register: an organisation, an inbox and its key at once. A code is mailed to the human, if one is named."""
    newcomers.admit(services, request.scope)
    _count(services, f"signup:{newcomers.network_of(request.scope)}")
    await fields.check(request)
    for name in ("source", "referrer"):
        if len(getattr(data, name) or "") > _MAX_NOTE:
            raise Invalid(f"at most {_MAX_NOTE} characters", field=name)
    human = None if data.human_email is None else _read_human(data.human_email)
    made = await services.registrar.register(
        human_email=human, local_part=data.username, surface=SURFACE, source=data.source,
        referrer=data.referrer,
    )  # fmt: skip
    return shapes.SignedUp(made.account.organization_id, made.account.main_address, made.secret)


@post("/v0/agent/human", status_code=200, operation_id="agent_attach_human")
async def attach_human(
    request: Request[Any, Any, Any], services: Services, principal: Principal, data: shapes.AttachHuman
) -> shapes.AttachedHuman:
    """Name the human of an organisation that is not verified, or another one. A code is mailed to them."""
    _count(services, f"signup:{newcomers.network_of(request.scope)}")
    _count(services, f"attach:{principal.organization_id}")
    human = _read_human(data.human_email)
    return shapes.attached_of(human.email, await services.registrar.attach(principal, human))


@post("/v0/agent/verify", status_code=200, operation_id="agent_verify")
async def verify(services: Services, principal: Principal, data: shapes.Verify) -> shapes.Verified:
    """Enter the code that was mailed to the human; then mail goes to anyone."""
    await services.registrar.verify(principal, data.otp_code)
    return shapes.Verified(verified=True)


def _read_human(given: str) -> Address:
    humans = read_addresses(given, "human_email")
    if not humans:
        raise Invalid("expected an address", field="human_email")
    return humans[0]


def _count(services: Services, who: str) -> None:
    """Raises `TooMany` when codes were asked for too often."""
    newcomers.count(services, who, _SIGNUPS_AN_HOUR, 3_600, "too many registrations")
