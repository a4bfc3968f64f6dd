"""Answers to requests that carry a key: given again for a day, to whoever asks with the same key for the same."""

from __future__ import annotations

from posthouse.kit.clock import DAY
from posthouse.kit.errors import Conflict
from posthouse.kit.principal import Principal
from posthouse.outbound.request import Idempotency, Submitted
from posthouse.store import idempotency
from posthouse.store.database import Tx

# How long an answer to an idempotency key is given again.
REMEMBER_MS = DAY


async def earlier(tx: Tx, principal: Principal, once: Idempotency, at: int) -> Submitted | None:
    """The answer to an earlier, identical request; None without one.

    Raises:
        Conflict: the key was used for another request, or is being used just now (reason `idempotency`).
    """
    found = await idempotency.get(tx, principal.organization_id, _own_key(principal, once), at)
    if found is None:
        return None
    if found.answer is None or found.scope != once.scope or found.digest != once.digest:
        raise Conflict("this idempotency key was used for another request", reason="idempotency")
    values = dict(found.answer)
    values["suppressed"] = tuple(values["suppressed"])
    return Submitted(**values, replayed=True)


async def remember(tx: Tx, principal: Principal, once: Idempotency, outcome: Submitted, at: int) -> None:
    """Keep the answer. Raises `Conflict` when the key is being used by another unit just now."""
    answer = {
        "submission_id": outcome.submission_id,
        "message_id": outcome.message_id,
        "thread_id": outcome.thread_id,
        "header_message_id": outcome.header_message_id,
        "held": outcome.held,
        "suppressed": list(outcome.suppressed),
        "hold_id": outcome.hold_id,
    }
    key, until = _own_key(principal, once), at + REMEMBER_MS
    if not await idempotency.put(tx, principal.organization_id, key, once.scope, once.digest, answer, at, until):
        raise Conflict("the same idempotency key is being used just now", reason="idempotency")


def _own_key(principal: Principal, once: Idempotency) -> str:
    """The key among those of everybody who reaches as far: nobody else's words can be in its way, nor be found out."""
    return f"{principal.account_id or principal.pod_id or principal.organization_id} {once.key}"
