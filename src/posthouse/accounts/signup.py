"""Registering without a key: an organisation, an inbox and a key at once, bound till a human vouches for them.

Until the code that was mailed to the human is entered, mail goes to that human only
(`outbound.submission`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import keys as key_rules
from posthouse.kit.clock import HOUR
from posthouse.kit.errors import Conflict, Forbidden, Gone, Unauthenticated
from posthouse.kit.ids import new_uuid, same, secret_digest
from posthouse.kit.principal import Principal
from posthouse.store import accounts, keys, organizations, signups
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.organizations import Organization, Pod
from posthouse.store.signups import Signup
from posthouse.wire.address import normalize

OTP_LIFETIME_MS = 24 * HOUR
OTP_TRIES = 10


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration made: the account, its key, and the code to be mailed to the human."""

    account: Account
    secret: str
    code: str


def _digest(organization_id: str, code: str) -> str:
    return secret_digest(f"{organization_id}:{code}")


async def register(
    tx: Tx,
    *,
    human_email: str,
    local_part: str,
    default_domain: str,
    surface: str,
    source: str | None,
    referrer: str | None,
    at: int,
) -> Registered:
    """Make an organisation with an inbox and a key; the same human gets a new key and a new code.

    Raises:
        Conflict: the address is taken (reason `address_taken`), or the human has vouched already
            (`already_registered`): whoever knows the address must not get a key by it.
    """
    human = normalize(human_email)
    code = f"{secrets.randbelow(10**6):06d}"
    known = await signups.by_email(tx, human)
    if known is not None:
        return await _again(tx, known, code, surface, at)
    organization = Organization(
        id=new_uuid(), name=local_part, slug=None, level="monitored", modseq=0, self_registered=True,
        created_at=at, updated_at=at,
    )  # fmt: skip
    await organizations.add(tx, organization)
    pod = Pod(new_uuid(), organization.id, "Default", None, is_default=True, created_at=at, updated_at=at)
    await organizations.add_pod(tx, pod)
    created = await account_rules.create(
        tx, organization.id, at=at, default_domain=default_domain, local_part=local_part
    )
    key, secret = await key_rules.create(
        tx, organization_id=organization.id, surface=surface, name="made by sign-up", at=at
    )
    signup = Signup(
        organization_id=organization.id, human_email=human, account_id=created.account.id, key_id=key.id,
        otp_digest=_digest(organization.id, code), otp_expires_at=at + OTP_LIFETIME_MS, attempts=0,
        verified_at=None, source=source, referrer=referrer, created_at=at,
    )  # fmt: skip
    if not await signups.add(tx, signup):
        raise Conflict("this address is registering just now", field="human_email", reason="already_registered")
    return Registered(created.account, secret, code)


async def _again(tx: Tx, known: Signup, code: str, surface: str, at: int) -> Registered:
    account = await accounts.get(tx, known.account_id)
    if known.verified_at is not None or account is None:
        raise Conflict("this address has registered and verified", field="human_email", reason="already_registered")
    await keys.delete(tx, known.organization_id, known.key_id)
    key, secret = await key_rules.create(
        tx, organization_id=known.organization_id, surface=surface, name="made by sign-up", at=at
    )
    await signups.renew(tx, known.organization_id, key.id, _digest(known.organization_id, code), at + OTP_LIFETIME_MS)
    return Registered(account, secret, code)


async def count_try(tx: Tx, principal: Principal, at: int) -> Signup:
    """Count a try at the code, in a unit of its own: a refusal after it must not take the count back.

    Raises:
        Forbidden: the organisation did not register itself (reason `no_signup`), or tried too often
            (`too_many_tries`).
        Gone: the code's time is over.
    """
    signup = await signups.get(tx, principal.organization_id)
    if signup is None:
        raise Forbidden("this organisation has nothing to verify", reason="no_signup")
    if signup.verified_at is None:
        if signup.otp_expires_at <= at:
            raise Gone("the code has expired; sign up again for a new one")
        if not await signups.count_attempt(tx, principal.organization_id, OTP_TRIES):
            raise Forbidden("the code was tried too often; sign up again for a new one", reason="too_many_tries")
    return signup


async def verify(tx: Tx, signup: Signup, code: str, at: int) -> None:
    """Take the code; from now on the organisation writes to whom it will.

    Raises:
        Unauthenticated: it is not the code (reason `wrong_code`).
    """
    if signup.verified_at is not None:
        return
    if not same(signup.otp_digest, _digest(signup.organization_id, code.strip())):
        raise Unauthenticated("this is not the code", field="otp_code", reason="wrong_code")
    await signups.verify(tx, signup.organization_id, at)
