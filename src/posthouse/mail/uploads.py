"""Bytes that a caller keeps here for a while, and which stored bytes an account may read: a hash is no key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from posthouse.kit.clock import DAY
from posthouse.kit.errors import NotFound, OverQuota
from posthouse.store import accounts, mailboxes, messages, uploads
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database, Tx

# RFC 8620 §6.1: at least an hour.
_KEPT_MS = DAY
_MAX_TYPE_CHARS = 255


@dataclass(frozen=True, slots=True)
class Use:
    """A message of an account that stored bytes are, with its thread and the mailboxes it lies in."""

    blob_hash: str
    message_id: str
    thread_id: str
    mailbox_ids: Sequence[str]


async def keep(
    db: Database,
    blobs: Blobs,
    account_id: str,
    pieces: Sequence[bytes],
    content_type: str,
    *,
    quota_bytes: int,
    at: int,
) -> str:
    """Keep bytes, one piece behind the other, for a day, or for as long as a message names them. Returns their hash.

    Args:
        quota_bytes: for an account that has no quota of its own.

    Raises:
        NotFound: there is no such account.
        OverQuota: with what the account has kept already, it has more than it may.
    """
    size = sum(map(len, pieces))
    blob = await blobs.prepare(*pieces)

    async def unit(tx: Tx) -> None:
        account = await accounts.get(tx, account_id)
        if account is None:
            raise NotFound("there is no such account")
        quota = account.quota_bytes if account.quota_bytes is not None else quota_bytes
        if account.used_bytes + await uploads.pending_bytes(tx, account_id) + size > quota:
            raise OverQuota("the account has no room for this upload")
        await blob.store(tx, at)
        await uploads.add(tx, account_id, blob.hash, content_type[:_MAX_TYPE_CHARS], size, at + _KEPT_MS)

    await db.write(unit)
    return blob.hash


async def readable(tx: Tx, account_id: str, hashes: Sequence[str]) -> dict[str, int]:
    """Those of the stored bytes that an account may read, with their sizes: its messages or its uploads name them."""
    return await uploads.reachable(tx, account_id, hashes) if hashes else {}


async def uses(tx: Tx, account_id: str, hashes: Sequence[str]) -> list[Use]:
    """What messages of an account some stored bytes are."""
    rows = await messages.by_blobs(tx, account_id, hashes) if hashes else []
    places = await mailboxes.places(tx, account_id, [message_id for _, message_id, _ in rows])
    return [
        Use(hash_, message_id, thread_id, [place.mailbox_id for place in places[message_id]])
        for hash_, message_id, thread_id in rows
    ]
