"""Email/get: the properties of stored messages (RFC 8621 §4.2).

What lists show is read from the message's row alone; headers and structure from its body's row, and the bytes
only when the text of parts is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from posthouse.api.jmap import blobs, states
from posthouse.api.jmap.budget import ANSWERS, BLOBS, HEADERS
from posthouse.api.jmap.calls import Call, Json
from posthouse.api.jmap.email import bodies
from posthouse.api.jmap.email import headers as header_forms
from posthouse.api.jmap.email.keywords import shown_keywords
from posthouse.api.jmap.errors import MethodError
from posthouse.kit.budget import Budget
from posthouse.kit.clock import iso, iso_in_zone
from posthouse.mail import fields
from posthouse.mail.fields import Snapshot
from posthouse.mail.journal import EMAIL
from posthouse.store.database import Row, Tx
from posthouse.store.messages import Parts, Person, StoredAttachment

DEFAULTS = (
    "id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId", "inReplyTo", "references",
    "sender", "from", "to", "cc", "bcc", "replyTo", "subject", "sentAt", "hasAttachment", "preview", "bodyValues",
    "textBody", "htmlBody", "attachments",
)  # fmt: skip
PROPERTIES = frozenset((*DEFAULTS, "headers", "bodyStructure"))

# Columns as long as a stranger likes.
_LONG = frozenset({"from_list", "to_list", "cc_list", "bcc_list", "reply_to_list", "refs", "in_reply_to", "subject"})
# Bodies are read for so many messages at once.
_TOGETHER = 50
_INLINE_OCTETS = 65_536

_people = msgspec.json.Decoder(list[Person])
_strings = msgspec.json.Decoder(list[str])
_attachments = msgspec.json.Decoder(list[StoredAttachment])


# The rows of a list say the same few things again and again: each is read once. What is given is never changed.
_remembered = lru_cache(4_096)


@_remembered
def _persons(text: str) -> list[Json] | None:
    return None if text == "[]" else [{"name": name or None, "email": email} for name, email in _people.decode(text)]


@_remembered
def _keywords(text: str) -> Json:
    return dict.fromkeys(shown_keywords(_strings.decode(text)), True)


def _ids(text: str) -> list[str] | None:
    return None if text == "[]" else _strings.decode(text)


def utc(at: int) -> str:
    """A `UTCDate`."""
    return iso(at)[:-5] + "Z"


# Property → the column it comes from, and how; None: as it is.
_COLUMNS: dict[str, tuple[str, Callable[[Any], Any] | None]] = {
    "blobId": ("blob_hash", blobs.whole),
    "threadId": ("thread_id", None),
    "keywords": ("keywords", _keywords),
    "size": ("size_bytes", None),
    "receivedAt": ("received_at", utc),
    "messageId": ("header_message_id", lambda value: [value] if value else None),
    "inReplyTo": ("in_reply_to", _ids),
    "references": ("refs", _ids),
    "from": ("from_list", _persons),
    "to": ("to_list", _persons),
    "cc": ("cc_list", _persons),
    "bcc": ("bcc_list", _persons),
    "replyTo": ("reply_to_list", _persons),
    "subject": ("subject", lambda value: value or None),
    "preview": ("preview", None),
    "hasAttachment": (
        "attachments",
        lambda text: text != "[]" and any(each.disposition != "inline" for each in _attachments.decode(text)),
    ),
}


async def read(call: Call, ids: list[str] | None, properties: Sequence[str]) -> tuple[str, list[Json]]:
    """The messages with these ids."""
    if ids is None:
        raise MethodError("requestTooLarge", "name the emails' ids")  # RFC 8620 §5.1
    wanted = bodies.read_wanted(call)
    plain = [name for name in properties if name in _COLUMNS]
    rest = [name for name in properties if name not in _COLUMNS and name not in ("id", "mailboxIds", "sentAt")]
    columns = ["id", *dict.fromkeys(_COLUMNS[name][0] for name in plain), *(["blob_hash"] if rest else [])]
    if "sentAt" in properties:
        columns += ["sent_at", "sent_zone"]

    async def unit(tx: Tx) -> tuple[str, Snapshot]:
        return await states.current(tx, call.account_id, EMAIL), await fields.snapshot(
            tx, call.account_id, ids, tuple(dict.fromkeys(columns)),
            mailboxes="mailboxIds" in properties, parts_of=ids[:_TOGETHER] if rest else (),
        )  # fmt: skip

    state, (rows, places, found) = await call.services.db.read(unit)
    long = [name for name in columns if name in _LONG]
    octets = sum(len(row[name]) for row in rows for name in long)
    call.budget.spend(ANSWERS, octets)
    shown = await call.aside.run(octets, _plain, rows, plain, places, properties, above=_INLINE_OCTETS)
    if not rest:
        return state, shown
    hashes = {row["id"]: row["blob_hash"] for row in rows}
    whole = {one["id"]: one for one in shown}
    for start in range(0, len(ids), _TOGETHER):
        some = ids[start : start + _TOGETHER]
        if start:
            found = await call.services.db.read(lambda tx, some=some: fields.parts(tx, call.account_id, some))  # type: ignore[misc]
        for id_, parts in found.items():
            if id_ in whole:
                whole[id_] |= await _rest(call, hashes[id_], parts, rest, wanted)
        for id_ in some:
            if id_ not in found:
                whole.pop(id_, None)  # destroyed meanwhile
    return state, list(whole.values())


def _plain(
    rows: Sequence[Row], names: Sequence[str], places: dict[str, list[str]], properties: Sequence[str]
) -> list[Json]:
    """What the messages' rows say."""
    readers = [(name, *_COLUMNS[name]) for name in names]
    shown = []
    for row in rows:
        one: Json = {"id": row["id"]}
        for name, column, convert in readers:
            one[name] = row[column] if convert is None else convert(row[column])
        if "sentAt" in properties:  # a `Date`, in the zone of the header (RFC 8621 §4.1.3)
            one["sentAt"] = None if row["sent_at"] is None else iso_in_zone(row["sent_at"], row["sent_zone"])
        if "mailboxIds" in properties:
            one["mailboxIds"] = dict.fromkeys(places.get(row["id"], ()), True)
        shown.append(one)
    return shown


async def _rest(call: Call, blob_hash: str, parts: Parts, names: Sequence[str], wanted: bodies.Wanted) -> Json:
    values = "bodyValues" in names and (wanted.text_values or wanted.html_values or wanted.all_values)
    raw = None
    if values:
        call.budget.spend(BLOBS, parts.size_bytes)
        raw = await call.services.blobs.read(blob_hash)
    octets = parts.octets + (parts.size_bytes if values else 0)
    return await call.aside.run(octets, _shape, call, blob_hash, parts, raw, names, wanted, above=_INLINE_OCTETS)


def _shape(
    call: Call, blob_hash: str, parts: Parts, raw: bytes | None, names: Sequence[str], wanted: bodies.Wanted
) -> Json:
    content = bodies.of_stored(blob_hash, parts, raw)
    return with_headers(content, names, call.budget) | bodies.shape(content, names, wanted, call.budget)


def with_headers(content: bodies.Content, names: Sequence[str], budget: Budget) -> Json:
    """Those of the properties that are read from the header fields.

    Raises:
        TooLarge: they are more than the request may have.
    """
    times = sum(name == "headers" or name in header_forms.CONVENIENCE or name.startswith("header:") for name in names)
    if times:
        budget.spend(HEADERS, times * sum(len(value) for _, value in content.headers))
    out: Json = {}
    for name in names:
        if name == "headers":
            out[name] = header_forms.listed(content.headers)
        elif name in header_forms.CONVENIENCE:
            out[name] = header_forms.value_of(content.headers, header_forms.CONVENIENCE[name])
        elif name not in bodies.PROPERTIES:
            property_ = header_forms.read_property(name)
            if property_ is not None:
                out[name] = header_forms.value_of(content.headers, property_)
    return out
