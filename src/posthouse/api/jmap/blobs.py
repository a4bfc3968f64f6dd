"""Blob ids: whole blobs by their hash, parts of messages by where they lie in one.

`B<hash>` is a whole blob; `P<hash>-<start>-<end>-<encoding>` a part of one, decoded; what lies in a winmail.dat or
an S/MIME signature has the way into it behind the encoding (`wire/contents.py`). A blob id opens only what
a message or an upload of the asking account names: a hash is no key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from posthouse.api.jmap.calls import Call
from posthouse.kit.errors import NotFound
from posthouse.store import uploads
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database
from posthouse.wire.contents import Contents
from posthouse.wire.mime import Part

_WHOLE = re.compile(r"B([0-9a-f]{64})")
_PART = re.compile(
    r"P([0-9a-f]{64})-([0-9]{1,12})-([0-9]{1,12})-([nbqu])((?:-(?:s[0-9]{1,12}_[0-9]{1,12}[nbqu]|t[0-9]{1,5})){0,4})"
)
_STEP = re.compile(r"-(?:s([0-9]+)_([0-9]+)([nbqu])|t([0-9]+))")
_LETTERS = {"base64": "b", "quoted-printable": "q", "uuencode": "u", "x-uuencode": "u", "x-uue": "u", "uue": "u"}
_ENCODINGS = {"n": "binary", "b": "base64", "q": "quoted-printable", "u": "uuencode"}


class Span(NamedTuple):
    """What a blob id names: `end` None is a whole blob."""

    hash: str
    start: int = 0
    end: int | None = None
    encoding: str = "binary"


def whole(hash_: str) -> str:
    """The id of a whole blob."""
    return "B" + hash_


def of_part(hash_: str, part: Part, offset: int = 0) -> str:
    """The id of a part's decoded content; `offset` is where its message begins in the blob."""
    transfer, *steps = part.encoding.split(">")
    way = ""
    for index, step in enumerate(steps):
        kind, _, where = step.partition(":")
        if kind == "tnef":
            way += f"-t{where}"
        elif kind == "cms":
            inside = steps[index + 1] if index + 1 < len(steps) else ""
            way += f"-s{where.replace('-', '_')}{_LETTERS.get(inside, 'n')}"
    return f"P{hash_}-{offset + part.start}-{offset + part.end}-{_LETTERS.get(transfer, 'n')}{way}"


def read_id(blob_id: str) -> Span | None:
    """What a blob id names; None when it is none of ours."""
    found = _WHOLE.fullmatch(blob_id)
    if found:
        return Span(found[1])
    found = _PART.fullmatch(blob_id)
    if found:
        encoding = _ENCODINGS[found[4]]
        for start, end, letter, number in _STEP.findall(found[5]):
            encoding += f">tnef:{number}" if number else f">cms:{start}-{end}>{_ENCODINGS[letter]}"
        return Span(found[1], int(found[2]), int(found[3]), encoding)
    return None


async def load_many(db: Database, blobs: Blobs, account_id: str, blob_ids: Sequence[str]) -> dict[str, bytes]:
    """The bytes of those of the blobs that the account may read, by id."""
    spans = {blob_id: span for blob_id in blob_ids if (span := read_id(blob_id)) is not None}
    hashes = sorted({span.hash for span in spans.values()})
    if not hashes:
        return {}
    reachable = await db.read(lambda tx: uploads.reachable(tx, account_id, hashes))
    raw: dict[str, Contents] = {}
    found: dict[str, bytes] = {}
    for blob_id, span in spans.items():
        if span.hash not in reachable:
            continue
        if span.hash not in raw:
            try:
                raw[span.hash] = Contents(await blobs.read(span.hash))
            except NotFound:
                continue
        found[blob_id] = cut(raw[span.hash], span)
    return found


def cut(contents: Contents, span: Span) -> bytes:
    """The bytes a span names."""
    return contents.raw if span.end is None else contents.span(span.start, span.end, span.encoding)


async def load(call: Call, blob_id: str, account_id: str | None = None) -> bytes:
    """The bytes of one blob.

    Raises:
        NotFound: the account has no such blob.
    """
    found = await load_many(call.services.db, call.services.blobs, account_id or call.account_id, [blob_id])
    if blob_id not in found:
        raise NotFound("there is no such blob", field="blobId")
    return found[blob_id]
