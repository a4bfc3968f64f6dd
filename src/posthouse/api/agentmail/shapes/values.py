"""Ids, times and addresses as AgentMail writes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from posthouse.kit.clock import iso, parse_iso
from posthouse.kit.errors import Invalid, NotFound
from posthouse.mail import people as names
from posthouse.store.messages import Person
from posthouse.wire.address import Address

MESSAGE_PREFIX, THREAD_PREFIX, WEBHOOK_PREFIX, EVENT_PREFIX = "msg_", "thd_", "wh_", "evt_"
ATTACHMENT_PREFIX, DRAFT_PREFIX, KEY_PREFIX, DELIVERY_PREFIX = "att_", "drf_", "key_", "whd_"
_MAX_ID = 200

# An instant as AgentMail writes it.
time = iso

# What a field of addresses takes: one, or several.
Addresses = str | list[str]


def instant(text: str | None, field: str) -> int | None:
    """An instant out of a query value.

    Raises:
        Invalid: not an ISO 8601 date.
    """
    if not text:
        return None
    try:
        at = parse_iso(text)
    except ValueError as error:
        raise Invalid("expected an ISO 8601 date such as 2026-02-01T10:00:00Z", field=field) from error
    if not -(2**53) < at < 2**53:
        raise Invalid("the date is out of range", field=field)
    return at


def core_id(text: str, prefix: str, what: str) -> str:
    """Our id behind a prefixed one.

    Raises:
        NotFound: not an id of that kind; to the caller an id that cannot exist is one that does not.
    """
    if not text.startswith(prefix) or len(text) > _MAX_ID or not text.isascii() or not text.isprintable():
        raise NotFound(f"there is no such {what}", field=f"{what}_id")
    return text.removeprefix(prefix)


def instant_of(moment: datetime | None, field: str) -> int | None:
    """An instant out of a body's date; one without a zone is taken as UTC.

    Raises:
        Invalid: out of range.
    """
    if moment is None:
        return None
    try:
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (OverflowError, ValueError) as error:
        raise Invalid("the date is out of range", field=field) from error


def people(persons: Sequence[Person]) -> list[str]:
    """Addresses as texts: `local@domain` or `Name <local@domain>`."""
    return [person(each) for each in persons]


person = names.text


# More than any message goes to; each of them takes some work to read.
_MAX_ADDRESSES = 1_000


def read_addresses(value: Addresses | None, field: str) -> tuple[Address, ...]:
    """Addresses a caller gave, one or several.

    Raises:
        Invalid: one of them is no address; the field names which.
    """
    if value is None:
        return ()
    if isinstance(value, str):
        return (_read(value, field),) if value.strip() else ()
    if len(value) > _MAX_ADDRESSES:
        raise Invalid(f"at most {_MAX_ADDRESSES} addresses", field=field)
    return tuple(_read(text, f"{field}.{index}") for index, text in enumerate(value))


def _read(text: str, field: str) -> Address:
    try:
        return names.read(text)
    except Invalid as error:
        raise Invalid(error.message, field=field, reason="invalid_email") from error
