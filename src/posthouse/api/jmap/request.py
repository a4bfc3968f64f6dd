"""Answering a request: its calls one after the other, each seeing what those before it did (RFC 8620 §3.3–3.7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from posthouse.api.jmap import budget as budgets
from posthouse.api.jmap import calls, json_pieces, references
from posthouse.api.jmap.budget import ANSWERS
from posthouse.api.jmap.calls import Answer, Call, Caller, Json
from posthouse.api.jmap.errors import MethodError, RequestError, method_error
from posthouse.api.jmap.turns import Work
from posthouse.api.services import Services
from posthouse.kit import log
from posthouse.kit.errors import PosthouseError, TooLarge

_log = log.get("jmap")

Handler = Callable[[Call], Awaitable[Answer]]


# An answer of more than this is written piece by piece, and is not kept when no later call refers to it.
_LONG_OCTETS = 262_144


class Method(NamedTuple):
    """What answers a method.

    Attributes:
        of_account: whether it is about an account.
        changes: the arguments of a method that changes something. One it does not know may have been meant to hold
            it back, so it is refused; methods that only read pass it over. None: it only reads.
    """

    handler: Handler
    capability: str
    of_account: bool = True
    changes: frozenset[str] | None = None


class Reply(NamedTuple):
    """A Response object, its method responses as JSON already."""

    responses: list[list[bytes]]
    rest: Json

    def pieces(self, more: Json | None = None) -> list[bytes]:
        """The whole as JSON text, with `more` members before the others."""
        out = [msgspec.json.encode(more)[:-1] + b"," if more else b"{", b'"methodResponses":[']
        for index, pieces in enumerate(self.responses):
            out += [b",", *pieces] if index else pieces
        return [*out, b"],", msgspec.json.encode(self.rest)[1:]]


def check(value: Any) -> Json:
    """Whether a value is a Request object (RFC 8620 §3.3).

    Raises:
        RequestError: `notRequest`, `limit`.
    """
    if not isinstance(value, dict):
        raise RequestError("notRequest", "a request is an object")
    using, method_calls = value.get("using"), value.get("methodCalls")
    if not isinstance(using, list) or not all(isinstance(each, str) for each in using):
        raise RequestError("notRequest", "using is a list of strings")
    if not isinstance(method_calls, list):
        raise RequestError("notRequest", "methodCalls is a list")
    for each in method_calls:
        if not (
            isinstance(each, list)
            and len(each) == 3
            and isinstance(each[0], str)
            and isinstance(each[1], dict)
            and isinstance(each[2], str)
        ):
            raise RequestError("notRequest", "a method call is [name, arguments, call id]")
    created = value.get("createdIds")
    if created is not None and not (
        isinstance(created, dict) and all(isinstance(each, str) for each in created.values())
    ):
        raise RequestError("notRequest", "createdIds is a map of ids")
    if created is not None and len(created) > calls.MAX_CREATED_IDS:
        raise RequestError("limit", "too many created ids", limit="maxCreatedIds")
    if len(method_calls) > calls.MAX_CALLS_IN_REQUEST:
        raise RequestError("limit", "too many method calls", limit="maxCallsInRequest")
    return value


async def answer(
    services: Services,
    caller: Caller,
    request: Json,
    methods: Mapping[str, Method],
    capabilities: frozenset[str],
    session_state: str,
    aside: Work,
    size_bytes: int,
) -> Reply:
    """The Response object.

    Args:
        size_bytes: how long the request was.

    Raises:
        RequestError: `unknownCapability`.
    """
    using = frozenset(request["using"])
    unknown = sorted(using - capabilities)
    if unknown:
        raise RequestError("unknownCapability", f"this server does not know {unknown[0]}")
    created_ids: dict[str, str] = dict(request.get("createdIds") or {})
    budget = budgets.new()
    responses: references.Responses = []
    written: list[list[bytes]] = []
    asked = request["methodCalls"]
    for index, (name, args, call_id) in enumerate(asked):
        call = Call(services, caller, name, {}, using, created_ids=created_ids, budget=budget)
        before = budget.left(ANSWERS)
        answers = await _one(call, args, responses, methods, size_bytes)
        spent = before - budget.left(ANSWERS)
        is_kept = spent <= _LONG_OCTETS or any(references.refers(each[1], call_id) for each in asked[index + 1 :])
        changed = (method := methods.get(name)) is not None and method.changes is not None
        for kind, body in answers:
            kind, body, pieces = await _written(call, kind, body, call_id, spent, changed=changed)
            spent = max(0, spent - sum(map(len, pieces)))
            written.append(pieces)
            responses.append((kind, body if is_kept else {}, call_id))
        del answers
    rest: Json = {"sessionState": session_state}
    if request.get("createdIds") is not None:
        rest["createdIds"] = created_ids
    return Reply(written, rest)


async def _written(
    call: Call, kind: str, body: Json, call_id: str, spent: int, *, changed: bool
) -> tuple[str, Json, list[bytes]]:
    """A method's response as JSON; what its method has not spent for it is spent now.

    What has been changed is told in any case; another response that is too long becomes an error.
    """

    def write() -> list[bytes]:
        tail = b"," + msgspec.json.encode(call_id) + b"]"
        head = b"[" + msgspec.json.encode(kind) + b","
        if spent <= _LONG_OCTETS:
            return [head + msgspec.json.encode(body) + tail]
        pieces, size = [head], 0
        for piece in json_pieces.pieces(body):
            size += len(piece)
            # Never longer in memory than what it may be.
            call.budget.check(ANSWERS, size - spent)
            pieces.append(piece)
        return [*_joined(pieces), tail]

    try:
        pieces = await call.aside.run(spent, write, above=_LONG_OCTETS)
        more = sum(map(len, pieces)) - spent
        if changed:
            budgets.spend_rest(call.budget, ANSWERS, max(0, more))
        else:
            call.budget.spend(ANSWERS, max(0, more))
    except TooLarge as error:
        kind, body = "error", method_error(error).body
        return kind, body, [msgspec.json.encode([kind, body, call_id])]
    return kind, body, pieces


def _joined(pieces: Sequence[bytes]) -> list[bytes]:
    """The same in pieces of some size."""
    out: list[bytes] = []
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _LONG_OCTETS:
            out.append(b"".join(waiting))
            waiting, size = [], 0
    return [*out, b"".join(waiting)]


async def _one(
    call: Call, args: Json, responses: references.Responses, methods: Mapping[str, Method], size_bytes: int
) -> Answer:
    try:
        method = methods.get(call.method)
        if method is None or method.capability not in call.using:
            raise MethodError("unknownMethod")
        call.args = await call.aside.run(size_bytes, references.resolve, args, responses, call.budget)
        if method.changes is not None:
            _check_arguments(call, method.changes)
        if method.of_account:
            call.account_id = _account(call)
        return await method.handler(call)
    except MethodError as error:
        return [("error", error.body)]
    except PosthouseError as error:
        return [("error", method_error(error).body)]
    except Exception:  # one call that fails here does not take the others with it
        _log.error("a method failed", method=call.method, account_id=call.account_id, exc_info=True)
        return [("error", MethodError("serverFail", "something went wrong here").body)]


def _check_arguments(call: Call, known: frozenset[str]) -> None:
    unknown = sorted(call.args.keys() - known - {"accountId"})
    if unknown:
        raise calls.invalid(unknown[0], f"{call.method} has no such argument")


def _account(call: Call) -> str:
    named = call.args.get("accountId")
    if named is None:
        # D8: a token stands for an account; clients that log in with a name and a key are held to RFC 8620 §5.1.
        if call.caller.needs_account_id:
            raise calls.invalid("accountId", "it is required")
        return call.caller.account_id
    if not isinstance(named, str):
        raise calls.invalid("accountId", "expected an id")
    found = call.caller.find(named)
    if found is None:
        raise MethodError("accountNotFound")
    return found
