"""To whom an account may write, beyond what its level says: lists, who has vouched for it, how new it is."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.accounts import domains, lists
from posthouse.kit.clock import DAY
from posthouse.kit.errors import Forbidden, TooMany
from posthouse.store import organizations, signups, submissions
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.address import normalize, split


async def check(
    tx: Tx, account: Account, recipients: Sequence[str], at: int, *, first_day_recipients: int | None
) -> None:
    """Whether an account may write to these.

    Args:
        first_day_recipients: so many people outside may hear of an organisation that registered itself in the
            first day of its life; None is no limit.

    Raises:
        Forbidden: a list keeps one out (reason `list_blocked`), or nobody has vouched for the organisation yet
            (`unverified`).
        TooMany: it is new and has written to as many outside as it may (`first_day`).
    """
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
    if first_day_recipients is not None:
        await _check_first_day(tx, account, wanted - {human}, at, first_day_recipients)


async def _check_first_day(tx: Tx, account: Account, wanted: set[str], at: int, at_most: int) -> None:
    """Whoever registers to send spam to thousands is held up for a day; an agent at work hardly notices."""
    organization = await organizations.get(tx, account.organization_id)
    if organization is None or not organization.self_registered or at - organization.created_at >= DAY:
        return
    outside = await _outside(tx, wanted)
    if not outside:
        return
    known = await _outside(tx, {normalize(email) for email in await submissions.recipients_of(tx, organization.id)})
    if len(outside | known) > at_most:
        raise TooMany(
            f"on its first day an organisation that registered itself writes to at most {at_most} addresses elsewhere",
            retry_after_s=max(1, (organization.created_at + DAY - at) // 1000),
            reason="first_day",
        )


async def _outside(tx: Tx, emails: set[str]) -> set[str]:
    ours = {domain: await domains.is_ours(tx, domain) for domain in {split(email)[1] for email in emails}}
    return {email for email in emails if not ours[split(email)[1]]}
