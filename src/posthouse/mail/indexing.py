"""Keeping the text index up to date. The change log is the backlog: what was created since the last round."""

from __future__ import annotations

from posthouse.mail.journal import EMAIL
from posthouse.store import accounts, changes, messages, search
from posthouse.store.database import Database, Tx
from posthouse.wire.html import to_text

_BATCH = 100


async def drain(db: Database, account_id: str) -> int:
    """Index what the account has and the index lacks; answers how many messages.

    A search calls this first, so that it never misses what a reader can list already.
    """
    total = 0
    while True:
        ids, reached, more = await db.read(lambda tx: _backlog(tx, account_id))
        if reached is None:
            return total

        async def unit(tx: Tx, ids: list[str] = ids, reached: int = reached) -> int:
            entries = await _entries(tx, account_id, ids)
            await search.add(tx, entries)
            await accounts.set_indexed(tx, account_id, reached)
            return len(entries)

        total += await db.write(unit)
        if not more:
            return total


async def rebuild(db: Database) -> int:
    """Empty the index and build it anew; answers how many messages. Searches miss some meanwhile."""
    await db.write(search.clear)
    total, after = 0, ""
    while True:

        async def look(tx: Tx, after: str = after) -> list[tuple[str, str]]:
            return await messages.all_ids(tx, after, _BATCH)

        batch = await db.read(look)
        if not batch:
            return total

        async def unit(tx: Tx, batch: list[tuple[str, str]] = batch) -> None:
            for account_id, message_id in batch:
                await search.add(tx, await _entries(tx, account_id, [message_id]))

        await db.write(unit)
        total += len(batch)
        after = batch[-1][1]


async def _backlog(tx: Tx, account_id: str) -> tuple[list[str], int | None, bool]:
    account = await accounts.get(tx, account_id)
    if account is None or account.indexed_modseq >= account.modseq:
        return [], None, False
    ids, reached = await changes.created_after(tx, account_id, EMAIL, account.indexed_modseq, _BATCH)
    return ids, account.modseq if reached is None else reached, reached is not None


async def _entries(tx: Tx, account_id: str, ids: list[str]) -> list[search.Entry]:
    found = await messages.get_many(tx, account_id, ids)
    entries = []
    for message in found.values():
        body = await messages.get_body(tx, account_id, message.id)
        people = (*message.from_list, *message.to_list, *message.cc_list, *message.bcc_list)
        names = [attachment.filename for attachment in message.attachments if attachment.filename]
        text = (body.text_body or to_text(body.html_body or "")) if body else ""
        entries.append(
            search.Entry(
                message_id=message.id,
                account_id=account_id,
                subject=message.subject,
                people=" ".join(f"{person.name} {person.email}" for person in people),
                body="\n".join([text, *names]),
            )
        )
    return entries
