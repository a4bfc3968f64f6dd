"""A credential into a `Caller`: a capability token, a key bound to an inbox, or its address and key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import identities, rights
from posthouse.accounts import keys as key_rules
from posthouse.accounts.keys import principal_of
from posthouse.accounts.leases import Lease
from posthouse.api.jmap.calls import Caller
from posthouse.api.request import base_url, bearer
from posthouse.api.services import Services
from posthouse.kit.errors import Forbidden, Unauthenticated
from posthouse.kit.principal import Principal
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.keys import ApiKey

SURFACE = "atomicmail"
SCOPE = "mail.read mail.send"


def origin(services: Services, scope: Mapping[str, Any]) -> str:
    """The origin a request came by."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "localhost")
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    return base_url(services.settings, scheme, host)


def basic(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str] | None:
    """The name and the password of HTTP Basic (RFC 7617); None without them."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, encoded = value.decode("latin-1").partition(" ")
            if scheme.lower() == "basic":
                try:
                    user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
                except (binascii.Error, ValueError):
                    return None
                return (user, password) if colon else None
    return None


async def caller_of(services: Services, scope: Mapping[str, Any]) -> Caller:
    """Who asks.

    Raises:
        Unauthenticated: no credential, one that is no good, or one that opens no single inbox.
        Forbidden: a key that may not do all that JMAP can.
    """
    base = origin(services, scope)
    named = basic(scope["headers"])
    if named is not None:
        account, principal = await _by_key(services, named[1])
        user = named[0]
        if not await services.db.read(lambda tx: identities.is_called(tx, account, user)):
            raise Unauthenticated("the API key is unknown or has expired", reason="unknown_key")
        return Caller(principal, {account.id: account.main_address}, base, needs_account_id=True)
    credential = bearer(scope["headers"])
    if credential is None:
        raise Unauthenticated("the request carries no credential", reason="missing_authorization")
    if credential.count(".") == 2:
        account, principal = await _by_token(services, credential)
    else:
        account, principal = await _by_key(services, credential)
    return Caller(principal, {account.id: account.main_address}, base)


async def _by_token(services: Services, token: str) -> tuple[Account, Principal]:
    claims = services.tokens.read(token, "capability", services.clock())
    return await account_of(services, claims)


async def account_of(services: Services, claims: Mapping[str, Any]) -> tuple[Account, Principal]:
    """The account and the rights a session or capability token stands for, as they are now.

    Raises:
        Unauthenticated: the account or the key it was made with is gone.
    """

    at = services.clock()

    async def unit(tx: Tx) -> tuple[Account | None, ApiKey | None]:
        account = await account_rules.find(tx, str(claims.get("sub", "")))
        key = await key_rules.of_account(tx, account, str(claims.get("key", "")), at) if account else None
        return account, key

    account, key = await services.db.read(unit)
    if account is None or key is None:
        raise Unauthenticated("the inbox or the key behind this token is gone", reason="unknown_key")
    return account, replace(principal_of(key), pod_id=account.pod_id, surface=SURFACE)


async def _by_key(services: Services, secret: str) -> tuple[Account, Principal]:
    principal = await services.keys.check(secret, services.clock())
    if principal.account_id is None:
        raise Unauthenticated("this key is not bound to one inbox", reason="unknown_key")
    _check_rights(principal)
    account_id = principal.account_id
    account = await services.db.read(lambda tx: account_rules.find(tx, account_id))
    if account is None:
        raise Unauthenticated("the API key is unknown or has expired", reason="unknown_key")
    return account, principal


def _check_rights(principal: Principal) -> None:
    # JMAP knows no rights by the piece: a key that other surfaces hold back from some of the mail, or from sending
    # or changing, does not get round that here.
    if not rights.may(principal, rights.WHOLE_ACCOUNT):
        raise Forbidden("this key may do only part of what JMAP can", reason="missing_permission")


async def still(caller: Caller, lease: Lease) -> Caller:
    """Who asks, on a connection that has been open for a while. A key that may not do all any more ends it.

    Raises:
        Unauthenticated: the lease has ended.
    """
    principal = await lease.check()
    try:
        _check_rights(principal)
    except Forbidden as error:
        lease.end()
        raise Unauthenticated(error.message, reason=error.reason) from error
    return replace(caller, principal=principal)
