"""Blob/upload, Blob/get, Blob/lookup (RFC 9404) and Blob/copy (RFC 8620 §6.3)."""

from __future__ import annotations

import base64
import binascii
import codecs
import hashlib
from collections.abc import Collection, Sequence
from typing import Any

from posthouse.api.jmap import blobs, calls
from posthouse.api.jmap.budget import ANSWERS
from posthouse.api.jmap.calls import Answer, Call, Json, invalid
from posthouse.api.jmap.errors import MethodError, SetError
from posthouse.api.jmap.methods import check_count
from posthouse.api.services import Services
from posthouse.kit.errors import NotFound, PosthouseError, TooLarge
from posthouse.mail import uploads
from posthouse.mail.uploads import Use
from posthouse.store.database import Tx

MAX_DATA_SOURCES = 64
LOOKUPS = ("Mailbox", "Thread", "Email")
_INLINE_OCTETS = 65_536
# Both a multiple of three octets, for base64, and done in a millisecond or two.
_CHUNK = 3 * 262_144
_DIGESTS = {"sha": "sha1", "sha-256": "sha256"}


async def store(services: Services, account_id: str, pieces: Sequence[bytes], content_type: str) -> Json:
    """Keep bytes, one piece behind the other, for the account for a day, or for as long as a message names them.

    Raises:
        TooLarge: over `maxSizeUpload`.
        OverQuota: with what the account has uploaded, it has more than it may.
    """
    size = sum(map(len, pieces))
    if size > calls.MAX_SIZE_UPLOAD:
        raise TooLarge(f"an upload has at most {calls.MAX_SIZE_UPLOAD} octets")
    hash_ = await uploads.keep(
        services.db, services.blobs, account_id, pieces, content_type, quota_bytes=services.settings.quota_bytes,
        at=services.clock(),
    )  # fmt: skip
    return {"id": blobs.whole(hash_), "type": content_type, "size": size}


async def upload(call: Call) -> Answer:
    """RFC 9404 §4.1."""
    wanted = call.objects("create")
    if len(wanted) > calls.MAX_OBJECTS_IN_SET:
        raise MethodError("requestTooLarge")
    created: dict[str, Json] = {}
    refused: dict[str, Json] = {}
    for creation_id, value in wanted.items():
        try:
            pieces = await _pieces(call, value)
            type_ = value.get("type")
            if type_ is not None and not isinstance(type_, str):
                raise SetError("invalidProperties", "type is a string", ["type"])
            made = await store(call.services, call.account_id, pieces, type_ or "application/octet-stream")
            created[creation_id] = made
            call.created_ids[creation_id] = made["id"]
        except SetError as error:
            refused[creation_id] = error.body
        except TooLarge as error:
            refused[creation_id] = {"type": "tooLarge", "description": error.message, "maxSize": calls.MAX_SIZE_UPLOAD}
        except PosthouseError as error:
            refused[creation_id] = {"type": "overQuota", "description": error.message}
    body = {"accountId": call.account_id, "created": created or None, "notCreated": refused or None}
    return [(call.method, body)]


async def _pieces(call: Call, value: Json) -> list[bytes]:
    sources = value.get("data")
    if not isinstance(sources, list) or not sources or not all(isinstance(each, dict) for each in sources):
        raise SetError("invalidProperties", "data is a list of sources", ["data"])
    if value.keys() - {"data", "type"}:
        raise SetError("invalidProperties", "unknown properties", sorted(value.keys() - {"data", "type"}))
    if len(sources) > MAX_DATA_SOURCES:
        raise SetError("invalidProperties", f"at most {MAX_DATA_SOURCES} sources", ["data"])
    pieces, size = [], 0
    reader = blobs.reader(call)
    for source in sources:
        piece = await _source(call, source, reader, calls.MAX_SIZE_UPLOAD - size)
        size += len(piece)
        if size > calls.MAX_SIZE_UPLOAD:
            raise TooLarge(f"a blob has at most {calls.MAX_SIZE_UPLOAD} octets")
        pieces.append(piece)
    return pieces


async def _source(call: Call, source: Json, reader: blobs.Reader, room: int) -> bytes:
    """The bytes of a source; more than `room` are not made."""
    bad = SetError("invalidProperties", "a source is data:asText, data:asBase64 or a blobId with a range", ["data"])
    match source:
        case {"data:asText": str(text)} if len(source) == 1:
            return text.encode("utf-8", "replace")
        case {"data:asBase64": str(text)} if len(source) == 1:
            try:
                return base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError) as error:
                raise bad from error
        case {"blobId": str(blob_id)} if not source.keys() - {"blobId", "offset", "length"}:
            start, length = source.get("offset"), source.get("length")
            for number in (start, length):
                if number is not None and (not isinstance(number, int) or isinstance(number, bool) or number < 0):
                    raise bad
            try:
                known = await blobs.find(call, call.resolve(blob_id))
                asked = known.whole_bytes - (start or 0) if length is None else length
                if known.span.end is None and asked > room:
                    raise TooLarge(f"a blob has at most {calls.MAX_SIZE_UPLOAD} octets")
                data = await reader.read(known)
            except NotFound as error:
                raise SetError("blobNotFound", "there is no such blob", notFound=[blob_id]) from error
            start = start or 0
            end = len(data) if length is None else start + length
            if start > len(data) or end > len(data):
                raise SetError("invalidProperties", "the range lies outside the blob", ["data"])
            return data[start:end]
    raise bad


_PROPERTIES = frozenset({"data", "data:asText", "data:asBase64", "size", "id"})


async def get(call: Call) -> Answer:
    """RFC 9404 §4.2."""
    call.required("ids", list)
    ids = call.strings("ids") or []
    if len(ids) > calls.MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge")
    properties = call.strings("properties")
    check_count("properties", properties or ())
    names = ["data", "size"] if properties is None else properties
    for name in names:
        if name not in _PROPERTIES and not (name.startswith("digest:") and name[7:] in _DIGESTS):
            raise invalid("properties", f"a blob has no property {name!r}")
    offset, length = call.uint("offset", 0) or 0, call.uint("length")
    resolved = {each: call.resolve(each) for each in ids}
    found = await blobs.look_up(call.services.db, call.account_id, resolved.values())
    shown: dict[str, Json] = {}
    reader = blobs.reader(call)
    # Parts of one blob after each other: it is read once.
    for id_ in sorted(found):
        data = await reader.read(found[id_])
        octets = _shown_octets(len(data), names, offset, length)
        call.budget.spend(ANSWERS, octets)
        shown[id_] = await call.aside.run(octets, _shape, id_, data, names, offset, length, above=_INLINE_OCTETS)
    missing = [each for each in ids if resolved[each] not in found]
    listed = [shown[resolved[each]] for each in dict.fromkeys(ids) if resolved[each] in shown]
    return [(call.method, {"accountId": call.account_id, "list": listed, "notFound": missing})]


def _shown_octets(whole: int, names: list[str], offset: int, length: int | None) -> int:
    """How long the answer about a blob will be, at most."""
    some = max(0, min(whole - offset, whole if length is None else length))
    times = sum(name in ("data", "data:asText", "data:asBase64") for name in set(names))
    return times * (some * 4 // 3 + 4)


def _shape(blob_id: str, whole: bytes, names: list[str], offset: int, length: int | None) -> Json:
    end = len(whole) if length is None else offset + length
    data = whole[offset:end]
    out: Json = {"id": blob_id}
    if offset > len(whole) or end > len(whole):
        out["isTruncated"] = True
    text = _text(data) if {"data", "data:asText"} & set(names) else None
    for name in names:
        if name == "size":
            out[name] = len(whole)
        elif name == "data:asBase64" or (name == "data" and text is None):
            out["data:asBase64"] = "".join(
                base64.b64encode(data[start : start + _CHUNK]).decode("ascii") for start in range(0, len(data), _CHUNK)
            )
        elif name in ("data", "data:asText"):
            out["data:asText"] = text
        elif name.startswith("digest:"):
            # RFC 9404 §4.2 asks for them by name; nothing here relies on SHA-1.
            value = hashlib.new(_DIGESTS[name[7:]], data, usedforsecurity=False).digest()
            out[name] = base64.b64encode(value).decode("ascii")
    if text is None and {"data", "data:asText"} & set(names):
        out["isEncodingProblem"] = True
    return out


def _text(data: bytes) -> str | None:
    """The data as UTF-8, decoded in chunks: a decoder lets nobody else in until it is done."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        pieces = [decoder.decode(data[start : start + _CHUNK]) for start in range(0, len(data), _CHUNK)]
        return "".join([*pieces, decoder.decode(b"", True)])
    except UnicodeDecodeError:
        return None


async def lookup(call: Call) -> Answer:
    """RFC 9404 §4.3: which emails, threads and mailboxes have these blobs in them."""
    call.required("typeNames", list)
    call.required("ids", list)
    names, ids = call.strings("typeNames") or [], call.strings("ids") or []
    if len(ids) > calls.MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge", f"at most {calls.MAX_OBJECTS_IN_GET} blobs a call")
    unknown = [name for name in names if name not in LOOKUPS]
    if unknown:
        raise MethodError("unknownDataType", f"blobs are not looked up by {unknown[0]!r}")
    spans = {each: blobs.read_id(call.resolve(each)) for each in ids}
    hashes = sorted({span.hash for span in spans.values() if span is not None})

    async def unit(tx: Tx) -> tuple[list[Use], Collection[str]]:
        return (
            await uploads.uses(tx, call.account_id, hashes),
            await uploads.readable(tx, call.account_id, hashes),
        )

    uses, readable = await call.services.db.read(unit)
    shown: list[Json] = []
    for named in dict.fromkeys(ids):
        span = spans[named]
        if span is None or span.hash not in readable:
            continue
        own = [use for use in uses if use.blob_hash == span.hash]
        matched: dict[str, Any] = {
            "Email": [use.message_id for use in own],
            "Thread": list(dict.fromkeys(use.thread_id for use in own)),
            "Mailbox": list(dict.fromkeys(box for use in own for box in use.mailbox_ids)),
        }
        shown.append({"id": call.resolve(named), "matchedIds": {name: matched[name] for name in names}})
    found = {each["id"] for each in shown}
    missing = [each for each in ids if call.resolve(each) not in found]
    return [(call.method, {"accountId": call.account_id, "list": shown, "notFound": missing})]


async def copy(call: Call) -> Answer:
    """RFC 8620 §6.3."""
    source = call.caller.find(call.required("fromAccountId", str))
    if source is None:
        raise MethodError("fromAccountNotFound")
    call.required("blobIds", list)
    wanted = call.strings("blobIds") or []
    if len(wanted) > calls.MAX_OBJECTS_IN_SET:
        raise MethodError("requestTooLarge")
    copied: dict[str, str] = {}
    refused: dict[str, Json] = {}
    for blob_id in wanted:
        try:
            data = await blobs.load(call, call.resolve(blob_id), source)
            made = await store(call.services, call.account_id, [data], "application/octet-stream")
            copied[blob_id] = made["id"]
        except NotFound:
            refused[blob_id] = {"type": "notFound"}
        except PosthouseError as error:
            refused[blob_id] = {"type": "overQuota", "description": error.message}
    body = {
        "fromAccountId": source,
        "accountId": call.account_id,
        "copied": copied or None,
        "notCopied": refused or None,
    }
    return [(call.method, body)]
