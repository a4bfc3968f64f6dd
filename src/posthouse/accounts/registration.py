"""Signing oneself up: a fresh organisation with one account and a key bound to it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import keys as key_rules
from posthouse.kit.errors import Invalid
from posthouse.kit.ids import new_uuid
from posthouse.store import organizations
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.keys import ApiKey
from posthouse.store.organizations import Organization, Pod

_USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{3,19}[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Registered:
    """What was made. `secret` is the key itself, shown this once."""

    account: Account
    key: ApiKey
    secret: str


def check_username(name: str) -> str:
    """A name to register with, trimmed and in lower case.

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


async def register(tx: Tx, username: str, *, surface: str, domain: str, at: int) -> Registered:
    """Make an organisation of its own for a newcomer, isolated from all others.

    Raises:
        Invalid: the name is not acceptable.
        Conflict: the address is taken (reason `address_taken`).
    """
    name = check_username(username)
    organization = Organization(
        id=new_uuid(), name=name, slug=None, level="monitored", modseq=0, self_registered=True, created_at=at,
        updated_at=at,
    )  # fmt: skip
    await organizations.add(tx, organization)
    await organizations.add_pod(
        tx,
        Pod(
            id=new_uuid(), organization_id=organization.id, name="Default", client_id=None, is_default=True,
            created_at=at, updated_at=at,
        ),
    )  # fmt: skip
    created = await account_rules.create(tx, organization.id, at=at, default_domain=domain, local_part=name)
    key, secret = await key_rules.create(
        tx,
        organization_id=organization.id,
        surface=surface,
        name="made at signup",
        pod_id=created.account.pod_id,
        account_id=created.account.id,
        at=at,
    )
    return Registered(created.account, key, secret)
