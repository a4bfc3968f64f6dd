"""AgentMail's OpenAPI document: what the framework writes, completed with what it cannot know.

The framework does not know which parameters a path has, which errors an operation answers with, and headers.
"""

from __future__ import annotations

import re
from typing import Any

from posthouse.api.agentmail.errors import ERRORS, REASONS

_NAMED = re.compile(r"\{(\w+)\}")
_STATUSES = (400, 401, 403, 404, 409, 422, 429, 500, 503)
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "code", "message", "docs", "error"],
    "properties": {
        "name": {"type": "string"},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {
                    "path": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
                    "message": {"type": "string"},
                    "code": {"type": "string"},
                },
            },
        },
        "fix": {"type": "string"},
        "docs": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["type", "message", "details"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "object"},
            },
        },
    },
}


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the framework's document with the path's parameters and the errors added to every operation."""
    codes: dict[int, set[str]] = {500: {"internal_error"}}
    for row in (*ERRORS.values(), *REASONS.values()):
        codes.setdefault(row.status, set()).add(row.code)
    answers = {
        str(status): {
            "description": ", ".join(sorted(codes.get(status, {"validation_error"}))),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status in _STATUSES
    }
    answers["405"] = {**answers["404"], "description": "no such method here"}
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            parameters = [each for each in operation.get("parameters", ()) if each["in"] != "path"]
            parameters += [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
                for name in _NAMED.findall(path)
            ]
            operation["parameters"] = parameters
            kept = {status: each for status, each in operation["responses"].items() if status.startswith("2")}
            for each in kept.values():
                for content in each.get("content", {}).values():
                    _name_the_one(content)
            operation["responses"] = kept | answers
    document.setdefault("components", {}).setdefault("schemas", {})["Error"] = _ERROR
    return document


def _name_the_one(content: dict[str, Any]) -> None:
    """Where a response is one of ours or bytes for an old client, the description is ours. Of two of ours, it may be
    both: a whole message says all that a short one does.
    """
    schema = content.get("schema", {})
    named = [each for each in schema.get("oneOf", ()) if each]
    if len(named) == 1 and {} in schema["oneOf"]:
        content["schema"] = named[0]
    elif named:
        schema["anyOf"] = schema.pop("oneOf")
