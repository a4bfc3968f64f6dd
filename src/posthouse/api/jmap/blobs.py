"""Blob ids: whole blobs by their hash, parts of messages by where they lie in one.

`B<hash>` is a whole blob; `P<hash>-<start>-<end>-<encoding>` a part of one, decoded; `C…` likewise a part of what the
blob is once it has been made canonical, as it is when it is taken in as a message; what lies in a winmail.dat or
an S/MIME signature has the way into it behind the encoding (`wire/contents.py`). A blob id opens only what
a message or an upload of the asking account names: a hash is no key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from posthouse.api.jmap.budget import BLOBS
from posthouse.api.jmap.calls import Call
from posthouse.api.jmap.turns import Work
from posthouse.kit.budget import Budget
from posthouse.kit.errors import NotFound
from posthouse.mail import files, uploads
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database
from posthouse.wire.contents import Contents
from posthouse.wire.mime import Part

_WHOLE = re.compile(r"B([0-9a-f]{64})")
_PART = re.compile(
    r"([PC])([0-9a-f]{64})-([0-9]{1,12})-([0-9]{1,12})-([nbqu])((?:-(?:s[0-9]{1,12}_[0-9]{1,12}[nbqu]|t[0-9]{1,5})){0,4})"
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
    of_canonical: bool = False


def whole(hash_: str) -> str:
    """The id of a whole blob."""
    return "B" + hash_


def of_part(hash_: str, part: Part, offset: int = 0, *, of_canonical: bool = False) -> str:
    """The id of a part's decoded content; `offset` is where its message begins in the blob.

    Args:
        of_canonical: the part lies so in what the blob is as a message, and not in the blob as it is.
    """
    transfer, *steps = part.encoding.split(">")
    way = ""
    for index, step in enumerate(steps):
        kind, _, where = step.partition(":")
        if kind == "tnef":
            way += f"-t{where}"
        elif kind == "cms":
            inside = steps[index + 1] if index + 1 < len(steps) else ""
            way += f"-s{where.replace('-', '_')}{_LETTERS.get(inside, 'n')}"
    letter = "C" if of_canonical else "P"
    return f"{letter}{hash_}-{offset + part.start}-{offset + part.end}-{_LETTERS.get(transfer, 'n')}{way}"


def read_id(blob_id: str) -> Span | None:
    """What a blob id names; None when it is none of ours."""
    found = _WHOLE.fullmatch(blob_id)
    if found:
        return Span(found[1])
    found = _PART.fullmatch(blob_id)
    if found:
        encoding = _ENCODINGS[found[5]]
        for start, end, letter, number in _STEP.findall(found[6]):
            encoding += f">tnef:{number}" if number else f">cms:{start}-{end}>{_ENCODINGS[letter]}"
        return Span(found[2], int(found[3]), int(found[4]), encoding, found[1] == "C")
    return None


class Known(NamedTuple):
    """A blob the account may read, not read yet: what is named of it, and how long the whole is."""

    span: Span
    whole_bytes: int

    @property
    def at_most_bytes(self) -> int:
        """How long what is named may be: no encoding makes less of more."""
        if self.span.end is None:
            return self.whole_bytes
        # Made canonical, a blob of nothing but line ends is twice as long.
        whole = self.whole_bytes * (2 if self.span.of_canonical else 1)
        return max(0, min(self.span.end, whole) - self.span.start)


async def look_up(db: Database, account_id: str, blob_ids: Iterable[str]) -> dict[str, Known]:
    """Those of the blobs that the account may read, by id, in the order they are named in."""
    spans = {blob_id: span for blob_id in blob_ids if (span := read_id(blob_id)) is not None}
    hashes = sorted({span.hash for span in spans.values()})
    if not hashes:
        return {}
    sizes = await db.read(lambda tx: uploads.readable(tx, account_id, hashes))
    return {blob_id: Known(span, sizes[span.hash]) for blob_id, span in spans.items() if span.hash in sizes}


class Reader:
    """Reads blobs of one request one after the other; the whole that was read last is kept for the next part of it."""

    def __init__(self, blobs: Blobs, budget: Budget, aside: Work) -> None:
        self._blobs = blobs
        self._budget = budget
        self._aside = aside
        self._last: tuple[tuple[str, bool], Contents] | None = None

    async def read(self, known: Known) -> bytes:
        """The bytes that are named.

        Raises:
            NotFound: they have gone.
            TooLarge: the request has read as much as it may.
        """
        contents = await self._whole(known)
        span = known.span
        if span.end is None:
            return contents.raw
        return await self._aside.run(known.at_most_bytes, contents.span, span.start, span.end, span.encoding)

    async def _whole(self, known: Known) -> Contents:
        hash_, of_canonical = known.span.hash, known.span.of_canonical
        if self._last is None or self._last[0] != (hash_, of_canonical):
            self._budget.spend(BLOBS, known.whole_bytes)
            self._last = None
            await self._aside.hold(known.whole_bytes)
            raw = await self._blobs.read(hash_)
            if of_canonical:
                raw = await self._aside.run(len(raw), files.as_message, raw)
            self._last = ((hash_, of_canonical), Contents(raw))
        return self._last[1]


def reader(call: Call) -> Reader:
    """A reader of blobs for a call."""
    return Reader(call.services.blobs, call.budget, call.aside)


async def find(call: Call, blob_id: str, account_id: str | None = None) -> Known:
    """One blob.

    Raises:
        NotFound: the account has no such blob.
    """
    found = await look_up(call.services.db, account_id or call.account_id, [blob_id])
    if blob_id not in found:
        raise NotFound("there is no such blob", field="blobId")
    return found[blob_id]


async def load(call: Call, blob_id: str, account_id: str | None = None) -> bytes:
    """The bytes of one blob. Raises as `find` and `Reader.read`."""
    return await reader(call).read(await find(call, blob_id, account_id))
