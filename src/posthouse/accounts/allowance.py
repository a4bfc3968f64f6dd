"""How much an organisation that registered itself may have, before and after its human has vouched for it.

The owner's organisations may have as much as they will. The numbers are in `docs/operate/settings.md`, and a test
compares.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from posthouse.kit.errors import Forbidden, OverQuota
from posthouse.store import organizations, signups
from posthouse.store.database import Tx


class Allowance(NamedTuple):
    """How many of each an organisation may have at a time."""

    inboxes: int
    domains: int
    pods: int
    keys: int
    list_entries: int
    webhooks: int


Kind = Literal["inboxes", "domains", "pods", "keys", "list_entries", "webhooks"]

# Until the code is entered: enough to be tried out, nothing that works while nobody looks.
UNVERIFIED = Allowance(inboxes=3, domains=0, pods=0, keys=0, list_entries=0, webhooks=0)
SELF_REGISTERED = Allowance(inboxes=20, domains=10, pods=10, keys=50, list_entries=1_000, webhooks=20)

_WORDS: dict[Kind, str] = {"list_entries": "list entries", "keys": "API keys"}


async def check(tx: Tx, organization_id: str, kind: Kind) -> None:
    """Whether an organisation may have one more. Its row is locked till the end of the unit, so that two do not both.

    Raises:
        Forbidden: it registered itself, and nobody has vouched for it yet (reason `not_verified`).
        OverQuota: it has as many as it may (reason `allowance`).
    """
    organization = await organizations.get(tx, organization_id)
    if organization is None or not organization.self_registered:
        return
    signup = await signups.get(tx, organization_id)
    is_unverified = signup is not None and signup.verified_at is None
    most = getattr(UNVERIFIED if is_unverified else SELF_REGISTERED, kind)
    words = _WORDS.get(kind, kind)
    if is_unverified and not most:
        raise Forbidden(
            f"an organisation that registered itself has no {words} until the code mailed to its human is entered; "
            "if it has no human, attach one first",
            reason="not_verified",
        )
    await organizations.lock(tx, organization_id)
    if await organizations.count(tx, organization_id, kind) >= most:
        until = " until the code mailed to its human is entered" if is_unverified else ""
        raise OverQuota(f"an organisation that registered itself has at most {most} {words}{until}", reason="allowance")
