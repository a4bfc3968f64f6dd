"""How much there was over time: what is still here, by when it came."""

from __future__ import annotations

from posthouse.store.database import Tx

# What is measured: the table, the instant of a row, what a row counts, and how it leads to its owner.
_ACCOUNT = "JOIN account ON account.id = {table}.account_id"
_KINDS = {
    "storage_bytes": ("message", "message.created_at", "message.size_bytes", _ACCOUNT),
    "message_count": ("message", "message.created_at", "1", _ACCOUNT),
    "thread_count": ("thread", "thread.created_at", "1", _ACCOUNT),
    "inbox_count": ("account", "account.created_at", "1", ""),
    "domain_count": ("domain", "domain.created_at", "1", ""),
    "pod_count": ("pod", "pod.created_at", "1", ""),
}
KINDS = tuple(_KINDS)


async def growth(
    tx: Tx,
    kind: str,
    organization_id: str,
    *,
    pod_id: str | None,
    account_id: str | None,
    start_at: int,
    end_at: int,
    period_ms: int,
) -> tuple[int, dict[int, int]]:
    """How much there was before `start_at`, and what each period from then on added, by its number."""
    table, at, amount, join = _KINDS[kind]
    owner = table if table in ("domain", "pod") else "account"
    where, values = [f"{owner}.organization_id = :organization_id"], {"organization_id": organization_id}
    if account_id is not None and owner != "account":
        return 0, {}
    if account_id is not None:
        where.append("account.id = :account_id")
        values["account_id"] = account_id
    elif pod_id is not None:
        where.append("pod.id = :pod_id" if table == "pod" else f"{owner}.pod_id = :pod_id")
        values["pod_id"] = pod_id
    rows = await tx.all(
        f"""SELECT CASE WHEN {at} < :start_at THEN -1 ELSE ({at} - :start_at) / :period_ms END AS period,
              CAST(sum({amount}) AS BIGINT) AS total
            FROM {table} {join.format(table=table)} WHERE {" AND ".join(where)} AND {at} < :end_at GROUP BY 1""",
        start_at=start_at, end_at=end_at, period_ms=period_ms, **values,
    )  # fmt: skip
    found = {int(row["period"]): int(row["total"]) for row in rows}
    return found.pop(-1, 0), found
