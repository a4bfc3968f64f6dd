"""Some fields of many messages, as they are stored: for lists that show little of each, and texts that are long.

`reading` gives whole messages. Here nothing is read or decoded that was not asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from posthouse.store import listing, messages
from posthouse.store.database import Row, Tx
from posthouse.store.messages import Message, Parts, Texts


class Snapshot(NamedTuple):
    """What was asked of messages, all at one moment; of those that exist.

    Attributes:
        rows: the columns asked for; lists are JSON text.
        mailbox_ids: where each lies.
    """

    rows: list[Row]
    mailbox_ids: dict[str, list[str]]
    parts: dict[str, Parts]


async def snapshot(
    tx: Tx,
    account_id: str,
    message_ids: Sequence[str],
    columns: Sequence[str],
    *,
    mailboxes: bool = False,
    parts_of: Sequence[str] = (),
) -> Snapshot:
    """Columns of messages, where they lie if that is wanted, and the parts of some of them."""
    return Snapshot(
        await listing.columns(tx, account_id, message_ids, columns),
        await listing.mailbox_ids(tx, account_id, message_ids) if mailboxes else {},
        await parts(tx, account_id, parts_of) if parts_of else {},
    )


async def parts(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, Parts]:
    """Header fields and MIME trees, without the texts."""
    return await messages.get_parts(tx, account_id, message_ids)


async def beginnings(
    tx: Tx, account_id: str, message_ids: Sequence[str], most_chars: int
) -> tuple[dict[str, Message], Texts]:
    """The messages, and the beginnings of their texts: of the HTML where there is no plain one. 0 reads no texts."""
    found = await messages.get_many(tx, account_id, message_ids)
    return found, await messages.get_texts(tx, account_id, message_ids, most_chars) if most_chars else {}
