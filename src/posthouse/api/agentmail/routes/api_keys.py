"""API keys of the organisation, a pod or an inbox: make, list, get, change, revoke. No key makes a stronger one."""

from __future__ import annotations

from litestar import delete, get, patch, post

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import keys as key_rules
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.auth import SURFACE
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, limit_of, request_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import api_keys as shapes
from posthouse.api.agentmail.shapes.values import KEY_PREFIX, core_id, instant_of
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid
from posthouse.kit.pages import Page
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx
from posthouse.store.keys import ApiKey

_ONE = "/api-keys/{api_key_id:str}"


@post(scope.paths("/api-keys"), status_code=200, operation_id=scope.operation("api_keys_create"))
async def create_api_key(
    services: Services, principal: Principal, where: Where, data: shapes.CreateApiKey | None = None
) -> shapes.CreatedApiKey:
    """Make a key for what the path names; the key itself is shown in this answer and never again."""
    need(principal, "api_key_create")
    given = data or shapes.CreateApiKey()
    name = shapes.check_name(given.name)
    rights = shapes.granted(given.permissions)
    expires_at = instant_of(given.expires_at, "expires_at")

    async def unit(tx: Tx) -> shapes.CreatedApiKey:
        within = await scope.reach(tx, principal, where)
        key, secret = await key_rules.create(
            tx, organization_id=within.organization_id, surface=SURFACE, name=name, pod_id=within.pod_id,
            account_id=within.account_id, rights=rights, expires_at=expires_at, creator=principal,
            at=services.clock(),
        )  # fmt: skip
        inbox_id = within.account.main_address if within.account else None
        return shapes.created_key_of(key, inbox_id, secret)

    return await services.db.write(unit)


@get(scope.paths("/api-keys"), operation_id=scope.operation("api_keys_list"))
async def list_api_keys(
    services: Services,
    principal: Principal,
    where: Where,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
    type: str | None = None,
) -> shapes.ApiKeyList:
    """The keys to what the path names, newest first; never what they open with. All are bearer keys."""
    need(principal, "api_key_read")
    size = limit_of(limit)
    if shapes.check_type(type) == "public_key":
        return shapes.ApiKeyList(0, size, [])
    marks = {"of": "keys", "in": [where.pod_id, where.inbox_id], "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)

    async def unit(tx: Tx) -> Page[shapes.ApiKey]:
        page = await key_rules.page(tx, await scope.reach(tx, principal, where), SURFACE, asked)
        named = await account_rules.main_addresses(tx, [key.account_id for key in page.items])
        return page.map(lambda key: shapes.key_of(key, named.get(key.account_id or "")))

    page = await services.db.read(unit)
    return shapes.ApiKeyList(len(page.items), size, list(page.items), page_token(page.more, marks))


@get(scope.paths(_ONE), operation_id=scope.operation("api_keys_get"))
async def get_api_key(services: Services, principal: Principal, where: Where, api_key_id: str) -> shapes.ApiKey:
    """One key."""
    need(principal, "api_key_read")

    async def unit(tx: Tx) -> shapes.ApiKey:
        return await _shown(tx, await _find(tx, principal, where, api_key_id))

    return await services.db.read(unit)


@patch(scope.paths(_ONE), operation_id=scope.operation("api_keys_update"))
async def update_api_key(
    services: Services, principal: Principal, where: Where, api_key_id: str, data: shapes.UpdateApiKey
) -> shapes.ApiKey:
    """Change a key's name or permissions, to none that the key used lacks."""
    need(principal, "api_key_update")
    if data.name is None and data.permissions is None:
        raise Invalid("give name or permissions")
    name = None if data.name is None else shapes.check_name(data.name)
    rights = shapes.granted(data.permissions)

    async def unit(tx: Tx) -> shapes.ApiKey:
        key = await _find(tx, principal, where, api_key_id)
        changed = await key_rules.change(tx, principal, key, name=name, rights=rights, at=services.clock())
        return sight.key(principal, await _shown(tx, changed))

    return await services.db.write(unit)


@delete(scope.paths(_ONE), operation_id=scope.operation("api_keys_delete"))
async def delete_api_key(services: Services, principal: Principal, where: Where, api_key_id: str) -> None:
    """Revoke a key: from now on it opens nothing."""
    need(principal, "api_key_delete")

    async def unit(tx: Tx) -> None:
        await key_rules.revoke_by(tx, principal, await _find(tx, principal, where, api_key_id), services.clock())

    await services.db.write(unit)


async def _find(tx: Tx, principal: Principal, where: Where, api_key_id: str) -> ApiKey:
    within = await scope.reach(tx, principal, where)
    return await key_rules.find(tx, within, SURFACE, core_id(api_key_id, KEY_PREFIX, "api_key"))


async def _shown(tx: Tx, key: ApiKey) -> shapes.ApiKey:
    named = await account_rules.main_addresses(tx, [key.account_id])
    return shapes.key_of(key, named.get(key.account_id or ""))
