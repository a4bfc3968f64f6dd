"""How each webhook endpoint has been answering lately: the memory of its circuit breaker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class WebhookHealth:
    """`failures` in a row; while `paused_until` lies ahead nothing is tried."""

    endpoint_id: str
    failures: int
    paused_until: int
    last_success_at: int | None
    last_failure_at: int | None
    last_error: str | None


async def get(tx: Tx, endpoint_id: str) -> WebhookHealth | None:
    """What is known of an endpoint; None before its first attempt."""
    row = await tx.one("SELECT * FROM webhook_health WHERE endpoint_id = :id", id=endpoint_id)
    return load(WebhookHealth, row) if row else None


async def get_many(tx: Tx, endpoint_ids: Iterable[str]) -> dict[str, WebhookHealth]:
    """What is known of these endpoints; those never tried are left out."""
    rows = await tx.all("SELECT * FROM webhook_health WHERE endpoint_id IN (:ids...)", ids=list(endpoint_ids))
    return {row["endpoint_id"]: load(WebhookHealth, row) for row in rows}


async def succeeded(tx: Tx, endpoint_id: str, at: int) -> None:
    """An attempt went well: the breaker closes."""
    await tx.run(
        """INSERT INTO webhook_health (endpoint_id, last_success_at)
           SELECT id, :at FROM webhook_endpoint WHERE id = :id
           ON CONFLICT (endpoint_id) DO UPDATE SET failures = 0, paused_until = 0,
             last_success_at = excluded.last_success_at""",
        id=endpoint_id, at=at,
    )  # fmt: skip


async def failed(
    tx: Tx, endpoint_id: str, error: str, at: int, *, threshold: int, pause_ms: int, times: int = 1
) -> None:
    """So many attempts in a row failed; from `threshold` on, the endpoint is left alone for a while."""
    await tx.run(
        """INSERT INTO webhook_health (endpoint_id, failures, paused_until, last_failure_at, last_error)
           SELECT id, :times, :paused_until, :at, :error FROM webhook_endpoint WHERE id = :id
           ON CONFLICT (endpoint_id) DO UPDATE SET failures = webhook_health.failures + excluded.failures,
             paused_until = CASE WHEN webhook_health.failures + excluded.failures >= :threshold THEN :until
                                 ELSE webhook_health.paused_until END,
             last_failure_at = excluded.last_failure_at, last_error = excluded.last_error""",
        id=endpoint_id, error=error[:500], at=at, times=times, threshold=threshold, until=at + pause_ms,
        paused_until=at + pause_ms if times >= threshold else 0,
    )  # fmt: skip


async def reset(tx: Tx, endpoint_id: str) -> None:
    """Begin anew: somebody says the receiver has been repaired."""
    await tx.run("UPDATE webhook_health SET failures = 0, paused_until = 0 WHERE endpoint_id = :id", id=endpoint_id)
