"""Which account an address leads to: asked at every call that names an inbox."""

from __future__ import annotations

from typing import NamedTuple

from posthouse.accounts import accounts as rules
from posthouse.kit.principal import Principal
from posthouse.store.accounts import ADDRESSES
from posthouse.store.database import Database
from posthouse.store.memo import Memo
from posthouse.wire.address import normalize

_SIZE = 50_000


class Located(NamedTuple):
    """What of an account never changes while it has the address it was asked for by."""

    id: str
    organization_id: str
    pod_id: str
    main_address: str


class Directory:
    """Accounts by address, remembered."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._memo: Memo[str, Located] = Memo(db, ADDRESSES, size=_SIZE)

    async def find_in_scope(self, principal: Principal, address: str) -> Located:
        """An account by one of its addresses or its id, if it is in the caller's scope.

        Raises:
            NotFound: there is none, or none the caller may see.
        """
        name = normalize(address) if "@" in address else address

        async def read() -> Located | None:
            account = await self._db.read(lambda tx: rules.find(tx, name))
            if account is None:
                return None
            return Located(account.id, account.organization_id, account.pod_id, account.main_address)

        return rules.in_scope(principal, await self._memo.get(name, read))
