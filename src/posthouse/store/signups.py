"""Organisations that registered themselves, the human each has named, and whether that address was proved."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.store.database import Tx
from posthouse.store.records import load


@dataclass(frozen=True, slots=True)
class Signup:
    """A registration. Addresses are in the form used as key.

    Attributes:
        registered_email: the human named when registering: who registers with it again may claim this
            organisation. None without one, and since another has taken the place.
        human_email: who may vouch now; None until somebody is attached.
        replacements: how often one human has taken the place of another.
        otp: the code that was mailed, itself: it is mailed again, and a digest of six digits hides nothing.
            None before the first.
        attempts: how often the code was tried.
    """

    organization_id: str
    registered_email: str | None
    human_email: str | None
    replacements: int
    account_id: str
    key_id: str
    otp: str | None
    otp_expires_at: int
    attempts: int
    verified_at: int | None
    source: str | None
    referrer: str | None
    created_at: int


async def add(tx: Tx, signup: Signup) -> bool:
    """Insert a registration; False when somebody was faster with the same address."""
    inserted = await tx.run(
        """INSERT INTO signup (organization_id, registered_email, human_email, account_id, key_id, otp, otp_expires_at,
             source, referrer, created_at)
           VALUES (:organization_id, :registered_email, :human_email, :account_id, :key_id, :otp, :otp_expires_at,
             :source, :referrer, :created_at)
           ON CONFLICT (registered_email) DO NOTHING""",
        organization_id=signup.organization_id, registered_email=signup.registered_email,
        human_email=signup.human_email, account_id=signup.account_id, key_id=signup.key_id, otp=signup.otp,
        otp_expires_at=signup.otp_expires_at, source=signup.source, referrer=signup.referrer,
        created_at=signup.created_at,
    )  # fmt: skip
    return bool(inserted)


async def get(tx: Tx, organization_id: str) -> Signup | None:
    """The organisation's registration; None when it was made by the owner."""
    row = await tx.one("SELECT * FROM signup WHERE organization_id = :id", id=organization_id)
    return load(Signup, row) if row else None


async def by_registered_email(tx: Tx, email: str) -> Signup | None:
    """The registration that named this address, and has no other human since."""
    row = await tx.one("SELECT * FROM signup WHERE registered_email = :email", email=email)
    return load(Signup, row) if row else None


async def has_vouched(tx: Tx, email: str) -> bool:
    """Whether the address was proved for some organisation."""
    row = await tx.one(
        "SELECT 1 AS one FROM signup WHERE human_email = :email AND verified_at IS NOT NULL", email=email
    )
    return row is not None


async def set_key(tx: Tx, organization_id: str, key_id: str) -> None:
    """The registration's key is another now."""
    await tx.run("UPDATE signup SET key_id = :key_id WHERE organization_id = :id", id=organization_id, key_id=key_id)


async def set_human(tx: Tx, before: Signup, after: Signup) -> bool:
    """Write down the human, the code and its tries; False when that is no longer as it was before, or is proved."""
    return bool(
        await tx.run(
            """UPDATE signup SET human_email = :human_email, registered_email = :registered_email,
                 replacements = :replacements, otp = :otp, otp_expires_at = :otp_expires_at, attempts = :attempts
               WHERE organization_id = :id AND verified_at IS NULL
                 AND human_email IS NOT DISTINCT FROM :human_before AND otp IS NOT DISTINCT FROM :otp_before""",
            id=before.organization_id, human_email=after.human_email, registered_email=after.registered_email,
            replacements=after.replacements, otp=after.otp, otp_expires_at=after.otp_expires_at,
            attempts=after.attempts, human_before=before.human_email, otp_before=before.otp,
        )
    )  # fmt: skip


async def count_attempt(tx: Tx, organization_id: str, at_most: int) -> bool:
    """Count a try at the code; False when there have been too many."""
    return bool(
        await tx.run(
            "UPDATE signup SET attempts = attempts + 1 WHERE organization_id = :id AND attempts < :at_most",
            id=organization_id, at_most=at_most,
        )
    )  # fmt: skip


async def verify(tx: Tx, organization_id: str, human_email: str, at: int) -> bool:
    """The address was proved; False when another human has come meanwhile, or it was proved already."""
    return bool(
        await tx.run(
            """UPDATE signup SET verified_at = :at
               WHERE organization_id = :id AND human_email = :human_email AND verified_at IS NULL""",
            id=organization_id, at=at, human_email=human_email,
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Claim:
    """A later registration with the same address: its key opens nothing until its own code was entered.

    Attributes:
        key_id: the key made for it; the claim goes with it.
        otp, otp_expires_at, attempts: as of a `Signup`, and none of that one's.
    """

    key_id: str
    organization_id: str
    otp: str
    otp_expires_at: int
    attempts: int
    created_at: int


async def add_claim(tx: Tx, claim: Claim) -> None:
    """Insert a claim; its key is there."""
    await tx.run(
        """INSERT INTO signup_claim (key_id, organization_id, otp, otp_expires_at, created_at)
           VALUES (:key_id, :organization_id, :otp, :otp_expires_at, :created_at)""",
        key_id=claim.key_id, organization_id=claim.organization_id, otp=claim.otp,
        otp_expires_at=claim.otp_expires_at, created_at=claim.created_at,
    )  # fmt: skip


async def claim_of(tx: Tx, key_id: str) -> Claim | None:
    """The claim a key was made for, or None."""
    row = await tx.one("SELECT * FROM signup_claim WHERE key_id = :key_id", key_id=key_id)
    return load(Claim, row) if row else None


async def claims(tx: Tx, organization_id: str) -> list[Claim]:
    """An organisation's claims, oldest first."""
    rows = await tx.all(
        "SELECT * FROM signup_claim WHERE organization_id = :organization_id ORDER BY created_at, key_id",
        organization_id=organization_id,
    )
    return [load(Claim, row) for row in rows]


async def end_claim(tx: Tx, key_id: str) -> None:
    """A claim has become more than that: its key stays."""
    await tx.run("DELETE FROM signup_claim WHERE key_id = :key_id", key_id=key_id)


async def count_claim_attempt(tx: Tx, key_id: str, at_most: int) -> bool:
    """Count a try at a claim's code; False when there have been too many."""
    return bool(
        await tx.run(
            "UPDATE signup_claim SET attempts = attempts + 1 WHERE key_id = :key_id AND attempts < :at_most",
            key_id=key_id, at_most=at_most,
        )
    )  # fmt: skip
