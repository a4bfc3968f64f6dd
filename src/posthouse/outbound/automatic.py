"""Answers a machine gives in an account's name: with whose rights they leave.

They are written once and sent for as long as they are on, so they carry the key and the level of whoever wrote
them, and are asked about again each time. They end with their key.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from posthouse.accounts import accounts as account_rules
from posthouse.accounts.keys import bearer_later
from posthouse.kit.errors import Forbidden, NotFound
from posthouse.kit.principal import Principal, tighter
from posthouse.mail.journal import VACATION, Journal
from posthouse.store import accounts, vacations
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.vacations import Vacation

# Whoever gives all of these anew answers alone for what is said.
_WORDS = frozenset({"subject", "text_body", "html_body"})


async def response_of(tx: Tx, account_id: str) -> Vacation:
    """What an account answers while it is away; switched off where it never set anything."""
    return await vacations.get(tx, account_id)


async def change(
    tx: Tx, journal: Journal, principal: Principal, before: Vacation, after: Vacation, *, rewritten: Collection[str]
) -> None:
    """Change a response. One that is switched on is news to everybody again.

    Args:
        rewritten: the fields that the caller gave.

    Raises:
        Forbidden: it would be on, and the caller or the account may only read (reason `read_only`).
    """
    if after == before:
        return
    after = await _answered_for(tx, principal, before, after, rewritten)
    await vacations.put(tx, after)
    if after.is_enabled and not before.is_enabled:
        await vacations.forget_answers(tx, after.account_id)
    # There is one of an account.
    journal.updated(VACATION, "singleton")


async def _answered_for(
    tx: Tx, principal: Principal, before: Vacation, after: Vacation, rewritten: Collection[str]
) -> Vacation:
    """A response as this caller leaves it, under the level of those whose words it has.

    Raises:
        Forbidden: it would be on, and the caller or the account may only read (reason `read_only`).
    """
    account = await accounts.get(tx, after.account_id)
    if account is None:
        raise NotFound("there is no such account")
    if after.is_enabled and await account_rules.effective_level(tx, account, principal.level) == "read_only":
        raise Forbidden("this account may read and not send", field="isEnabled", reason="read_only")
    is_new = set(rewritten) >= _WORDS or not any((before.subject, before.text_body, before.html_body))
    level = principal.level if is_new else tighter(before.level, principal.level)
    return replace(after, key_id=principal.key_id, surface=principal.surface, level=level)


async def speaker(tx: Tx, account: Account, vacation: Vacation, at: int) -> Principal:
    """With whose rights a response is sent now. Raises `Unauthenticated` when its key has ended."""
    level = "gated" if vacation.level == "read_only" else vacation.level
    principal = await bearer_later(tx, account.organization_id, vacation.key_id, surface="vacation", level=level, at=at)
    return replace(principal, pod_id=account.pod_id, account_id=account.id, surface="vacation")
