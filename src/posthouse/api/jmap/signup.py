"""`/api/v1/challenge`, `/session`, `/capability`: an agent gets its inbox by itself, and logs in.

Tokens travel in the `Authorization` header of the answer, never in its body.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from posthouse.accounts import accounts as account_rules
from posthouse.accounts.challenges import Proof
from posthouse.accounts.newcomers import check_username
from posthouse.api import newcomers
from posthouse.api.jmap import auth
from posthouse.api.request import bearer
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid, Malformed, Unauthenticated
from posthouse.store.accounts import Account

# A minute and address: far above what an agent needs, far below what a farm wants.
_CHALLENGES_A_MINUTE = 60
_SESSIONS_A_MINUTE = 30
_CAPABILITIES_A_MINUTE = 120
_UTM = frozenset({"utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"})


class Reply(NamedTuple):
    """A body, and the token for its header."""

    body: dict[str, Any]
    token: str


def _limit(services: Services, what: str, scope: Mapping[str, Any], a_minute: int) -> None:
    who = f"atomicmail:{what}:{newcomers.network_of(scope)}"
    newcomers.count(services, who, a_minute, 60, "too many requests from your address")


async def challenge(services: Services, scope: Mapping[str, Any]) -> Reply:
    """`POST /api/v1/challenge`. Raises `Forbidden` when a web page of another site asks."""
    _limit(services, "challenge", scope, _CHALLENGES_A_MINUTE)
    newcomers.check_no_page(newcomers.caller_of(scope), newcomers.OurNames.of(services.settings))
    token = services.challenges.issue(newcomers.network_of(scope))
    steps = [
        "Find a nonce so that scrypt(jti + ':' + nonce) begins with `difficulty` zero bits.",
        "POST /api/v1/session with powHex, nonce and a username (to sign up) or your apiKey (to log in).",
    ]
    return Reply({"_next": steps}, token)


async def session(services: Services, scope: Mapping[str, Any], body: bytes) -> Reply:
    """`POST /api/v1/session`: sign up with a username, or log in with a key.

    Raises:
        Malformed, Invalid: the body.
        Unauthenticated: the challenge, the proof or the key.
        Forbidden: signing up is not open to this caller.
        Conflict: the name is taken.
    """
    _limit(services, "session", scope, _SESSIONS_A_MINUTE)
    token = bearer(scope["headers"])
    if token is None:
        raise Unauthenticated("the request carries no challenge token", reason="missing_authorization")
    given = _read(body)
    proof = Proof(str(given["nonce"]), given["powHex"])
    username = given.get("username")
    if username is not None:
        # What can be refused without it does not cost the caller its work.
        username = check_username(username)
        newcomers.admit(services, scope)
    await services.challenges.solve(token, proof)
    at = services.clock()
    if username is None:
        return await _log_in(services, given["apiKey"], at)
    made = await services.registrar.register(local_part=username, surface=auth.SURFACE, has_worked=True)
    account = made.account
    reply = {
        "apiKey": made.secret,
        "inbox": account.main_address,
        "inboxId": account.main_address,
        "accountId": account.id,
        "_next": ["Keep apiKey: it is shown this once.", "POST /api/v1/capability with this session token."],
    }
    return Reply(reply, _session_token(services, account, made.key.id, at))


def _read(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("the body is not JSON") from error
    if not isinstance(given, dict):
        raise Malformed("the body is an object")
    nonce = given.get("nonce")
    if not isinstance(nonce, str | int) or isinstance(nonce, bool):
        raise Invalid("nonce is the number that solves the challenge", field="nonce")
    if not isinstance(given.get("powHex"), str):
        raise Invalid("powHex is the digest in hex", field="powHex")
    given = {name: value for name, value in given.items() if name not in _UTM}
    named = [name for name in ("username", "apiKey") if given.get(name) is not None]
    if len(named) != 1:
        raise Invalid("give either a username, to sign up, or an apiKey, to log in", field="username")
    if not isinstance(given[named[0]], str):
        raise Invalid(f"{named[0]} is a string", field=named[0])
    return given


async def _log_in(services: Services, secret: str, at: int) -> Reply:
    principal = await services.keys.check(secret, at)
    if principal.surface != auth.SURFACE or principal.account_id is None or principal.key_id is None:
        raise Unauthenticated("the API key is unknown or has expired", reason="unknown_key")
    account_id = principal.account_id
    account = await services.db.read(lambda tx: account_rules.find(tx, account_id))
    if account is None:
        raise Unauthenticated("the API key is unknown or has expired", reason="unknown_key")
    reply = {"inbox": account.main_address, "_next": ["POST /api/v1/capability with this session token."]}
    return Reply(reply, _session_token(services, account, principal.key_id, at))


def _session_token(services: Services, account: Account, key_id: str, at: int) -> str:
    return services.tokens.issue("session", {"sub": account.id, "key": key_id}, at)


async def capability(services: Services, scope: Mapping[str, Any]) -> Reply:
    """`POST /api/v1/capability`: a session token buys the one that opens JMAP."""
    _limit(services, "capability", scope, _CAPABILITIES_A_MINUTE)
    token = bearer(scope["headers"])
    if token is None:
        raise Unauthenticated("the request carries no session token", reason="missing_authorization")
    claims = services.tokens.read(token, "session", services.clock())
    account, principal = await auth.account_of(services, claims)
    made = services.tokens.issue(
        "capability",
        {"sub": account.id, "key": principal.key_id, "inboxId": account.main_address, "scope": auth.SCOPE},
        services.clock(),
    )
    return Reply({"_next": ["GET /.well-known/jmap with this token, then POST to its apiUrl."]}, made)
