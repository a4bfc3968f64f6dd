"""Header fields as properties, in every form (RFC 8621 §4.1.2–4.1.3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from posthouse.kit.clock import iso_in_zone
from posthouse.store.messages import Person
from posthouse.wire.address import Address, parse_address_list
from posthouse.wire.address_groups import parse_groups
from posthouse.wire.dates import read_date
from posthouse.wire.headers import Headers, decode_text, parse_message_ids, unfold

_NAME = re.compile(r"[!-9;-~]+")
_URL = re.compile(r"<([^<>]*)>")


class HeaderProperty(NamedTuple):
    """`header:Name:asForm:all`, read."""

    name: str
    form: str
    every: bool


# What each form is for (RFC 8621 §4.1.2); a field of neither RFC 5322 nor RFC 2369 may have any.
_ADDRESS_FIELDS = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-reply-to", "resent-to",
     "resent-cc", "resent-bcc"}
)  # fmt: skip
_ID_FIELDS = frozenset({"message-id", "in-reply-to", "references", "resent-message-id"})
_DATE_FIELDS = frozenset({"date", "resent-date"})
_TEXT_FIELDS = frozenset({"subject", "comments", "keywords", "list-id"})
_URL_FIELDS = frozenset({"list-help", "list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive"})
_OTHER_DEFINED = frozenset({"return-path", "received"})
_DEFINED = _ADDRESS_FIELDS | _ID_FIELDS | _DATE_FIELDS | _TEXT_FIELDS | _URL_FIELDS | _OTHER_DEFINED
_FIELDS_OF = {
    "asText": _TEXT_FIELDS,
    "asAddresses": _ADDRESS_FIELDS,
    "asGroupedAddresses": _ADDRESS_FIELDS,
    "asMessageIds": _ID_FIELDS,
    "asDate": _DATE_FIELDS,
    "asURLs": _URL_FIELDS,
}

# The properties that stand for a header field (RFC 8621 §4.1.3).
CONVENIENCE = {
    "messageId": HeaderProperty("message-id", "asMessageIds", False),
    "inReplyTo": HeaderProperty("in-reply-to", "asMessageIds", False),
    "references": HeaderProperty("references", "asMessageIds", False),
    "sender": HeaderProperty("sender", "asAddresses", False),
    "from": HeaderProperty("from", "asAddresses", False),
    "to": HeaderProperty("to", "asAddresses", False),
    "cc": HeaderProperty("cc", "asAddresses", False),
    "bcc": HeaderProperty("bcc", "asAddresses", False),
    "replyTo": HeaderProperty("reply-to", "asAddresses", False),
    "subject": HeaderProperty("subject", "asText", False),
    "sentAt": HeaderProperty("date", "asDate", False),
}


def read_property(name: str) -> HeaderProperty | None:
    """A `header:…` property; None when it is none, or in a form its field does not have."""
    steps = name.split(":")
    if len(steps) < 2 or steps[0] != "header" or not _NAME.fullmatch(steps[1]):
        return None
    every = len(steps) > 2 and steps[-1] == "all"
    forms = steps[2 : -1 if every else None]
    if len(forms) > 1:
        return None
    form = forms[0] if forms else "asRaw"
    field = steps[1].lower()
    if form != "asRaw":
        allowed = _FIELDS_OF.get(form)
        if allowed is None or (field in _DEFINED and field not in allowed):
            return None
    return HeaderProperty(field, form, every)


def is_property(name: str) -> bool:
    """Whether a name is a `header:…` property."""
    return read_property(name) is not None


def person(address: Address | Person) -> dict[str, str | None]:
    """An `EmailAddress`."""
    return {"name": address.name or None, "email": address.email}


def _dates(value: str) -> str | None:
    moment = read_date(value)
    return None if moment is None else iso_in_zone(*moment)


_READ: dict[str, Callable[[str], Any]] = {
    "asRaw": lambda value: value,
    "asText": decode_text,
    "asAddresses": lambda value: [person(each) for each in parse_address_list(unfold(value))],
    "asGroupedAddresses": lambda value: [
        {"name": name, "addresses": [person(each) for each in addresses]} for name, addresses in parse_groups(value)
    ],
    "asMessageIds": lambda value: list(parse_message_ids(value)) or None,
    "asDate": _dates,
    "asURLs": lambda value: [url.strip() for url in _URL.findall(unfold(value))] or None,
}


def value_of(headers: Headers | Sequence[tuple[str, str]], wanted: HeaderProperty) -> Any:
    """The value of a property: of the last field with that name, or of all; null and [] when there is none."""
    values = [value for name, value in headers if name.lower() == wanted.name]
    read = _READ[wanted.form]
    if wanted.every:
        return [read(value) for value in values]
    return read(values[-1]) if values else None


def listed(headers: Headers | Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    """The `headers` property."""
    return [{"name": name, "value": value} for name, value in headers]
