"""How much a filter may ask for, whatever it is about (RFC 8620 §5.5): measured before anything is made of it."""

from __future__ import annotations

from typing import Any

from posthouse.api.jmap.budget import CONDITIONS, MAX_CONDITIONS, MAX_FILTER_DEPTH
from posthouse.api.jmap.calls import Call, invalid
from posthouse.api.jmap.errors import MethodError

OPERATORS = ("AND", "OR", "NOT")
# A text that is looked for; its words are conditions as well.
_MAX_TEXT_CHARS = 2_000


def measure(call: Call, filter_: Any) -> int:
    """How many conditions a filter has; they are spent.

    Operators, the words of a text and the members of a list count like conditions: each costs as much.

    Raises:
        MethodError: `unsupportedFilter`: too many, too deep or too long; `invalidArguments`: not a filter.
        TooLarge: the request has used up its conditions.
    """
    total = 0
    waiting = [(filter_, 0)] if filter_ is not None else []
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, dict):
            raise invalid("filter", "expected an object")
        if depth > MAX_FILTER_DEPTH:
            raise MethodError("unsupportedFilter", f"a filter is at most {MAX_FILTER_DEPTH} operators deep")
        if "operator" in node:
            inner = node.get("conditions")
            # A misspelt member would be a condition that is passed over.
            if node["operator"] not in OPERATORS or not isinstance(inner, list) or len(node) > 2:
                raise invalid("filter", "an operator is AND, OR or NOT with a list of conditions")
            waiting += [(each, depth + 1) for each in inner]
            total += 1
        else:
            total += sum(map(_weight, node.values())) or 1
        if total + len(waiting) > MAX_CONDITIONS:
            raise MethodError("unsupportedFilter", f"a filter has at most {MAX_CONDITIONS} conditions and words")
    call.budget.spend(CONDITIONS, total)
    return total


def _weight(value: Any) -> int:
    if isinstance(value, str):
        if len(value) > _MAX_TEXT_CHARS:
            raise MethodError("unsupportedFilter", f"a condition's text has at most {_MAX_TEXT_CHARS} characters")
        # Some scripts have no blanks between words.
        return max(1, len(value.split()), len(value) // 40)
    if isinstance(value, list):
        return sum(_weight(each) for each in value[: MAX_CONDITIONS + 1]) or 1
    return 1
