"""Registering without a key: an organisation, an inbox and a key at once, in one of two ways.

By a human: the organisation is bound until a human vouches for it. Without a human the inbox receives only. With one
it writes to that human only, until the code that was mailed to them is entered (`outbound.policy` enforces both). The
human is named when registering or attached later.

Knowing an address opens nothing. Who registers with one that another registration has named gets a key to that
organisation which opens nothing either, until the code that was mailed for this very key is entered: then the human
has said so, and every key that was there before is worthless. Attaching an address does not even lead so far, and
reserves nothing until its code was entered.

By work (`challenges`): whoever has solved a puzzle needs no human, and gets a key that is bound to the one inbox.

Doors go through `outbound.newcomers.Registrar`, which mails the code.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import domains as domain_rules
from posthouse.accounts import keys as key_rules
from posthouse.kit.clock import HOUR
from posthouse.kit.errors import Conflict, Forbidden, Gone, Invalid, OverQuota, Unauthenticated
from posthouse.kit.ids import new_uuid, same
from posthouse.kit.principal import Principal
from posthouse.store import accounts, keys, organizations, signups, webhooks
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.keys import ApiKey
from posthouse.store.organizations import Organization, Pod
from posthouse.store.signups import Claim, Signup
from posthouse.wire.address import normalize, split

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{3,19}[a-z0-9]")
OTP_LIFETIME_MS = 24 * HOUR
OTP_TRIES = 10
# Registrations with an address that is named already: so many in a code's lifetime, each with a mail to the human
# and so many tries. Together they are not much easier to guess than the first code.
CLAIMS = 3
CLAIM_TRIES = 5
# How often one human may take the place of another: each gets a mail nobody asked them about.
REPLACEMENTS = 2


@dataclass(frozen=True, slots=True)
class Code:
    """A code to be mailed to the human, and until when it is good. `value` is None when its tries are used up.

    `takes_over`: entering it makes every earlier key worthless.
    """

    value: str | None
    expires_at: int
    takes_over: bool = False


@dataclass(frozen=True, slots=True)
class Registered:
    """What a registration made.

    Attributes:
        secret: the key itself, shown this once.
        code: for the human; None without one.
    """

    account: Account
    key: ApiKey
    secret: str
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Attached:
    """What attaching a human made: the code for them, and the name of the agent that asks them."""

    agent: str
    code: Code


async def register(
    tx: Tx,
    *,
    human_email: str | None,
    local_part: str,
    default_domain: str,
    surface: str,
    source: str | None,
    referrer: str | None,
    at: int,
) -> Registered:
    """Make an organisation with an inbox and a key; who names the same human again gets a claim to the same one.

    Raises:
        Conflict: the address is taken (reason `address_taken`), or the human has vouched already
            (`already_registered`): whoever knows the address must not get a key by it.
        OverQuota: there are as many claims as may be (`too_many_claims`).
        Invalid: the human's address is an agent's.
    """
    human = None if human_email is None else normalize(human_email)
    if human is not None:
        await _check_human(tx, human)
        known = await signups.by_registered_email(tx, human)
        if known is not None:
            return await _claim(tx, known, surface, at)
    account = await _found(tx, local_part, default_domain, at)
    key, secret = await key_rules.create(
        tx, organization_id=account.organization_id, surface=surface, name="made by sign-up", at=at
    )
    signup = Signup(
        organization_id=account.organization_id, registered_email=human, human_email=human, replacements=0,
        account_id=account.id, key_id=key.id, otp=None, otp_expires_at=0, attempts=0, verified_at=None,
        source=source, referrer=referrer, created_at=at,
    )  # fmt: skip
    if human is not None:
        signup = _with_new_code(signup, at)
    if not await signups.add(tx, signup):
        raise Conflict("this address is registering just now", field="human_email", reason="already_registered")
    return Registered(account, key, secret, None if human is None else _code(signup))


async def register_by_work(tx: Tx, username: str, *, surface: str, domain: str, at: int) -> Registered:
    """Make an organisation of its own for a newcomer who has solved a challenge.

    Raises:
        Invalid: the name is not acceptable.
        Conflict: the address is taken (reason `address_taken`).
    """
    account = await _found(tx, check_username(username), domain, at)
    key, secret = await key_rules.create(
        tx,
        organization_id=account.organization_id,
        surface=surface,
        name="made at signup",
        pod_id=account.pod_id,
        account_id=account.id,
        at=at,
    )
    return Registered(account, key, secret)


def check_username(name: str) -> str:
    """A name to register with by work, trimmed and in lower case.

    Raises:
        Invalid: not 5 to 21 letters, digits, dots, hyphens and underscores, or not beginning and ending with a
            letter or digit; reserved for the operator.
    """
    key = name.strip().lower()
    if not _USERNAME.fullmatch(key):
        raise Invalid(
            "a username has 5 to 21 letters, digits, dots, hyphens or underscores, with a letter or digit at both ends",
            field="username",
            reason="local_part_syntax",
        )
    return account_rules.check_local_part(key)


async def _found(tx: Tx, local_part: str, domain: str, at: int) -> Account:
    """An organisation isolated from all others, with one account."""
    organization = Organization(
        id=new_uuid(), name=local_part, slug=None, level="monitored", modseq=0, self_registered=True, created_at=at,
        updated_at=at,
    )  # fmt: skip
    await organizations.add(tx, organization)
    pod = Pod(new_uuid(), organization.id, "Default", None, is_default=True, created_at=at, updated_at=at)
    await organizations.add_pod(tx, pod)
    created = await account_rules.create(tx, organization.id, at=at, default_domain=domain, local_part=local_part)
    return created.account


async def _claim(tx: Tx, known: Signup, surface: str, at: int) -> Registered:
    """A key that opens nothing yet, with a code of its own. What was there before stays as it is."""
    account = await accounts.get(tx, known.account_id)
    if account is None:
        raise Conflict("the inbox of this address was deleted", field="human_email", reason="already_registered")
    await organizations.lock(tx, known.organization_id)
    alive = 0
    for claim in await signups.claims(tx, known.organization_id):
        if claim.otp_expires_at > at:
            alive += 1
        else:
            await key_rules.revoke(tx, known.organization_id, claim.key_id, at)
    if alive >= CLAIMS:
        raise OverQuota(
            "this address was named too often today; enter one of the codes that were mailed to it",
            field="human_email",
            reason="too_many_claims",
        )
    key, secret = await key_rules.create(
        tx, organization_id=known.organization_id, surface=surface, name="made by sign-up", rights=(), at=at
    )
    made = Claim(key.id, known.organization_id, _new_otp(), at + OTP_LIFETIME_MS, attempts=0, created_at=at)
    await signups.add_claim(tx, made)
    return Registered(account, key, secret, Code(made.otp, made.otp_expires_at, takes_over=True))


async def attach(tx: Tx, principal: Principal, *, human_email: str, at: int) -> Attached:
    """Name the human of an organisation that nobody has vouched for.

    The human it has already keeps the code while it is good, with the tries there were. Another takes the place
    with a code of their own.

    Raises:
        Forbidden: the organisation did not register itself (reason `no_signup`), or the key is not one to all of it
            (`missing_permission`): who vouches is not for a part of it to say.
        Conflict: the organisation is verified (`already_verified`), the human has vouched for another
            (`already_registered`), or somebody else names one just now (`changed_meanwhile`).
        OverQuota: the human was replaced too often (`too_many_humans`).
        Invalid: the address is an agent's.
    """
    known = await signups.get(tx, principal.organization_id)
    if known is None:
        raise Forbidden("this organisation did not register itself and needs no human", reason="no_signup")
    if principal.pod_id is not None or principal.account_id is not None or principal.rights is not None:
        raise Forbidden("a human is attached with a key to the whole organisation", reason="missing_permission")
    if known.verified_at is not None:
        raise Conflict("this organisation is verified and keeps its human", reason="already_verified")
    human = normalize(human_email)
    await _check_human(tx, human)
    if human == known.human_email:
        signup = await _with_good_code(tx, known, at)
    else:
        replacements = known.replacements + (known.human_email is not None)
        if replacements > REPLACEMENTS:
            raise OverQuota(
                f"the human was replaced {REPLACEMENTS} times, which is as often as may be",
                field="human_email",
                reason="too_many_humans",
            )
        # Who named the former human when registering does not come back by it: that address may be a stranger's.
        named = replace(known, human_email=human, registered_email=None, replacements=replacements)
        signup = await _write(tx, known, _with_new_code(named, at))
        await _drop_claims(tx, known.organization_id, at)
    account = await accounts.get(tx, known.account_id)
    organization = await organizations.get(tx, known.organization_id)
    assert organization is not None  # a registration goes with its organisation
    return Attached(account.main_address if account is not None else organization.name, _code(signup))


async def _check_human(tx: Tx, human: str) -> None:
    """Raises when the address cannot vouch: it has for another organisation, or an agent reads it."""
    if await signups.has_vouched(tx, human):
        raise Conflict("this address has registered and verified", field="human_email", reason="already_registered")
    local, domain = split(human)
    if not await domain_rules.is_ours(tx, domain):
        return
    # Here, people are only where the operator has put them: else an agent would read its own code, in this inbox
    # or in one it makes later.
    base = local.partition("+")[0]
    account = await accounts.by_address(tx, human) or await accounts.by_address(tx, f"{base}@{domain}")
    organization = None if account is None else await organizations.get(tx, account.organization_id)
    if organization is None or organization.self_registered:
        raise Invalid("an agent's address is no human's", field="human_email", reason="not_a_human")


def _with_new_code(signup: Signup, at: int) -> Signup:
    return replace(signup, otp=_new_otp(), otp_expires_at=at + OTP_LIFETIME_MS, attempts=0)


def _new_otp() -> str:
    return f"{secrets.randbelow(10**6):06d}"


async def _with_good_code(tx: Tx, known: Signup, at: int) -> Signup:
    """The same code while it is good, used up or not: asking again gives nobody more tries."""
    if known.otp is not None and known.otp_expires_at > at:
        return known
    return await _write(tx, known, _with_new_code(known, at))


async def _write(tx: Tx, before: Signup, after: Signup) -> Signup:
    if not await signups.set_human(tx, before, after):
        raise Conflict("a human is being named just now", field="human_email", reason="changed_meanwhile")
    return after


def _code(signup: Signup) -> Code:
    return Code(signup.otp if signup.attempts < OTP_TRIES else None, signup.otp_expires_at)


@dataclass(frozen=True, slots=True)
class Trial:
    """A try at a code that was counted. `claim` is what the key that tries was made for, if it was."""

    signup: Signup
    claim: Claim | None


async def count_try(tx: Tx, principal: Principal, at: int) -> Trial:
    """Count a try at the code, in a unit of its own: a refusal after it must not take the count back.

    Raises:
        Forbidden: the organisation did not register itself (reason `no_signup`), has no human (`no_human`), or
            tried too often (`too_many_tries`).
        Gone: the code's time is over.
    """
    signup = await signups.get(tx, principal.organization_id)
    if signup is None:
        raise Forbidden("this organisation has nothing to verify", reason="no_signup")
    claim = await signups.claim_of(tx, principal.key_id) if principal.key_id is not None else None
    if signup.verified_at is None:
        if signup.human_email is None:
            raise Forbidden("there is no code yet; attach a human, who gets one", reason="no_human")
        if (claim or signup).otp_expires_at <= at:
            again = "register again" if claim else "attach the same human again"
            raise Gone(f"the code has expired; {again} for a new one")
        if claim is not None:
            is_counted = await signups.count_claim_attempt(tx, claim.key_id, CLAIM_TRIES)
        else:
            is_counted = await signups.count_attempt(tx, principal.organization_id, OTP_TRIES)
        if not is_counted:
            again = "register again" if claim else "attach the same human again"
            raise Forbidden(
                f"the code was tried too often; when it has expired, {again} for a new one", reason="too_many_tries"
            )
    return Trial(signup, claim)


async def verify(tx: Tx, trial: Trial, code: str, at: int) -> None:
    """Take the code; from now on the organisation writes to whom it will.

    Raises:
        Unauthenticated: it is not the code (reason `wrong_code`).
        Conflict: the human has vouched for another organisation meanwhile (reason `already_registered`).
    """
    signup, claim = trial.signup, trial.claim
    if signup.verified_at is not None:
        return
    otp = (claim or signup).otp
    if otp is None or signup.human_email is None or not same(otp, code.strip()):
        raise Unauthenticated("this is not the code", field="otp_code", reason="wrong_code")
    if await signups.has_vouched(tx, signup.human_email):
        raise Conflict("the human has vouched for another organisation", reason="already_registered")
    # The code may have been replaced, or the claim dropped, since the try was counted.
    now = await signups.claim_of(tx, claim.key_id) if claim else await signups.get(tx, signup.organization_id)
    is_good = now is not None and now.otp == otp
    if not is_good or not await signups.verify(tx, signup.organization_id, signup.human_email, at):
        raise Unauthenticated("this is no longer the code", field="otp_code", reason="wrong_code")
    if claim is not None:
        await _take_over(tx, claim, at)
    await _drop_claims(tx, signup.organization_id, at)


async def _take_over(tx: Tx, claim: Claim, at: int) -> None:
    """Whoever registered before may not be who registers now: nothing they set up reads on."""
    for key in await keys.page(tx, claim.organization_id):
        if key.id != claim.key_id:
            await key_rules.revoke(tx, claim.organization_id, key.id, at)
    await webhooks.delete_all(tx, claim.organization_id)
    await signups.end_claim(tx, claim.key_id)
    await keys.update(tx, claim.key_id, name="made by sign-up", rights=None)
    await account_rules.note_organization(tx, claim.organization_id, "ApiKey", claim.key_id, "updated", at)
    await signups.set_key(tx, claim.organization_id, claim.key_id)


async def _drop_claims(tx: Tx, organization_id: str, at: int) -> None:
    for claim in await signups.claims(tx, organization_id):
        await key_rules.revoke(tx, organization_id, claim.key_id, at)
