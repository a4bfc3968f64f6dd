"""TNEF, what Outlook puts into `winmail.dat`: its text and its files. Never fails, and bounded.

Source: MS-OXTNEF §2.1 (the stream), §2.1.3.4 (MAPI properties), MS-OXCMSG §2.2.2 (the properties of attachments).
An embedded message stays a file of its own kind; what is neither text nor file (a meeting's times, its colours) is
not read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from mimetypes import MimeTypes

from posthouse.wire import rtf
from posthouse.wire.charset import decode_bytes, decode_html
from posthouse.wire.headers import decode_text

SIGNATURE = b"\x78\x9f\x3e\x22"
_MAX_FILES = 500
_MAX_ATTRIBUTES = 5_000
_MAX_PROPERTIES = 2_000
_MAX_NAME_BYTES = 4_096
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,80}")
_MAX_TEXT_BYTES = 2 * 1024 * 1024

# Attributes (MS-OXTNEF §2.1.3.2), with their type in the upper half.
_CODEPAGE, _BODY, _MESSAGE_PROPERTIES = 0x00069007, 0x0002800C, 0x00069003
_RENDERING, _DATA, _TITLE, _ATTACHMENT_PROPERTIES = 0x00069002, 0x0006800F, 0x00018010, 0x00069005
# MAPI properties (MS-OXPROPS).
_PR_BODY, _PR_HTML, _PR_RTF, _PR_CODEPAGE = 0x1000, 0x1013, 0x1009, 0x3FDE
_PR_LONG_NAME, _PR_NAME, _PR_DISPLAY_NAME = 0x3707, 0x3704, 0x3001
_PR_DATA, _PR_MIME_TAG, _PR_CONTENT_ID, _PR_LOCATION = 0x3701, 0x370E, 0x3712, 0x3713
_STRING8, _UNICODE, _BINARY, _OBJECT = 0x1E, 0x1F, 0x102, 0x0D
_VARIABLE = frozenset({_STRING8, _UNICODE, _BINARY, _OBJECT})
# Octets of a value of fixed size, padded to four.
_FIXED = {0x01: 0, 0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}
# The builtin tables alone, so that every machine says the same.
_TYPES = MimeTypes(filenames=())


@dataclass(slots=True)
class File:
    """A file in a TNEF stream; text bodies are files without a name, in UTF-8."""

    data: bytes = b""
    filename: str = ""
    content_type: str = "application/octet-stream"
    content_id: str | None = None
    location: str | None = None


@dataclass(slots=True)
class Tnef:
    """What a stream holds.

    Attributes:
        bodies: the text it carries, the richest form it has: HTML, plain text or what RTF says.
        files: in order.
        is_whole: whether all of it could be read.
    """

    bodies: list[File] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    is_whole: bool = True


def read(data: bytes) -> Tnef | None:
    """What a TNEF stream holds; None when it is none."""
    if not data.startswith(SIGNATURE):
        return None
    return _Reader(data).read()


class _Reader:
    """The state of reading one stream."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._found = Tnef()
        self._charset = "windows-1252"
        self._body: bytes | str | None = None
        self._html: bytes | str | None = None
        self._rtf: bytes | None = None
        self._html_charset: str | None = None
        self._file: File | None = None

    def read(self) -> Tnef:
        for tag, value in self._attributes():
            if tag == _CODEPAGE and len(value) >= 4:
                self._charset = _charset(int.from_bytes(value[:4], "little"))
            elif tag == _BODY:
                self._body = value.rstrip(b"\0")
            elif tag == _MESSAGE_PROPERTIES:
                self._message(value)
            elif tag == _RENDERING:
                self._begin()
            elif tag in (_DATA, _TITLE, _ATTACHMENT_PROPERTIES):
                self._attached(tag, value)
        self._bodies()
        for file in self._found.files:
            if file.content_type == "application/octet-stream" and file.filename:
                file.content_type = _TYPES.guess_type(file.filename)[0] or file.content_type
        return self._found

    def _attributes(self) -> Iterator[tuple[int, bytes]]:
        data, position = self._data, 6
        for _ in range(_MAX_ATTRIBUTES):
            if position >= len(data):
                return
            if position + 9 > len(data):
                break
            tag, size = struct.unpack_from("<II", data, position + 1)
            start = position + 9
            yield tag, data[start : start + size]
            position = start + size + 2  # a checksum
            if position > len(data):
                break
        self._found.is_whole = False

    def _begin(self) -> None:
        self._file = None
        if len(self._found.files) >= _MAX_FILES:
            self._found.is_whole = False
            return
        self._file = File()
        self._found.files.append(self._file)

    def _attached(self, tag: int, value: bytes) -> None:
        if self._file is None:
            if self._found.files:
                return  # beyond the limit
            self._begin()
        file = self._file
        assert file is not None
        if tag == _DATA:
            file.data = value
        elif tag == _TITLE:
            file.filename = file.filename or self._text(value)
        else:
            self._properties_of(file, value)

    def _properties_of(self, file: File, value: bytes) -> None:
        names: dict[int, str] = {}
        for id_, type_, content in self._properties(value):
            if id_ == _PR_DATA and type_ in (_BINARY, _OBJECT):
                # An object begins with the identifier of its interface.
                file.data = content[16:] if type_ == _OBJECT else content
                if file.data.startswith(SIGNATURE):
                    file.content_type = "application/ms-tnef"
            elif type_ in (_STRING8, _UNICODE):
                text = self._string(type_, content[:_MAX_NAME_BYTES])
                if id_ in (_PR_LONG_NAME, _PR_NAME, _PR_DISPLAY_NAME):
                    names[id_] = text
                elif id_ == _PR_MIME_TAG and _TYPE.fullmatch(text) and not text.startswith("multipart/"):
                    file.content_type = text
                elif id_ == _PR_CONTENT_ID:
                    file.content_id = decode_text(text).strip("<> ") or None
                elif id_ == _PR_LOCATION:
                    file.location = decode_text(text) or None
        long_name = names.get(_PR_LONG_NAME)
        file.filename = long_name or file.filename or names.get(_PR_NAME) or names.get(_PR_DISPLAY_NAME) or ""

    def _message(self, value: bytes) -> None:
        for id_, type_, content in self._properties(value):
            if id_ == _PR_CODEPAGE and type_ == 0x03:
                self._html_charset = _charset(int.from_bytes(content[:4], "little"))
            elif id_ == _PR_BODY and type_ in (_STRING8, _UNICODE):
                self._body = self._string(type_, content)
            elif id_ == _PR_HTML:
                self._html = content if type_ == _BINARY else self._string(type_, content)
            elif id_ == _PR_RTF and type_ == _BINARY:
                self._rtf = content

    def _bodies(self) -> None:
        html, body = self._html, self._body
        if isinstance(html, bytes):
            html = decode_html(html[:_MAX_TEXT_BYTES], self._html_charset)
        if isinstance(body, bytes):
            body = decode_bytes(body[:_MAX_TEXT_BYTES], self._charset)
        if not (html and html.strip()) and not (body and body.strip()) and self._rtf:
            body = rtf.to_text(rtf.decompress(self._rtf))
        if html and html.strip():
            self._found.bodies.append(File(html.encode("utf-8", "replace"), content_type="text/html"))
        elif body and body.strip():
            self._found.bodies.append(File(body.encode("utf-8", "replace"), content_type="text/plain"))

    def _text(self, value: bytes) -> str:
        return decode_bytes(value[:2_048].rstrip(b"\0"), self._charset)

    def _string(self, type_: int, value: bytes) -> str:
        value = value[:_MAX_TEXT_BYTES]
        if type_ == _UNICODE:
            return value.decode("utf-16-le", "replace").rstrip("\0")
        return decode_bytes(value.rstrip(b"\0"), self._charset)

    def _properties(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Id, type and first value of each property."""
        try:
            (count,) = struct.unpack_from("<I", data, 0)
            position = 4
            for _ in range(min(count, _MAX_PROPERTIES)):
                type_, id_ = struct.unpack_from("<HH", data, position)
                position += 4
                if id_ >= 0x8000:  # named
                    (kind,) = struct.unpack_from("<I", data, position + 16)
                    position += 24
                    if kind == 1:
                        (size,) = struct.unpack_from("<I", data, position - 4)
                        position += _padded(size)
                base, is_many = type_ & 0xFFF, bool(type_ & 0x1000)
                values = 1
                if base in _VARIABLE or is_many:
                    (values,) = struct.unpack_from("<I", data, position)
                    position += 4
                    if values > len(data):
                        break
                first: bytes | None = None
                for _ in range(values):
                    size = _FIXED.get(base, -1)
                    if base in _VARIABLE:
                        (size,) = struct.unpack_from("<I", data, position)
                        position += 4
                    if size < 0 or position + size > len(data):
                        self._found.is_whole = False
                        return
                    first = data[position : position + size] if first is None else first
                    position += _padded(size)
                if first is not None:
                    yield id_, base, first
        except struct.error:
            self._found.is_whole = False


def _padded(size: int) -> int:
    return (size + 3) // 4 * 4


def _charset(codepage: int) -> str:
    """The charset label of a Windows code page."""
    return {65001: "utf-8", 20127: "us-ascii", 932: "shift_jis", 936: "gbk", 949: "ks_c_5601", 950: "big5"}.get(
        codepage, f"iso-8859-{codepage - 28590}" if 28590 < codepage < 28606 else f"cp{codepage}"
    )
