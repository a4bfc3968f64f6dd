"""What became of an account's things, read from the log that `journal` writes (RFC 8620 §5.2)."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.store import changes
from posthouse.store.changes import Page, Position
from posthouse.store.database import Tx


async def current(tx: Tx, account_id: str, kinds: Sequence[str]) -> dict[str, int]:
    """The change number at which things of each type last changed."""
    return await changes.current(tx, account_id, kinds)


async def page(tx: Tx, account_id: str, kind: str, since: Position, limit: int | None) -> Page | None:
    """What became of things of a type after a position, of `limit` things at most.

    None when the log does not reach back so far, or the position lies ahead of it.
    """
    return await changes.page(tx, account_id, kind, since, limit)


async def touched(tx: Tx, account_id: str, kind: str, modseq: int) -> set[str]:
    """The things of a type that changed at or after a change number, as far back as the log reaches."""
    return await changes.objects_since(tx, account_id, kind, modseq)
