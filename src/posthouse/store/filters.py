"""What can be asked of an account's mail: conditions, how they are joined, and orders; one vocabulary for all reading.

A surface translates its own filter into these words. Four modules answer them: `listing` gives pages by keyset,
`walking` the first of all results, `sorting` all of them in order, `search` the ranked hits of words. The conditions
become SQL in `filter_sql`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Condition:
    """All that is given must hold; a part that is as it is by default asks for nothing.

    Attributes:
        in_mailbox_other_than: it lies in a mailbox that is none of these.
        roles: it lies in a mailbox of each of these roles (`Message.roles`); `without_roles`: in none of these.
        before, after: `after` ≤ received_at < `before`.
        min_size, max_size: `min_size` ≤ octets < `max_size`.
        has_keyword, not_keyword: in whatever case (RFC 8621 §4.1.1); so are those of its thread.
        keywords: it has all of these, spelled so; `without_keywords`: none of these.
        directions: it has one of these (`Message.direction`).
        delivery_states: it is in one of these; `without_delivery_states`: in none of these.
        text, subject, body, from_, to, cc, bcc: words to find, those of the last four in the names and addresses of
            that field. The text index has to have caught up (`mail.indexing`).
        header: a field's name and perhaps a text its value contains.
        from_contains, to_contains (to, cc and bcc), subject_contains: each text occurs, ASCII letters in either case.
    """

    in_mailbox: str | None = None
    in_mailbox_other_than: tuple[str, ...] | None = None
    roles: tuple[str, ...] = ()
    without_roles: tuple[str, ...] = ()
    before: int | None = None
    after: int | None = None
    min_size: int | None = None
    max_size: int | None = None
    all_in_thread: str | None = None
    some_in_thread: str | None = None
    none_in_thread: str | None = None
    has_keyword: str | None = None
    not_keyword: str | None = None
    keywords: tuple[str, ...] = ()
    without_keywords: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    delivery_states: tuple[str, ...] = ()
    without_delivery_states: tuple[str, ...] = ()
    has_attachment: bool | None = None
    text: str | None = None
    from_: str | None = None
    to: str | None = None
    cc: str | None = None
    bcc: str | None = None
    subject: str | None = None
    body: str | None = None
    header: tuple[str, ...] | None = None
    from_contains: tuple[str, ...] = ()
    to_contains: tuple[str, ...] = ()
    subject_contains: tuple[str, ...] = ()

    def leaves(self) -> Iterator[Condition]:
        """Itself."""
        yield self

    def without(self, *names: str) -> Condition:
        """The condition without some of its parts, each of which is None where it asks for nothing."""
        nothing: dict[str, Any] = dict.fromkeys(names)
        return replace(self, **nothing)

    def asks(self, names: Collection[str]) -> int:
        """How many of these parts it has."""
        found = 0
        for name in names:
            if getattr(self, name) != _DEFAULTS[name]:
                found += 1
        return found


_DEFAULTS = {each.name: each.default for each in fields(Condition)}


@dataclass(frozen=True, slots=True)
class Operator:
    """`NOT` holds when none of its conditions does."""

    operator: Literal["AND", "OR", "NOT"]
    conditions: tuple[Filter, ...]

    def leaves(self) -> Iterator[Condition]:
        """All conditions below it, wherever they stand."""
        for each in self.conditions:
            yield from each.leaves()


Filter = Condition | Operator

# The parts of a condition that are words to find, and the field of the index that each looks into.
TEXTS = (("text", None), ("subject", "subject"), ("body", "body"), ("from_", "from"), ("to", "to"), ("cc", "cc"),
         ("bcc", "bcc"))  # fmt: skip
TEXT_FIELDS = tuple(name for name, _ in TEXTS)


class Comparator(NamedTuple):
    """One step of an order. `property` is a word of RFC 8621 §4.4.2."""

    property: str
    is_ascending: bool = True
    keyword: str = ""
    fold: Callable[[str], str] = str.casefold


class Match(NamedTuple):
    """A message found."""

    id: str
    thread_id: str
