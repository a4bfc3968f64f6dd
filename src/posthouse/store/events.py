"""Events: that something happened, in order within an account."""

from __future__ import annotations

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


async def get(tx: Tx, organization_id: str, event_id: str) -> Event | None:
    """The event, or None."""
    row = await tx.one(
        "SELECT * FROM event WHERE organization_id = :organization_id AND id = :id",
        organization_id=organization_id, id=event_id,
    )  # fmt: skip
    return _event(row) if row else None


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
