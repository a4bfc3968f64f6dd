"""Events: that something happened, in order within an account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.store.database import Row, Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened. `type` is a word of ours (`message.received`); `payload` holds ids and facts."""

    id: str
    organization_id: str
    pod_id: str | None
    account_id: str | None
    modseq: int
    type: str
    message_id: str | None
    payload: dict[str, Any]
    at: int


def _event(row: Row) -> Event:
    return load(Event, row, json=("payload",))


async def add(tx: Tx, event: Event) -> None:
    """Insert an event and wake whoever listens to its account or organisation."""
    await tx.run(
        """INSERT INTO event (id, organization_id, pod_id, account_id, modseq, type, message_id, payload, at)
           VALUES (:id, :organization_id, :pod_id, :account_id, :modseq, :type, :message_id, :payload, :at)""",
        id=event.id, organization_id=event.organization_id, pod_id=event.pod_id, account_id=event.account_id,
        modseq=event.modseq, type=event.type, message_id=event.message_id, payload=dump(event.payload),
        at=event.at,
    )  # fmt: skip
    tx.wake(f"events:{event.organization_id}")
    # Says whose events to look at; an organisation's own have no account.
    tx.wake(f"events:{event.organization_id}:{event.account_id or ''}")


async def get(tx: Tx, organization_id: str, event_id: str) -> Event | None:
    """The event, or None."""
    row = await tx.one(
        "SELECT * FROM event WHERE organization_id = :organization_id AND id = :id",
        organization_id=organization_id, id=event_id,
    )  # fmt: skip
    return _event(row) if row else None


async def get_many(tx: Tx, organization_id: str, event_ids: Iterable[str]) -> dict[str, Event]:
    """An organisation's events by id; those that are gone are left out."""
    rows = await tx.all(
        "SELECT * FROM event WHERE organization_id = :organization_id AND id IN (:ids...)",
        organization_id=organization_id, ids=list(event_ids),
    )  # fmt: skip
    return {row["id"]: _event(row) for row in rows}


async def of_account(tx: Tx, account_id: str, after: tuple[int, str], limit: int) -> list[Event]:
    """The account's events after a position (modseq, id), oldest first."""
    rows = await tx.all(
        """SELECT * FROM event WHERE account_id = :account_id AND (modseq, id) > (:modseq, :id)
           ORDER BY modseq, id LIMIT :limit""",
        account_id=account_id, modseq=after[0], id=after[1], limit=limit,
    )  # fmt: skip
    return [_event(row) for row in rows]


async def latest(tx: Tx, organization_id: str, limit: int) -> list[Event]:
    """The organisation's latest events, newest first."""
    rows = await tx.all(
        """SELECT * FROM event WHERE organization_id = :organization_id ORDER BY at DESC, id DESC LIMIT :limit""",
        organization_id=organization_id, limit=limit,
    )  # fmt: skip
    return [_event(row) for row in rows]


async def prune(tx: Tx, before: int) -> int:
    """Forget events older than `before`."""
    return await tx.run("DELETE FROM event WHERE at < :before", before=before)


async def of_organization(tx: Tx, organization_id: str, after: tuple[int, str], limit: int) -> list[Event]:
    """Events of the organisation itself (of no account) after a position (modseq, id), oldest first."""
    rows = await tx.all(
        """SELECT * FROM event WHERE organization_id = :organization_id AND account_id IS NULL
             AND (modseq, id) > (:modseq, :id) ORDER BY modseq, id LIMIT :limit""",
        organization_id=organization_id, modseq=after[0], id=after[1], limit=limit,
    )  # fmt: skip
    return [_event(row) for row in rows]


def _in_scope(pod_id: str | None, account_id: str | None) -> tuple[str, dict[str, Any]]:
    if account_id is not None:
        return "AND account_id = :account_id", {"account_id": account_id}
    if pod_id is not None:
        return "AND pod_id = :pod_id", {"pod_id": pod_id}
    return "", {}


async def count_by_period(
    tx: Tx,
    organization_id: str,
    types: Sequence[str],
    *,
    pod_id: str | None,
    account_id: str | None,
    start_at: int,
    end_at: int,
    period_ms: int,
) -> list[tuple[str, int, int]]:
    """(type, number of the period from `start_at`, count) of events in a scope, empty periods left out."""
    scope, values = _in_scope(pod_id, account_id)
    rows = await tx.all(
        f"""SELECT type, (at - :start_at) / :period_ms AS period, count(*) AS total FROM event
            WHERE organization_id = :organization_id AND at >= :start_at AND at < :end_at
              AND type IN (:types...) {scope} GROUP BY 1, 2 ORDER BY 1, 2""",
        organization_id=organization_id, types=list(types), start_at=start_at, end_at=end_at,
        period_ms=period_ms, **values,
    )  # fmt: skip
    return [(row["type"], int(row["period"]), int(row["total"])) for row in rows]


async def instants(
    tx: Tx,
    organization_id: str,
    types: Sequence[str],
    *,
    pod_id: str | None,
    account_id: str | None,
    start_at: int,
    end_at: int,
    limit: int,
) -> list[tuple[str, int]]:
    """(type, instant) of the latest events in a scope, oldest first."""
    scope, values = _in_scope(pod_id, account_id)
    rows = await tx.all(
        f"""SELECT type, at FROM event WHERE organization_id = :organization_id AND at >= :start_at AND at < :end_at
              AND type IN (:types...) {scope} ORDER BY at DESC, id DESC LIMIT :limit""",
        organization_id=organization_id, types=list(types), start_at=start_at, end_at=end_at, limit=limit,
        **values,
    )  # fmt: skip
    return [(row["type"], row["at"]) for row in reversed(rows)]
