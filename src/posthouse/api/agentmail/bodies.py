"""Long bodies are read away from the loop, before the framework reads them on it; dense ones not at all."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request
from litestar.utils.scope.state import ScopeState

from posthouse.api.json_values import MAX_VALUES, UNCOUNTED_OCTETS, count_values
from posthouse.kit.aside import beside
from posthouse.kit.errors import TooLarge

_CHANGING = frozenset({"POST", "PATCH", "PUT", "DELETE"})


async def read(request: Request[Any, Any, Any]) -> None:
    """Have a long body as JSON when the framework asks for it.

    Raises:
        TooLarge: it has more than `MAX_VALUES` values.
    """
    if request.method not in _CHANGING:
        return
    body = await request.body()
    if len(body) <= UNCOUNTED_OCTETS:
        return
    try:
        value = await beside(_read, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return  # the framework tells what is wrong with it
    ScopeState.from_scope(request.scope).json = value


def _read(body: bytes) -> Any:
    if count_values(body) > MAX_VALUES:
        raise TooLarge(f"a request has at most {MAX_VALUES} values")
    return msgspec.json.decode(body)
