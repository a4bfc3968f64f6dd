"""Bringing back what callers destroyed, for the owner, with new ids and UIDs."""

from __future__ import annotations

from posthouse.accounts import accounts as account_rules
from posthouse.kit.aside import aside
from posthouse.kit.errors import Conflict, NotFound
from posthouse.kit.ids import new_uuid
from posthouse.mail import filing
from posthouse.mail.filing import NewMessage
from posthouse.mail.journal import changing
from posthouse.mail.mailboxes import INBOX, SENT, provision
from posthouse.store import accounts, graveyard, organizations
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.graveyard import Grave
from posthouse.wire.address import Address, split
from posthouse.wire.message import parse


async def bring_back(db: Database, blobs: Blobs, organization_id: str, grave_id: str, at: int) -> int:
    """Bring back a message, or an account with all its mail; answers how many messages.

    Raises:
        NotFound: no such grave, or the message's account is gone (bring that back first).
        Conflict: the account's address has been given to another.
    """
    grave = await db.read(lambda tx: graveyard.get(tx, organization_id, grave_id))
    if grave is None:
        raise NotFound("there is no such grave; `posthouse undelete --list` shows them")
    if grave.kind == "message":
        await _message(db, blobs, grave, grave.account_id, at)
        return 1
    account_id = await db.write(lambda tx: _account(tx, grave, at))
    graves = await db.read(lambda tx: graveyard.of_account(tx, grave.account_id))
    kept = [other for other in graves if other.kind == "message" and other.destroyed_at == grave.destroyed_at]
    for other in kept:
        await _message(db, blobs, other, account_id, at)
    return len(kept)


async def _account(tx: Tx, grave: Grave, at: int) -> str:
    payload = grave.payload
    pod = await organizations.get_pod(tx, grave.organization_id, payload["pod_id"])
    pod = pod or await organizations.default_pod(tx, grave.organization_id)
    if pod is None:
        raise NotFound("the organisation has no default pod")
    account = Account(
        id=new_uuid(), organization_id=grave.organization_id, pod_id=pod.id,
        main_address=payload["main_address"], display_name=payload["display_name"], client_id=None,
        metadata=payload["metadata"], level=payload["level"], modseq=0, indexed_modseq=0, used_bytes=0,
        quota_bytes=None, created_at=at, updated_at=at,
    )  # fmt: skip
    await accounts.add(tx, account)
    for address in payload["addresses"]:
        await accounts.release_reservation(tx, address)
        if not await accounts.claim_address(tx, address, account.id, split(address)[1], at):
            raise Conflict(f"{address} belongs to another inbox now", reason="address_taken")
    async with changing(tx, account.id, at) as journal:
        await provision(tx, journal)
    await account_rules.note_organization(tx, grave.organization_id, "Account", account.id, "created", at)
    await graveyard.delete(tx, grave.id)
    return account.id


async def _message(db: Database, blobs: Blobs, grave: Grave, account_id: str, at: int) -> None:
    assert grave.blob_hash is not None
    raw = await blobs.read(grave.blob_hash)
    parsed, payload = await aside(len(raw), parse, raw), grave.payload
    blob = Blob(grave.blob_hash, len(raw), None)

    async def unit(tx: Tx) -> None:
        async with changing(tx, account_id, at, added_bytes=blob.size_bytes) as journal:
            await filing.file(
                tx,
                journal,
                NewMessage(
                    parsed=parsed,
                    blob=blob,
                    direction=payload["direction"],
                    mailbox_roles=(SENT,) if payload["direction"] == "out" else (INBOX,),
                    received_at=payload["received_at"],
                    keywords=payload["keywords"],
                    delivery_state=payload["delivery_state"],
                    bcc=tuple(Address(email, name) for name, email in payload["bcc"]),
                ),
            )
        await graveyard.delete(tx, grave.id)

    await db.write(unit)
