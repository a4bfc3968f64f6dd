"""What SQLite's planner is told of the tables: fixed estimates, so that plans are the same on every machine.

Without statistics it guesses ten rows behind every key, and reads a whole account where a handful of rows
were asked for by their ids. The estimates are of a large installation: a plan good for that one is good
enough for a small one.
"""

from __future__ import annotations

import apsw

_ROWS = 1_000_000
# About how many rows share a value of a column. Columns not named have values of their own.
_SHARE = {
    "organization_id": 200_000,
    "pod_id": 100_000,
    "account_id": 20_000,
    "scope_id": 60_000,
    "endpoint_id": 20_000,
    "mailbox_id": 10_000,
    "parent_id": 10_000,
    "kind": 100_000,
    "type": 20_000,
    "keyword": 5_000,
    "thread_id": 5,
    "reference": 2,
    "base_subject": 5,
    "role": 2,
    "message_id": 2,
    "submission_id": 2,
    "blob_hash": 2,
    "recipient": 10,
    "address": 1,
}
# Indexes of a few of a table's rows: about how many.
_PARTIAL = {"message_unread": 50_000, "message_thread_unread": 50_000}
# A column's share in such an index, where that is smaller: of a conversation few messages are unread.
_PARTIAL_SHARE = {("message_thread_unread", "thread_id"): 1}


def advise(connection: apsw.Connection) -> None:
    """Write the estimates for every index; called after the schema changed."""
    connection.execute("ANALYZE sqlite_schema")  # makes sqlite_stat1 where it is missing
    connection.execute("DELETE FROM sqlite_stat1")
    indexes = list(
        connection.execute(
            "SELECT tbl_name, name FROM sqlite_schema WHERE type = 'index' AND tbl_name NOT LIKE 'message_index_%'"
        )
    )
    for table, index in indexes:
        columns = [row[2] for row in connection.execute(f'PRAGMA index_info("{index}")')]
        is_unique = any(row[1] == index and row[2] for row in connection.execute(f'PRAGMA index_list("{table}")'))
        shares: list[int] = []
        share = rows = _PARTIAL.get(str(index), _ROWS)
        for column in columns:
            share = min(
                share // 2 if shares else share,
                _PARTIAL_SHARE.get((str(index), str(column)), _SHARE.get(str(column), 1)),
            )
            shares.append(max(share, 1))
        if is_unique:
            shares[-1] = 1
        connection.execute(
            "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)",
            (table, index, " ".join(str(number) for number in (rows, *shares))),
        )
    connection.execute("ANALYZE sqlite_schema")  # and reads them anew
