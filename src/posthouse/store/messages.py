"""Messages: what was received or sent. A row never changes but for keywords, places and delivery state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from posthouse.store.database import Tx
from posthouse.store.records import dump


class Person(NamedTuple):
    """A name and an address of a header, in this order; in JSON a pair."""

    name: str
    email: str


INLINE = "inline"


class StoredAttachment(msgspec.Struct, frozen=True, array_like=True):
    """A part of the message that is not shown as text: where it lies in the blob and how to decode it.

    Attributes:
        disposition: `INLINE` when the message's HTML shows it, and only then; else what the part says, None for
            nothing or for an `inline` that no text shows. Of what was filed before that was told apart: what it says.
        size_bytes: decoded.
        encoding: as `wire.mime.Part.encoding`.
        start, end: octet offsets in the raw message.
        declared: the disposition as the part says it.
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
    declared: str | None = None

    @property
    def is_inline(self) -> bool:
        """Whether the message's text shows it; else it is to be offered as a file."""
        return self.disposition == INLINE


class Message(msgspec.Struct, frozen=True, gc=False):
    """A stored mail; its fields are the columns of its table, in this order.

    Attributes:
        direction: `in` was received, `out` was sent or is held, `draft` is being written.
        header_message_id: the Message-ID without angle brackets; None when it had none.
        sent_at: the Date header's instant; None when unreadable, or not of the years 1 to 9999.
        received_at: when it came in, was sent or was saved: the order of every list.
        keywords: sorted; `$seen $flagged $draft …` and free labels.
        delivery_state: of an `out` message: what its recipients' deliveries amount to.
        origin_mailbox_id: where it lay before it went to trash or junk.
        modseq: the change number of its last change.
        roles: those of the mailboxes it lies in, of the roles that a mailbox keeps for ever (`mail.mailboxes`).
        sent_zone: minutes east of UTC of the zone the Date header was written in; 0 where it has none to keep.
    """

    id: str
    account_id: str
    thread_id: str
    blob_hash: str
    size_bytes: int
    direction: str
    header_message_id: str | None
    in_reply_to: tuple[str, ...]
    refs: tuple[str, ...]
    subject: str
    from_list: tuple[Person, ...]
    to_list: tuple[Person, ...]
    cc_list: tuple[Person, ...]
    bcc_list: tuple[Person, ...]
    reply_to_list: tuple[Person, ...]
    preview: str
    sent_at: int | None
    received_at: int
    keywords: tuple[str, ...]
    attachments: tuple[StoredAttachment, ...]
    delivery_state: str | None
    origin_mailbox_id: str | None
    modseq: int
    created_at: int
    updated_at: int
    roles: frozenset[str] = frozenset()
    sent_zone: int = 0


class MessageBody(msgspec.Struct, frozen=True, gc=False):
    """What only a reader of the one message needs.

    Attributes:
        headers: (name, raw value) in their order.
        structure: the MIME tree (RFC 8621 §4.1.4), a `wire.mime.Part` as JSON text: few readers want it.
        text_body: the text/plain bodies, decoded; None when it has none.
        html_body: likewise text/html.
        extracted_text: the new text of a reply, without quotes and signature; None when not computed.
        defects: what was wrong with its form.
        handed_in: how it came: protocol, client, TLS, envelope; empty for mail made here.
    """

    message_id: str
    headers: list[tuple[str, str]]
    structure: str
    text_body: str | None
    html_body: str | None
    extracted_text: str | None
    extracted_html: str | None
    defects: list[str]
    handed_in: dict[str, Any]


_COLUMNS = ", ".join(f"message.{name}" for name in Message.__struct_fields__)
_BODY_COLUMNS = (
    "message_body.message_id, message_body.headers, message_body.structure, message_body.text_body, "
    "message_body.html_body, message_body.extracted_text, message_body.extracted_is_text, "
    "message_body.extracted_html, message_body.defects, message_body.handed_in"
)
# How a statement begins that gives messages.
SELECT = f"SELECT {_COLUMNS} FROM message"
_WIDTH = len(Message.__struct_fields__)

_people_decoder = msgspec.json.Decoder(tuple[Person, ...])
_strings_decoder = msgspec.json.Decoder(tuple[str, ...])
_attachments = msgspec.json.Decoder(tuple[StoredAttachment, ...])
_pairs = msgspec.json.Decoder(list[tuple[str, str]])
_strings = msgspec.json.Decoder(list[str])
_any = msgspec.json.Decoder()

# A mailbox's rows say the same few things again and again: who wrote, to whom, which keywords.
_people = lru_cache(8_192)(_people_decoder.decode)
_words = lru_cache(8_192)(_strings_decoder.decode)


@lru_cache(256)
def _roles(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _roles_text(roles: Iterable[str]) -> str:
    return f" {' '.join(sorted(roles))} " if roles else ""


def message_of(row: tuple[Any, ...]) -> Message:
    """A record out of a row that begins with the columns of `SELECT`."""
    (
        id_, account_id, thread_id, blob_hash, size_bytes, direction, header_message_id, in_reply_to, refs, subject,
        from_list, to_list, cc_list, bcc_list, reply_to_list, preview, sent_at, received_at, keywords, attachments,
        delivery_state, origin_mailbox_id, modseq, created_at, updated_at, roles, sent_zone,
    ) = row[:_WIDTH]  # fmt: skip
    return Message(
        id_, account_id, thread_id, blob_hash, size_bytes, direction, header_message_id,
        () if in_reply_to == "[]" else _strings_decoder.decode(in_reply_to),
        () if refs == "[]" else _strings_decoder.decode(refs),
        subject,
        () if from_list == "[]" else _people(from_list),
        () if to_list == "[]" else _people(to_list),
        () if cc_list == "[]" else _people(cc_list),
        () if bcc_list == "[]" else _people(bcc_list),
        () if reply_to_list == "[]" else _people(reply_to_list),
        preview, sent_at, received_at,
        () if keywords == "[]" else _words(keywords),
        () if attachments == "[]" else _attachments.decode(attachments),
        delivery_state, origin_mailbox_id, modseq, created_at, updated_at, _roles(roles), sent_zone,
    )  # fmt: skip


async def add(tx: Tx, message: Message, body: MessageBody) -> None:
    """Insert a message with its body and keywords."""
    await tx.run(
        """INSERT INTO message (id, account_id, thread_id, blob_hash, size_bytes, direction, header_message_id,
             in_reply_to, refs, subject, from_list, to_list, cc_list, bcc_list, reply_to_list, preview, sent_at,
             received_at, keywords, attachments, delivery_state, modseq, created_at, updated_at, roles, sent_zone)
           VALUES (:id, :account_id, :thread_id, :blob_hash, :size_bytes, :direction, :header_message_id,
             :in_reply_to, :refs, :subject, :from_list, :to_list, :cc_list, :bcc_list, :reply_to_list, :preview,
             :sent_at, :received_at, :keywords, :attachments, :delivery_state, :modseq, :at, :at, :roles,
             :sent_zone)""",
        id=message.id, account_id=message.account_id, thread_id=message.thread_id, blob_hash=message.blob_hash,
        size_bytes=message.size_bytes, direction=message.direction,
        header_message_id=message.header_message_id, in_reply_to=dump(message.in_reply_to),
        refs=dump(message.refs), subject=message.subject, from_list=dump(message.from_list),
        to_list=dump(message.to_list), cc_list=dump(message.cc_list), bcc_list=dump(message.bcc_list),
        reply_to_list=dump(message.reply_to_list), preview=message.preview, sent_at=message.sent_at,
        received_at=message.received_at, keywords=dump(message.keywords),
        attachments=dump(message.attachments), delivery_state=message.delivery_state, modseq=message.modseq,
        at=message.created_at, roles=_roles_text(message.roles), sent_zone=message.sent_zone,
    )  # fmt: skip
    # A mail that quotes nothing is all new text: kept once.
    is_all_new = body.extracted_text is not None and body.extracted_text == (body.text_body or "").strip()
    await tx.run(
        """INSERT INTO message_body (message_id, headers, structure, text_body, html_body, extracted_text,
             extracted_is_text, extracted_html, defects, handed_in)
           VALUES (:message_id, :headers, :structure, :text_body, :html_body, :extracted_text,
             :extracted_is_text, :extracted_html, :defects, :handed_in)""",
        message_id=message.id, headers=dump(body.headers), structure=body.structure,
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
    rows = await tx.tuples(
        f"{SELECT} WHERE message.id = :id AND message.account_id = :account_id", account_id=account_id, id=message_id
    )
    return message_of(rows[0]) if rows else None


async def get_whole(tx: Tx, account_id: str, message_id: str) -> tuple[Message, MessageBody] | None:
    """The message with its body, or None."""
    rows = await tx.tuples(_WHOLE, account_id=account_id, id=message_id)
    return (message_of(rows[0]), _body_of(rows[0][_WIDTH:])) if rows else None


_WHOLE = f"""SELECT {_COLUMNS}, {_BODY_COLUMNS} FROM message
  JOIN message_body ON message_body.message_id = message.id
  WHERE message.id = :id AND message.account_id = :account_id"""


async def get_many(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, Message]:
    """Those of the messages that exist, by id."""
    rows = await tx.tuples(
        f"{SELECT} WHERE account_id = :account_id AND id IN (:ids...)", account_id=account_id, ids=list(message_ids)
    )
    return {row[0]: message_of(row) for row in rows}


def _body_of(row: tuple[Any, ...]) -> MessageBody:
    (
        message_id, headers, structure, text_body, html_body, extracted_text, extracted_is_text, extracted_html,
        defects, handed_in,
    ) = row  # fmt: skip
    extracted = (text_body or "").strip() if extracted_is_text else extracted_text
    return MessageBody(
        message_id, _pairs.decode(headers), structure, text_body, html_body, extracted, extracted_html,
        [] if defects == "[]" else _strings.decode(defects), _any.decode(handed_in),
    )  # fmt: skip


async def by_header_message_id(tx: Tx, account_id: str, header_message_id: str) -> Message | None:
    """The first message of the account with this Message-ID (without brackets)."""
    rows = await tx.tuples(
        f"""{SELECT} WHERE account_id = :account_id AND header_message_id = :header_message_id
            ORDER BY received_at, id LIMIT 1""",
        account_id=account_id, header_message_id=header_message_id,
    )  # fmt: skip
    return message_of(rows[0]) if rows else None


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
    rows = await tx.tuples(
        f"{SELECT} WHERE account_id = :account_id AND thread_id IN (:ids...) ORDER BY thread_id, received_at, id",
        account_id=account_id, ids=list(thread_ids),
    )  # fmt: skip
    return [message_of(row) for row in rows]


async def latest_of_thread(tx: Tx, account_id: str, thread_id: str, limit: int) -> list[Message]:
    """The latest messages of a thread, latest first."""
    rows = await tx.tuples(
        f"{SELECT} WHERE account_id = :account_id AND thread_id = :id ORDER BY received_at DESC, id DESC LIMIT :limit",
        account_id=account_id, id=thread_id, limit=limit,
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


async def set_place(
    tx: Tx, message_id: str, modseq: int, at: int, *, roles: Iterable[str], origin_mailbox_id: str | None
) -> None:
    """The message lies in other mailboxes now: their roles, and where it came from."""
    await tx.run(
        """UPDATE message SET modseq = :modseq, updated_at = :at, roles = :roles, origin_mailbox_id = :origin
           WHERE id = :id""",
        id=message_id, modseq=modseq, at=at, roles=_roles_text(roles), origin=origin_mailbox_id,
    )  # fmt: skip


async def set_delivery_state(tx: Tx, message_id: str, state: str, modseq: int, at: int) -> bool:
    """What the deliveries of a sent message amount to; False when it is no more."""
    return bool(
        await tx.run(
            "UPDATE message SET delivery_state = :state, modseq = :modseq, updated_at = :at WHERE id = :id",
            id=message_id, state=state, modseq=modseq, at=at,
        )
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
    rows = await tx.tuples(
        f"""SELECT {_BODY_COLUMNS} FROM message_body JOIN message ON message.id = message_body.message_id
            WHERE message.account_id = :account_id AND message.id IN (:ids...)""",
        account_id=account_id, ids=list(message_ids),
    )  # fmt: skip
    return {row[0]: _body_of(row) for row in rows}


async def size_of_all(tx: Tx, account_id: str, message_ids: Sequence[str]) -> int:
    """How long those of the messages that exist are together."""
    row = await tx.one(
        """SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) AS octets FROM message
           WHERE account_id = :account_id AND id IN (:ids...)""",
        account_id=account_id, ids=list(message_ids),
    )  # fmt: skip
    return int(row["octets"]) if row else 0


class Parts(NamedTuple):
    """A message's header fields and its MIME tree, as in `MessageBody`, without its texts.

    Attributes:
        octets: how long they are as they are stored.
        size_bytes: how long the whole message is.
    """

    headers: list[tuple[str, str]]
    structure: str
    octets: int
    size_bytes: int


async def get_parts(tx: Tx, account_id: str, message_ids: Sequence[str]) -> dict[str, Parts]:
    """The parts of those of the messages that exist, by id."""
    rows = await tx.tuples(
        """SELECT message.id, message_body.headers, message_body.structure, message.size_bytes
           FROM message_body JOIN message ON message.id = message_body.message_id
           WHERE message.account_id = :account_id AND message.id IN (:ids...)""",
        account_id=account_id, ids=list(message_ids),
    )  # fmt: skip
    return {
        id_: Parts(_pairs.decode(headers), structure, len(headers) + len(structure), size_bytes)
        for id_, headers, structure, size_bytes in rows
    }


Texts = dict[str, tuple[str | None, str | None]]


async def get_texts(tx: Tx, account_id: str, message_ids: Sequence[str], most_chars: int) -> Texts:
    """The beginnings of the messages' text and, where there is none, of their HTML, by id."""
    rows = await tx.tuples(
        """SELECT message.id, substr(message_body.text_body, 1, CAST(:most AS INTEGER)),
             CASE WHEN message_body.text_body IS NULL
               THEN substr(message_body.html_body, 1, CAST(:most AS INTEGER)) END
           FROM message_body JOIN message ON message.id = message_body.message_id
           WHERE message.account_id = :account_id AND message.id IN (:ids...)""",
        account_id=account_id, ids=list(message_ids), most=most_chars,
    )  # fmt: skip
    return {id_: (text, html) for id_, text, html in rows}


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
