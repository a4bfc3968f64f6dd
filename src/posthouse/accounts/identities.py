"""Which addresses are an account's own: to send as, and to leave out of an answer to everyone."""

from __future__ import annotations

from collections.abc import Iterable

from posthouse.kit.errors import Forbidden
from posthouse.store import accounts
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import Address, normalize, untagged


def own_address(account: Account) -> Address:
    """The From a caller that names none sends with."""
    return Address(account.main_address, account.display_name or "")


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
