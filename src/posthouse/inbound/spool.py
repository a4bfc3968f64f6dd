"""Taking mail in: durable first, everything else later."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from posthouse.inbound import recipients
from posthouse.kit.aside import UNDERWAY, aside
from posthouse.kit.clock import Clock
from posthouse.kit.errors import Forbidden
from posthouse.kit.ids import new_id
from posthouse.store import accounts, spool
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.spool import Spooled
from posthouse.wire import raw_headers
from posthouse.wire.authentication_results import NAME, is_forged
from posthouse.wire.canonical import INLINE_BYTES, canonical
from posthouse.wire.raw_headers import RawField

# RFC 5321 §6.3: a mail that has been through more hands than this is going round in circles. The standard would
# have us wait for a hundred: see docs/quirks.md.
MAX_RECEIVED = 50
WAKE = "spool"


@dataclass(frozen=True, slots=True)
class HandedIn:
    """How a mail reached us: what later steps believe, since no header is believed.

    Attributes:
        via: `smtp`, `local`, `webhook` or `relay`.
        protocol: for `with` in `Received:` (RFC 3848); "" for local.
        client_address, helo, tls: of the connection; "" where there was none.
        account_id, organization_id: of the authenticated account that sent it from here; None for strangers.
        caught: it was addressed outside, and the installation keeps outside mail.
    """

    via: str
    protocol: str = ""
    client_address: str = ""
    helo: str = ""
    tls: str = ""
    account_id: str | None = None
    organization_id: str | None = None
    caught: bool = False

    def as_dict(self) -> dict[str, Any]:
        """For the spool row; fields that say nothing are left out."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True, slots=True)
class Incoming:
    """A mail to take in.

    Attributes:
        recipients: account id → the envelope's addresses that led to it.
    """

    mail_from: str
    recipients: dict[str, list[str]]
    raw: bytes
    handed_in: HandedIn
    hostname: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A mail whose bytes are ready; `store` it in a unit."""

    blob: Blob
    rows: tuple[Spooled, ...]

    async def store(self, tx: Tx, at: int) -> None:
        """Write blob and rows. After the commit the mail is ours."""
        await self.blob.store(tx, at)
        await spool.add(tx, self.rows)
        tx.wake(WAKE)


async def prepare(blobs: Blobs, incoming: Incoming, at: int) -> Prepared:
    """Add the trace headers and make the bytes ready.

    Raises:
        Forbidden: the mail goes round in circles (reason `loop`).
        TooLarge: its header is over the limits (reason `header`).
        Unavailable: the blob store cannot take it now.
    """
    raw = await aside(len(incoming.raw), canonical, incoming.raw, above=INLINE_BYTES, room=UNDERWAY)
    raw, hands = cleaned(raw, incoming.hostname)
    if hands > MAX_RECEIVED:
        raise Forbidden(f"mail loop: {hands} Received headers", reason="loop")
    spool_id = new_id()
    blob = await blobs.prepare(trace(incoming, spool_id, at), raw)
    handed_in = incoming.handed_in.as_dict() | incoming.attributes
    rows = tuple(
        Spooled(
            id=spool_id if index == 0 else new_id(),
            account_id=account_id,
            blob_hash=blob.hash,
            mail_from=incoming.mail_from,
            recipients=addresses,
            handed_in=handed_in,
            size_bytes=blob.size_bytes,
            received_at=at,
            attempts=0,
            due_at=at,
            leased=False,
            last_error=None,
        )
        for index, (account_id, addresses) in enumerate(incoming.recipients.items())
    )
    return Prepared(blob, rows)


async def receive(
    db: Database,
    blobs: Blobs,
    incoming: Incoming,
    clock: Clock,
    *,
    tight: Collection[str] = (),
    quota_bytes: int = 0,
) -> str:
    """Take a mail in; when this returns its id, the mail is on the disk and will be filed.

    Args:
        tight: the ids of those accounts among its recipients' that may be full by now (`recipients.is_tight`).
        quota_bytes: room of an account that has no quota of its own.

    Raises:
        Forbidden, TooLarge: as `prepare`.
        OverQuota: one of those accounts is full; who tries again is told at RCPT which.
        Unavailable: it could not be stored; nothing was taken.
    """
    at = clock()
    prepared = await prepare(blobs, incoming, at)

    async def unit(tx: Tx) -> None:
        # Under the accounts' locks: of many mails that saw room at RCPT, the first to be here take it.
        for account_id in sorted(tight):
            account = await accounts.lock(tx, account_id)
            if account is not None:
                await recipients.check_room(tx, account, quota_bytes)
        await prepared.store(tx, at)

    await db.write(unit)
    return prepared.rows[0].id


def trace(incoming: Incoming, spool_id: str, at: int) -> bytes:
    """`Return-Path:` and `Received:`, to be put before the mail (RFC 5321 §4.4)."""
    handed = incoming.handed_in
    addresses: Sequence[str] = [address for group in incoming.recipients.values() for address in group]
    lines = [f"Return-Path: <{incoming.mail_from}>"]
    origin = ""
    if handed.client_address:
        literal = f"IPv6:{handed.client_address}" if ":" in handed.client_address else handed.client_address
        origin = f"from {_token(handed.helo) or 'unknown'} ([{literal}])\r\n\t"
    with_ = f" with {handed.protocol}" if handed.protocol else ""
    tls = f"\r\n\t({handed.tls})" if handed.tls else ""
    # Named only when there is one: a list would tell each recipient of the others' blind copies.
    for_ = f"\r\n\tfor <{addresses[0]}>" if len(addresses) == 1 else ""
    date = formatdate(at / 1000, localtime=False, usegmt=False).replace("-0000", "+0000")
    lines.append(f"Received: {origin}by {incoming.hostname} (Posthouse){with_} id {spool_id}{tls}{for_};\r\n\t{date}")
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "replace")


def _token(helo: str) -> str:
    """The client's name for itself, fit for a header: it is a stranger's word."""
    return "".join(c for c in helo if (c.isascii() and c.isalnum()) or c in ".-_:[]")[:255]


def cleaned(raw: bytes, hostname: str) -> tuple[bytes, int]:
    """A canonical mail without what only we may say, and how many hands it has been through.

    Only we say `Return-Path:`, being the host of final delivery (RFC 5321 §4.4), and authentication results under
    our name (RFC 8601 §5).
    """
    names = raw_headers.names(raw)
    if b"return-path" in names or NAME in names:
        raw = raw_headers.without(raw, lambda field: _is_ours_to_say(field, hostname))
    return raw, names.count(b"received")


def _is_ours_to_say(field: RawField, hostname: str) -> bool:
    return raw_headers.name_of(field) == b"return-path" or is_forged(field, hostname)
