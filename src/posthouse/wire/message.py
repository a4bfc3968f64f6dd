"""A whole message: headers, addresses, structure and the bodies to show, out of any bytes."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.wire.address import Address
from posthouse.wire.mime import Limits, Part


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    headers: tuple[tuple[str, str], ...]
    message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    subject: str
    from_: tuple[Address, ...]
    sender: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    sent_at: int | None
    structure: Part
    text_body: tuple[Part, ...]
    html_body: tuple[Part, ...]
    attachments: tuple[Part, ...]
    text: str | None
    html: str | None
    plain: str
    extracted_text: str | None
    extracted_html: str | None
    preview: str
    has_attachment: bool
    is_auto_submitted: bool
    defects: tuple[str, ...]


def parse(raw: bytes, limits: Limits = Limits()) -> ParsedMessage:
    raise NotImplementedError


def parse_headers_only(raw: bytes, limits: Limits = Limits()) -> tuple[tuple[str, str], ...]:
    raise NotImplementedError


def decode_part(raw: bytes, part: Part) -> bytes:
    raise NotImplementedError


def decode_span(raw: bytes, start: int, end: int, encoding: str) -> bytes:
    raise NotImplementedError
