"""Webhook endpoints, their deliveries and each delivery's attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.store import pages
from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A URL that is notified of events.

    Attributes:
        pod_id, account_id: the scope the endpoint was created in; both None: the whole organisation.
        event_types: the events the endpoint is notified of, in the surface's words.
        account_ids, pod_ids: when not empty, only events of these accounts or pods are notified.
        headers: HTTP headers sent along with each notification.
        hidden: kinds of mail (`mail.visibility`) that the key that created the endpoint may not see.
    """

    id: str
    organization_id: str
    pod_id: str | None
    account_id: str | None
    surface: str
    url: str
    secret: str
    is_enabled: bool
    event_types: list[str]
    account_ids: list[str]
    pod_ids: list[str]
    headers: dict[str, str]
    client_id: str | None
    hidden: list[str]
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One event on its way to one endpoint.

    Attributes:
        body: what is posted, the same at each attempt; None until the first.
        state: `pending`, `failed` (there will be another attempt), `delivered` or `dead` (given up).
        due_at: when the next attempt is due; None when there is none.
    """

    id: str
    endpoint_id: str
    organization_id: str
    account_id: str | None
    event_id: str
    event_type: str
    body: bytes | None
    state: str
    attempts: int
    due_at: int | None
    leased: bool
    last_status: int | None
    last_error: str | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt at a delivery went, and what follows.

    Attributes:
        attempt: the attempt's number, from 1.
        state: the delivery's state from now on.
        due_at: when the next attempt is due; None when there is none.
        status: the HTTP status the endpoint answered with; None when it did not answer.
        error: why the attempt failed; None when it did not.
        elapsed_ms: how long it took; 0 when nothing was sent.
    """

    delivery_id: str
    attempt: int
    state: str
    due_at: int | None
    status: int | None
    error: str | None
    elapsed_ms: int
    at: int


_JSON = ("event_types", "account_ids", "pod_ids", "headers", "hidden")


def _endpoint(row: Row) -> WebhookEndpoint:
    return load(WebhookEndpoint, row, json=_JSON, flags=("is_enabled",))


def _values(endpoint: WebhookEndpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id, "organization_id": endpoint.organization_id, "pod_id": endpoint.pod_id,
        "account_id": endpoint.account_id, "surface": endpoint.surface, "url": endpoint.url,
        "secret": endpoint.secret, "is_enabled": endpoint.is_enabled,
        "event_types": dump(endpoint.event_types), "account_ids": dump(endpoint.account_ids),
        "pod_ids": dump(endpoint.pod_ids), "headers": dump(endpoint.headers), "client_id": endpoint.client_id,
        "hidden": dump(endpoint.hidden), "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
    }  # fmt: skip


async def add(tx: Tx, endpoint: WebhookEndpoint) -> None:
    """Insert an endpoint."""
    await tx.run(
        """INSERT INTO webhook_endpoint (id, organization_id, pod_id, account_id, surface, url, secret,
             is_enabled, event_types, account_ids, pod_ids, headers, client_id, hidden, created_at,
             updated_at)
           VALUES (:id, :organization_id, :pod_id, :account_id, :surface, :url, :secret, :is_enabled,
             :event_types, :account_ids, :pod_ids, :headers, :client_id, :hidden, :created_at,
             :updated_at)""",
        **_values(endpoint),
    )


async def replace(tx: Tx, endpoint: WebhookEndpoint) -> None:
    """Write an endpoint's fields that may change after it was created."""
    values = _values(endpoint)
    await tx.run(
        """UPDATE webhook_endpoint SET url = :url, secret = :secret, is_enabled = :is_enabled,
             event_types = :event_types, account_ids = :account_ids, pod_ids = :pod_ids, headers = :headers,
             updated_at = :updated_at
           WHERE id = :id AND organization_id = :organization_id""",
        **values,
    )


async def get(tx: Tx, organization_id: str, endpoint_id: str) -> WebhookEndpoint | None:
    """The endpoint, or None."""
    row = await tx.one(
        "SELECT * FROM webhook_endpoint WHERE organization_id = :organization_id AND id = :id",
        organization_id=organization_id, id=endpoint_id,
    )  # fmt: skip
    return _endpoint(row) if row else None


async def by_client_id(tx: Tx, organization_id: str, client_id: str) -> WebhookEndpoint | None:
    """The endpoint whose creator gave it this `client_id`, or None."""
    row = await tx.one(
        """SELECT * FROM webhook_endpoint WHERE organization_id = :organization_id AND client_id = :client_id""",
        organization_id=organization_id, client_id=client_id,
    )  # fmt: skip
    return _endpoint(row) if row else None


async def page(
    tx: Tx,
    organization_id: str,
    *,
    surface: str,
    pod_id: str | None = None,
    account_id: str | None = None,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[WebhookEndpoint]:
    """Endpoints made in a scope, in the order of creation, after a keyset position (created_at, id)."""
    scope = {"organization_id": organization_id, "surface": surface, "pod_id": pod_id, "account_id": account_id}
    rows = await pages.in_order_of_creation(
        tx, "webhook_endpoint", scope, after=after, ascending=ascending, limit=limit
    )
    return [_endpoint(row) for row in rows]


async def enabled(
    tx: Tx, organization_id: str, *, pod_id: str | None = None, account_id: str | None = None
) -> list[WebhookEndpoint]:
    """The enabled endpoints whose scope covers an event in a pod and an account.

    Without pod and account it is an event of the organisation itself. The endpoints' own filters (`event_types`,
    `account_ids`, `pod_ids`) are not looked at.
    """
    rows = await tx.all(
        """SELECT * FROM webhook_endpoint WHERE organization_id = :organization_id AND is_enabled
             AND (pod_id IS NULL OR pod_id = :pod_id) AND (account_id IS NULL OR account_id = :account_id)
           ORDER BY id""",
        organization_id=organization_id, pod_id=pod_id, account_id=account_id,
    )  # fmt: skip
    return [_endpoint(row) for row in rows]


async def get_many(tx: Tx, organization_id: str, endpoint_ids: Iterable[str]) -> dict[str, WebhookEndpoint]:
    """An organisation's endpoints by id; ids of deleted endpoints are left out."""
    rows = await tx.all(
        "SELECT * FROM webhook_endpoint WHERE organization_id = :organization_id AND id IN (:ids...)",
        organization_id=organization_id, ids=list(endpoint_ids),
    )  # fmt: skip
    return {row["id"]: _endpoint(row) for row in rows}


async def delete(tx: Tx, organization_id: str, endpoint_id: str) -> bool:
    """Delete an endpoint with its deliveries; False when there was none."""
    return bool(
        await tx.run(
            "DELETE FROM webhook_endpoint WHERE organization_id = :organization_id AND id = :id",
            organization_id=organization_id, id=endpoint_id,
        )
    )  # fmt: skip


async def delete_all(tx: Tx, organization_id: str) -> None:
    """Delete every endpoint of an organisation with its deliveries."""
    await tx.run(
        "DELETE FROM webhook_endpoint WHERE organization_id = :organization_id", organization_id=organization_id
    )


async def add_deliveries(tx: Tx, deliveries: Sequence[WebhookDelivery]) -> None:
    """Insert deliveries that are due at once; the first worker that takes a delivery renders its body."""
    await tx.many(
        """INSERT INTO webhook_delivery (id, endpoint_id, organization_id, account_id, event_id, event_type,
             state, due_at, created_at, updated_at)
           VALUES (:id, :endpoint_id, :organization_id, :account_id, :event_id, :event_type, 'pending', :at, :at,
             :at)""",
        [
            {
                "id": delivery.id, "endpoint_id": delivery.endpoint_id,
                "organization_id": delivery.organization_id, "account_id": delivery.account_id,
                "event_id": delivery.event_id, "event_type": delivery.event_type, "at": delivery.created_at,
            }
            for delivery in deliveries
        ],
    )  # fmt: skip
    if deliveries:
        tx.wake("webhooks")


async def due(tx: Tx, now: int, limit: int) -> list[tuple[str, str]]:
    """(delivery's id, endpoint's id) of due deliveries, the longest waiting first; locked until the unit ends."""
    rows = await tx.all(
        f"""SELECT id, endpoint_id FROM webhook_delivery WHERE due_at <= :now
            ORDER BY due_at, id LIMIT :limit {tx.lock}""",
        now=now, limit=limit,
    )  # fmt: skip
    return [(row["id"], row["endpoint_id"]) for row in rows]


async def take(tx: Tx, delivery_ids: Sequence[str], lease_until: int) -> list[WebhookDelivery]:
    """Begin an attempt at deliveries that `due` returned in the same unit; no other worker gets them before
    `lease_until`."""
    rows = await tx.all(
        """UPDATE webhook_delivery SET due_at = :lease_until, leased = TRUE, attempts = attempts + 1
           WHERE id IN (:ids...) RETURNING *""",
        lease_until=lease_until, ids=list(delivery_ids),
    )  # fmt: skip
    return [load(WebhookDelivery, row, flags=("leased",)) for row in rows]


async def set_bodies(tx: Tx, bodies: Mapping[str, bytes]) -> None:
    """Keep rendered bodies by delivery."""
    await tx.many(
        "UPDATE webhook_delivery SET body = :body WHERE id = :id",
        [{"id": delivery_id, "body": body} for delivery_id, body in bodies.items()],
    )


async def settle(tx: Tx, outcomes: Sequence[Outcome]) -> None:
    """Write down attempts, each of another telling, and what follows from them."""
    # In one order, whoever writes: two units never wait for each other's rows.
    ordered = sorted(outcomes, key=lambda outcome: outcome.delivery_id)
    values = [
        {
            "id": each.delivery_id, "attempt": each.attempt, "state": each.state, "due_at": each.due_at,
            "status": each.status, "error": each.error, "elapsed_ms": each.elapsed_ms, "at": each.at,
        }
        for each in ordered
    ]  # fmt: skip
    await tx.many(
        """UPDATE webhook_delivery SET state = :state, due_at = :due_at, leased = FALSE, last_status = :status,
             last_error = :error, updated_at = :at WHERE id = :id""",
        values,
    )
    await tx.many(
        """INSERT INTO webhook_attempt (delivery_id, attempt, status, error, elapsed_ms, at)
           SELECT :id, :attempt, :status, :error, :elapsed_ms, :at
           WHERE EXISTS (SELECT 1 FROM webhook_delivery WHERE id = :id)
           ON CONFLICT (delivery_id, attempt) DO NOTHING""",
        values,
    )
    if any(each.due_at is not None for each in ordered):
        tx.wake("webhooks")  # who went to sleep meanwhile knows nothing of the new time


async def next_due(tx: Tx) -> int | None:
    """When the next delivery is due."""
    row = await tx.one("SELECT min(due_at) AS due_at FROM webhook_delivery WHERE due_at IS NOT NULL")
    return row["due_at"] if row else None


async def prune(tx: Tx, before: int) -> int:
    """Forget deliveries made before an instant, whatever became of them."""
    return await tx.run("DELETE FROM webhook_delivery WHERE created_at < :before", before=before)


async def set_headers(tx: Tx, organization_id: str, endpoint_id: str, headers: dict[str, str], at: int) -> None:
    """Replace what is sent along with each delivery."""
    await tx.run(
        """UPDATE webhook_endpoint SET headers = :headers, updated_at = :at
           WHERE organization_id = :organization_id AND id = :id""",
        organization_id=organization_id, id=endpoint_id, headers=dump(headers), at=at,
    )  # fmt: skip


async def postpone(tx: Tx, due_at: Mapping[str, int]) -> None:
    """Leave deliveries that nobody has claimed alone until an instant each."""
    await tx.many(
        "UPDATE webhook_delivery SET due_at = :due_at WHERE id = :id",
        [{"id": delivery_id, "due_at": instant} for delivery_id, instant in due_at.items()],
    )
    if due_at:
        tx.wake("webhooks")


async def give_back(tx: Tx, delivery_id: str, attempt: int, due_at: int) -> None:
    """Put a delivery claimed for this attempt back without it; nothing happens when somebody else has it by now."""
    await tx.run(
        """UPDATE webhook_delivery SET due_at = :due_at, leased = FALSE, attempts = attempts - 1
           WHERE id = :id AND leased AND attempts = :attempt""",
        id=delivery_id, attempt=attempt, due_at=due_at,
    )  # fmt: skip
    tx.wake("webhooks")


async def replay(tx: Tx, delivery_id: str, at: int) -> None:
    """Have a delivery told once more, whatever became of it; the same body, a fresh row of retries."""
    await tx.run(
        """UPDATE webhook_delivery SET state = 'pending', due_at = :at, leased = FALSE, updated_at = :at
           WHERE id = :id""",
        id=delivery_id, at=at,
    )  # fmt: skip
    tx.wake("webhooks")


async def add_rendered(tx: Tx, delivery: WebhookDelivery) -> None:
    """Insert a telling whose body is known already."""
    await add_deliveries(tx, [delivery])
    if delivery.body is not None:
        await set_bodies(tx, {delivery.id: delivery.body})


async def get_delivery(tx: Tx, endpoint_id: str, delivery_id: str) -> WebhookDelivery | None:
    """One telling, or None."""
    row = await tx.one(
        "SELECT * FROM webhook_delivery WHERE endpoint_id = :endpoint_id AND id = :id",
        endpoint_id=endpoint_id, id=delivery_id,
    )  # fmt: skip
    return load(WebhookDelivery, row, flags=("leased",)) if row else None


async def deliveries(
    tx: Tx, endpoint_id: str, *, after: tuple[int, str] | None, ascending: bool = False, limit: int
) -> list[WebhookDelivery]:
    """A page of an endpoint's tellings, newest first, after a keyset position (created_at, id)."""
    rows = await pages.in_order_of_creation(
        tx, "webhook_delivery", {"endpoint_id": endpoint_id}, after=after, ascending=ascending, limit=limit
    )
    return [load(WebhookDelivery, row, flags=("leased",)) for row in rows]


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """One try at a telling."""

    delivery_id: str
    attempt: int
    status: int | None
    error: str | None
    elapsed_ms: int
    at: int


async def attempts(tx: Tx, delivery_ids: Sequence[str]) -> dict[str, list[WebhookAttempt]]:
    """The tries at each of these tellings, in order."""
    rows = await tx.all(
        "SELECT * FROM webhook_attempt WHERE delivery_id IN (:ids...) ORDER BY delivery_id, attempt",
        ids=list(delivery_ids),
    )
    found: dict[str, list[WebhookAttempt]] = {delivery_id: [] for delivery_id in delivery_ids}
    for row in rows:
        found[row["delivery_id"]].append(load(WebhookAttempt, row))
    return found


async def count_by_state(tx: Tx, endpoint_id: str) -> dict[str, int]:
    """How many of an endpoint's tellings are in each state."""
    rows = await tx.all(
        "SELECT state, count(*) AS total FROM webhook_delivery WHERE endpoint_id = :id GROUP BY state", id=endpoint_id
    )
    return {row["state"]: int(row["total"]) for row in rows}
