"""A bearer key into a `Principal`, and the rate that goes with it."""

from __future__ import annotations

from typing import Any

from litestar import Request

from posthouse.api.request import bearer
from posthouse.api.services import Services
from posthouse.kit.errors import TooMany, Unauthenticated
from posthouse.kit.principal import Principal

SURFACE = "agentmail"
# What the service's documents promise.
REQUESTS_A_MINUTE = 1_000


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
