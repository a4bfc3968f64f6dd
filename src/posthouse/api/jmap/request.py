"""Answering a request: its calls one after the other, each seeing what those before it did (RFC 8620 §3.3–3.7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from posthouse.api.jmap import calls, references
from posthouse.api.jmap.calls import Answer, Call, Caller, Json
from posthouse.api.jmap.errors import MethodError, RequestError, method_error
from posthouse.api.kit import Services
from posthouse.kit import log
from posthouse.kit.errors import PosthouseError

_log = log.get("jmap")

Handler = Callable[[Call], Awaitable[Answer]]


class Method(NamedTuple):
    """What answers a method, the capability it belongs to, and whether it is about an account."""

    handler: Handler
    capability: str
    of_account: bool = True


def decode(body: bytes) -> Json:
    """A request out of bytes.

    Raises:
        RequestError: `notJSON`, `notRequest`.
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError("notJSON", "the request is not I-JSON") from error
    return check(value)


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
) -> Json:
    """The Response object.

    Raises:
        RequestError: `unknownCapability`.
    """
    using = frozenset(request["using"])
    unknown = sorted(using - capabilities)
    if unknown:
        raise RequestError("unknownCapability", f"this server does not know {unknown[0]}")
    created_ids: dict[str, str] = dict(request.get("createdIds") or {})
    responses: references.Responses = []
    for name, args, call_id in request["methodCalls"]:
        call = Call(services, caller, name, {}, using, created_ids=created_ids)
        responses.extend((kind, body, call_id) for kind, body in await _one(call, args, responses, methods))
    whole: Json = {"methodResponses": responses, "sessionState": session_state}
    if request.get("createdIds") is not None:
        whole["createdIds"] = created_ids
    return whole


async def _one(call: Call, args: Json, responses: references.Responses, methods: Mapping[str, Method]) -> Answer:
    try:
        method = methods.get(call.method)
        if method is None or method.capability not in call.using:
            raise MethodError("unknownMethod")
        call.args = references.resolve(args, responses)
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
