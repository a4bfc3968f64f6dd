"""To whom an account may write, and how closely it is watched: levels, lists, who has vouched for it, how new it is.

The house's own mail (`Principal.house`) is bound by none of it: somebody waits for a code, and whoever tightens what
agents may send has not meant that.
"""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import domains, lists, pauses
from posthouse.kit.config import Ladder
from posthouse.kit.errors import Forbidden, TooMany
from posthouse.kit.principal import Principal
from posthouse.store import accounts, newcomers, organizations, signups
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import normalize, split, untagged

# The house's own mail goes out as it is.
HOUSE_LEVEL = "autonomous"


async def level_of(tx: Tx, account: Account, principal: Principal) -> str:
    """The oversight level that holds for what is sent as an account."""
    if principal.is_house:
        return HOUSE_LEVEL
    return await account_rules.effective_level(tx, account, principal.level)


async def check_running(tx: Tx, account: Account, principal: Principal) -> None:
    """Raises `Forbidden` (reason `paused`) while the account, its organisation or everything is paused."""
    pause = None if principal.is_house else await pauses.of_account(tx, account)
    if pause is not None:
        raise pauses.refusal(pause)


async def stays_inside(tx: Tx, account: Account, recipients: Sequence[str]) -> bool:
    """Whether all of these are accounts of the sender's own organisation."""
    for email in recipients:
        name = normalize(email)
        found = await accounts.by_address(tx, name) or await accounts.by_address(tx, untagged(name))
        if found is None or found.organization_id != account.organization_id:
            return False
    return True


async def check(
    tx: Tx, account: Account, principal: Principal, recipients: Sequence[str], at: int, *, ladder: Ladder
) -> None:
    """Whether an account may write to these.

    Args:
        ladder: to how many people elsewhere an organisation that registered itself may have written, up to which
            age; empty is no limit.

    Raises:
        Forbidden: a list keeps one out (reason `list_blocked`), or nobody has vouched for the organisation yet
            (`unverified`).
        TooMany: it is new and has written to as many elsewhere as it may (`newcomer`).
    """
    if principal.is_house:
        return
    barred = await lists.barred(tx, account, "send", recipients)
    if barred:
        raise Forbidden(f"a list keeps {', '.join(sorted(barred))} out", field="to", reason="list_blocked")
    wanted = {normalize(email) for email in recipients}
    signup = await signups.get(tx, account.organization_id)
    human = signup.human_email if signup is not None else None
    if signup is not None and signup.verified_at is None:
        if human is None:
            raise Forbidden(
                "this organisation receives only, until a human is attached to it", field="to", reason="unverified"
            )
        if wanted - {human}:
            raise Forbidden(
                "until the code is entered, mail goes to the human's own address only", field="to", reason="unverified"
            )
    if ladder:
        is_verified = signup is not None and signup.verified_at is not None
        await _climb(tx, account, wanted - {human}, at, ladder, is_verified=is_verified)


async def _climb(tx: Tx, account: Account, wanted: set[str], at: int, ladder: Ladder, *, is_verified: bool) -> None:
    """Whoever registers to send spam to thousands is held up for a week; an agent at work hardly notices."""
    organization = await organizations.get(tx, account.organization_id)
    if organization is None or not organization.self_registered:
        return
    rungs = [(ends, most) for ends, most in ladder if at - organization.created_at < ends]
    if not rungs:
        return
    ends, most = rungs[-1] if is_verified else rungs[0]
    outside = await _outside(tx, wanted)
    if not outside:
        return
    # Two inboxes of it that send at once are counted one after the other.
    await organizations.lock(tx, organization.id)
    known = await newcomers.recipients(tx, organization.id)
    if len(outside | known) > most:
        raise TooMany(
            f"an organisation that registered itself writes to at most {most} addresses elsewhere while it is so new",
            retry_after_s=max(1, (organization.created_at + ends - at) // 1000),
            reason="newcomer",
        )
    await newcomers.add_recipients(tx, organization.id, outside - known, at)


async def _outside(tx: Tx, emails: set[str]) -> set[str]:
    ours = {domain: await domains.is_ours(tx, domain) for domain in {split(email)[1] for email in emails}}
    return {email for email in emails if not ours[split(email)[1]]}
