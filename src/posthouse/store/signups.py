"""Organisations that registered themselves, and whether the address they named was proved."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Signup:
    """A registration. `human_email` is in the form used as key; `otp_digest` of the code that was mailed."""

    organization_id: str
    human_email: str
    account_id: str
    key_id: str
    otp_digest: str
    otp_expires_at: int
    attempts: int
    verified_at: int | None
    source: str | None
    referrer: str | None
    created_at: int


async def add(tx: Tx, signup: Signup) -> bool:
    """Insert a registration; False when somebody was faster with the same address."""
    inserted = await tx.run(
        """INSERT INTO signup (organization_id, human_email, account_id, key_id, otp_digest, otp_expires_at,
             attempts, source, referrer, created_at)
           VALUES (:organization_id, :human_email, :account_id, :key_id, :otp_digest, :otp_expires_at,
             0, :source, :referrer, :created_at)
           ON CONFLICT (human_email) DO NOTHING""",
        organization_id=signup.organization_id, human_email=signup.human_email, account_id=signup.account_id,
        key_id=signup.key_id, otp_digest=signup.otp_digest, otp_expires_at=signup.otp_expires_at,
        source=signup.source, referrer=signup.referrer, created_at=signup.created_at,
    )  # fmt: skip
    return bool(inserted)


async def get(tx: Tx, organization_id: str) -> Signup | None:
    """The organisation's registration; None when it was made by the owner."""
    row = await tx.one("SELECT * FROM signup WHERE organization_id = :id", id=organization_id)
    return load(Signup, row) if row else None


async def by_email(tx: Tx, human_email: str) -> Signup | None:
    """The registration that named this address."""
    row = await tx.one("SELECT * FROM signup WHERE human_email = :human_email", human_email=human_email)
    return load(Signup, row) if row else None


async def renew(tx: Tx, organization_id: str, key_id: str, otp_digest: str, otp_expires_at: int) -> None:
    """A new key and a new code; tries are counted anew."""
    await tx.run(
        """UPDATE signup SET key_id = :key_id, otp_digest = :otp_digest, otp_expires_at = :otp_expires_at,
             attempts = 0 WHERE organization_id = :id""",
        id=organization_id, key_id=key_id, otp_digest=otp_digest, otp_expires_at=otp_expires_at,
    )  # fmt: skip


async def count_attempt(tx: Tx, organization_id: str, at_most: int) -> bool:
    """Count a try at the code; False when there have been too many."""
    return bool(
        await tx.run(
            "UPDATE signup SET attempts = attempts + 1 WHERE organization_id = :id AND attempts < :at_most",
            id=organization_id, at_most=at_most,
        )
    )  # fmt: skip


async def verify(tx: Tx, organization_id: str, at: int) -> None:
    """The address was proved."""
    await tx.run("UPDATE signup SET verified_at = :at WHERE organization_id = :id", id=organization_id, at=at)
