"""Messages: what was received or sent. A row never changes but for keywords, places and delivery state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from posthouse.store.database import Row, Tx
from posthouse.store.records import dump


class Person(NamedTuple):
    """A name and an address of a header, in this order; in JSON a pair."""

    name: str
    email: str


class StoredAttachment(msgspec.Struct, frozen=True, array_like=True):
    """A part of the message's blob that is an attachment: where it lies and how to decode it.

    `start` and `end` are octet offsets in the raw message, `size_bytes` is the decoded size.
    """

    part_id: str
    content_type: str
    filename: str | None
    disposition: str | None
    content_id: str | None
    size_bytes: int
    encoding: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Message:
    """A stored mail.

    Attributes:
        direction: `in` was received, `out` was sent or is held, `draft` is being written.
        header_message_id: the Message-ID without angle brackets; None when it had none.
        sent_at: the Date header's instant; None when unreadable.
        received_at: when it came in, was sent or was saved: the order of every list.
        keywords: sorted; `$seen $flagged $draft …` and free labels.
        delivery_state: of an `out` message: what its recipients' deliveries amount to.
        origin_mailbox_id: where it lay before it went to trash or junk.
        modseq: the change number of its last change.
    """

    id: str
    account_id: str
    thread_id: str
    blob_hash: str
    size_bytes: int
    direction: str
    header_message_id: str | None
    in_reply_to: list[str]
    refs: list[str]
    subject: str
    from_list: list[Person]
    to_list: list[Person]
    cc_list: list[Person]
    bcc_list: list[Person]
    reply_to_list: list[Person]
    preview: str
    sent_at: int | None
    received_at: int
    keywords: list[str]
    attachments: list[StoredAttachment]
    delivery_state: str | None
    origin_mailbox_id: str | None
    modseq: int
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class MessageBody:
    """What only a reader of the one message needs.

    Attributes:
        headers: (name, raw value) in their order.
        structure: the MIME tree (RFC 8621 §4.1.4), as `mail.structure` writes it.
        text_body: the text/plain bodies, decoded; None when it has none.
        html_body: likewise text/html.
        extracted_text: the new text of a reply, without quotes and signature; None when not computed.
        defects: what was wrong with its form.
        handed_in: how it came: protocol, client, TLS, envelope; empty for mail made here.
    """

    message_id: str
    headers: list[tuple[str, str]]
    structure: Any
    text_body: str | None
    html_body: str | None
    extracted_text: str | None
    extracted_html: str | None
    defects: list[str]
    handed_in: dict[str, Any]


_people = msgspec.json.Decoder(list[Person])
_strings = msgspec.json.Decoder(list[str])
_attachments = msgspec.json.Decoder(list[StoredAttachment])
_pairs = msgspec.json.Decoder(list[tuple[str, str]])
_any = msgspec.json.Decoder()


def _people_of(text: str) -> list[Person]:
    return [] if text == "[]" else _people.decode(text)


def _strings_of(text: str) -> list[str]:
    return [] if text == "[]" else _strings.decode(text)


def message_of(row: Row) -> Message:
    """A record out of a row of the message table."""
    attachments = row["attachments"]
    return Message(
        row["id"], row["account_id"], row["thread_id"], row["blob_hash"], row["size_bytes"], row["direction"],
        row["header_message_id"], _strings_of(row["in_reply_to"]), _strings_of(row["refs"]), row["subject"],
        _people_of(row["from_list"]), _people_of(row["to_list"]), _people_of(row["cc_list"]),
        _people_of(row["bcc_list"]), _people_of(row["reply_to_list"]), row["preview"], row["sent_at"],
        row["received_at"], _strings_of(row["keywords"]),
        [] if attachments == "[]" else _attachments.decode(attachments),
        row["delivery_state"], row["origin_mailbox_id"], row["modseq"], row["created_at"], row["updated_at"],
    )  # fmt: skip


async def add(tx: Tx, message: Message, body: MessageBody) -> None:
    """Insert a message with its body and keywords."""
    await tx.run(
        """INSERT INTO message (id, account_id, thread_id, blob_hash, size_bytes, direction, header_message_id,
             in_reply_to, refs, subject, from_list, to_list, cc_list, bcc_list, reply_to_list, preview, sent_at,
             received_at, keywords, attachments, delivery_state, modseq, created_at, updated_at)
           VALUES (:id, :account_id, :thread_id, :blob_hash, :size_bytes, :direction, :header_message_id,
             :in_reply_to, :refs, :subject, :from_list, :to_list, :cc_list, :bcc_list, :reply_to_list, :preview,
             :sent_at, :received_at, :keywords, :attachments, :delivery_state, :modseq, :at, :at)""",
        id=message.id, account_id=message.account_id, thread_id=message.thread_id, blob_hash=message.blob_hash,
        size_bytes=message.size_bytes, direction=message.direction,
        header_message_id=message.header_message_id, in_reply_to=dump(message.in_reply_to),
        refs=dump(message.refs), subject=message.subject, from_list=dump(message.from_list),
        to_list=dump(message.to_list), cc_list=dump(message.cc_list), bcc_list=dump(message.bcc_list),
        reply_to_list=dump(message.reply_to_list), preview=message.preview, sent_at=message.sent_at,
        received_at=message.received_at, keywords=dump(message.keywords),
        attachments=dump(message.attachments), delivery_state=message.delivery_state, modseq=message.modseq,
        at=message.created_at,
    )  # fmt: skip
    # A mail that quotes nothing is all new text: kept once.
    is_all_new = body.extracted_text is not None and body.extracted_text == (body.text_body or "").strip()
    await tx.run(
        """INSERT INTO message_body (message_id, headers, structure, text_body, html_body, extracted_text,
             extracted_is_text, extracted_html, defects, handed_in)
           VALUES (:message_id, :headers, :structure, :text_body, :html_body, :extracted_text,
             :extracted_is_text, :extracted_html, :defects, :handed_in)""",
        message_id=message.id, headers=dump(body.headers), structure=dump(body.structure),
        text_body=body.text_body, html_body=body.html_body,
        extracted_text=None if is_all_new else body.extracted_text, extracted_is_text=is_all_new,
        extracted_html=body.extracted_html, defects=dump(body.defects), handed_in=dump(body.handed_in),
    )  # fmt: skip
    await _add_keywords(tx, message.account_id, message.id, message.received_at, message.keywords)


async def _add_keywords(tx: Tx, account_id: str, message_id: str, received_at: int, keywords: Sequence[str]) -> None:
    await tx.many(
        """INSERT INTO message_keyword (account_id, keyword, received_at, message_id)
           VALUES (:account_id, :keyword, :received_at, :message_id)""",
        [
            {"account_id": account_id, "keyword": keyword, "received_at": received_at, "message_id": message_id}
            for keyword in keywords
        ],
    )


async def get(tx: Tx, account_id: str, message_id: str) -> Message | None:
    """The message, or None."""
    row = await tx.one(
        "SELECT * FROM message WHERE account_id = :account_id AND id = :id", account_id=account_id, id=message_id
    )
    return message_of(row) if row else None


async def get_many(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, Message]:
    """Those of the messages that exist, by id."""
    rows = await tx.all(
        "SELECT * FROM message WHERE account_id = :account_id AND id IN (:ids...)",
        account_id=account_id, ids=list(message_ids),
    )  # fmt: skip
    return {row["id"]: message_of(row) for row in rows}


def _body_of(row: Row) -> MessageBody:
    extracted = (row["text_body"] or "").strip() if row["extracted_is_text"] else row["extracted_text"]
    return MessageBody(
        row["message_id"], _pairs.decode(row["headers"]), _any.decode(row["structure"]), row["text_body"],
        row["html_body"], extracted, row["extracted_html"], _strings.decode(row["defects"]),
        _any.decode(row["handed_in"]),
    )  # fmt: skip


async def get_body(tx: Tx, account_id: str, message_id: str) -> MessageBody | None:
    """The message's body, or None."""
    row = await tx.one(
        """SELECT message_body.* FROM message_body JOIN message ON message.id = message_body.message_id
           WHERE message.account_id = :account_id AND message.id = :id""",
        account_id=account_id, id=message_id,
    )  # fmt: skip
    if row is None:
        return None
    return _body_of(row)


async def by_header_message_id(tx: Tx, account_id: str, header_message_id: str) -> Message | None:
    """The first message of the account with this Message-ID (without brackets)."""
    row = await tx.one(
        """SELECT * FROM message WHERE account_id = :account_id AND header_message_id = :header_message_id
           ORDER BY received_at, id LIMIT 1""",
        account_id=account_id, header_message_id=header_message_id,
    )  # fmt: skip
    return message_of(row) if row else None


async def ids_by_header(tx: Tx, account_id: str, header_message_ids: Sequence[str]) -> dict[str, str]:
    """Our ids of those Message-IDs that are stored in the account."""
    rows = await tx.all(
        """SELECT header_message_id, min(id) AS id FROM message
           WHERE account_id = :account_id AND header_message_id IN (:ids...) GROUP BY header_message_id""",
        account_id=account_id, ids=list(header_message_ids),
    )  # fmt: skip
    return {row["header_message_id"]: row["id"] for row in rows}


async def of_threads(tx: Tx, account_id: str, thread_ids: Sequence[str]) -> list[Message]:
    """All messages of the threads, oldest first."""
    rows = await tx.all(
        """SELECT * FROM message WHERE account_id = :account_id AND thread_id IN (:ids...)
           ORDER BY thread_id, received_at, id""",
        account_id=account_id, ids=list(thread_ids),
    )  # fmt: skip
    return [message_of(row) for row in rows]


async def set_keywords(tx: Tx, message: Message, keywords: Sequence[str], modseq: int, at: int) -> None:
    """Replace a message's keywords."""
    await tx.run(
        "UPDATE message SET keywords = :keywords, modseq = :modseq, updated_at = :at WHERE id = :id",
        id=message.id, keywords=dump(sorted(keywords)), modseq=modseq, at=at,
    )  # fmt: skip
    before, after = set(message.keywords), set(keywords)
    if before - after:
        await tx.run(
            "DELETE FROM message_keyword WHERE message_id = :id AND keyword IN (:gone...)",
            id=message.id, gone=sorted(before - after),
        )  # fmt: skip
    await _add_keywords(tx, message.account_id, message.id, message.received_at, sorted(after - before))


async def touch(tx: Tx, message_id: str, modseq: int, at: int, *, origin_mailbox_id: str | None) -> None:
    """The message's places changed."""
    await tx.run(
        """UPDATE message SET modseq = :modseq, updated_at = :at, origin_mailbox_id = :origin WHERE id = :id""",
        id=message_id, modseq=modseq, at=at, origin=origin_mailbox_id,
    )  # fmt: skip


async def set_delivery_state(tx: Tx, message_id: str, state: str, modseq: int, at: int) -> None:
    """What the deliveries of a sent message amount to."""
    await tx.run(
        "UPDATE message SET delivery_state = :state, modseq = :modseq, updated_at = :at WHERE id = :id",
        id=message_id, state=state, modseq=modseq, at=at,
    )  # fmt: skip


async def delete(tx: Tx, account_id: str, message_id: str) -> None:
    """Delete the row with its body and keywords; places are expunged before."""
    await tx.run(
        "DELETE FROM message WHERE account_id = :account_id AND id = :id", account_id=account_id, id=message_id
    )


async def ids_of_account(tx: Tx, account_id: str) -> list[str]:
    """All messages of the account."""
    rows = await tx.all("SELECT id FROM message WHERE account_id = :account_id", account_id=account_id)
    return [row["id"] for row in rows]


async def all_ids(tx: Tx, after: str, limit: int) -> list[tuple[str, str]]:
    """(account id, message id) of all messages of the installation, in the order of their ids."""
    rows = await tx.all(
        "SELECT account_id, id FROM message WHERE id > :after ORDER BY id LIMIT :limit", after=after, limit=limit
    )
    return [(row["account_id"], row["id"]) for row in rows]


async def get_bodies(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, MessageBody]:
    """The bodies of those of the messages that exist, by id."""
    rows = await tx.all(
        """SELECT message_body.* FROM message_body JOIN message ON message.id = message_body.message_id
           WHERE message.account_id = :account_id AND message.id IN (:ids...)""",
        account_id=account_id, ids=list(message_ids),
    )  # fmt: skip
    return {row["message_id"]: _body_of(row) for row in rows}


async def set_direction(tx: Tx, message_id: str, direction: str) -> None:
    """A draft was sent, or is none any more."""
    await tx.run("UPDATE message SET direction = :direction WHERE id = :id", id=message_id, direction=direction)


async def by_blobs(tx: Tx, account_id: str, hashes: Sequence[str]) -> list[tuple[str, str, str]]:
    """(blob hash, message id, thread id) of the account's messages made of these bytes."""
    rows = await tx.all(
        """SELECT blob_hash, id, thread_id FROM message
           WHERE blob_hash IN (:hashes...) AND account_id = :account_id ORDER BY id""",
        account_id=account_id, hashes=list(hashes),
    )  # fmt: skip
    return [(row["blob_hash"], row["id"], row["thread_id"]) for row in rows]


async def thread_members(tx: Tx, account_id: str, thread_ids: Sequence[str]) -> dict[str, list[str]]:
    """The messages of each of the threads that exist, oldest first."""
    rows = await tx.all(
        """SELECT id, thread_id FROM message WHERE account_id = :account_id AND thread_id IN (:ids...)
           ORDER BY received_at, id""",
        account_id=account_id, ids=list(thread_ids),
    )  # fmt: skip
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["thread_id"], []).append(row["id"])
    return found
