"""Windows: so many results from a position on, under a filter and an order, and how many there are in all.

For callers that turn to any page by its number (RFC 8621 §4.4). Whoever only goes on from where they were asks
`reading.page`, which mail that arrives meanwhile does not disturb. Both take the same filters (`store.filters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from posthouse.mail import history, indexing
from posthouse.mail.journal import EMAIL, THREAD
from posthouse.store import messages, sorting, walking
from posthouse.store.changes import Page, Position
from posthouse.store.database import Database, Tx
from posthouse.store.filters import TEXT_FIELDS, Comparator, Filter, Match

NEWEST_FIRST = (Comparator("receivedAt", is_ascending=False),)

# Orders that look at other messages, or at what changes of a message.
KEYWORD_SORTS = frozenset({"hasKeyword", "allInThreadHaveKeyword", "someInThreadHaveKeyword"})
# Orders that the text index keeps.
_INDEXED_SORTS = frozenset({"from", "subject"})
_WORDS = (*TEXT_FIELDS, "header")
THREAD_FIELDS = ("all_in_thread", "some_in_thread", "none_in_thread")
_CHANGING = (
    "in_mailbox", "in_mailbox_other_than", "roles", "without_roles", *THREAD_FIELDS, "has_keyword", "not_keyword",
    "keywords", "without_keywords", "directions", "delivery_states", "without_delivery_states",
)  # fmt: skip


class Query(NamedTuple):
    """What is asked for; with `collapse` only the first message of each thread."""

    filter: Filter | None = None
    sort: tuple[Comparator, ...] = NEWEST_FIRST
    collapse: bool = False

    def _asks(self, names: Sequence[str]) -> bool:
        return self.filter is not None and any(condition.asks(names) for condition in self.filter.leaves())

    @property
    def needs_index(self) -> bool:
        """Whether the text index is read."""
        return any(comparator.property in _INDEXED_SORTS for comparator in self.sort) or self._asks(TEXT_FIELDS)

    @property
    def is_calculable(self) -> bool:
        """Whether `changed` can answer: nothing looks at other messages, at words, or sorts by what changes."""
        if any(comparator.property in KEYWORD_SORTS for comparator in self.sort):
            return False
        return not self._asks((*_WORDS, *THREAD_FIELDS))

    @property
    def is_immutable(self) -> bool:
        """Whether neither filter nor sort looks at anything that can change of a message."""
        return self.is_calculable and not self._asks(_CHANGING)


async def catch_up(db: Database, account_id: str, query: Query) -> None:
    """A search finds what a reader can list: the index is brought up to date first."""
    if query.needs_index:
        await indexing.drain(db, account_id)


async def window(tx: Tx, account_id: str, query: Query, *, position: int, limit: int) -> tuple[int, list[str]]:
    """Where the window begins, and the ids in it, reading no more than it takes from the first result on.

    Args:
        position: counted from the first result, or from behind the last one when it is negative.
    """
    if position < 0 and query.collapse:
        found = await everything(tx, account_id, query)
        start = max(0, len(found) + position)
        return start, found[start : start + limit]
    if position < 0:
        position = max(0, position + await total(tx, account_id, query))
    first = await walking.first(tx, account_id, query.filter, query.sort, position + limit, collapse=query.collapse)
    return position, [match.id for match in first[position:]]


async def total(tx: Tx, account_id: str, query: Query) -> int:
    """How many results there are."""
    return await sorting.count(tx, account_id, query.filter, collapse=query.collapse)


async def everything(tx: Tx, account_id: str, query: Query) -> list[str]:
    """All results in order: each is looked at."""
    found = await sorting.ids(tx, account_id, query.filter, query.sort)
    return [match.id for match in (_collapsed(found) if query.collapse else found)]


def _collapsed(found: Sequence[Match]) -> list[Match]:
    seen: dict[str, Match] = {}
    for match in found:
        seen.setdefault(match.thread_id, match)
    return list(seen.values())


@dataclass(frozen=True, slots=True)
class Moved:
    """The results now, and what may have entered, left or moved in them since a position in the log.

    Attributes:
        log: what became of messages since then.
        older: those there were then, gone ones excepted, that may have entered, left or moved.
    """

    log: Page
    ids: list[str]
    older: set[str]


async def changed(tx: Tx, account_id: str, query: Query, since: Position) -> Moved | None:
    """What may have changed of the results (RFC 8620 §5.6); None when the log does not reach back so far."""
    log = await history.page(tx, account_id, EMAIL, since, None)
    if log is None:
        return None
    affected = {*log.created, *log.updated}
    if query.collapse:
        # Another message may now stand for its thread.
        threads = await history.touched(tx, account_id, THREAD, since.modseq)
        known = await messages.get_many(tx, account_id, sorted(affected))
        threads |= {message.thread_id for message in known.values()}
        members = await messages.thread_members(tx, account_id, sorted(threads))
        affected |= {id_ for ids in members.values() for id_ in ids}
    # What has been made since cannot have been among the results.
    return Moved(log, await everything(tx, account_id, query), affected - set(log.created))
