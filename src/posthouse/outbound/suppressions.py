"""Which outcomes keep an account from writing to an address again."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.accounts.accounts import note_organization
from posthouse.kit.errors import Conflict, Invalid, NotFound
from posthouse.store import suppressions
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.suppressions import Suppression
from posthouse.wire.address import normalize, parse_address

# RFC 3463 §3: what says that the address itself is no good, today and tomorrow. Policy, size and content
# refusals (5.7.x, 5.3.4, 5.6.x) speak of one mail; a full mailbox (x.2.2) empties again.
_HARD = ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1")

# Why an address may be suppressed.
REASONS = ("bounce", "complaint", "manual", "unsubscribe")
_MAX_WORDS = 500


def is_hard(status: str) -> bool:
    """Whether a status code says that the address does not exist or is closed."""
    return status in _HARD


def is_transient(status: str) -> bool:
    """Whether a mail of another day, or a smaller one, may reach the address: a full mailbox, a mail too large."""
    return status.startswith("4.") or status[1:] in (".2.2", ".3.4")


async def after_failure(tx: Tx, account_id: str, address: str, status: str, diagnostic: str | None, at: int) -> bool:
    """Suppress an address whose failure is final; True when it was."""
    if not is_hard(status):
        return False
    await suppressions.add(tx, account_id, normalize(address), "bounce", (diagnostic or status)[:500], at)
    return True


async def after_complaint(tx: Tx, account_id: str, address: str, feedback_type: str, at: int) -> None:
    """Suppress an address whose owner complained."""
    await suppressions.add(tx, account_id, normalize(address), "complaint", feedback_type, at)


async def among(tx: Tx, account_id: str, addresses: Sequence[str], at: int) -> dict[str, Suppression]:
    """Which of the addresses the account may not write to, by normalised address."""
    return await suppressions.among(tx, account_id, [normalize(address) for address in addresses], at)


def _address(text: str) -> str:
    """An address in the form used as key. Raises `Invalid`."""
    address = parse_address(text.strip())
    if address.name or "@" not in address.email:
        raise Invalid("expected an address such as ann@example.org", field="address")
    return normalize(address.email)


async def listed(tx: Tx, account: Account | None, at: int, limit: int) -> list[Suppression]:
    """What an account may not write to, newest first, the house's suppressions with it; None is all there is."""
    return await suppressions.listed(tx, account.id if account else None, at, limit)


async def add(tx: Tx, account: Account | None, address: str, reason: str, at: int) -> str:
    """Suppress an address for an account, or without one for the whole house, for good; answers it as it is kept.

    Args:
        reason: a word of `REASONS`; others are kept beside it as what was said.

    Raises:
        Invalid: not an address, or the reason is too long.
    """
    if len(reason) > _MAX_WORDS:
        raise Invalid(f"at most {_MAX_WORDS} characters", field="reason")
    key = _address(address)
    kind, words = (reason, None) if reason in REASONS else ("manual", reason)
    if account is None:
        await suppressions.add_for_house(tx, key, kind, words, at)
    else:
        await suppressions.add(tx, account.id, key, kind, words, at)
        await note_organization(tx, account.organization_id, "Suppression", key, "created", at)
    return key


async def lift(tx: Tx, account: Account | None, address: str, at: int) -> int:
    """Let an account write to an address again, or without one everybody; answers how many suppressions went.

    Raises:
        NotFound: the address is not suppressed there.
        Conflict: it is suppressed for the whole house, which is not the account's to lift (reason `house_wide`).
    """
    key = _address(address)
    if account is None:
        total = await suppressions.remove_everywhere(tx, key)
    else:
        total = int(await suppressions.remove(tx, account.id, key))
        if total:
            await note_organization(tx, account.organization_id, "Suppression", key, "destroyed", at)
        elif await suppressions.is_for_house(tx, key):
            raise Conflict(f"{key} is suppressed for the whole house", field="address", reason="house_wide")
    if not total:
        raise NotFound(f"{key} is not suppressed", field="address")
    return total
