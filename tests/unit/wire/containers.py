"""Makers of winmail.dat and of opaque S/MIME signatures, for tests."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence


def attribute(level: int, tag: int, value: bytes) -> bytes:
    """An attribute of a TNEF stream (MS-OXTNEF §2.1.3)."""
    return struct.pack("<BII", level, tag, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def property_(id_: int, type_: int, value: bytes) -> bytes:
    """A MAPI property with one value of variable size."""
    return struct.pack("<HHII", type_, id_, 1, len(value)) + value + b"\0" * (-len(value) % 4)


def tnef(
    *files: tuple[str, bytes],
    body: str = "",
    html: str = "",
    rtf: bytes = b"",
    content_ids: Sequence[str] = (),
) -> bytes:
    """A TNEF stream with these files and bodies."""
    out = struct.pack("<IH", 0x223E9F78, 1) + attribute(1, 0x00069007, struct.pack("<II", 1252, 0))
    properties = [struct.pack("<HHi", 3, 0x3FDE, 65001)]
    if body:
        properties.append(property_(0x1000, 0x1F, (body + "\0").encode("utf-16-le")))
    if html:
        properties.append(property_(0x1013, 0x102, html.encode()))
    if rtf:
        properties.append(property_(0x1009, 0x102, rtf))
    named = struct.pack("<HH16sII", 3, 0x8001, b"\1" * 16, 0, 7) + struct.pack("<i", 5)
    out += attribute(1, 0x00069003, struct.pack("<I", len(properties) + 1) + named + b"".join(properties))
    for index, (name, data) in enumerate(files):
        out += attribute(2, 0x00069002, b"\0" * 14)
        out += attribute(2, 0x00018010, name.encode("ascii", "replace")[:8] + b"\0")
        out += attribute(2, 0x0006800F, data)
        own = [property_(0x3707, 0x1F, (name + "\0").encode("utf-16-le"))]
        if index < len(content_ids):
            own.append(property_(0x3712, 0x1E, content_ids[index].encode() + b"\0"))
        out += attribute(2, 0x00069005, struct.pack("<I", len(own)) + b"".join(own))
    return out


def der(tag: int, content: bytes) -> bytes:
    """An element of DER."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def pieces(content: bytes, each: int) -> bytes:
    """A string of octets in pieces, of indefinite length, as streaming senders write it."""
    parts = b"".join(der(0x04, content[at : at + each]) for at in range(0, len(content), each))
    return b"\x24\x80" + parts + b"\0\0"


def signed(content: bytes, octets: bytes | None = None) -> bytes:
    """A CMS SignedData that encloses `content`, without any signer."""
    data = der(0x06, bytes.fromhex("2a864886f70d010701"))
    enclosed = der(0x30, data + der(0xA0, der(0x04, content) if octets is None else octets))
    body = der(0x30, b"\x02\x01\x01" + der(0x31, b"") + enclosed + der(0x31, b""))
    return der(0x30, der(0x06, bytes.fromhex("2a864886f70d010702")) + der(0xA0, body))


def as_part(content_type: str, data: bytes, *fields: str) -> bytes:
    """An entity that holds these bytes in base64."""
    lines = [f"Content-Type: {content_type}", "Content-Transfer-Encoding: base64", *fields, "", ""]
    return "\n".join(lines).encode() + base64.encodebytes(data)
