"""The log of changes: what was created, updated or destroyed under which change number of its scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from posthouse.store.database import Tx

Action = Literal["created", "updated", "destroyed"]


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of objects of one type since a state: each id is in at most one of the lists.

    Attributes:
        new_modseq: the state this answer leads to.
        has_more: it stops short of the present; ask again from `new_modseq`.
    """

    created: tuple[str, ...]
    updated: tuple[str, ...]
    destroyed: tuple[str, ...]
    new_modseq: int
    has_more: bool


async def record(tx: Tx, scope_id: str, modseq: int, at: int, entries: Sequence[tuple[str, str, Action]]) -> None:
    """Write entries (type, object id, action) under one change number; later ones of an object win."""
    await tx.many(
        """INSERT INTO change_log (scope_id, type, modseq, object_id, action, at)
           VALUES (:scope_id, :type, :modseq, :object_id, :action, :at)
           ON CONFLICT (scope_id, type, modseq, object_id) DO UPDATE SET action =
             CASE WHEN change_log.action = 'created' AND excluded.action = 'updated' THEN 'created'
                  ELSE excluded.action END""",
        [
            {"scope_id": scope_id, "type": kind, "modseq": modseq, "object_id": object_id, "action": action, "at": at}
            for kind, object_id, action in entries
        ],
    )


async def since(tx: Tx, scope_id: str, kind: str, modseq: int, current: int, limit: int) -> Changes | None:
    """What changed after `modseq`, up to `limit` objects; None when the log no longer reaches back so far.

    Source: RFC 8620 §5.2.
    """
    if modseq > current:
        return None
    cut = await tx.one("SELECT modseq FROM change_log_cut WHERE scope_id = :scope_id", scope_id=scope_id)
    if cut is not None and modseq < cut["modseq"]:
        return None
    rows = await tx.all(
        """SELECT modseq, object_id, action FROM change_log
           WHERE scope_id = :scope_id AND type = :type AND modseq > :modseq ORDER BY modseq, object_id""",
        scope_id=scope_id, type=kind, modseq=modseq,
    )  # fmt: skip
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    reached, has_more = current, False
    index = 0
    while index < len(rows):
        # A change number is taken whole or not at all: a state lies between numbers, never inside one.
        number = rows[index]["modseq"]
        group = []
        while index < len(rows) and rows[index]["modseq"] == number:
            group.append(rows[index])
            index += 1
        fresh = [row for row in group if row["object_id"] not in last]
        if last and len(last) + len(fresh) > limit:
            has_more = True
            break
        for row in group:
            first.setdefault(row["object_id"], row["action"])
            last[row["object_id"]] = row["action"]
        reached = number
    created, updated, destroyed = [], [], []
    for object_id, action in last.items():
        if first[object_id] == "created":
            if action != "destroyed":
                created.append(object_id)
        elif action == "destroyed":
            destroyed.append(object_id)
        else:
            updated.append(object_id)
    return Changes(tuple(created), tuple(updated), tuple(destroyed), reached if has_more else current, has_more)


async def created_after(tx: Tx, scope_id: str, kind: str, modseq: int, limit: int) -> tuple[list[str], int | None]:
    """Objects created after a change number, in order, and the number they reach to (None: to the present).

    About `limit` of them: a change number is never cut in two.
    """
    rows = await tx.all(
        """SELECT modseq, object_id FROM change_log WHERE scope_id = :scope_id AND type = :type
             AND modseq > :modseq AND action = 'created' AND modseq <= coalesce((
               SELECT modseq FROM change_log WHERE scope_id = :scope_id AND type = :type
                 AND modseq > :modseq AND action = 'created' ORDER BY modseq LIMIT 1 OFFSET :skipped),
               9223372036854775807)
           ORDER BY modseq, object_id""",
        scope_id=scope_id, type=kind, modseq=modseq, skipped=limit - 1,
    )  # fmt: skip
    return [row["object_id"] for row in rows], rows[-1]["modseq"] if len(rows) >= limit else None


async def next_organization_modseq(tx: Tx, organization_id: str) -> int | None:
    """Take the organisation's next change number; None when it is gone."""
    row = await tx.one(
        "UPDATE organization SET modseq = modseq + 1 WHERE id = :id RETURNING modseq", id=organization_id
    )
    return int(row["modseq"]) if row else None


async def prune(tx: Tx, before: int) -> int:
    """Forget changes older than `before`, remembering per scope how far back the log still reaches.

    Instants need not rise with the change numbers (a unit's is taken before its number), so an older number
    may be forgotten later: the mark never moves back for it.
    """
    await tx.run(
        """INSERT INTO change_log_cut (scope_id, modseq)
           SELECT scope_id, max(modseq) FROM change_log WHERE at < :before GROUP BY scope_id
           ON CONFLICT (scope_id) DO UPDATE SET modseq = excluded.modseq
             WHERE change_log_cut.modseq < excluded.modseq""",
        before=before,
    )
    return await tx.run("DELETE FROM change_log WHERE at < :before", before=before)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a scope's log: everything of `modseq`, or of it only the objects up to `object_id`."""

    modseq: int
    object_id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """As `Changes`, cut at a number of objects even inside one change number."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    destroyed: tuple[str, ...]
    position: Position
    has_more: bool


async def current(tx: Tx, scope_id: str, kinds: Sequence[str]) -> dict[str, int]:
    """The change number at which objects of each type last changed; where the log was cut, at least the cut."""
    cut = await tx.one("SELECT modseq FROM change_log_cut WHERE scope_id = :scope_id", scope_id=scope_id)
    least = int(cut["modseq"]) if cut else 0
    found = {}
    for kind in kinds:
        row = await tx.one(
            """SELECT modseq FROM change_log WHERE scope_id = :scope_id AND type = :type
               ORDER BY modseq DESC LIMIT 1""",
            scope_id=scope_id, type=kind,
        )  # fmt: skip
        found[kind] = max(least, int(row["modseq"]) if row else 0)
    return found


async def page(tx: Tx, scope_id: str, kind: str, since: Position, limit: int | None) -> Page | None:
    """What became of objects of a type after a position, of `limit` objects at most.

    None when the log does not reach back so far, or the position lies ahead of it.

    Source: RFC 8620 §5.2.
    """
    newest = (await current(tx, scope_id, [kind]))[kind]
    cut = await tx.one("SELECT modseq FROM change_log_cut WHERE scope_id = :scope_id", scope_id=scope_id)
    if since.modseq > newest or (cut is not None and since.modseq < cut["modseq"]):
        return None
    rows = await tx.all(
        """SELECT modseq, object_id, action FROM change_log
           WHERE scope_id = :scope_id AND type = :type AND modseq >= :modseq ORDER BY modseq, object_id""",
        scope_id=scope_id, type=kind, modseq=since.modseq,
    )  # fmt: skip
    first: dict[str, str] = {}
    last: dict[str, str] = {}
    position = Position(newest)
    has_more = False
    previous = since
    for row in rows:
        number, object_id = row["modseq"], row["object_id"]
        if number == since.modseq and (since.object_id is None or object_id <= since.object_id):
            continue
        if object_id not in last and limit is not None and len(last) >= limit:
            position, has_more = previous, True
            break
        first.setdefault(object_id, row["action"])
        last[object_id] = row["action"]
        previous = Position(number, object_id)
    created, updated, destroyed = [], [], []
    for object_id, action in last.items():
        if first[object_id] == "created":
            if action != "destroyed":
                created.append(object_id)
        elif action == "destroyed":
            destroyed.append(object_id)
        else:
            updated.append(object_id)
    return Page(tuple(created), tuple(updated), tuple(destroyed), position, has_more)


async def objects_since(tx: Tx, scope_id: str, kind: str, modseq: int) -> set[str]:
    """The objects of a type with an entry at or after a change number, as far back as the log reaches."""
    rows = await tx.all(
        """SELECT DISTINCT object_id FROM change_log
           WHERE scope_id = :scope_id AND type = :type AND modseq >= :modseq""",
        scope_id=scope_id, type=kind, modseq=modseq,
    )  # fmt: skip
    return {row["object_id"] for row in rows}
