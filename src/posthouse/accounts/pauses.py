"""Stopping what leaves: an account, an organisation, the whole installation. What comes in is kept as ever.

While something is paused nobody sends from it, through any door, and what waits in the queue waits on. Whoever pauses
is remembered with how far they reach: only somebody who reaches as far lets it go on, so that no agent lifts its own
pause.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.accounts.accounts import note_organization
from posthouse.kit.clock import iso
from posthouse.kit.errors import Forbidden
from posthouse.kit.principal import Principal
from posthouse.store import organizations, pauses
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.pauses import ALL, Pause

# From the narrowest to the widest.
_WIDTHS = ("account", "pod", "organization", "owner")
# Woken when something goes on: its deliveries may be due.
_WAKE = "deliveries"


async def of_account(tx: Tx, account: Account) -> Pause | None:
    """The pause that holds an account, the widest of them; None while it may send."""
    found = await pauses.among(tx, [ALL, account.organization_id, account.id])
    return found.get(ALL) or found.get(account.organization_id) or found.get(account.id)


async def paused_ids(tx: Tx, listed: Sequence[Account]) -> frozenset[str]:
    """Which of some accounts are paused, by id."""
    scopes = {ALL, *(scope for account in listed for scope in (account.id, account.organization_id))}
    found = (await pauses.among(tx, sorted(scopes))).keys()
    return frozenset(account.id for account in listed if {ALL, account.organization_id, account.id}.intersection(found))


def refusal(pause: Pause) -> Forbidden:
    """What a sender is told (reason `paused`)."""
    what = "all sending from this server" if pause.scope_id == ALL else "sending from this inbox"
    who = "its owner" if pause.paused_by is None else f"the key {pause.paused_by}"
    why = f": {pause.reason}" if pause.reason else ""
    return Forbidden(f"{what} was paused by {who} at {iso(pause.paused_at)}{why}", reason="paused")


async def pause_account(tx: Tx, principal: Principal, account: Account, at: int, reason: str | None = None) -> None:
    """Stop what an account sends. One that is paused already stays as it is, unless the caller reaches further."""
    known = (await pauses.among(tx, [account.id])).get(account.id)
    if known is not None and _is_as_wide(known.width, _width(principal)):
        return
    await pauses.put(tx, Pause(account.id, principal.key_id, _width(principal), reason, at))
    await note_organization(tx, account.organization_id, "Account", account.id, "updated", at)


async def resume_account(tx: Tx, principal: Principal, account: Account, at: int) -> bool:
    """Let an account go on; False when it was not paused itself.

    Raises:
        Forbidden: it was paused by somebody who reaches further.
    """
    known = (await pauses.among(tx, [account.id])).get(account.id)
    if known is None:
        return False
    if not _is_as_wide(_width(principal), known.width):
        raise Forbidden("this inbox was paused by somebody who may do more than this key; they let it go on")
    await pauses.delete(tx, account.id)
    await note_organization(tx, account.organization_id, "Account", account.id, "updated", at)
    tx.wake(_WAKE)
    return True


async def pause_all(tx: Tx, organization_id: str | None, at: int, reason: str | None = None) -> None:
    """The owner stops an organisation, or everything (None)."""
    await pauses.put(tx, Pause(organization_id or ALL, None, "owner", reason, at))
    await _note(tx, organization_id, at)


async def resume_all(tx: Tx, organization_id: str | None, at: int) -> bool:
    """The owner lets an organisation, or everything (None), go on; what is paused by itself stays so."""
    if not await pauses.delete(tx, organization_id or ALL):
        return False
    await _note(tx, organization_id, at)
    tx.wake(_WAKE)
    return True


async def _note(tx: Tx, organization_id: str | None, at: int) -> None:
    if organization_id is not None and await organizations.get(tx, organization_id) is not None:
        await note_organization(tx, organization_id, "Organization", organization_id, "updated", at)


def _width(principal: Principal) -> str:
    if principal.is_owner:
        return "owner"
    return "account" if principal.account_id else "pod" if principal.pod_id else "organization"


def _is_as_wide(one: str, other: str) -> bool:
    return _WIDTHS.index(one) >= _WIDTHS.index(other)
