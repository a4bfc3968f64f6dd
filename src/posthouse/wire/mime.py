"""MIME structure: the tree of body parts of a message, as offsets into its bytes.

One pass over the message: header sections are read where a part begins, and between them only lines that
start with `--` are looked at. Time is linear in the size, whatever the nesting. Nothing here fails: sloppy
structure is read the way common clients read it and noted as a defect.

Obeys RFC 2045 §5, §6, RFC 2046 §5.1, RFC 2183, RFC 3501 §6.4.5 (part numbers).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from posthouse.wire import raw_headers
from posthouse.wire.charset import codec_of, decode_transfer, html_charset
from posthouse.wire.contents import decode_span
from posthouse.wire.headers import Headers, Section, decode_text, parse_parameters, read_section, unfold


@dataclass(frozen=True, slots=True)
class Limits:
    """What is looked at of one message; what lies beyond is kept as an attachment, never dropped.

    Attributes:
        depth: nested multiparts; a deeper one is an attachment as a whole.
        parts: body parts in all; what follows the last is one attachment.
        headers: header fields of one entity.
        header_bytes: size of the header section of one entity.
        text_bytes: decoded size of the text, and of the HTML, that is shown and searched.
    """

    depth: int = 20
    parts: int = 1_000
    headers: int = raw_headers.READ_FIELDS
    header_bytes: int = raw_headers.READ_OCTETS
    text_bytes: int = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One body part (RFC 8621 §4.1.4 `EmailBodyPart`).

    Attributes:
        part_id: "1", "2", "1.1"…: the numbers of RFC 3501 §6.4.5; "" for a multipart that is the whole message.
        content_type: `type/subtype` in lower case, without parameters.
        charset: as declared, in lower case; "us-ascii" for text without one (RFC 8621 §4.1.4); else None.
        filename: decoded, without folders and control characters.
        disposition: "inline", "attachment" or another word in lower case.
        content_id: without angle brackets.
        language: the tags of Content-Language.
        location: Content-Location.
        size_bytes: of the decoded content; 0 for a multipart.
        encoding: "7bit", "base64", "quoted-printable", "uuencode"…: how the bytes at `start:end` are encoded; what
            lies in a container of another kind has the way into it here as well (`contents.py`).
        headers: (name, raw value) in the order of the part.
        parts: the children of a multipart; of a leaf, what is in it where it is a container that was opened
            (`opened.py`). A message/rfc822 part has none: it is a message of its own.
        start: offset in the message of the first byte of the body.
        end: offset after its last byte.
    """

    part_id: str
    content_type: str
    charset: str | None
    filename: str | None
    disposition: str | None
    content_id: str | None
    language: tuple[str, ...]
    location: str | None
    size_bytes: int
    encoding: str
    headers: Headers
    parts: tuple[Part, ...]
    start: int
    end: int

    @property
    def is_multipart(self) -> bool:
        """Whether this is a container and has no content of its own."""
        return self.content_type.startswith("multipart/")


@dataclass(frozen=True, slots=True)
class Structure:
    """What a scan found.

    Attributes:
        root: the message itself as a part.
        section: the header section of the message.
        decoded: the content of text parts by their `part_id`, decoded on the way to learn their size.
        defects: what was wrong, as sentences, each once.
        has_containers: whether a part may be a container of another kind.
    """

    root: Part
    section: Section
    decoded: dict[str, bytes]
    defects: tuple[str, ...]
    has_containers: bool = False


# A delimiter line begins with two dashes (RFC 2046 §5.1.1). Longer than 70 characters are sloppy, not unheard of.
_DASHES = re.compile(rb"\n(--[^\r\n]{1,998})")
_FIRST_DASHES = re.compile(rb"--[^\r\n]{1,998}")
_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,127}/[a-z0-9!#$&^_.+-]{1,127}")
_ENCODINGS = {"8bit": "8bit", "7bit": "7bit", "8-bit": "8bit", "7-bit": "7bit", "quotedprintable": "quoted-printable"}
_FILENAME_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_MAX_FILENAME_CHARS = 255
# Text parts up to this size are kept decoded between the scan and the reading of the bodies.
_KEEP_DECODED_BYTES = 4 * 1024 * 1024
_OVER = "A limit on {} was reached; the rest is kept as one attachment."


class _Node:
    """An entity whose end is not yet known."""

    __slots__ = ("boundary", "children", "content_type", "digest", "parameters", "part_id", "section", "start")

    def __init__(self, section: Section, part_id: str, default_type: str) -> None:
        self.section = section
        self.part_id = part_id
        self.children: list[Part] = []
        self.start = section.body_start
        self.content_type, self.parameters = _content_type(section.fields, default_type)
        self.boundary: bytes | None = None
        self.digest = self.content_type == "multipart/digest"


def scan(raw: bytes, limits: Limits) -> Structure:
    """Find the parts of a message.

    Source: RFC 2046 §5.1; a missing closing delimiter, white space after a delimiter, bare LF, a preamble
    with dashes in it, an undeclared boundary and equal boundaries on two levels are coped with. Raw 8-bit in a
    header is read in the charset of its part, or of the first text that names one.
    """
    scanner = _Scanner(raw, limits)
    structure = scanner.scan()
    if scanner.unread:
        charset = _text_charset(structure)
        if charset is not None:
            structure = _Scanner(raw, limits, charset).scan()
    return structure


def _text_charset(structure: Structure) -> str | None:
    """The charset of the mail's first text that names one, in itself or by the `<meta>` of its HTML."""
    waiting = [structure.root]
    while waiting:
        part = waiting.pop()
        waiting.extend(reversed(part.parts))
        if part.content_type in ("text/plain", "text/html") and not part.parts:
            if codec_of(part.charset) is not None:
                return part.charset
            found = html_charset(structure.decoded.get(part.part_id, b"")) if part.content_type == "text/html" else None
            if found is not None:
                return found
    return None


# What is no multipart and holds parts all the same.
_CONTAINERS = {
    "application/ms-tnef": "tnef",
    "application/vnd.ms-tnef": "tnef",
    "application/pkcs7-mime": "cms",
    "application/x-pkcs7-mime": "cms",
}


def container_kind(content_type: str, filename: str | None) -> str | None:
    """`cms` or `tnef` where a part may be such a container."""
    kind = _CONTAINERS.get(content_type)
    if kind is None and filename is not None and content_type == "application/octet-stream":
        name = filename.lower()
        kind = "tnef" if name in ("winmail.dat", "win.dat") else "cms" if name.endswith(".p7m") else None
    return kind


class _Scanner:
    """The state of one pass: the open multiparts, innermost last, and their delimiter lines."""

    __slots__ = (
        "charset", "count", "decoded", "defects", "has_containers", "limits", "open", "position", "raw", "unread",
        "watched",
    )  # fmt: skip

    def __init__(self, raw: bytes, limits: Limits, charset: str | None = None) -> None:
        self.raw = raw
        self.limits = limits
        self.open: list[_Node] = []
        self.watched: dict[bytes, int] = {}  # delimiter line → index in `open`; closing ones too
        self.decoded: dict[str, bytes] = {}
        self.defects: dict[str, None] = {}
        self.count = 0
        self.position = 0
        self.charset = charset  # for raw 8-bit in the headers of parts that name none
        self.unread = False  # there was such, and no charset
        self.has_containers = False

    def scan(self) -> Structure:
        top = self._section(0)
        node = _Node(top, "", "text/plain")
        if top.eight_bit:
            self._apply_charset(node)
        size = len(self.raw)
        if top.cut:
            root = self._opaque(node.section, "1", node.start, size)
        elif not self._enter(node):
            node.part_id = "1"
            root = self._leaf(node, size)
        else:
            root = self._children()
        return Structure(root, top, self.decoded, tuple(self.defects), self.has_containers)

    def _apply_charset(self, node: _Node) -> None:
        """Read raw 8-bit in a header section; the parameters of the type may have some."""
        charset = node.parameters.get("charset")
        if codec_of(charset) is None:
            charset = self.charset
            self.unread |= charset is None
        node.section.apply_charset(charset)
        if node.parameters:
            node.parameters = _content_type(node.section.fields, node.content_type)[1]

    def _section(self, start: int) -> Section:
        section = read_section(
            self.raw,
            start,
            max_fields=self.limits.headers,
            max_bytes=self.limits.header_bytes,
            boundaries=self.watched,
        )
        for defect in section.defects:
            self.defects[defect] = None
        return section

    def _enter(self, node: _Node) -> bool:
        """Open a multipart; False when the entity is none, or cannot be entered."""
        if not node.content_type.startswith("multipart/"):
            return False
        if len(self.open) >= self.limits.depth:
            self.defects[_OVER.format("nested parts")] = None
            node.content_type = "application/octet-stream"
            return False
        boundary = node.parameters.get("boundary", "").rstrip()
        if boundary:
            node.boundary = b"--" + boundary.encode("utf-8", "replace")[:998]
        else:
            self.defects["A multipart declares no boundary."] = None
            node.boundary = self._guess_boundary(node.start)
            if node.boundary is None:
                node.content_type = "text/plain"
                return False
        self.open.append(node)
        self._watch()
        self.position = node.start
        return True

    def _guess_boundary(self, start: int) -> bytes | None:
        first = _FIRST_DASHES.match(self.raw, start) or _DASHES.search(self.raw, start, start + 4_096)
        return first.group().strip() if first is not None else None

    def _watch(self) -> None:
        self.watched = {}
        for index, node in enumerate(self.open):
            assert node.boundary is not None
            self.watched[node.boundary] = index
            self.watched[node.boundary + b"--"] = index

    def _children(self) -> Part:
        """Walk over the delimiter lines until every multipart is closed; returns the outermost."""
        current: _Node | None = None  # the leaf whose end is looked for
        while True:
            line_start, line = self._next_delimiter()
            if line is None:
                if current is not None:
                    self._append(self._leaf(current, len(self.raw)))
                self.defects["A multipart lacks its closing delimiter."] = None
                while True:
                    part = self._close(self.open[-1], len(self.raw))
                    if not self.open:
                        return part
                    self._append(part)
            index = self.watched[line]
            end = self._before_line_break(line_start)
            if current is not None:
                self._append(self._leaf(current, end))
                current = None
            while len(self.open) - 1 > index:
                self.defects["A multipart lacks its closing delimiter."] = None
                part = self._close(self.open[-1], end)
                self._append(part)
            if line != self.open[index].boundary:
                part = self._close(self.open[index], end)
                if not self.open:
                    return part
                self._append(part)
                continue
            if self.count >= self.limits.parts:
                return self._give_up()
            current = self._begin()

    def _begin(self) -> _Node | None:
        """Start the part behind the delimiter line just read; None when it is a multipart and was entered."""
        parent = self.open[-1]
        self.count += 1
        part_id = self._child_id()
        section = self._section(self.position)
        node = _Node(section, part_id, "message/rfc822" if parent.digest else "text/plain")
        if section.eight_bit:
            self._apply_charset(node)
        self.position = node.start
        if section.cut:
            node.content_type, node.parameters = "application/octet-stream", {}
            return node
        if self._enter(node):
            return None
        return node

    def _child_id(self) -> str:
        parent = self.open[-1]
        number = str(len(parent.children) + 1)
        return f"{parent.part_id}.{number}" if parent.part_id else number

    def _next_delimiter(self) -> tuple[int, bytes | None]:
        """The next delimiter line of an open multipart: its offset and its text; moves behind it."""
        raw, watched = self.raw, self.watched
        position = self.position
        match = _FIRST_DASHES.match(raw, position)  # a delimiter right where a body begins
        if match is None or (position and raw[position - 1] != 10) or match.group().rstrip() not in watched:
            for match in _DASHES.finditer(raw, position):
                if match.group(1).rstrip() in watched:
                    break
            else:
                return len(raw), None
            line_start, line = match.start() + 1, match.group(1).rstrip()
        else:
            line_start, line = position, match.group().rstrip()
        after = raw.find(b"\n", match.end())
        self.position = len(raw) if after < 0 else after + 1
        return line_start, line

    def _before_line_break(self, line_start: int) -> int:
        """The line break before a delimiter belongs to the delimiter (RFC 2046 §5.1.1)."""
        end = line_start
        if end and self.raw[end - 1] == 10:
            end -= 1
            if end and self.raw[end - 1] == 13:
                end -= 1
        return end

    def _append(self, part: Part) -> None:
        self.open[-1].children.append(part)

    def _close(self, node: _Node, end: int) -> Part:
        """The part of the innermost open multipart, which ends here."""
        self.open.pop()
        self._watch()
        if not node.children:
            self.defects["A multipart has no parts; it is read as text."] = None
            node.content_type, node.parameters = "text/plain", {}
            node.part_id = node.part_id or "1"
            return self._leaf(node, end)
        return self._part(node, end, tuple(node.children), 0, "7bit")

    def _give_up(self) -> Part:
        """Too many parts: the one that begins here and all that follows is one attachment."""
        self.defects[_OVER.format("the number of parts")] = None
        self._append(self._opaque(Section(), self._child_id(), self.position, len(self.raw)))
        while True:
            part = self._close(self.open[-1], len(self.raw))
            if not self.open:
                return part
            self._append(part)

    def _opaque(self, section: Section, part_id: str, start: int, end: int) -> Part:
        return Part(
            part_id, "application/octet-stream", None, None, "attachment", None, (), None,
            end - start, "binary", tuple(section.fields), (), start, end,
        )  # fmt: skip

    def _leaf(self, node: _Node, end: int) -> Part:
        end = max(end, node.start)
        encoding = _encoding(node.section.fields)
        size = end - node.start
        content = None
        if encoding not in ("7bit", "8bit", "binary"):
            content = decode_transfer(self.raw[node.start : end], encoding)
            size = len(content)
        if node.content_type.startswith("text/") and size <= _KEEP_DECODED_BYTES:
            self.decoded[node.part_id] = self.raw[node.start : end] if content is None else content
        return self._part(node, end, (), size, encoding)

    def _part(self, node: _Node, end: int, children: tuple[Part, ...], size: int, encoding: str) -> Part:
        fields = node.section.fields
        content_type = node.content_type
        disposition = filename = content_id = location = None
        language: tuple[str, ...] = ()
        for name, value in fields:
            if len(name) < 10 or name[0] not in "Cc":
                continue
            key = name.lower()
            if key == "content-disposition" and disposition is None:
                word, parameters = parse_parameters(value)
                disposition = word or None
                filename = clean_filename(parameters.get("filename", ""))
            elif key == "content-id" and content_id is None:
                content_id = decode_text(value).strip("<> \t") or None
            elif key == "content-language" and not language:
                language = tuple(tag.strip() for tag in decode_text(value).split(",") if tag.strip())
            elif key == "content-location" and location is None:
                location = decode_text(value) or None
        if filename is None:
            filename = clean_filename(node.parameters.get("name", ""))
        if not children and container_kind(content_type, filename) is not None:
            self.has_containers = True
        charset = None
        if not children and "charset" in node.parameters:
            words = node.parameters["charset"].split()
            charset = words[0].strip("\"'").lower() or None if words else None
        if charset is None and content_type.startswith("text/"):
            charset = "us-ascii"
        return Part(
            node.part_id, content_type, charset, filename, disposition, content_id, language, location,
            size, encoding, tuple(fields), children, node.start, max(end, node.start),
        )  # fmt: skip


def _content_type(fields: list[tuple[str, str]], default: str) -> tuple[str, dict[str, str]]:
    for name, value in fields:
        if len(name) == 12 and name.lower() == "content-type":
            word, parameters = parse_parameters(value)
            if word == "text":
                word = "text/plain"
            # RFC 2045 §5.2: what cannot be read is plain text.
            return (word, parameters) if _TYPE.fullmatch(word) else ("text/plain", parameters)
    return default, {}


def _encoding(fields: list[tuple[str, str]]) -> str:
    for name, value in fields:
        if len(name) == 25 and name.lower() == "content-transfer-encoding":
            words = unfold(value).lower().replace(";", " ").split()
            word = words[0].strip("\"'") if words else "7bit"
            return _ENCODINGS.get(word, word)[:64] or "7bit"
    return "7bit"


def clean_filename(name: str) -> str | None:
    """A file name without folders, control characters and direction marks, of at most 255 characters.

    The extension survives the cut. None when nothing is left; `.` and `..` are nothing.
    """
    if not name:
        return None
    name = name.replace("\\", "/").rpartition("/")[2]
    if not name.isprintable():
        name = _FILENAME_UNSAFE.sub(" ", name)
    name = name.strip()
    if len(name) > _MAX_FILENAME_CHARS:
        stem, dot, extension = name.rpartition(".")
        keep = f"{dot}{extension}" if dot and len(extension) <= 16 else ""
        name = (stem if keep else name)[: _MAX_FILENAME_CHARS - len(keep)] + keep
    return None if name in ("", ".", "..") else name


def decode_part(raw: bytes, part: Part) -> bytes:
    """The decoded content of a part of `raw`; the undecoded bytes of a multipart."""
    return decode_span(raw, part.start, part.end, part.encoding)
