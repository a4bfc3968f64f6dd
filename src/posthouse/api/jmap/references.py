"""Result references (RFC 8620 §3.7), and what Atomic Mail's callers do beyond them (D1 to D3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from posthouse.api.jmap.budget import REFERENCES, STEPS
from posthouse.api.jmap.calls import Json
from posthouse.api.jmap.errors import MethodError
from posthouse.kit.budget import Budget

_KEYS = frozenset({"resultOf", "name", "path"})
_MAX_DEPTH = 64
_MAX_PATH_CHARS = 1_024
Responses = list[tuple[str, Json, str]]


def resolve(args: Json, responses: Responses, budget: Budget) -> Json:
    """The arguments with every reference replaced by what it points to.

    Raises:
        MethodError: `invalidResultReference`, or `invalidArguments` when a name is given with and without `#`.
        TooLarge: the references look at too much, or give too much: an answer that refers to itself doubles.
    """
    resolved = _value(args, _Known(responses, budget), 0)
    assert isinstance(resolved, dict)
    return resolved


def refers(value: Any, call_id: str) -> bool:
    """Whether a reference to the responses of a call stands anywhere in a value."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get("resultOf") == call_id:
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


class _Known(NamedTuple):
    responses: Responses
    budget: Budget


def _value(value: Any, known: _Known, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise MethodError("invalidArguments", "the arguments are nested too deeply")
    if isinstance(value, dict):
        # D1: a reference stands where a string should, without `#` before the name.
        if depth and value.keys() == _KEYS and all(isinstance(each, str) for each in value.values()):
            return _lookup(value, known)
        out: Json = {}
        for name, inner in value.items():
            # RFC 8620 §3.7 has references at the top only; D2: at any depth. A creation id before a whole
            # object (`update: {"#id": {…}}`) has other keys than a reference.
            if name.startswith("#") and (not depth or (isinstance(inner, dict) and inner.keys() == _KEYS)):
                plain = name[1:]
                if plain in value:
                    raise MethodError("invalidArguments", f"both {plain} and {name} are given")
                if not isinstance(inner, dict) or inner.keys() != _KEYS:
                    raise MethodError("invalidResultReference", f"{name} is no reference")
                out[plain] = _lookup(inner, known)
            else:
                out[name] = _value(inner, known, depth + 1)
        return out
    if isinstance(value, list):
        return [_value(each, known, depth + 1) for each in value]
    return value


def _lookup(reference: Json, known: _Known) -> Any:
    result_of, name, path = reference["resultOf"], reference["name"], reference["path"]
    if not (isinstance(result_of, str) and isinstance(name, str) and isinstance(path, str)):
        raise MethodError("invalidResultReference", "a reference consists of three strings")
    if len(path) > _MAX_PATH_CHARS:
        raise MethodError("invalidResultReference", f"a path has at most {_MAX_PATH_CHARS} characters")
    # The first response with that id counts (RFC 8620 §3.7).
    found = next(((kind, body) for kind, body, call_id in known.responses if call_id == result_of), None)
    if found is None or found[0] != name:
        raise MethodError("invalidResultReference", f"there is no response {result_of!r} of {name}")
    result = pointer(found[1], path, known.budget)
    if result is None and path.endswith("/replyTo"):
        # D3: whoever is to be answered at Reply-To is, without one, answered at From (RFC 5322 §3.6.2).
        result = pointer(found[1], path.removesuffix("replyTo") + "from", known.budget)
    known.budget.spend(REFERENCES, _octets(result))
    return result


def _octets(value: Any) -> int:
    """How long a value is, before anything is made of it."""
    if isinstance(value, str):
        return len(value)
    # What an answer has in it has been paid for there, and is not longer than that.
    return len(msgspec.json.encode(value))


def pointer(value: Any, path: str, budget: Budget) -> Any:
    """What a JSON pointer (RFC 6901) with `*` for all of a list (RFC 8620 §3.7) points to.

    Raises:
        MethodError: `invalidResultReference`: it points to nothing.
        TooLarge: too many values lie on the way.
    """
    if path == "":
        return value
    if not path.startswith("/"):
        raise MethodError("invalidResultReference", "a path begins with a slash")
    step, slash, rest = path[1:].partition("/")
    rest = slash + rest
    if isinstance(value, list):
        if step == "*":
            budget.spend(STEPS, len(value))
            found: list[Any] = []
            for each in value:
                inner = pointer(each, rest, budget)
                if isinstance(inner, list):
                    found.extend(inner)
                else:
                    found.append(inner)
            return found
        if not (step.isascii() and step.isdecimal()) or (step != "0" and step[0] == "0"):
            raise MethodError("invalidResultReference", f"{step!r} is no place in a list")
        if len(step) > 9 or int(step) >= len(value):
            raise MethodError("invalidResultReference", f"the list ends before {step}")
        return pointer(value[int(step)], rest, budget)
    key = step.replace("~1", "/").replace("~0", "~")
    if not isinstance(value, dict) or key not in value:
        raise MethodError("invalidResultReference", f"there is no {key!r}")
    return pointer(value[key], rest, budget)
