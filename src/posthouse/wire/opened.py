"""Containers that are no multiparts, opened: opaque S/MIME signatures and Outlook's winmail.dat.

What lies in them becomes parts below the container, each with the way to its content in its `encoding`
(`contents.py`). The container stays a leaf of its own type: the structure on the wire is not made up.
"""

from __future__ import annotations

import re
from dataclasses import replace

from posthouse.wire import smime, tnef
from posthouse.wire.charset import decode_bytes, decode_html
from posthouse.wire.html import to_text
from posthouse.wire.mime import Limits, Part, Structure, clean_filename, container_kind, decode_part, scan

# A signed mail with a winmail.dat in it is real; more is a game.
_MAX_DEPTH = 3
_MAX_CONTAINERS = 8
_MAX_PARTS_INSIDE = 200
_NO_WORD = re.compile(r"\W+")
UNVERIFIED = "The text came inside an S/MIME signature that was not checked: it does not prove who wrote it."
_INCOMPLETE = "A winmail.dat could not be read to its end; it is kept as a file as well."


def open_containers(raw: bytes, structure: Structure, limits: Limits) -> Structure:
    """The structure with the parts of its containers; itself where it has none."""
    if not structure.has_containers or not limits.depth:
        return structure
    return _Opener(limits).opened(raw, structure, 0)


class _Opener:
    """Counts what it opens."""

    def __init__(self, limits: Limits) -> None:
        self._limits = replace(limits, parts=min(limits.parts, _MAX_PARTS_INSIDE))
        self._left = _MAX_CONTAINERS

    def opened(self, raw: bytes, structure: Structure, depth: int) -> Structure:
        """A structure with its containers opened, those in them too."""
        decoded = dict(structure.decoded)
        defects = dict.fromkeys(structure.defects)
        own_words: list[str] = []

        def walk(part: Part) -> Part:
            if part.is_multipart:
                return replace(part, parts=tuple(map(walk, part.parts)))
            kind = container_kind(part.content_type, part.filename)
            if kind is None or self._left <= 0:
                return part
            self._left -= 1
            if kind == "cms":
                return self._signed(raw, part, depth, decoded, defects)
            if not own_words:
                own_words.append(_words_of(structure))
            return self._tnef(raw, part, own_words[0], decoded, defects)

        return replace(structure, root=walk(structure.root), decoded=decoded, defects=tuple(defects))

    def _signed(self, raw: bytes, part: Part, depth: int, decoded: dict[str, bytes], defects: dict[str, None]) -> Part:
        content = smime.signed_content(decode_part(raw, part))
        if content is None:
            return part
        inside = scan(content, self._limits)
        if depth < _MAX_DEPTH and inside.has_containers:
            inside = self.opened(content, inside, depth + 1)
        defects[UNVERIFIED] = None
        defects.update(dict.fromkeys(inside.defects))
        decoded.update({f"{part.part_id}_{key}": data for key, data in inside.decoded.items()})
        return replace(part, parts=(_relocated(inside.root, part),))

    def _tnef(
        self, raw: bytes, part: Part, own_words: str, decoded: dict[str, bytes], defects: dict[str, None]
    ) -> Part:
        found = tnef.read(decode_part(raw, part))
        if found is None:
            return part
        inside: list[Part] = []
        for index, file in enumerate((*found.bodies, *found.files)):
            is_body = index < len(found.bodies)
            if is_body and _says_the_same(file, own_words):
                continue
            filename = clean_filename(file.filename)
            made = Part(
                f"{part.part_id}_{index + 1}", file.content_type, "utf-8" if is_body else None, filename,
                None if is_body else "attachment", file.content_id, (), file.location, len(file.data),
                f"{part.encoding}>tnef:{index}", (), (), part.start, part.end,
            )  # fmt: skip
            if is_body:
                decoded[made.part_id] = file.data
            inside.append(made)
        if not found.is_whole or not inside:
            if not found.is_whole:
                defects[_INCOMPLETE] = None
            inside.append(replace(part, part_id=f"{part.part_id}_0"))
        return replace(part, parts=tuple(inside))


def _relocated(part: Part, container: Part) -> Part:
    """A part of what a signature encloses, found from the container's place in the message."""
    cut = f"{container.encoding}>cms:{part.start}-{part.end}"
    transfer = part.encoding not in ("7bit", "8bit", "binary")
    return replace(
        part,
        part_id=f"{container.part_id}_{part.part_id}",
        encoding=f"{cut}>{part.encoding}" if transfer else cut,
        parts=tuple(_relocated(each, container) for each in part.parts),
        start=container.start,
        end=container.end,
    )


def _words_of(structure: Structure) -> str:
    """The words a mail says outside its containers."""
    said = []
    waiting = [structure.root]
    while waiting:
        part = waiting.pop()
        waiting.extend(part.parts)
        data = structure.decoded.get(part.part_id)
        if data is not None and part.disposition != "attachment":
            text = (
                decode_html(data, part.charset)
                if part.content_type == "text/html"
                else decode_bytes(data, part.charset)
            )
            said.append(to_text(text) if part.content_type == "text/html" else text)
    return _NO_WORD.sub("", " ".join(said)).casefold()


def _says_the_same(body: tnef.File, own_words: str) -> bool:
    """Whether a body of a winmail.dat repeats what stands beside it: Outlook writes both."""
    text = body.data.decode("utf-8", "replace")
    words = _NO_WORD.sub("", to_text(text) if body.content_type == "text/html" else text).casefold()
    return words in own_words
