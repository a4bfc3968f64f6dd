"""From what a door hands over to bytes and an envelope that can be sent: composed, made canonical, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from posthouse.accounts import identities
from posthouse.kit.aside import UNDERWAY, aside
from posthouse.kit.errors import Forbidden, Invalid, NotFound
from posthouse.mail import filing
from posthouse.outbound.request import Composition, RawMail, RecipientOptions, StoredMail
from posthouse.store import messages
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.messages import Message
from posthouse.wire import raw_headers
from posthouse.wire.address import MAX_LIST_CHARS, Address, normalize, parse_address, split, untagged
from posthouse.wire.canonical import INLINE_BYTES, canonical
from posthouse.wire.compose import compose, new_message_id, reply_references
from posthouse.wire.header_encode import message_ids
from posthouse.wire.message import ParsedMessage, parse, parse_headers_only

_BLIND = frozenset({b"bcc", b"resent-bcc"})


@dataclass(frozen=True, slots=True)
class Ready:
    """A message with its envelope, composed and checked."""

    raw: bytes
    parsed: ParsedMessage
    mail_from: str
    recipients: tuple[tuple[str, RecipientOptions], ...]
    bcc: tuple[Address, ...]
    labels: tuple[str, ...] = ()
    thread_id: str | None = None
    answered_message_id: str | None = None
    forwarded_message_id: str | None = None
    draft: tuple[str, str] | None = None
    envelope_id: str = ""
    dsn_return: str = ""
    stored: StoredMail | None = None
    is_automatic: bool = False
    copy: Copy | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """What takes the place of the stored message."""

    parsed: ParsedMessage
    blob: Blob


async def prepare(
    db: Database, blobs: Blobs, account: Account, mail: Composition | RawMail | StoredMail, own: set[str], at: int
) -> Ready:
    """The bytes and the envelope of what is to be sent.

    Args:
        own: the account's addresses, normalised.

    Raises:
        NotFound: the stored message is gone.
        Invalid: it cannot be written, or has not one From.
        Forbidden: a From that is not the account's (reason `sender_not_allowed`).
    """
    if isinstance(mail, Composition):
        size = len(mail.outgoing.text or "") + len(mail.outgoing.html or "")
        return await aside(size, _composed, account, mail, at)
    if isinstance(mail, StoredMail):
        return await _stored(db, blobs, account, mail, own)
    return await _read(account, replace(mail, raw=await _canonical(mail.raw)), own)


async def find_stored(tx: Tx, account_id: str, message_id: str) -> tuple[Message, tuple[str, ...]]:
    """A message to be sent as it lies in the account, and the References it should have: an answer names the whole
    conversation, though its writer named only its parent (RFC 5322 §3.6.4).

    Raises:
        NotFound: there is none.
        Forbidden: it waits for the owner (reason `held`).
    """
    message = await messages.get(tx, account_id, message_id)
    if message is None:
        raise NotFound("there is no such email", field="message_id")
    if filing.HELD in message.keywords:
        raise Forbidden("the owner has not decided on this email yet", reason="held")
    if not message.in_reply_to or message.refs:
        return message, ()
    parent = await messages.by_header_message_id(tx, account_id, message.in_reply_to[0])
    return message, () if parent is None else reply_references(parent.header_message_id, tuple(parent.refs))


def recipients_of(message: Message) -> list[str]:
    """Whom a message goes to by its header and its blind copies, each once."""
    people = [*message.to_list, *message.cc_list, *message.bcc_list]
    return list({normalize(person.email): person.email for person in people if person.email}.values())


def no_addresses(emails: Sequence[str]) -> list[str]:
    """Those of some recipients that are no addresses."""
    wrong = []
    for email in emails:
        try:
            if "@" not in parse_address(email).email:
                wrong.append(email)
        except Invalid:
            wrong.append(email)
    return wrong


def sender_of(mail: Composition | RawMail | StoredMail) -> tuple[str, str]:
    """The address it is to be sent as, "" for the account's own or nobody's, and the field that says so."""
    if isinstance(mail, Composition):
        return (mail.from_.email if mail.from_ else ""), "from"
    return mail.mail_from, "mail_from"


async def _canonical(raw: bytes) -> bytes:
    return await aside(len(raw), canonical, raw, above=INLINE_BYTES, room=UNDERWAY)


def _composed(account: Account, mail: Composition, at: int) -> Ready:
    """A composition written out, with its envelope. Raises `Invalid` for what cannot be written."""
    sender = mail.from_ or identities.own_address(account)
    outgoing = replace(
        mail.outgoing,
        from_=sender,
        message_id=mail.outgoing.message_id or new_message_id(split(account.main_address)[1]),
        sent_at=at,
    )
    raw = compose(outgoing)
    envelope: dict[str, str] = {}
    for address in (*outgoing.to, *outgoing.cc, *outgoing.bcc):
        envelope.setdefault(normalize(address.email), address.email)
    return Ready(
        raw=raw,
        parsed=parse(raw),
        mail_from="" if mail.is_automatic else account.main_address,
        recipients=tuple(
            (email, RecipientOptions("NEVER" if mail.is_automatic else "")) for email in envelope.values()
        ),
        bcc=outgoing.bcc,
        labels=filing.check_keywords(mail.labels, "labels"),
        thread_id=mail.thread_id,
        answered_message_id=mail.answered_message_id,
        forwarded_message_id=mail.forwarded_message_id,
        draft=mail.draft,
        is_automatic=mail.is_automatic,
        dsn_return="HDRS",  # RFC 3461 §4.3: its text lies in Sent; no report need bring it back
    )


async def _stored(db: Database, blobs: Blobs, account: Account, mail: StoredMail, own: set[str]) -> Ready:
    blob_hash = mail.blob_hash
    if blob_hash is None:
        message = await db.read(lambda tx: messages.get(tx, account.id, mail.message_id))
        if message is None:
            raise NotFound("there is no such message", field="message_id")
        blob_hash = message.blob_hash
    raw = await _canonical(await blobs.read(blob_hash))
    names = {name.lower() for name, _ in parse_headers_only(raw)}
    head = b"" if "message-id" in names else _new_message_id(account)
    if mail.references and "references" not in names:
        head += message_ids("References", mail.references, field="references")
    handed = RawMail(head + raw, mail.mail_from, mail.rcpt_to, mail.envelope_id, mail.dsn_return)
    ready = replace(await _read(account, handed, own), stored=mail)
    if not head:
        return ready
    # The writer's own copy is what was sent, and still says who got a blind copy.
    return replace(ready, copy=Copy(parse(handed.raw), await blobs.prepare(handed.raw)))


async def _read(account: Account, mail: RawMail, own: set[str]) -> Ready:
    return await aside(len(mail.raw), _checked, account, mail, own)


def _checked(account: Account, mail: RawMail, own: set[str]) -> Ready:
    """A canonical message, checked, and as it is sent."""
    parsed = parse(mail.raw)
    # RFC 6409 §6.1: the From of the header is the account's too, tagged or not; it is what readers believe.
    for author in (*parsed.from_, *parsed.sender):
        key = normalize(author.email)
        if not {key, untagged(key)} & own:
            raise Forbidden(
                f"{author.email or 'an empty From'} is not an address of this account",
                field="from",
                reason="sender_not_allowed",
            )
    names = [name.lower() for name, _ in parsed.headers]
    if any(len(value) > MAX_LIST_CHARS and name.lower() in ("from", "sender") for name, value in parsed.headers):
        raise Invalid(f"From and Sender have at most {MAX_LIST_CHARS} characters", field="from")
    # Two of them, and each reader believes another one (RFC 5322 §3.6).
    if not parsed.from_ or names.count("from") != 1 or names.count("sender") > 1:
        raise Invalid("the message has one From, and one Sender at most", field="from")
    head = b""
    if "message-id" not in names:
        head += _new_message_id(account)
    # RFC 5322 §3.6.3: who got a blind copy is nobody else's business, though a client may have written it down.
    raw = head + raw_headers.without(mail.raw, lambda field: raw_headers.name_of(field) in _BLIND)
    seen: dict[str, tuple[str, RecipientOptions]] = {}
    for email, options in mail.rcpt_to:
        seen.setdefault(normalize(email), (email, options))
    visible = {normalize(address.email) for address in (*parsed.to, *parsed.cc)}
    return Ready(
        raw=raw,
        parsed=parsed if raw == mail.raw else parse(raw),
        mail_from=mail.mail_from,
        recipients=tuple(seen.values()),
        bcc=tuple(Address(email) for key, (email, _) in seen.items() if key not in visible),
        envelope_id=mail.envelope_id,
        dsn_return=mail.dsn_return,
    )


def _new_message_id(account: Account) -> bytes:
    # RFC 6409 §8.3
    return f"Message-ID: <{new_message_id(split(account.main_address)[1])}>\r\n".encode("ascii")
