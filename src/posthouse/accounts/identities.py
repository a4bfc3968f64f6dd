"""Which addresses are an account's own: to send as, and to leave out of an answer to everyone; and its identities.

Each address of an account has an identity (RFC 8621 §6) from the first moment; more can be made for tags.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from posthouse.kit.errors import Forbidden, NotFound, OverQuota
from posthouse.kit.ids import new_id
from posthouse.mail.journal import IDENTITY, Journal
from posthouse.store import accounts, identities
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.identities import Identity
from posthouse.wire.address import Address, normalize, parse_address, untagged

_MAX_IDENTITIES = 1_000


def own_address(account: Account) -> Address:
    """The From a caller that names none sends with."""
    return Address(account.main_address, account.display_name or "")


async def is_called(tx: Tx, account: Account, name: str) -> bool:
    """Whether an account is meant by a name: one of its addresses, or its id."""
    return normalize(name) in await accounts.addresses(tx, account.id) or name == account.id


async def check_sender(tx: Tx, account: Account, email: str, field: str = "from") -> None:
    """Whether the account may send as this address: one of its own, with or without a tag.

    Raises:
        Forbidden: it may not (reason `sender_not_allowed`).
    """
    if not await own_among(tx, account.id, [email]):
        raise Forbidden(f"{email} is not an address of this account", field=field, reason="sender_not_allowed")


async def own_among(tx: Tx, account_id: str, emails: Iterable[str]) -> frozenset[str]:
    """Those of the addresses, normalised, whose mail comes to the account: its own, in any case, with any tag.

    A tagged address that was given to another account is that one's.
    """
    own = set(await accounts.addresses(tx, account_id))
    keys = {normalize(email) for email in emails if email}
    found = keys & own
    for key in keys - own:
        if untagged(key) in own:
            other = await accounts.get_address(tx, key)
            if other is None or other.account_id in (account_id, None):
                found.add(key)
    return frozenset(found)


def default_id(account_id: str, address: str) -> str:
    """The id of the identity an address has by itself."""
    return "i" + hashlib.sha256(f"{account_id}\n{address}".encode()).hexdigest()[:20]


async def all_of(tx: Tx, account_id: str) -> list[Identity]:
    """The account's identities: one for each of its addresses, the main one first, then those that were made."""
    stored = {each.id: each for each in await identities.all_of(tx, account_id)}
    account = await accounts.get(tx, account_id)
    if account is None:
        return []
    own = await accounts.addresses(tx, account_id)
    found = []
    for address in sorted(own, key=lambda each: (each != account.main_address, each)):
        id_ = default_id(account_id, address)
        own_one = Identity(id_, account_id, account.display_name or "", address, None, None, "", "", False, 0)
        found.append(stored.pop(id_, own_one))
    # One whose address is the account's no more is of no use to anybody.
    return found + [
        each
        for each in stored.values()
        if each.may_delete and {normalize(each.email), untagged(normalize(each.email))} & set(own)
    ]


def of_address(own: Sequence[Identity], email: str) -> Identity | None:
    """The identity that writes under an address: that of the address itself, else of the one it is a tag of."""
    key = normalize(email)
    for candidate in (key, untagged(key)):
        found = next((each for each in own if normalize(each.email) == candidate), None)
        if found is not None:
            return found
    return None


def new(account_id: str, email: str, at: int) -> Identity:
    """An identity to be made (`create`), with nothing but its address. Raises `Invalid` when that is none."""
    return Identity("", account_id, "", parse_address(email).email, None, None, "", "", True, at)


async def find(tx: Tx, account_id: str, identity_id: str) -> Identity:
    """One of the account's identities. Raises `NotFound`."""
    found = next((each for each in await all_of(tx, account_id) if each.id == identity_id), None)
    if found is None:
        raise NotFound("there is no such identity")
    return found


async def create(tx: Tx, journal: Journal, identity: Identity) -> Identity:
    """Make an identity for an address the account may write under; its id is set here.

    Raises:
        Forbidden: the address is not the account's (reason `sender_not_allowed`).
        OverQuota: it has as many as it may.
    """
    account = await accounts.get(tx, journal.account_id)
    assert account is not None  # the journal holds its row
    await check_sender(tx, account, identity.email, "email")
    if len(await identities.all_of(tx, account.id)) >= _MAX_IDENTITIES:
        raise OverQuota(f"an account has at most {_MAX_IDENTITIES} identities")
    made = replace(identity, id=new_id())
    await identities.put(tx, made)
    journal.created(IDENTITY, made.id)
    return made


async def change(tx: Tx, journal: Journal, before: Identity, after: Identity) -> None:
    """Change an identity; its address never changes."""
    if after != before:
        await identities.put(tx, after)
        journal.updated(IDENTITY, after.id)


async def destroy(tx: Tx, journal: Journal, identity_id: str) -> None:
    """Destroy an identity that was made.

    Raises:
        NotFound: there is none.
        Forbidden: it is an address's own.
    """
    found = await find(tx, journal.account_id, identity_id)
    if not found.may_delete:
        raise Forbidden("this identity belongs to an address of the account")
    await identities.delete(tx, journal.account_id, identity_id)
    journal.destroyed(IDENTITY, identity_id)
