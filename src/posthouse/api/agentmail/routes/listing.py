"""What the endpoints share: page sizes, the parameters of listings, which page is wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from litestar.params import Parameter, QueryParameter

from posthouse.api.agentmail.permissions import hidden_labels
from posthouse.api.agentmail.shapes.labels import filter_of
from posthouse.api.agentmail.shapes.values import instant
from posthouse.api.paging import read_page_token
from posthouse.api.request import list_of
from posthouse.kit.errors import Invalid
from posthouse.kit.pages import PageRequest, Position
from posthouse.kit.principal import Principal
from posthouse.store.filters import Condition, Filter, Operator
from posthouse.store.listing import Within

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
_MAX_QUERY = 1_000

Limit = Annotated[int | None, Parameter(ge=1, le=MAX_LIMIT, description="Items in a page, at most 100.")]
PageToken = Annotated[
    str | None, QueryParameter(name="page_token", description="The next_page_token of the page before.")
]
FromTexts = Annotated[list[str] | None, QueryParameter(name="from", description="Each occurs in the sender.")]
Texts = Annotated[list[str] | None, Parameter(description="Repeated, joined by commas, or one JSON array.")]
Query = Annotated[str, Parameter(description="Words that all occur; text between double quotes is a phrase.")]

INCLUDES = ("spam", "blocked", "unauthenticated", "trash")


def limit_of(given: int | None) -> int:
    """The page size that applies."""
    return DEFAULT_LIMIT if given is None else given


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing of messages or threads asks for.

    Attributes:
        filter_: the core's filter; None when nothing can match.
        within: when a message was received, or its thread moved last.
        marks: what a page token of it is bound to.
    """

    filter_: Filter | None
    within: Within
    marks: dict[str, Any]

    @property
    def of_messages(self) -> Filter | None:
        """The filter with the span of time as one of its conditions."""
        if self.filter_ is None or self.within == Within():
            return self.filter_
        return Operator("AND", (Condition(after=self.within.after, before=self.within.before), self.filter_))


def listing_of(
    principal: Principal,
    *,
    labels: list[str] | None,
    after: str | None,
    before: str | None,
    ascending: bool,
    shown: Sequence[bool],
    from_: tuple[str, list[str] | None],
    to: tuple[str, list[str] | None],
    subject: list[str] | None,
) -> Listing:
    """A listing out of its parameters.

    Args:
        shown: for each of `INCLUDES` whether it is wanted.
        from_, to: the parameter's name and its values.

    Raises:
        Invalid: a date or a list is none.
    """
    included = [name for name, flag in zip(INCLUDES, shown, strict=True) if flag]
    wanted = list_of(labels, "labels")
    texts = {"from_": list_of(from_[1], from_[0]), "to": list_of(to[1], to[0]), "subject": list_of(subject, "subject")}
    within = Within(**window(after, before))
    filter_ = filter_of(wanted, included=included, hidden=hidden_labels(principal), **texts)
    marks = {"ascending": ascending, "labels": wanted, "with": included, "after": after, "before": before, **texts}
    return Listing(filter_, within, marks)


def request_of(
    limit: int | None, token: str | None, marks: Mapping[str, Any], *, ascending: bool = False
) -> PageRequest:
    """Which page is wanted.

    Args:
        token: the page token given.
        marks: what makes this listing another than the rest; its tokens are bound to it.

    Raises:
        Invalid: no token of this listing.
    """
    return PageRequest(limit_of(limit), read_page_token(token, marks), ascending)


def query_of(text: str) -> str:
    """Words to search for.

    Raises:
        Invalid: none, or too many.
    """
    if not text.strip() or len(text) > _MAX_QUERY:
        raise Invalid(f"1 to {_MAX_QUERY} characters", field="q")
    return text


def window(after: str | None, before: str | None) -> dict[str, int | None]:
    """The two instants of a listing. Raises `Invalid`."""
    return {"after": instant(after, "after"), "before": instant(before, "before")}


def search_position(position: Position | None) -> tuple[int, int, str] | None:
    """A search's position out of a page token's: its tier is in front of the id.

    Raises:
        Invalid: no token of a search.
    """
    if position is None:
        return None
    tier, _, message_id = position[1].partition(".")
    if tier not in ("0", "1", "2") or not message_id:
        raise Invalid("the page token is not one of ours", field="page_token")
    return int(tier), position[0], message_id


def search_token(position: tuple[int, int, str] | None) -> Position | None:
    """The other way round."""
    return None if position is None else (position[1], f"{position[0]}.{position[2]}")
