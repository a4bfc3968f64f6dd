"""The peer for reading: the framework with one typed endpoint and the raw query, and nothing else.

No key is asked for, no inbox looked up, no place or label worked out: `python -m bench.api_peer DATABASE ADDRESS
PORT` reads the columns of one account in our own database file and gives them in the same shape as we do. What we
take beyond it is the price of being a mail server.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import apsw
import msgspec
import uvicorn
from litestar import Litestar, get

_LIST = """SELECT thread_id, id, keywords, received_at, from_list, to_list, size_bytes, created_at,
  updated_at, subject, preview FROM message WHERE account_id = ? ORDER BY received_at DESC, id DESC LIMIT 50"""
_ONE = """SELECT thread_id, message.id, keywords, received_at, from_list, to_list, size_bytes, created_at,
  updated_at, subject, preview, message_body.headers, text_body, extracted_text
  FROM message JOIN message_body ON message_body.message_id = message.id
  WHERE message.id = ? AND account_id = ?"""

_people = msgspec.json.Decoder(list[tuple[str, str]])
_labels = msgspec.json.Decoder(list[str])
_headers = msgspec.json.Decoder(list[tuple[str, str]])


class Item(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message in a list."""

    inbox_id: str
    thread_id: str
    message_id: str
    labels: list[str]
    timestamp: datetime
    from_: str = msgspec.field(name="from")
    to: list[str]
    size: int
    created_at: datetime
    updated_at: datetime
    subject: str | None = None
    preview: str | None = None


class Whole(Item, omit_defaults=True, kw_only=True):
    """One message."""

    text: str | None = None
    extracted_text: str | None = None
    headers: dict[str, str] | None = None


class Page(msgspec.Struct):
    """A page of messages."""

    count: int
    limit: int
    messages: list[Item]


def make(database: str, address: str) -> Litestar:
    """The application over one account of a database file."""
    connection = apsw.Connection(database, flags=apsw.SQLITE_OPEN_READWRITE)
    connection.pragma("query_only", True)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)  # as we do: or each value bound costs a preparation
    connection.pragma("mmap_size", 1 << 30)
    account = next(connection.execute("SELECT account_id FROM address WHERE address = ?", (address,)))[0]

    def common(row: tuple[Any, ...]) -> dict[str, Any]:
        name, email = _people.decode(row[4])[0]
        return {
            "inbox_id": address,
            "thread_id": "thd_" + row[0],
            "message_id": "msg_" + row[1],
            "labels": ["received", "unread", *_labels.decode(row[2])],
            "timestamp": _time(row[3]),
            "from_": f"{name} <{email}>" if name else email,
            "to": [person[1] for person in _people.decode(row[5])],
            "size": row[6],
            "created_at": _time(row[7]),
            "updated_at": _time(row[8]),
            "subject": row[9],
            "preview": row[10],
        }

    @get("/list")
    async def messages() -> Page:
        items = [Item(**common(row)) for row in connection.execute(_LIST, (account,))]
        return Page(len(items), 50, items)

    @get("/one/{message_id:str}")
    async def message(message_id: str) -> Whole:
        row = next(connection.execute(_ONE, (message_id, account)))
        headers = dict(_headers.decode(row[11]))
        return Whole(**common(row), text=row[12], extracted_text=row[13] or row[12], headers=headers)

    @get("/empty")
    async def empty() -> Page:
        return Page(0, 50, [])

    return Litestar([messages, message, empty], openapi_config=None, logging_config=None)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


if __name__ == "__main__":
    path, mailbox, port = sys.argv[1:]
    uvicorn.run(
        make(path, mailbox),
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
