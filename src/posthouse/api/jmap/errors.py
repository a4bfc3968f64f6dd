"""Errors in JMAP's words: of a request (problem details), of a method call, of one object; and Atomic Mail's E1."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

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

_URN = "urn:ietf:params:jmap:error:"


class MethodError(Exception):
    """A method call that is answered with an error (RFC 8620 §3.6.2)."""

    def __init__(self, type_: str, description: str | None = None, **details: Any) -> None:
        super().__init__(type_)
        self.body: dict[str, Any] = {"type": type_}
        if description:
            self.body["description"] = description
        self.body |= details


class SetError(Exception):
    """One object of a call that could not be made, changed or destroyed (RFC 8620 §5.3)."""

    def __init__(
        self, type_: str, description: str | None = None, properties: list[str] | None = None, **details: Any
    ) -> None:
        super().__init__(type_)
        self.body: dict[str, Any] = {"type": type_}
        if description:
            self.body["description"] = description
        if properties is not None:
            self.body["properties"] = properties
        self.body |= details


class RequestError(Exception):
    """A request that is not answered call by call (RFC 8620 §3.6.1)."""

    def __init__(self, type_: str, detail: str, *, status: int = 400, limit: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.body: dict[str, Any] = {"type": _URN + type_, "status": status, "detail": detail}
        if limit:
            self.body["limit"] = limit


class Row(NamedTuple):
    """How a core error is told: the HTTP status, the method error and the `SetError`."""

    status: int
    method: str
    set: str


# Total over `kit.errors.ALL`; a test fails when a class lacks a row.
ERRORS: dict[type[PosthouseError], Row] = {
    Malformed: Row(400, "invalidArguments", "invalidProperties"),
    Invalid: Row(400, "invalidArguments", "invalidProperties"),
    Unauthenticated: Row(401, "forbidden", "forbidden"),
    PaymentRequired: Row(402, "forbidden", "forbidden"),
    Forbidden: Row(403, "forbidden", "forbidden"),
    NotFound: Row(404, "notFound", "notFound"),
    Conflict: Row(409, "stateMismatch", "alreadyExists"),
    Gone: Row(401, "notFound", "notFound"),
    TooLarge: Row(413, "requestTooLarge", "tooLarge"),
    OverQuota: Row(413, "overQuota", "overQuota"),
    TooMany: Row(429, "rateLimit", "rateLimit"),
    Unavailable: Row(503, "serverUnavailable", "serverUnavailable"),
}
_HINTS = {
    "challenge_used": "Each challenge counts once. Get a new one with POST /api/v1/challenge and solve that.",
    "wrong_proof": "Get a new challenge; hash jti + ':' + nonce with the text of the salt, not its octets.",
    "token_expired": "Get a new token: POST /api/v1/capability with the session token, or log in again.",
    "invalid_token": "Send the token this path asks for in the header 'Authorization: Bearer <token>'.",
    "missing_authorization": "Send the header 'Authorization: Bearer <token>'.",
    "unknown_key": "Log in with the API key that signing up returned.",
    "address_taken": "Choose another username and solve a new challenge.",
    "local_part_reserved": "Choose another username.",
    "local_part_syntax": "Choose a username of 5 to 21 letters, digits, dots, hyphens or underscores.",
    "signup_closed": "Ask the operator of this server for an inbox and its key.",
}


def row_of(error: PosthouseError) -> Row:
    """The row of an error's class, or of its nearest ancestor's."""
    return next(ERRORS[kind] for kind in type(error).__mro__ if kind in ERRORS)


def method_error(error: PosthouseError) -> MethodError:
    """A core error as a method error."""
    return MethodError(row_of(error).method, error.message)


def set_error(error: PosthouseError, properties: list[str] | None = None) -> SetError:
    """A core error as a `SetError`; the field at fault is its property unless others are named."""
    row = row_of(error)
    named = properties if properties is not None else [error.field] if error.field else []
    return SetError(row.set, error.message, named if row.set == "invalidProperties" else None)


def e1(error: PosthouseError, docs_url: str = "/docs/errors") -> tuple[int, bytes]:
    """Status and body of Atomic Mail's own error shape."""
    hint = _HINTS.get(error.reason or "") or (
        f"Wait {error.retry_after_s} seconds." if error.retry_after_s else "See docs_url."
    )
    body = {"error": {"message": error.message, "hint": hint, "docs_url": docs_url}}
    # The path is there, and not for this method.
    status = 405 if error.reason == "method" else row_of(error).status
    return status, msgspec.json.encode(body)
