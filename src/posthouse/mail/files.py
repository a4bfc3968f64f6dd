"""The bytes of a message and of its parts, to be given as files."""

from __future__ import annotations

from posthouse.kit.errors import Gone, NotFound
from posthouse.store import messages
from posthouse.store.database import Tx
from posthouse.store.messages import Message, StoredAttachment
from posthouse.wire.canonical import canonical
from posthouse.wire.contents import decode_span


async def find(tx: Tx, account_id: str, message_id: str, part_id: str) -> tuple[Message, StoredAttachment | None]:
    """A message, and one of its parts; with `part_id` "" the message as a whole.

    Raises:
        Gone: there is no such message any more.
        NotFound: it has no such part.
    """
    message = await messages.get(tx, account_id, message_id)
    if message is None:
        raise Gone("the file is no longer there")
    if not part_id:
        return message, None
    part = next((part for part in message.attachments if part.part_id == part_id), None)
    if part is None:
        raise NotFound("there is no such file")
    return message, part


def content(raw: bytes, part: StoredAttachment | None) -> bytes:
    """A part's bytes out of its message's, decoded; the message itself without a part."""
    return raw if part is None else decode_span(raw, part.start, part.end, part.encoding)


def as_message(raw: bytes) -> bytes:
    """Bytes as they are when they are taken in as a message."""
    return canonical(raw)
