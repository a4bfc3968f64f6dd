"""A message out of the properties a client gave (RFC 8621 §4.6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from posthouse.api.jmap import blobs
from posthouse.api.jmap.calls import Call, Json
from posthouse.api.jmap.email.headers import CONVENIENCE, HeaderProperty, read_property
from posthouse.api.jmap.errors import SetError
from posthouse.kit.clock import parse_iso_zone
from posthouse.kit.errors import Invalid
from posthouse.wire.address import Address, split
from posthouse.wire.compose import new_message_id
from posthouse.wire.compose_tree import TreePart, compose_tree, grouped_address_list, raw_field
from posthouse.wire.header_encode import address_list, format_date, message_ids, unstructured

_BODY = frozenset({"bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments"})
_PART = frozenset(
    {"partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location", "subParts"}
)
# Written here, from the structure.
_OURS = frozenset({"mime-version", "content-transfer-encoding"})
_ORDER = (
    "date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id", "in-reply-to", "references",
)  # fmt: skip
_NAMES = {"message-id": "Message-ID", "mime-version": "MIME-Version"}
_URL = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e]{1,900}")

# Writing an address takes as long as looking at so many octets of a body.
_ONE_VALUE_OCTETS = 256


def is_known(name: str) -> bool:
    """Whether a property says something about the message itself."""
    return name in _BODY or name in CONVENIENCE or name.startswith("header:")


async def build(call: Call, value: Json) -> bytes:
    """The message.

    Raises:
        SetError: `invalidProperties`, `blobNotFound`.
    """
    fields = _Header(call, value)
    structure = _structure(value)
    body = _Body(call, value)
    octets = await body.load(structure)

    def compose() -> bytes:
        try:
            return compose_tree(fields.encoded(), body.tree(structure))
        except Invalid as error:
            raise SetError("invalidProperties", error.message, [error.field or "bodyStructure"]) from error

    return await call.aside.run(octets + fields.octets(), compose)


# --- Header fields


class _Header:
    """The header fields of the whole message, each said once."""

    def __init__(self, call: Call, value: Json) -> None:
        self._call = call
        self._fields: dict[str, tuple[str, str, HeaderProperty, Any]] = {}
        for name, given in value.items():
            if name in CONVENIENCE:
                self._add(name, CONVENIENCE[name].name, CONVENIENCE[name], given)
            elif name.startswith("header:"):
                property_ = read_property(name)
                if property_ is None or property_.name.startswith("content-") or property_.name in _OURS:
                    raise SetError("invalidProperties", f"{name} cannot be given here", [name])
                self._add(name, name.split(":")[1], property_, given)
        root = value.get("bodyStructure")
        for name in root if isinstance(root, dict) else ():
            property_ = read_property(name)
            if property_ is not None and property_.name in self._fields:
                raise SetError("invalidProperties", f"{name} is given twice", [name])

    def _add(self, property_name: str, name: str, property_: HeaderProperty, given: Any) -> None:
        if given is None:
            return
        if property_.name in self._fields:
            raise SetError("invalidProperties", f"{property_.name} is given twice", [property_name])
        self._fields[property_.name] = (property_name, name, property_, given)

    def octets(self) -> int:
        """About how much there is to write."""
        return sum(
            _ONE_VALUE_OCTETS * len(given) if isinstance(given, list) else len(given) if isinstance(given, str) else 0
            for *_, given in self._fields.values()
        )

    def encoded(self) -> list[bytes]:
        """The fields in their usual order; Date and Message-ID are made where they are not given."""
        if "date" not in self._fields:
            at = format_date(self._call.services.clock())
            self._fields["date"] = ("sentAt", "Date", HeaderProperty("date", "asText", False), at)
        if "message-id" not in self._fields:
            made = [new_message_id(split(self._call.address)[1])]
            self._fields["message-id"] = ("messageId", "Message-ID", CONVENIENCE["messageId"], made)
        rest = [name for name in self._fields if name not in _ORDER]
        out: list[bytes] = []
        for key in (*_ORDER, *rest):
            if key in self._fields:
                property_name, name, property_, given = self._fields[key]
                shown = _NAMES.get(key) or (name.title() if name.islower() else name)
                try:
                    values = given if property_.every else [given]
                    if not isinstance(values, list):
                        raise Invalid("expected a list")
                    out.extend(_encode(shown, property_.form, each, property_name) for each in values)
                except Invalid as error:
                    raise SetError("invalidProperties", error.message, [property_name]) from error
        return [field for field in out if field]


def _encode(name: str, form: str, value: Any, field: str) -> bytes:
    match form:
        case "asRaw" if isinstance(value, str):
            return raw_field(name, value, field=field)
        case "asText" if isinstance(value, str):
            return unstructured(name, value, field=field) if value else b""
        case "asAddresses":
            people = addresses(value, field)
            return address_list(name, people, field=field) if people else b""
        case "asGroupedAddresses" if isinstance(value, list):
            groups = []
            for group in value:
                if not isinstance(group, dict) or not isinstance(group.get("name"), str | None):
                    raise Invalid("expected a list of groups")
                groups.append((group.get("name"), addresses(group.get("addresses"), field)))
            return grouped_address_list(name, groups, field=field) if groups else b""
        case "asMessageIds" if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return message_ids(name, value, field=field) if value else b""
        case "asDate" if isinstance(value, str):
            try:
                return f"{name}: {format_date(*parse_iso_zone(value))}\r\n".encode("ascii")
            except (ValueError, OverflowError) as error:
                raise Invalid(f"{value!r} is not a date") from error
        case "asURLs" if isinstance(value, list) and all(isinstance(each, str) for each in value):
            if not all(_URL.fullmatch(each) for each in value):
                raise Invalid("a URL holds a blank, a bracket or a control character")
            return raw_field(name, ",\r\n ".join(f"<{each}>" for each in value), field=field) if value else b""
    raise Invalid("the value is of the wrong type")


def addresses(value: Any, field: str) -> list[Address]:
    """A list of `EmailAddress`; unknown members are passed over.

    Raises:
        Invalid: none.
    """
    if not isinstance(value, list):
        raise Invalid(f"{field} is a list of addresses", field=field)
    found = []
    for each in value:
        if not isinstance(each, dict) or not isinstance(each.get("email"), str):
            raise Invalid("an address has an email", field=field)
        name = each.get("name")
        if name is not None and not isinstance(name, str):
            raise Invalid("a name is a string", field=field)
        found.append(Address(each["email"].strip(), name or ""))
    return found


# --- Bodies


def _structure(value: Json) -> Json:
    """The tree of parts: as given, or made of text, HTML and attachments."""
    shortcuts = [name for name in ("textBody", "htmlBody", "attachments") if value.get(name) is not None]
    given = value.get("bodyStructure")
    if given is not None:
        if shortcuts:
            raise SetError("invalidProperties", "bodyStructure stands alone", ["bodyStructure", *shortcuts])
        if not isinstance(given, dict):
            raise SetError("invalidProperties", "bodyStructure is a part", ["bodyStructure"])
        return given
    text, html = _only(value, "textBody", "text/plain"), _only(value, "htmlBody", "text/html")
    attachments = value.get("attachments") or []
    if not isinstance(attachments, list) or not all(isinstance(each, dict) for each in attachments):
        raise SetError("invalidProperties", "attachments is a list of parts", ["attachments"])
    attachments = [{"disposition": "attachment", **each} for each in attachments]
    related = [each for each in attachments if html and each["disposition"] == "inline" and each.get("cid")]
    mixed = [each for each in attachments if each not in related]
    entity = html
    if html is not None and related:
        entity = {"type": "multipart/related", "subParts": [html, *related]}
    if text is not None:
        entity = text if entity is None else {"type": "multipart/alternative", "subParts": [text, entity]}
    if mixed:
        entity = {"type": "multipart/mixed", "subParts": [*([entity] if entity else []), *mixed]}
    return entity or {"type": "text/plain", "": ""}


def _only(value: Json, name: str, content_type: str) -> Json | None:
    parts = value.get(name)
    if parts is None or parts == []:
        return None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict):
        raise SetError("invalidProperties", f"{name} has exactly one part", [name])
    if parts[0].get("type", content_type) != content_type:
        raise SetError("invalidProperties", f"{name} is of the type {content_type}", [name])
    return {**parts[0], "type": content_type}


class _Body:
    """Parts as they are written; their blobs are read together."""

    def __init__(self, call: Call, value: Json) -> None:
        self._call = call
        values = value.get("bodyValues")
        if values is not None and not isinstance(values, dict):
            raise SetError("invalidProperties", "bodyValues is a map", ["bodyValues"])
        self._values: Json = values or {}
        self._data: dict[str, bytes] = {}

    async def load(self, structure: Json) -> int:
        """Read the blobs of the parts; answers about how long the message will be.

        Each part counts before any is read, however often it names the same blob.
        """
        named = _blob_ids(structure, 0)
        # D7: a blob uploaded in the same request goes by its creation id.
        ids = {each: self._call.resolve(each) for each in named}
        found = await blobs.look_up(self._call.services.db, self._call.account_id, ids.values())
        missing = [each for each in ids if ids[each] not in found]
        if missing:
            raise SetError("blobNotFound", "there is no such blob", notFound=missing)
        limit = self._call.services.settings.max_message_bytes
        texts = sum(len(each["value"]) for each in self._values.values() if _has_text(each))
        octets = sum(found[ids[each]].at_most_bytes for each in named)
        # A text may be given and not used; what a part is encoded as is no shorter than its bytes.
        if octets > limit:
            raise SetError("tooLarge", "the message is too large", maxSize=limit)
        reader = blobs.reader(self._call)
        for each in sorted(ids, key=lambda each: ids[each]):
            self._data[each] = await reader.read(found[ids[each]])
        return octets + texts

    def tree(self, structure: Json) -> TreePart:
        """The tree with its contents."""
        if "" in structure:
            return TreePart("text/plain", text="")
        return self._part(structure, is_root=True)

    def _part(self, value: Json, *, is_root: bool = False) -> TreePart:
        extra: list[bytes] = []
        seen: set[str] = set()
        for name, given in value.items():
            if name in _PART:
                continue
            property_ = read_property(name)
            if property_ is None or property_.name in seen or given is None:
                if given is None and property_ is not None:
                    continue
                raise SetError("invalidProperties", f"{name} cannot be given of a part", [name])
            if property_.name in _OURS or property_.name.startswith("content-"):
                raise SetError("invalidProperties", f"{name} is written from the part's own properties", [name])
            seen.add(property_.name)
            shown = name.split(":")[1]
            try:
                values = given if property_.every and isinstance(given, list) else [given]
                extra.extend(_encode(shown, property_.form, each, name) for each in values)
            except Invalid as error:
                raise SetError("invalidProperties", error.message, [name]) from error
        where = "bodyStructure" if is_root else "subParts"
        content_type = _text(value, "type") or ("multipart/mixed" if value.get("subParts") else "text/plain")
        content_type = content_type.strip().lower()
        sub_parts = value.get("subParts")
        part_id, blob_id = _text(value, "partId"), _text(value, "blobId")
        common = {
            "filename": _text(value, "name"),
            "disposition": _text(value, "disposition"),
            "content_id": _text(value, "cid"),
            "language": _languages(value.get("language")),
            "location": _text(value, "location"),
            "fields": tuple(extra),
        }
        if content_type.startswith("multipart/"):
            if part_id or blob_id or not isinstance(sub_parts, list) or not sub_parts:
                raise SetError("invalidProperties", "a multipart has parts and no content of its own", [where])
            if not all(isinstance(each, dict) for each in sub_parts):
                raise SetError("invalidProperties", "subParts is a list of parts", [where])
            children = tuple(self._part(each) for each in sub_parts)
            return TreePart(content_type, children=children, **common)  # type: ignore[arg-type]
        if sub_parts:
            raise SetError("invalidProperties", "only a multipart has parts", [where])
        if (part_id is None) == (blob_id is None):
            raise SetError("invalidProperties", "a part has either a partId or a blobId", [where])
        if part_id is not None:
            return TreePart(content_type, text=self._text_of(value, content_type, part_id), **common)  # type: ignore[arg-type]
        assert blob_id is not None
        # D9: a text without a charset is UTF-8.
        charset = _text(value, "charset")
        return TreePart(content_type, data=self._data[blob_id], charset=charset, **common)  # type: ignore[arg-type]

    def _text_of(self, value: Json, content_type: str, part_id: str) -> str:
        if not content_type.startswith("text/"):
            raise SetError("invalidProperties", "only a text has a partId", ["type"])
        if value.get("charset") is not None:  # RFC 8621 §4.6
            raise SetError("invalidProperties", "a body value is Unicode: charset is not given", ["charset"])
        given = self._values.get(part_id)
        # D9: the flags may be left out.
        if not isinstance(given, dict) or not isinstance(given.get("value"), str):
            raise SetError("invalidProperties", f"bodyValues has no text for {part_id!r}", ["bodyValues"])
        if given.get("isEncodingProblem") or given.get("isTruncated"):
            raise SetError("invalidProperties", "a body value is whole", ["bodyValues"])
        return str(given["value"])


def _has_text(given: Any) -> bool:
    return isinstance(given, dict) and isinstance(given.get("value"), str)


def _text(value: Json, name: str) -> str | None:
    given = value.get(name)
    if given is not None and not isinstance(given, str):
        raise SetError("invalidProperties", f"{name} is a string", [name])
    return given


def _languages(given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise SetError("invalidProperties", "language is a list of strings", ["language"])
    return tuple(given)


def _blob_ids(value: Json, depth: int) -> list[str]:
    if depth > 30:
        raise SetError("invalidProperties", "parts are nested too deeply", ["bodyStructure"])
    found = [value["blobId"]] if isinstance(value.get("blobId"), str) else []
    inner: Sequence[Any] = value["subParts"] if isinstance(value.get("subParts"), list) else ()
    for each in inner:
        if isinstance(each, dict):
            found.extend(_blob_ids(each, depth + 1))
    return found
