"""The core's errors in AgentMail's words: one body that AgentMail's clients and its older documents both know."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, ValidationException

from posthouse.kit import log
from posthouse.kit.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Malformed,
    NotFound,
    OverQuota,
    PaymentRequired,
    PosthouseError,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)

_log = log.get("agentmail")
# The framework has a sentence for it and no class.
_HUNG_UP = "client disconnected prematurely"


class Row(NamedTuple):
    """How AgentMail tells one kind of error: the HTTP status, the code, and the class name its clients know."""

    status: int
    code: str
    name: str


# Total over `kit.errors.ALL`; a test fails when a class lacks a row.
ERRORS: dict[type[PosthouseError], Row] = {
    Malformed: Row(400, "validation_error", "ValidationError"),
    Invalid: Row(400, "validation_error", "ValidationError"),
    Unauthenticated: Row(401, "unauthorized", "UnauthorizedError"),
    PaymentRequired: Row(403, "limit_exceeded", "ForbiddenError"),
    Forbidden: Row(403, "forbidden", "ForbiddenError"),
    NotFound: Row(404, "not_found", "NotFoundError"),
    Conflict: Row(409, "conflict", "ConflictError"),
    Gone: Row(403, "forbidden", "ForbiddenError"),
    TooLarge: Row(400, "validation_error", "ValidationError"),
    OverQuota: Row(403, "limit_exceeded", "ForbiddenError"),
    TooMany: Row(429, "rate_limit_exceeded", "RateLimitError"),
    Unavailable: Row(503, "service_unavailable", "InternalServerError"),
}
# Where a finer word exists for what the core says in `reason`.
REASONS: dict[str, Row] = {
    "address_taken": Row(403, "resource_taken", "IsTakenError"),
    "missing_permission": Row(403, "missing_permission", "ForbiddenError"),
    "permission_escalation": Row(403, "permission_escalation", "ForbiddenError"),
    "domain_not_verified": Row(422, "unprocessable", "UnprocessableError"),
    "no_recipients": Row(422, "unprocessable", "UnprocessableError"),
    "suppressed": Row(403, "message_rejected", "MessageRejectedError"),
    "read_only": Row(403, "message_rejected", "MessageRejectedError"),
    "paused": Row(403, "inbox_paused", "MessageRejectedError"),
    "sender_not_allowed": Row(403, "message_rejected", "MessageRejectedError"),
    "attachment_url": Row(403, "message_rejected", "MessageRejectedError"),
    "list_blocked": Row(403, "message_rejected", "MessageRejectedError"),
    "unverified": Row(403, "message_rejected", "MessageRejectedError"),
    "unrestricted_key_required": Row(403, "unrestricted_key_required", "ForbiddenError"),
    "cannot_delete": Row(403, "cannot_delete", "ForbiddenError"),
    "domain_exists": Row(403, "already_exists", "IsTakenError"),
    "client_id_taken": Row(403, "already_exists", "IsTakenError"),
    "already_registered": Row(403, "already_exists", "IsTakenError"),
    "query_range_too_wide": Row(422, "query_range_too_wide", "UnprocessableError"),
    "too_many_messages": Row(422, "unprocessable", "UnprocessableError"),
    "changed_meanwhile": Row(409, "race_condition", "ConflictError"),
    "wrong_code": Row(401, "unauthorized", "UnauthorizedError"),
    "unknown_key": Row(401, "unknown_api_key", "UnauthorizedError"),
    "missing_authorization": Row(401, "missing_authorization", "UnauthorizedError"),
    "invalid_token_type": Row(401, "invalid_token_type", "UnauthorizedError"),
}
_INTERNAL = Row(500, "internal_error", "InternalServerError")
_FIXES = {
    "validation_error": "Correct the field and send the request again.",
    "missing_authorization": "Send the header 'Authorization: Bearer <API key>'.",
    "invalid_token_type": "Use a key whose surface is agentmail; it begins with am_.",
    "unknown_api_key": "Make a key with 'posthouse key create --surface agentmail'.",
    "missing_permission": "Use a key that has this permission.",
    "permission_escalation": "Name only permissions that the key you use has itself.",
    "unrestricted_key_required": "Name the permissions of the new key, or use a key that has all of them.",
    "query_range_too_wide": "Ask for a shorter range or a longer period.",
    "cannot_delete": "Delete what is in it first.",
    "race_condition": "Read it again and repeat the change.",
    "resource_taken": "Choose another name.",
    "rate_limit_exceeded": "Wait for the seconds that Retry-After names.",
    "conflict": "Do what still fits the state the message names; a new request needs a new idempotency key.",
    "service_unavailable": "Try again shortly.",
}


def body(row: Row, message: str, *, field: str | None = None, reason: str | None = None) -> dict[str, Any]:
    """The body of an error: at the top as the clients read it, and once more in `error` as older documents have it."""
    details: dict[str, Any] = {}
    if field is not None:
        details["field"] = field
    details["code"] = (reason or row.code).upper()
    answer: dict[str, Any] = {"name": row.name, "code": row.code, "message": message}
    if row.status == 400:
        path = [int(part) if part.isdigit() else part for part in field.split(".")] if field else []
        answer["errors"] = [{"path": path, "message": message, "code": details["code"].lower()}]
    if row.code in _FIXES:
        answer["fix"] = _FIXES[row.code]
    answer["docs"] = f"/docs/errors#{row.code}"
    answer["error"] = {"type": row.code, "message": message, "details": details}
    return answer


def row_of(error: PosthouseError) -> Row:
    """The row for an error of the core: that of the error's reason, else that of the error's class."""
    if error.reason in REASONS:
        return REASONS[error.reason]
    return next(ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS)


def response(row: Row, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response[bytes]:
    """The HTTP response that carries an error's body."""
    return Response(
        msgspec.json.encode(content), status_code=row.status, media_type="application/json", headers=headers or {}
    )


def on_core_error(_: Request[Any, Any, Any], error: PosthouseError) -> Response[bytes]:
    """The response to an error that the core raised."""
    row = row_of(error)
    headers = {}
    if error.temporary:
        headers["Retry-After"] = str(error.retry_after_s or 1)
    return response(row, body(row, error.message, field=error.field, reason=error.reason), headers)


def on_http_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The response to what the framework refused: a body that does not fit, an unknown path, a wrong method."""
    if isinstance(error, ValidationException):
        message, field = _validation(error)
        row = ERRORS[Invalid]
        return response(row, body(row, message, field=field))
    if error.status_code in (404, 405):
        row = ERRORS[NotFound]
        return response(row._replace(status=error.status_code), body(row, "there is nothing at this path"))
    if error.status_code == 413:
        row = ERRORS[TooLarge]
        return response(row, body(row, "the request body is too large", reason="too_large"))
    if 400 <= error.status_code < 500:
        row = ERRORS[Malformed]
        return response(row, body(row, "the request body is not readable JSON", reason="malformed"))
    if isinstance(error, InternalServerException) and error.detail == _HUNG_UP:
        # Nobody reads the answer, and nothing of ours went wrong: no traceback for each line that drops.
        row = ERRORS[Malformed]
        return response(row, body(row, "the request ended within its body", reason="malformed"))
    return on_any_error(_, error)


def _validation(error: ValidationException) -> tuple[str, str | None]:
    extra = error.extra
    first = extra[0] if isinstance(extra, list) and extra else {}
    if isinstance(first, dict) and first.get("message"):
        message = str(first["message"])
        # The decoder's path into the body, `data.to[0]` or `headers[...]`, as ours: `to.0` and `headers`.
        path = re.sub(r"\[(\d+)\]", r".\1", str(first.get("key", "")).replace("[...]", ""))
        path = path.removeprefix("data").removeprefix(".")
        missing = re.search(r"missing required field `([^`]+)`", message)
        if missing:
            path = f"{path}.{missing[1]}" if path else missing[1]
        return message, path or None
    return "the request does not fit what was expected", None


def on_unreadable(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The response to a body that the framework's JSON decoder could not read: no text, or nested too deep."""
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__", "").startswith("litestar.serialization"):
            row = ERRORS[Malformed]
            return response(row, body(row, "the request body is not readable JSON", reason="malformed"))
        frame = frame.tb_next
    return on_any_error(request, error)


def on_any_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The response to an error nobody expected: the log has the details, the caller learns only that there was one."""
    _log.error("request failed", method=request.method, path=request.url.path, exc_info=error)
    return response(_INTERNAL, body(_INTERNAL, "something went wrong here"))
