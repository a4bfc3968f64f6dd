"""Pages in the order of creation: what every listing of an organisation's own things shares."""

from __future__ import annotations

from typing import Any

from posthouse.store.database import Row, Tx


async def in_order_of_creation(
    tx: Tx,
    table: str,
    scope: dict[str, str | None],
    *,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
) -> list[Row]:
    """Rows after a keyset position (created_at, id), newest first unless `ascending`.

    Args:
        table: a table of ours with `created_at` and `id`; never a caller's word, nor are the scope's columns.
        scope: column → the value it has; a value of None asks for nothing.
    """
    values: dict[str, Any] = {name: value for name, value in scope.items() if value is not None}
    where = [f"{name} = :{name}" for name in values]
    if after is not None:
        where.append(f"(created_at, id) {'>' if ascending else '<'} (:after_at, :after_id)")
        values["after_at"], values["after_id"] = after
    order = "ASC" if ascending else "DESC"
    return await tx.all(
        f"SELECT * FROM {table} WHERE {' AND '.join(where)} ORDER BY created_at {order}, id {order} LIMIT :limit",
        limit=limit,
        **values,
    )
