"""Accounts and the addresses that lead to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from posthouse.store import pages
from posthouse.store.database import Row, Tx
from posthouse.store.keys import KEYS
from posthouse.store.records import dump, load

# Woken when an address leads elsewhere than before.
ADDRESSES = "addresses"


@dataclass(frozen=True, slots=True)
class Account:
    """One mail store with its addresses: an inbox, an agent, a JMAP account.

    `level` None inherits the organisation's; `quota_bytes` None takes the setting. `modseq` counts the
    changes of the account's mail; `indexed_modseq` is how far the text index has followed.
    """

    id: str
    organization_id: str
    pod_id: str
    main_address: str
    display_name: str | None
    client_id: str | None
    metadata: dict[str, Any] | None
    level: str | None
    modseq: int
    indexed_modseq: int
    used_bytes: int
    quota_bytes: int | None
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class Address:
    """An address of this installation; without an account it is reserved and takes no mail."""

    address: str
    account_id: str | None
    domain: str
    reserved_until: int | None


def _account(row: Row) -> Account:
    return load(Account, row, json=("metadata",))


async def add(tx: Tx, account: Account) -> None:
    """Insert an account."""
    await tx.run(
        """INSERT INTO account (id, organization_id, pod_id, main_address, display_name, client_id, metadata,
                                level, quota_bytes, created_at, updated_at)
           VALUES (:id, :organization_id, :pod_id, :main_address, :display_name, :client_id, :metadata,
                   :level, :quota_bytes, :at, :at)""",
        id=account.id, organization_id=account.organization_id, pod_id=account.pod_id,
        main_address=account.main_address, display_name=account.display_name, client_id=account.client_id,
        metadata=None if account.metadata is None else dump(account.metadata), level=account.level,
        quota_bytes=account.quota_bytes, at=account.created_at,
    )  # fmt: skip


async def get(tx: Tx, account_id: str) -> Account | None:
    """The account, or None."""
    row = await tx.one("SELECT * FROM account WHERE id = :id", id=account_id)
    return _account(row) if row else None


async def get_many(tx: Tx, account_ids: Sequence[str]) -> dict[str, Account]:
    """The accounts that exist, by id."""
    rows = await tx.all("SELECT * FROM account WHERE id IN (:ids...)", ids=list(account_ids))
    return {row["id"]: _account(row) for row in rows}


async def by_address(tx: Tx, address: str) -> Account | None:
    """The account a normalised address leads to."""
    row = await tx.one(
        """SELECT account.* FROM address JOIN account ON account.id = address.account_id
           WHERE address.address = :address""",
        address=address,
    )
    return _account(row) if row else None


async def by_client_id(tx: Tx, organization_id: str, client_id: str) -> Account | None:
    """The account a caller named so when creating it."""
    row = await tx.one(
        "SELECT * FROM account WHERE organization_id = :organization_id AND client_id = :client_id",
        organization_id=organization_id, client_id=client_id,
    )  # fmt: skip
    return _account(row) if row else None


async def page(
    tx: Tx,
    organization_id: str,
    *,
    pod_id: str | None = None,
    account_id: str | None = None,
    after: tuple[int, str] | None = None,
    ascending: bool = False,
    limit: int,
) -> list[Account]:
    """A page in the order of creation, after a keyset position (created_at, id)."""
    scope = {"organization_id": organization_id, "pod_id": pod_id, "id": account_id}
    rows = await pages.in_order_of_creation(tx, "account", scope, after=after, ascending=ascending, limit=limit)
    return [_account(row) for row in rows]


async def update(
    tx: Tx, account_id: str, *, display_name: str | None, metadata: dict[str, Any] | None, at: int
) -> None:
    """Replace what a caller may change of an account."""
    await tx.run(
        """UPDATE account SET display_name = :display_name, metadata = :metadata, updated_at = :at
           WHERE id = :id""",
        id=account_id, display_name=display_name, metadata=None if metadata is None else dump(metadata), at=at,
    )  # fmt: skip


async def set_level(tx: Tx, account_id: str, level: str | None, at: int) -> None:
    """Change the account's own oversight level."""
    await tx.run(
        "UPDATE account SET level = :level, updated_at = :at WHERE id = :id", id=account_id, level=level, at=at
    )


async def lock(tx: Tx, account_id: str) -> Account | None:
    """The account, whose row is this unit's until its end; None when it is gone."""
    row = await tx.one("UPDATE account SET modseq = modseq WHERE id = :id RETURNING *", id=account_id)
    return _account(row) if row else None


class Turn(NamedTuple):
    """The change number of a unit, and whose the account is."""

    modseq: int
    organization_id: str


async def next_modseq(tx: Tx, account_id: str, *, added_bytes: int = 0) -> Turn | None:
    """Take the account's next change number and with it the account's lock; None when it is gone."""
    row = await tx.one(
        """UPDATE account SET modseq = modseq + 1, used_bytes = used_bytes + :added_bytes
           WHERE id = :id RETURNING modseq, organization_id""",
        id=account_id, added_bytes=added_bytes,
    )  # fmt: skip
    return Turn(int(row["modseq"]), row["organization_id"]) if row else None


async def add_used_bytes(tx: Tx, account_id: str, added_bytes: int) -> None:
    """Count storage in or, with a negative number, out."""
    await tx.run("UPDATE account SET used_bytes = used_bytes + :added WHERE id = :id", id=account_id, added=added_bytes)


async def take_room(tx: Tx, account_id: str, added_bytes: int, quota_bytes: int) -> bool:
    """Count storage in if the account's limit allows it, or `quota_bytes` where it has none; False: it does not."""
    return bool(
        await tx.run(
            """UPDATE account SET used_bytes = used_bytes + :added
               WHERE id = :id AND used_bytes + :added <= coalesce(quota_bytes, :quota)""",
            id=account_id, added=added_bytes, quota=quota_bytes,
        )
    )  # fmt: skip


async def set_indexed(tx: Tx, account_id: str, modseq: int) -> None:
    """The text index has followed up to this change."""
    await tx.run(
        "UPDATE account SET indexed_modseq = :modseq WHERE id = :id AND indexed_modseq < :modseq",
        id=account_id, modseq=modseq,
    )  # fmt: skip


async def delete(tx: Tx, account_id: str) -> None:
    """Delete the account and, by the schema's cascades, what belongs to it."""
    await tx.run("DELETE FROM mailbox WHERE account_id = :id", id=account_id)
    await tx.run("DELETE FROM account WHERE id = :id", id=account_id)
    tx.wake(ADDRESSES)
    tx.wake(KEYS)


async def count(tx: Tx, organization_id: str) -> int:
    """How many accounts the organisation has."""
    row = await tx.one(
        "SELECT count(*) AS total FROM account WHERE organization_id = :organization_id",
        organization_id=organization_id,
    )
    return int(row["total"]) if row else 0


async def get_address(tx: Tx, address: str) -> Address | None:
    """What is known of a normalised address."""
    row = await tx.one("SELECT * FROM address WHERE address = :address", address=address)
    return load(Address, row) if row else None


async def claim_address(tx: Tx, address: str, account_id: str, domain: str, at: int) -> bool:
    """Give a normalised address to an account; False when another has it or it is still reserved."""
    taken = await tx.one(
        """INSERT INTO address (address, account_id, domain) VALUES (:address, :account_id, :domain)
           ON CONFLICT (address) DO UPDATE
             SET account_id = excluded.account_id, reserved_until = NULL
             WHERE address.account_id IS NULL AND coalesce(address.reserved_until, 0) <= :at
           RETURNING address""",
        address=address, account_id=account_id, domain=domain, at=at,
    )  # fmt: skip
    tx.wake(ADDRESSES)
    return taken is not None


async def release_reservation(tx: Tx, address: str) -> None:
    """Nobody waits for this address any more."""
    await tx.run(
        "UPDATE address SET reserved_until = NULL WHERE address = :address AND account_id IS NULL", address=address
    )


async def reserve_addresses(tx: Tx, account_id: str, until: int) -> None:
    """Before an account goes: nobody else gets its addresses until then."""
    await tx.run(
        "UPDATE address SET account_id = NULL, reserved_until = :until WHERE account_id = :account_id",
        account_id=account_id, until=until,
    )  # fmt: skip
    tx.wake(ADDRESSES)


async def addresses(tx: Tx, account_id: str) -> list[str]:
    """All addresses that lead to the account, in alphabetical order."""
    rows = await tx.all(
        "SELECT address FROM address WHERE account_id = :account_id ORDER BY address", account_id=account_id
    )
    return [row["address"] for row in rows]


async def modseqs(
    tx: Tx, organization_id: str, *, pod_id: str | None = None, account_id: str | None = None
) -> dict[str, int]:
    """The change number of every account of an organisation, a pod, or of one account alone, by account id."""
    where, values = ["organization_id = :organization_id"], {"organization_id": organization_id}
    if pod_id is not None:
        where.append("pod_id = :pod_id")
        values["pod_id"] = pod_id
    if account_id is not None:
        where.append("id = :account_id")
        values["account_id"] = account_id
    rows = await tx.all(f"SELECT id, modseq FROM account WHERE {' AND '.join(where)} ORDER BY id", **values)
    return {row["id"]: row["modseq"] for row in rows}


async def find(
    tx: Tx,
    organization_id: str,
    text: str,
    *,
    pod_id: str | None = None,
    account_id: str | None = None,
    after: tuple[int, str] | None = None,
    limit: int,
) -> list[Account]:
    """Accounts whose address or name has a text in it, newest first, after a keyset position (created_at, id)."""
    where = ["organization_id = :organization_id"]
    values: dict[str, Any] = {"organization_id": organization_id, "limit": limit}
    for special in ("\\", "%", "_"):
        text = text.replace(special, "\\" + special)
    values["pattern"] = f"%{text.lower()}%"
    where.append("(lower(main_address) LIKE :pattern ESCAPE '\\' OR lower(display_name) LIKE :pattern ESCAPE '\\')")
    for column, name, value in (("pod_id", "pod_id", pod_id), ("id", "account_id", account_id)):
        if value is not None:
            where.append(f"{column} = :{name}")
            values[name] = value
    if after is not None:
        where.append("(created_at, id) < (:after_at, :after_id)")
        values["after_at"], values["after_id"] = after
    rows = await tx.all(
        f"SELECT * FROM account WHERE {' AND '.join(where)} ORDER BY created_at DESC, id DESC LIMIT :limit", **values
    )
    return [_account(row) for row in rows]


async def unindexed(tx: Tx, account_ids: Sequence[str]) -> list[str]:
    """Those of the accounts whose text index lags behind."""
    rows = await tx.all(
        "SELECT id FROM account WHERE id IN (:ids...) AND indexed_modseq < modseq ORDER BY id", ids=list(account_ids)
    )
    return [row["id"] for row in rows]
