"""What the endpoints share: page sizes and the parameters of listings."""

from __future__ import annotations

from typing import Annotated

from litestar.params import Parameter, QueryParameter

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

Limit = Annotated[int | None, Parameter(ge=1, le=MAX_LIMIT, description="Items in a page, at most 100.")]
PageToken = Annotated[
    str | None, QueryParameter(name="page_token", description="The next_page_token of the page before.")
]
FromTexts = Annotated[list[str] | None, QueryParameter(name="from", description="Each occurs in the sender.")]
Texts = Annotated[list[str] | None, Parameter(description="Repeated, joined by commas, or one JSON array.")]


def limit_of(given: int | None) -> int:
    """The page size that applies."""
    return DEFAULT_LIMIT if given is None else given
