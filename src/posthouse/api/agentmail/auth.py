"""A bearer key into a `Principal`, and the permissions and rates that go with it."""

from __future__ import annotations

from typing import Any

from litestar import Request

from posthouse.api.kit import Services, bearer
from posthouse.kit.errors import Forbidden, TooMany, Unauthenticated
from posthouse.kit.principal import Principal

SURFACE = "agentmail"
# What the service's documents promise.
REQUESTS_A_MINUTE = 1_000

PERMISSIONS = frozenset(
    [f"inbox_{verb}" for verb in ("read", "create", "update", "delete")]
    + [f"message_{verb}" for verb in ("read", "send", "update", "delete")]
    + [f"label_{name}_read" for name in ("spam", "blocked", "unauthenticated", "trash")]
    + [f"draft_{verb}" for verb in ("read", "create", "update", "delete", "send")]
    + [f"webhook_{verb}" for verb in ("read", "create", "update", "delete")]
    + [f"domain_{verb}" for verb in ("read", "create", "update", "delete")]
    + [f"list_entry_{verb}" for verb in ("read", "create", "delete")]
    + ["metrics_read"]
    + [f"api_key_{verb}" for verb in ("read", "create", "update", "delete")]
    + [f"pod_{verb}" for verb in ("read", "create", "delete")]
)
# Labels that a key sees only with the right of that name.
GUARDED_LABELS = ("spam", "blocked", "unauthenticated", "trash")


async def principal_of(request: Request[Any, Any, Any], services: Services) -> Principal:
    """Who asks; counts the request against the key's rate.

    Raises:
        Unauthenticated: no key, one of another surface, or one that is no good.
        TooMany: over the rate.
    """
    secret = bearer(request.scope["headers"]) or request.headers.get("x-api-key")
    if not secret:
        raise Unauthenticated("the request carries no API key", reason="missing_authorization")
    principal = await services.keys.check(secret, services.clock())
    if principal.surface != SURFACE:
        raise Unauthenticated("this key is for another API of this server", reason="invalid_token_type")
    allowance = services.limiter.take(f"agentmail:{principal.key_id}", REQUESTS_A_MINUTE, 60)
    request.scope["state"]["answer_headers"] = (
        (b"x-ratelimit-limit", str(allowance.limit).encode()),
        (b"x-ratelimit-remaining", str(allowance.remaining).encode()),
        (b"x-ratelimit-reset", str(allowance.reset_at_s).encode()),
    )
    if allowance.exceeded:
        wait = max(1, allowance.reset_at_s - services.clock() // 1000)
        raise TooMany("too many requests with this key", retry_after_s=wait)
    return principal


def need(principal: Principal, permission: str) -> None:
    """Raises `Forbidden` when the key lacks a permission."""
    if not principal.may(permission):
        raise Forbidden(f"this key lacks the permission {permission}", reason="missing_permission")


def hidden_labels(principal: Principal) -> frozenset[str]:
    """The labels whose messages do not exist for this key."""
    return frozenset(label for label in GUARDED_LABELS if not principal.may(f"label_{label}_read"))
