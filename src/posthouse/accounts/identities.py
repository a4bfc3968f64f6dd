"""Which From an account may use."""

from __future__ import annotations

from posthouse.kit.errors import Forbidden
from posthouse.store import accounts
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import Address, normalize, split


def own_address(account: Account) -> Address:
    """The From a caller that names none sends with."""
    return Address(account.main_address, account.display_name or "")


async def check_sender(tx: Tx, account: Account, email: str, field: str = "from") -> None:
    """Whether the account may send as this address: one of its own, with or without a tag.

    Raises:
        Forbidden: it may not (reason `sender_not_allowed`).
    """
    key = normalize(email)
    local, domain = split(key)
    untagged = f"{local.partition('+')[0]}@{domain}"
    if not {key, untagged} & set(await accounts.addresses(tx, account.id)):
        raise Forbidden(f"{email} is not an address of this account", field=field, reason="sender_not_allowed")
