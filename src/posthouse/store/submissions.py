"""Submissions and their deliveries: one for each recipient, leased by moving `due_at`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posthouse.store import pauses
from posthouse.store.database import Tx
from posthouse.store.records import dump, load


@dataclass(frozen=True, slots=True)
class StoredSubmission:
    """A message handed over to be sent.

    Attributes:
        blob_hash: the bytes to send, before signing.
        mail_from: the reverse-path; each delivery that leaves the house puts its token into it.
        state: `queued`, `held`, `scheduled`, `rejected`, `canceled` or `done`. What is scheduled is asked about again
            when its time has come.
        expires_at: when deferred deliveries are given up.
        level: the level of the key it was handed in with; None is no opinion.
        findings: what the guard found when it was handed in; None: nobody has looked.
    """

    id: str
    organization_id: str
    account_id: str
    message_id: str
    thread_id: str
    blob_hash: str
    header_message_id: str
    mail_from: str
    envelope_id: str
    dsn_return: str
    state: str
    key_id: str | None
    surface: str
    created_at: int
    expires_at: int
    level: str | None = None
    findings: list[dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One recipient's journey.

    Attributes:
        due_at: None: nothing more is to be done (or it waits for an approval).
        token: stands in the reverse-path of what leaves the house, and is told to this recipient alone.
    """

    id: str
    submission_id: str
    account_id: str
    recipient: str
    original_recipient: str
    notify: str
    domain: str
    state: str
    attempts: int
    due_at: int | None
    leased: bool
    delay_noticed: bool
    status: str | None
    diagnostic: str | None
    remote_mta: str | None
    created_at: int
    updated_at: int
    token: str | None = None


async def add(tx: Tx, submission: StoredSubmission) -> None:
    """Insert a submission."""
    await tx.run(
        """INSERT INTO submission (id, organization_id, account_id, message_id, thread_id, blob_hash,
             header_message_id, mail_from, envelope_id, dsn_return, state, key_id, surface, created_at, expires_at,
             level, findings)
           VALUES (:id, :organization_id, :account_id, :message_id, :thread_id, :blob_hash,
             :header_message_id, :mail_from, :envelope_id, :dsn_return, :state, :key_id, :surface, :created_at,
             :expires_at, :level, :findings)""",
        id=submission.id, organization_id=submission.organization_id, account_id=submission.account_id,
        message_id=submission.message_id, thread_id=submission.thread_id, blob_hash=submission.blob_hash,
        header_message_id=submission.header_message_id, mail_from=submission.mail_from,
        envelope_id=submission.envelope_id, dsn_return=submission.dsn_return, state=submission.state,
        key_id=submission.key_id, surface=submission.surface, created_at=submission.created_at,
        expires_at=submission.expires_at, level=submission.level,
        findings=None if submission.findings is None else dump(submission.findings),
    )  # fmt: skip


async def get(tx: Tx, submission_id: str) -> StoredSubmission | None:
    """The submission, or None. Unscoped: the queue works for all accounts; no door calls this."""
    row = await tx.one("SELECT * FROM submission WHERE id = :id", id=submission_id)
    return load(StoredSubmission, row, json=("findings",)) if row else None


async def by_header_message_id(tx: Tx, account_id: str, header_message_id: str) -> StoredSubmission | None:
    """The account's submission with this Message-ID."""
    row = await tx.one(
        """SELECT * FROM submission WHERE account_id = :account_id AND header_message_id = :header_message_id
           ORDER BY created_at DESC, id DESC LIMIT 1""",
        account_id=account_id, header_message_id=header_message_id,
    )  # fmt: skip
    return load(StoredSubmission, row, json=("findings",)) if row else None


async def set_state(tx: Tx, submission_id: str, state: str, *, expires_at: int | None = None) -> None:
    """Change the submission's state and, when given, the instant at which it is given up."""
    await tx.run(
        "UPDATE submission SET state = :state, expires_at = coalesce(:expires_at, expires_at) WHERE id = :id",
        id=submission_id, state=state, expires_at=expires_at,
    )  # fmt: skip


async def count_since(tx: Tx, account_id: str, since: int, at_most: int) -> int:
    """How many messages the account has submitted since an instant; counting stops at `at_most`."""
    row = await tx.one(
        """SELECT count(*) AS total FROM (SELECT 1 AS one FROM submission
             WHERE account_id = :account_id AND created_at >= :since LIMIT :at_most) AS recent""",
        account_id=account_id, since=since, at_most=at_most,
    )  # fmt: skip
    return int(row["total"]) if row else 0


async def add_deliveries(tx: Tx, deliveries: Sequence[Delivery]) -> None:
    """Insert a submission's deliveries."""
    await tx.many(
        """INSERT INTO delivery (id, submission_id, account_id, recipient, original_recipient, notify, domain,
             state, due_at, status, diagnostic, created_at, updated_at, token)
           VALUES (:id, :submission_id, :account_id, :recipient, :original_recipient, :notify, :domain,
             :state, :due_at, :status, :diagnostic, :at, :at, :token)""",
        [
            {
                "id": delivery.id, "submission_id": delivery.submission_id, "account_id": delivery.account_id,
                "recipient": delivery.recipient, "original_recipient": delivery.original_recipient,
                "notify": delivery.notify, "domain": delivery.domain, "state": delivery.state,
                "due_at": delivery.due_at, "status": delivery.status, "diagnostic": delivery.diagnostic,
                "at": delivery.created_at, "token": delivery.token,
            }
            for delivery in deliveries
        ],
    )  # fmt: skip


_RUNNING = pauses.running("delivery.account_id")


async def claim(tx: Tx, now: int, lease_until: int, limit: int) -> list[Delivery]:
    """Take up to `limit` deliveries that are due and not paused; nobody else gets them before `lease_until`."""
    rows = await tx.all(
        f"""WITH due AS MATERIALIZED (
              SELECT id FROM delivery WHERE due_at <= :now AND {_RUNNING}
              ORDER BY due_at, id LIMIT :limit {tx.lock})
            UPDATE delivery SET due_at = :lease_until, leased = TRUE, attempts = attempts + 1
            WHERE id IN (SELECT id FROM due) RETURNING *""",
        now=now, lease_until=lease_until, limit=limit,
    )  # fmt: skip
    return [load(Delivery, row, flags=("delay_noticed", "leased")) for row in rows]


async def extend(tx: Tx, delivery_ids: Sequence[str], lease_until: int) -> None:
    """Keep deliveries whose attempt is still under way."""
    await tx.run(
        "UPDATE delivery SET due_at = :lease_until WHERE leased AND id IN (:ids...)",
        ids=list(delivery_ids), lease_until=lease_until,
    )  # fmt: skip


async def unclaim(tx: Tx, delivery_ids: Sequence[str], at: int) -> None:
    """Give deliveries back that were claimed and not tried."""
    await tx.run(
        """UPDATE delivery SET due_at = :at, leased = FALSE, attempts = attempts - 1
           WHERE leased AND id IN (:ids...)""",
        ids=list(delivery_ids), at=at,
    )  # fmt: skip


async def deliveries(tx: Tx, submission_id: str) -> list[Delivery]:
    """All deliveries of a submission."""
    rows = await tx.all(
        "SELECT * FROM delivery WHERE submission_id = :submission_id ORDER BY id", submission_id=submission_id
    )
    return [load(Delivery, row, flags=("delay_noticed", "leased")) for row in rows]


async def by_tokens(tx: Tx, account_id: str, tokens: Sequence[str]) -> list[Delivery]:
    """The account's deliveries whose reverse-path held one of these tokens."""
    rows = await tx.all(
        "SELECT * FROM delivery WHERE account_id = :account_id AND token IN (:tokens...) ORDER BY id",
        account_id=account_id, tokens=list(tokens),
    )  # fmt: skip
    return [load(Delivery, row, flags=("delay_noticed", "leased")) for row in rows]


async def settle(
    tx: Tx,
    delivery_id: str,
    *,
    state: str,
    due_at: int | None,
    status: str | None,
    diagnostic: str | None,
    remote_mta: str | None,
    delay_noticed: bool,
    at: int,
) -> None:
    """Write down an attempt's outcome."""
    await tx.run(
        """UPDATE delivery SET state = :state, due_at = :due_at, leased = FALSE, status = :status,
             diagnostic = :diagnostic, remote_mta = :remote_mta, delay_noticed = :delay_noticed,
             updated_at = :at WHERE id = :id""",
        id=delivery_id, state=state, due_at=due_at, status=status, diagnostic=diagnostic, remote_mta=remote_mta,
        delay_noticed=delay_noticed, at=at,
    )  # fmt: skip


async def release(tx: Tx, submission_id: str, state: str, due_at: int | None, at: int) -> int:
    """Give all held deliveries of a submission a new state."""
    return await tx.run(
        """UPDATE delivery SET state = :state, due_at = :due_at, updated_at = :at
           WHERE submission_id = :submission_id AND state = 'held'""",
        submission_id=submission_id, state=state, due_at=due_at, at=at,
    )  # fmt: skip


async def stop(tx: Tx, submission_id: str, state: str, at: int) -> int:
    """Nothing of what is queued of a submission is to be carried; leases end."""
    return await tx.run(
        """UPDATE delivery SET state = :state, due_at = NULL, leased = FALSE, attempts = 0, updated_at = :at
           WHERE submission_id = :submission_id AND state = 'queued'""",
        submission_id=submission_id, state=state, at=at,
    )  # fmt: skip


async def put_off(tx: Tx, submission_id: str, due_at: int, at: int) -> int:
    """What is queued of a submission is due later; leases end, and no attempt counts."""
    return await tx.run(
        """UPDATE delivery SET due_at = :due_at, leased = FALSE, attempts = 0, updated_at = :at
           WHERE submission_id = :submission_id AND state = 'queued'""",
        submission_id=submission_id, due_at=due_at, at=at,
    )  # fmt: skip


async def next_due(tx: Tx) -> int | None:
    """When the next delivery is due that is not paused."""
    row = await tx.one(f"SELECT min(due_at) AS due_at FROM delivery WHERE due_at IS NOT NULL AND {_RUNNING}")
    return row["due_at"] if row else None


@dataclass(frozen=True, slots=True)
class Request:
    """What a submission was asked for (RFC 8621 §7). `envelope` as the caller gave it; `send_at` from when on."""

    submission_id: str
    identity_id: str
    envelope: dict[str, Any] | None
    send_at: int
    is_destroyed: bool = False


async def add_request(tx: Tx, request: Request) -> None:
    """Remember what a submission was asked for."""
    await tx.run(
        """INSERT INTO submission_request (submission_id, identity_id, envelope, send_at)
           VALUES (:submission_id, :identity_id, :envelope, :send_at)""",
        submission_id=request.submission_id, identity_id=request.identity_id, envelope=dump(request.envelope),
        send_at=request.send_at,
    )  # fmt: skip


async def add_report(tx: Tx, submission_id: str, message_id: str, kind: str) -> None:
    """A report about a submission came back as this message; `kind` is `dsn` or `complaint`."""
    await tx.run(
        """INSERT INTO submission_report (submission_id, message_id, kind) VALUES (:submission_id, :message_id, :kind)
           ON CONFLICT (submission_id, message_id) DO NOTHING""",
        submission_id=submission_id, message_id=message_id, kind=kind,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Detail:
    """A submission with all that is known of it. `reports` are (kind, blob hash)."""

    submission: StoredSubmission
    request: Request | None
    deliveries: tuple[Delivery, ...]
    reports: tuple[tuple[str, str], ...]


async def details(tx: Tx, account_id: str, submission_ids: Sequence[str] | None) -> list[Detail]:
    """Those of the account's submissions that exist, oldest first; None for all."""
    where = "" if submission_ids is None else " AND submission.id IN (:ids...)"
    values: dict[str, Any] = {"account_id": account_id}
    if submission_ids is not None:
        values["ids"] = list(submission_ids)
    rows = await tx.all(
        f"SELECT * FROM submission WHERE account_id = :account_id{where} ORDER BY created_at, id", **values
    )
    ids = [row["id"] for row in rows]
    if not ids:
        return []
    requests = {
        row["submission_id"]: load(Request, row, json=("envelope",), flags=("is_destroyed",))
        for row in await tx.all("SELECT * FROM submission_request WHERE submission_id IN (:ids...)", ids=ids)
    }
    carried: dict[str, list[Delivery]] = {}
    for row in await tx.all("SELECT * FROM delivery WHERE submission_id IN (:ids...) ORDER BY id", ids=ids):
        carried.setdefault(row["submission_id"], []).append(load(Delivery, row, flags=("delay_noticed", "leased")))
    reports: dict[str, list[tuple[str, str]]] = {}
    for row in await tx.all(
        """SELECT submission_report.submission_id, submission_report.kind, message.blob_hash
           FROM submission_report JOIN message ON message.id = submission_report.message_id
           WHERE submission_report.submission_id IN (:ids...) ORDER BY message.received_at, message.id""",
        ids=ids,
    ):
        reports.setdefault(row["submission_id"], []).append((row["kind"], row["blob_hash"]))
    return [
        Detail(
            load(StoredSubmission, row, json=("findings",)),
            requests.get(row["id"]),
            tuple(carried.get(row["id"], ())),
            tuple(reports.get(row["id"], ())),
        )
        for row in rows
        if not (row["id"] in requests and requests[row["id"]].is_destroyed)
    ]


async def cancel(tx: Tx, submission_id: str, at: int) -> bool:
    """Take back what nobody has begun to carry; False when it is too late."""
    begun = await tx.one(
        """SELECT 1 AS one FROM delivery WHERE submission_id = :id
             AND (leased OR attempts > 0 OR state NOT IN ('queued', 'held', 'suppressed')) LIMIT 1""",
        id=submission_id,
    )
    if begun is not None:
        return False
    await tx.run(
        """UPDATE delivery SET state = 'canceled', due_at = NULL, updated_at = :at
           WHERE submission_id = :id AND state IN ('queued', 'held')""",
        id=submission_id, at=at,
    )  # fmt: skip
    await set_state(tx, submission_id, "canceled")
    return True


async def destroy(tx: Tx, submission_id: str) -> None:
    """Show a submission no more. Its deliveries go on (RFC 8621 §7.5), and reports still find it."""
    await tx.run(
        """INSERT INTO submission_request (submission_id, identity_id, send_at, is_destroyed)
           VALUES (:id, '', 0, TRUE) ON CONFLICT (submission_id) DO UPDATE SET is_destroyed = TRUE""",
        id=submission_id,
    )
