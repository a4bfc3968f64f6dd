"""Pages in the order of creation: what every listing of an organisation's own things shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from posthouse.store.database import Row, Tx


async def in_order_of_creation(
    tx: Tx,
    table: str,
    scope: Mapping[str, str | None],
    *,
    after: tuple[int, str] | None,
    ascending: bool,
    limit: int,
    key: str = "id",
    also: str = "TRUE",
) -> list[Row]:
    """Rows after a keyset position (created_at, id), newest first unless `ascending`.

    Args:
        table: a table of ours with `created_at` and `key`; never a caller's word, nor are the scope's columns.
        scope: column → the value it has; a value of None asks for nothing.
        key: the column that tells rows of one instant apart.
        also: one more condition.
    """
    values: dict[str, Any] = {name: value for name, value in scope.items() if value is not None}
    where = [also, *(f"{name} = :{name}" for name in values)]
    if after is not None:
        where.append(f"(created_at, {key}) {'>' if ascending else '<'} (:after_at, :after_key)")
        values["after_at"], values["after_key"] = after
    order = "ASC" if ascending else "DESC"
    return await tx.all(
        f"SELECT * FROM {table} WHERE {' AND '.join(where)} ORDER BY created_at {order}, {key} {order} LIMIT :limit",
        limit=limit,
        **values,
    )
