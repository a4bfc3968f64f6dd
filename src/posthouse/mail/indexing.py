"""Keeping the text index up to date. The change log is the backlog: what was created since the last round."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from posthouse.kit.aside import beside
from posthouse.mail.journal import EMAIL
from posthouse.store import accounts, changes, messages, search
from posthouse.store.database import Database, Tx
from posthouse.store.messages import Person
from posthouse.wire.html import to_text

_BATCH = 100
# Fewer at a time where they are long: their texts are held all at once.
_BATCH_BYTES = 8 * 1024 * 1024
_TOGETHER_CHARS = 65_536


async def drain(db: Database, account_id: str) -> int:
    """Index what the account has and the index lacks; answers how many messages.

    A search calls this first, so that it never misses what a reader can list already.
    """
    total = await _catch_up(db, account_id)
    while True:
        backlog = await db.read(lambda tx: _backlog(tx, account_id))
        if backlog is None:
            return total
        prepared = await _prepare(backlog.entries)
        reached = backlog.reached

        async def unit(tx: Tx, prepared: list[search.Prepared] = prepared, reached: int = reached) -> None:
            # The account's row first, as everyone who destroys a message does: else the two would lock crosswise.
            await accounts.set_indexed(tx, account_id, reached)
            await search.add(tx, prepared)

        await db.write(unit, heavy=True)
        total += len(prepared)
        if not backlog.more:
            return total


async def _catch_up(db: Database, account_id: str) -> int:
    """Index all an account has, when nothing of it is indexed: after the index was made anew, the log may not
    reach back so far."""
    begun = await db.read(lambda tx: accounts.get(tx, account_id))
    if begun is None or begun.indexed_modseq >= 0:
        return 0
    total, after = 0, ""
    while True:

        async def look(tx: Tx, after: str = after) -> tuple[list[search.Entry], str]:
            ids = await search.missing(tx, account_id, after, _BATCH)
            return await _entries(tx, account_id, ids), ids[-1] if ids else ""

        entries, after = await db.read(look)
        if not after:
            break
        prepared = await _prepare(entries)
        await db.write(partial(_add, account_id=account_id, entries=prepared), heavy=True)
        total += len(prepared)
    await db.write(lambda tx: accounts.set_indexed(tx, account_id, begun.modseq))
    return total


async def _add(tx: Tx, account_id: str, entries: list[search.Prepared]) -> None:
    await accounts.add_used_bytes(tx, account_id, 0)  # takes the account's row before those of its messages
    await search.add(tx, entries)


async def rebuild(db: Database) -> int:
    """Empty the index and build it anew; answers how many messages. Searches miss some meanwhile."""
    await db.write(search.clear, heavy=True)
    total, after = 0, ""
    while True:

        async def look(tx: Tx, after: str = after) -> tuple[list[search.Entry], str]:
            batch = await messages.all_ids(tx, after, _BATCH)
            by_account: dict[str, list[str]] = {}
            for account_id, message_id in batch:
                by_account.setdefault(account_id, []).append(message_id)
            entries = [entry for account_id, ids in by_account.items() for entry in await _entries(tx, account_id, ids)]
            return entries, batch[-1][1] if batch else ""

        entries, after = await db.read(look)
        if not after:
            return total
        prepared = await _prepare(entries)
        await db.write(partial(search.add, entries=prepared), heavy=True)
        total += len(prepared)


class _Backlog(NamedTuple):
    """What is to be indexed, the change number that reaches to, and whether there is more after it."""

    entries: list[search.Entry]
    reached: int
    more: bool


async def _prepare(entries: list[search.Entry]) -> list[search.Prepared]:
    # Cutting a batch into words takes tens of milliseconds; one that is long does not keep the thread from others.
    prepared: list[search.Prepared] = []
    some: list[search.Entry] = []
    octets = 0
    for entry in entries:
        some.append(entry)
        octets += len(entry.body) + len(entry.html)
        if octets > _TOGETHER_CHARS or entry is entries[-1]:
            prepared += await beside(_prepare_some, some)
            some, octets = [], 0
    return prepared


def _prepare_some(entries: list[search.Entry]) -> list[search.Prepared]:
    return [search.prepare(_read_html(entry)) for entry in entries]


def _read_html(entry: search.Entry) -> search.Entry:
    return entry._replace(body=f"{entry.body}\n{to_text(entry.html)}", html="") if entry.html else entry


async def _backlog(tx: Tx, account_id: str) -> _Backlog | None:
    account = await accounts.get(tx, account_id)
    if account is None or account.indexed_modseq >= account.modseq:
        return None
    limit = _BATCH
    while True:
        ids, reached = await changes.created_after(tx, account_id, EMAIL, account.indexed_modseq, limit)
        if limit == 1 or await messages.size_of_all(tx, account_id, ids) <= _BATCH_BYTES:
            break
        limit = max(1, limit // 5)
    entries = await _entries(tx, account_id, ids)
    return _Backlog(entries, account.modseq if reached is None else reached, reached is not None)


async def _entries(tx: Tx, account_id: str, ids: list[str]) -> list[search.Entry]:
    found = await messages.get_many(tx, account_id, ids)
    bodies = await messages.get_bodies(tx, account_id, list(found))
    entries = []
    for message in found.values():
        body = bodies.get(message.id)
        lists = [_people(each) for each in (message.from_list, message.to_list, message.cc_list, message.bcc_list)]
        names = [attachment.filename for attachment in message.attachments if attachment.filename]
        entries.append(
            search.Entry(
                message_id=message.id,
                account_id=account_id,
                subject=message.subject,
                people=" ".join(filter(None, lists)),
                body="\n".join([(body.text_body or "") if body else "", *names]),
                html=(body.html_body or "") if body and not body.text_body else "",
                senders=lists[0],
                recipients=lists[1],
                copies=lists[2],
                blind_copies=lists[3],
                author=(message.from_list[0].name or message.from_list[0].email) if message.from_list else "",
            )
        )
    return entries


def _people(listed: Sequence[Person]) -> str:
    return " ".join(f"{person.name} {person.email}" for person in listed)
