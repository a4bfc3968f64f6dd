"""Fields that restrict are built or refused, never passed over.

Who asks for a key that ends, a webhook that hears of one inbox, or a change only if nothing else changed, and is
answered as if they had not asked, believes in a limit that is not there. So a name of this table that an operation
does not take is a 400 naming it, in its body, its query and its headers. Other names nobody knows are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

import msgspec
from litestar import Request
from litestar.exceptions import SerializationException
from litestar.handlers import HTTPRouteHandler
from litestar.params import HeaderParameter, ParameterKwarg

from posthouse.kit.errors import Invalid

RESTRICTING = frozenset(
    {"status", "expires_at", "permissions", "public_key", "inbound_enabled", "enabled", "event_types", "inbox_ids",
     "pod_ids", "type", "path_prefix", "limit", "before", "after", "labels", "mode", "send_reply", "send_invites"}
)  # fmt: skip
_HEADERS = {b"if-match": "If-Match", b"idempotency-key": "Idempotency-Key"}
_CHANGING = frozenset({"POST", "PATCH", "PUT", "DELETE"})


async def check(request: Request[Any, Any, Any]) -> None:
    """Whether an operation takes all the restricting fields it was given.

    Raises:
        Invalid: it does not; the field is named.
    """
    handler = request.scope["route_handler"]
    if not isinstance(handler, HTTPRouteHandler):
        return
    taken = _taken(handler)
    if request.scope["query_string"]:
        _refuse(sorted((set(request.query_params) & RESTRICTING) - taken.query))
    if request.method not in _CHANGING:
        return
    for name, _ in request.scope["headers"]:
        known = _HEADERS.get(name)
        # Deleting twice is deleting once: a key for that promises nothing that is not so.
        if known is not None and known not in taken.headers and (known == "If-Match" or request.method != "DELETE"):
            _refuse([known])
    if not await request.body():
        return
    try:
        given: Any = await request.json()
    except (SerializationException, UnicodeDecodeError, RecursionError):
        return  # the handler's own decoder tells what is wrong with it
    if isinstance(given, dict):
        _refuse(sorted(name for name in RESTRICTING if name in given and name not in taken.body))


def _refuse(names: Iterable[str]) -> None:
    for name in names:
        raise Invalid("this operation has no such restriction, so it is refused rather than passed over", field=name)


class _Taken(msgspec.Struct, frozen=True):
    """The names that an operation takes."""

    body: frozenset[str]
    query: frozenset[str]
    headers: frozenset[str]


@cache
def _taken(handler: HTTPRouteHandler) -> _Taken:
    body: set[str] = set()
    query: set[str] = set()
    headers: set[str] = set()
    for name, parameter in handler.parsed_fn_signature.parameters.items():
        if name == "data":
            for kind in (parameter.annotation, *get_args(parameter.annotation)):
                if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                    body.update(field.encode_name for field in msgspec.structs.fields(kind))
            continue
        declared = parameter.kwarg_definition
        written = declared.name if isinstance(declared, ParameterKwarg) and declared.name else name
        (headers if isinstance(declared, HeaderParameter) else query).add(written)
    return _Taken(frozenset(body), frozenset(query), frozenset(headers))
