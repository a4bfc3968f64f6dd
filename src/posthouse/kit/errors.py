"""The one hierarchy of errors. Core raises, doors translate.

Every door's table (`api/<surface>/errors.py`, the SMTP replies) is total over `ALL`; a test fails when a
class added here lacks a row anywhere.
"""

from __future__ import annotations

from typing import ClassVar


class PosthouseError(Exception):
    """Something the caller can be told.

    Args:
        message: a sentence for the caller; never internal detail.
        field: the dotted path of the field at fault in the caller's own input, if one is.
        reason: a stable word finer than `code` that a door may give its own name, such as `address_taken`.
        retry_after_s: seconds after which a new try makes sense.
    """

    code: ClassVar[str] = "error"
    temporary: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        reason: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.reason = reason
        self.retry_after_s = retry_after_s


class Malformed(PosthouseError):
    """The input cannot be read at all: broken JSON, a message that is no message."""

    code = "malformed"


class Invalid(PosthouseError):
    """The input was read, and a value in it is not acceptable."""

    code = "invalid"


class Unauthenticated(PosthouseError):
    """No credential, or one that is unknown, expired or revoked."""

    code = "unauthenticated"


class PaymentRequired(PosthouseError):
    """The balance does not cover the call."""

    code = "payment_required"


class Forbidden(PosthouseError):
    """The credential is good and does not allow this; or policy refuses it."""

    code = "forbidden"


class NotFound(PosthouseError):
    """No such thing, or none the caller may see: the two are not told apart."""

    code = "not_found"


class Conflict(PosthouseError):
    """The state does not allow it: taken, exists already, running, changed meanwhile."""

    code = "conflict"


class Gone(PosthouseError):
    """It was there and has ended: an expired token or link."""

    code = "gone"


class TooLarge(PosthouseError):
    """Over a size limit that no retry changes."""

    code = "too_large"


class OverQuota(PosthouseError):
    """The account's storage or a count it may have is used up."""

    code = "over_quota"


class TooMany(PosthouseError):
    """Over a rate; `retry_after_s` says when the window opens again."""

    code = "too_many"
    temporary = True


class Unavailable(PosthouseError):
    """A part the call needs does not answer just now: disk full, database gone, shutting down."""

    code = "unavailable"
    temporary = True


ALL: tuple[type[PosthouseError], ...] = (
    Malformed, Invalid, Unauthenticated, PaymentRequired, Forbidden, NotFound,
    Conflict, Gone, TooLarge, OverQuota, TooMany, Unavailable,
)  # fmt: skip
