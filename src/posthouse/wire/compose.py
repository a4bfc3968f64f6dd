"""Building messages to send."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.wire.address import Address


@dataclass(frozen=True, slots=True)
class Attachment:
    filename: str
    content_type: str
    data: bytes
    disposition: str = "attachment"
    content_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    from_: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    subject: str
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    in_reply_to: str | None
    references: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    message_id: str | None
    sent_at: int
    sender: Address | None = None


def compose(outgoing: Outgoing) -> bytes:
    raise NotImplementedError


def new_message_id(domain: str) -> str:
    raise NotImplementedError


def needs_utf8(raw: bytes) -> bool:
    raise NotImplementedError


def reply_subject(subject: str) -> str:
    raise NotImplementedError


def forward_subject(subject: str) -> str:
    raise NotImplementedError


def reply_references(parent_message_id: str | None, parent_references: tuple[str, ...]) -> tuple[str, ...]:
    raise NotImplementedError
