"""Attachments opened by what they are, not by what they are called.

Archives, office files, PDF, RTF and mails within the mail are read; what is packed is unpacked within a budget
that is spent before the work. What cannot be read is said: an archive with a password, one that grows without end,
one that is broken.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import IO, Any

from posthouse.kit.budget import Budget
from posthouse.kit.errors import TooLarge
from posthouse.scan.passages import File, Passage, of_html
from posthouse.wire.charset import decode_bytes
from posthouse.wire.message import parse
from posthouse.wire.mime import decode_part

OCTETS, MEMBERS = "octets unpacked", "files looked into"
LIMITS = {OCTETS: 16_000_000, MEMBERS: 500}
_DEPTH = 4
_MAX_TEXT_OCTETS = 4_000_000
# Pictures, sound, film, fonts: nothing to read in them here.
_MEDIA = (
    b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"ID3", b"OggS", b"\x00\x00\x01\x00", b"wOF", b"II*\x00", b"MM\x00*",
)  # fmt: skip
# One stream packed, by how it begins.
_PACKED: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OFFICE_MEMBER = re.compile(
    r"(?:word|xl|ppt)/(?:.*\.xml|embeddings/.*)|content\.xml|meta\.xml|docprops/.*\.xml|.*\.(?:txt|csv|json|md)",
    re.IGNORECASE,
)
_XML_BREAK = re.compile(r"</(?:w:p|a:p|text:p|text:h|row|si|c|table:table-cell|w:tc)>|<(?:w:br|w:tab|text:tab)[^>]*>")
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Unread:
    """A file that could not be read, and why, as a sentence's end."""

    name: str
    why: str


def texts_of(files: list[File], budget: Budget) -> Iterator[Passage | Unread]:
    """What the files say, one after the other, and which could not be read."""
    for file in files:
        yield from _open(file.name, file.content, f"attachment {file.name[:100]}", budget, _DEPTH)


def _open(name: str, data: bytes, place: str, budget: Budget, depth: int) -> Iterator[Passage | Unread]:
    if not data:
        return
    if depth <= 0:
        yield Unread(name, "it is packed too deep")
        return
    try:
        budget.spend(MEMBERS)
        yield from _by_content(name, data, place, budget, depth)
    except TooLarge:
        yield Unread(name, "there is too much in it")
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError,
            RuntimeError, NotImplementedError, KeyError, IndexError):  # fmt: skip
        yield Unread(name, "it is damaged or needs a password")


def _by_content(name: str, data: bytes, place: str, budget: Budget, depth: int) -> Iterator[Passage | Unread]:
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from _zip(name, data, place, budget, depth)
    elif opener := next((opener for head, opener in _PACKED if data.startswith(head)), None):
        with opener(io.BytesIO(data)) as stream:
            content = _read(stream, budget)
        yield from _open(name.rpartition(".")[0] or name, content, place, budget, depth - 1)
    elif data[257:262] == b"ustar":
        yield from _tar(name, data, place, budget, depth)
    elif data.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!")):
        yield Unread(name, "it is an archive of a kind that is not opened here")
    elif data.startswith(b"%PDF"):
        yield from _pdf(name, data, place, budget)
    elif data.startswith(b"{\\rtf"):
        yield Passage(place, _rtf(data[:_MAX_TEXT_OCTETS]))
    elif data.startswith(_OLE):
        if b"E\x00n\x00c\x00r\x00y\x00p\x00t\x00e\x00d\x00P\x00a\x00c\x00k\x00a\x00g\x00e" in data:
            yield Unread(name, "it needs a password")
        yield Passage(place, _strings(data[:_MAX_TEXT_OCTETS]))
    elif data.startswith(_MEDIA) or data[4:8] == b"ftyp":
        return
    else:
        yield from _text(name, data, place, budget, depth)


def _zip(name: str, data: bytes, place: str, budget: Budget, depth: int) -> Iterator[Passage | Unread]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        is_office = any(member.filename in ("[Content_Types].xml", "content.xml") for member in members)
        for member in members:
            if member.is_dir():
                continue
            if member.flag_bits & 1:
                yield Unread(name, "it needs a password")
                return
            if is_office and not _OFFICE_MEMBER.fullmatch(member.filename):
                continue
            with archive.open(member) as stream:
                content = _read(stream, budget)
            if is_office and member.filename.lower().endswith(".xml"):
                yield Passage(place, _xml(content))
            else:
                yield from _open(member.filename, content, f"{place}, {member.filename[:100]}", budget, depth - 1)


def _tar(name: str, data: bytes, place: str, budget: Budget, depth: int) -> Iterator[Passage | Unread]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            stream = archive.extractfile(member) if member.isfile() else None
            if stream is not None:
                inner = f"{place}, {member.name[:100]}"
                yield from _open(member.name, _read(stream, budget), inner, budget, depth - 1)


def _read(stream: IO[bytes], budget: Budget) -> bytes:
    """All of a packed stream, in pieces that are spent as they come: a bomb ends at the budget."""
    pieces = []
    while piece := stream.read(min(65_536, budget.left(OCTETS) + 1)):
        budget.spend(OCTETS, len(piece))
        pieces.append(piece)
    return b"".join(pieces)


def _xml(content: bytes) -> str:
    text = decode_bytes(content)
    return unescape(_TAG.sub("", _XML_BREAK.sub("\n", text)))


_PDF_STREAM = re.compile(rb"stream\r?\n")
_PDF_SHOWN = re.compile(rb"\((?:[^()\\]|\\.)*+\)|<[0-9A-Fa-f\s]*>|\b(?:Td|TD|T\*|Tj|TJ|ET)\b", re.DOTALL)
_PDF_ESCAPE = re.compile(rb"\\([0-7]{1,3}|.)", re.DOTALL)


def _pdf(name: str, data: bytes, place: str, budget: Budget) -> Iterator[Passage | Unread]:
    """The strings a PDF shows. Fonts with an encoding of their own give nothing readable."""
    if b"/Encrypt" in data:
        yield Unread(name, "it needs a password")
        return
    shown: list[str] = []
    for match in _PDF_STREAM.finditer(data):
        end = data.find(b"endstream", match.end())
        packed = data[match.end() : len(data) if end < 0 else end]
        is_packed = b"FlateDecode" in data[max(0, match.start() - 400) : match.start()]
        content = _inflated(packed, budget) if is_packed else packed
        if b"BT" in content:
            shown.append(_pdf_text(content[:_MAX_TEXT_OCTETS]))
    yield Passage(place, "\n".join(shown))


def _inflated(packed: bytes, budget: Budget) -> bytes:
    engine = zlib.decompressobj()
    try:
        content = engine.decompress(packed, budget.left(OCTETS) + 1)
    except zlib.error:
        return b""
    budget.spend(OCTETS, len(content))
    return content


def _pdf_text(content: bytes) -> str:
    out: list[str] = []
    for match in _PDF_SHOWN.finditer(content):
        piece = match.group()
        if piece.startswith(b"("):
            out.append(_PDF_ESCAPE.sub(_pdf_escaped, piece[1:-1]).decode("latin-1"))
        elif piece.startswith(b"<"):
            digits = b"".join(piece[1:-1].split())
            if len(digits) % 2 == 0:
                out.append(bytes.fromhex(digits.decode("ascii")).decode("latin-1").replace("\x00", ""))
        elif piece in (b"Td", b"TD", b"T*", b"ET"):
            out.append("\n")
    return "".join(out)


def _pdf_escaped(match: re.Match[bytes]) -> bytes:
    word = match.group(1)
    if word.isdigit():
        return bytes([int(word, 8) & 255])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(word, word)


_RTF_WORD = re.compile(
    rb"\\'([0-9a-fA-F]{2})|\\u(-?\d+) ?\??|\\(?:par|line|tab|cell|row)\b ?|\\[a-zA-Z]+-?\d* ?|\\[^a-zA-Z]|[{}]"
)


def _rtf(data: bytes) -> str:
    def said(match: re.Match[bytes]) -> bytes:
        word = match.group()
        if match.group(1):
            return bytes.fromhex(match.group(1).decode("ascii")).decode("cp1252", "replace").encode()
        if match.group(2):
            return chr(int(match.group(2)) % 65_536).encode("utf-8", "replace")
        return b"\n" if word.startswith((b"\\par", b"\\line", b"\\tab", b"\\cell", b"\\row")) else b""

    return _RTF_WORD.sub(said, data).decode("utf-8", "replace")


_RUN = re.compile(rb"[\x20-\x7e\t]{6,}|(?:[\x20-\x7e]\x00){6,}")


def _strings(data: bytes) -> str:
    """The runs of readable characters in an old office file, of one or two octets each."""
    return "\n".join(run.replace(b"\x00", b"").decode("ascii") for run in _RUN.findall(data))


_MAIL_HEAD = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]*: [^\n]*\n(?:[ \t][^\n]*\n)*){3,}", re.IGNORECASE)


def _text(name: str, data: bytes, place: str, budget: Budget, depth: int) -> Iterator[Passage | Unread]:
    if len(data) > _MAX_TEXT_OCTETS:
        yield Unread(name, "it is too long")
        data = data[:_MAX_TEXT_OCTETS]
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", "replace")
    elif data.count(b"\x00", 0, 4_096) * 4 > min(len(data), 4_096):
        text = _strings(data)
    else:
        text = decode_bytes(data)
    if _MAIL_HEAD.match(data) is not None:
        budget.spend(OCTETS, len(data))
        yield from _mail(data, place, budget, depth)
        return
    if "<" in text and re.search(r"<(?:html|body|div|p|table|span|!doctype)\b", text[:20_000], re.IGNORECASE):
        yield from of_html(text, place)
    yield Passage(place, text)


def _mail(data: bytes, place: str, budget: Budget, depth: int) -> Iterator[Passage | Unread]:
    mail = parse(data)
    yield Passage(place, f"{mail.subject}\n{mail.text or ''}")
    if mail.html:
        yield from of_html(mail.html, place)
    for part in mail.attachments:
        name = part.filename or "unnamed"
        yield from _open(name, decode_part(data, part), f"{place}, {name[:100]}", budget, depth - 1)
