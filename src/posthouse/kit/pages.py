"""Pages of what is listed in the order of its creation: what is asked for, and what there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

# (instant, id) of the last item of the page before.
Position = tuple[int, str]
Item = TypeVar("Item")
Other = TypeVar("Other")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a listing, newest first unless `ascending`. `after` None is the first."""

    size: int
    after: Position | None = None
    ascending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page. `more` is where the next one begins, None after the last."""

    items: Sequence[Item]
    more: Position | None = None

    def map(self, shown: Callable[[Item], Other]) -> Page[Other]:
        """The same page of other words."""
        return Page([shown(item) for item in self.items], self.more)


def cut(found: Sequence[Item], size: int) -> Page[Item]:
    """A page out of one item more than it has.

    For what is listed by (created_at, id); a domain's id is its name.
    """
    if len(found) <= size:
        return Page(found)
    last: Any = found[size - 1]
    return Page(found[:size], (last.created_at, getattr(last, "id", None) or last.name))
