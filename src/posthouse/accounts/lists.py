"""Allow and block lists: who may be written to, and whose mail is let through.

Each entry belongs to whoever set it: a key of the organisation, of a pod or of the account. What one of them has
said is read alone: the most specific list with an entry for the address decides (the account's, its pod's, the
organisation's), and within a list block beats allow; where no entry speaks of the address, a list of those allowed
keeps out everybody else. Then the widest is heard first: whom it keeps out, nobody narrower lets in; whom it lets
in, somebody narrower may still block.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from posthouse.accounts import allowance
from posthouse.accounts.accounts import note_organization
from posthouse.accounts.domains import check_domain
from posthouse.accounts.reach import Reach
from posthouse.kit.errors import Forbidden, Invalid, NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.pages import Page, PageRequest, cut
from posthouse.kit.principal import Principal
from posthouse.store import lists
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.lists import ListEntry
from posthouse.wire.address import normalize, parse_address, split

Direction = Literal["send", "receive", "reply"]
DIRECTIONS = ("send", "receive", "reply")
KINDS = ("allow", "block")
# From the widest to the narrowest.
WIDTHS = ("organization", "pod", "account")
_MAX_REASON = 500


def check_entry(text: str, field: str = "entry") -> tuple[str, str]:
    """An entry in the form used as key, and its type: `email` or `domain`.

    Raises:
        Invalid: neither an address nor a domain name.
    """
    text = text.strip()
    if "@" in text.lstrip("@"):
        address = parse_address(text)
        if address.name or "@" not in address.email:
            raise Invalid("expected an address such as ann@example.org, or a domain", field=field)
        return normalize(address.email), "email"
    return check_domain(text.removeprefix("@"), field), "domain"


def width_of(principal: Principal) -> str:
    """How wide a caller is, as entries remember it."""
    return "account" if principal.account_id else "pod" if principal.pod_id else "organization"


def check_may_change(principal: Principal, entry: ListEntry) -> None:
    """Raises `Forbidden` for an entry that somebody wider set."""
    if WIDTHS.index(entry.set_by) < WIDTHS.index(width_of(principal)):
        raise Forbidden(f"a key of the {entry.set_by} set this entry; a narrower one does not change it")


async def put(
    tx: Tx, principal: Principal, within: Reach, direction: str, kind: str, entry: str, reason: str | None, at: int
) -> ListEntry:
    """Put an address or a domain on the list of a reach; one that is on it already takes the new reason.

    Raises:
        Invalid: neither an address nor a domain name, or a reason that is too long.
        Forbidden: somebody wider set the entry that is there.
        Forbidden, OverQuota: the organisation may have no more (`allowance.check`).
    """
    key, entry_type = check_entry(entry)
    if reason is not None and len(reason) > _MAX_REASON:
        raise Invalid(f"at most {_MAX_REASON} characters", field="reason")
    known = await lists.get(tx, within.scope_id, direction, kind, key)
    if known is not None:
        check_may_change(principal, known)
    else:
        await allowance.check(tx, within.organization_id, "list_entries")
    stored = await lists.add(
        tx,
        ListEntry(
            id=new_id(), organization_id=within.organization_id, pod_id=within.pod_id, account_id=within.account_id,
            scope_id=within.scope_id, direction=direction, kind=kind, entry=key, entry_type=entry_type, reason=reason,
            created_at=at, set_by=width_of(principal),
        ),
    )  # fmt: skip
    await note_organization(tx, within.organization_id, "ListEntry", stored.id, "created", at)
    return stored


async def page(tx: Tx, within: Reach, direction: str, kind: str, asked: PageRequest) -> Page[ListEntry]:
    """A page of the list of a reach."""
    found = await lists.page(
        tx, within.scope_id, direction, kind, after=asked.after, ascending=asked.ascending, limit=asked.size + 1
    )
    return cut(found, asked.size)


async def find(tx: Tx, within: Reach, direction: str, kind: str, entry: str) -> ListEntry:
    """An entry of the list of a reach. Raises `NotFound`."""
    try:
        key = check_entry(entry)[0]
    except Invalid as error:
        raise NotFound("there is no such entry", field="entry") from error
    found = await lists.get(tx, within.scope_id, direction, kind, key)
    if found is None:
        raise NotFound("there is no such entry", field="entry")
    return found


async def remove(tx: Tx, principal: Principal, within: Reach, direction: str, kind: str, entry: str, at: int) -> None:
    """Take an entry off the list of a reach.

    Raises:
        NotFound: it is not on it.
        Forbidden: somebody wider set it.
    """
    found = await find(tx, within, direction, kind, entry)
    check_may_change(principal, found)
    await lists.delete(tx, within.scope_id, direction, kind, found.entry)
    await note_organization(tx, within.organization_id, "ListEntry", found.id, "destroyed", at)


async def barred(tx: Tx, account: Account, direction: Direction, addresses: Sequence[str]) -> set[str]:
    """Those of the addresses that the lists keep out, in the form used as key."""
    keys = {normalize(address) for address in addresses if "@" in address}
    scopes = (account.id, account.pod_id, account.organization_id)
    names = sorted(keys | {split(key)[1] for key in keys})
    hits = await lists.hits(tx, scopes, direction, names) if names else []
    allowing = await lists.allowing(tx, scopes, direction)
    return {key for key in keys if _is_barred(key, scopes, hits, allowing)}


def _is_barred(key: str, scopes: Sequence[str], hits: Sequence[ListEntry], allowing: Collection[str]) -> bool:
    is_let_in = False
    for set_by in WIDTHS:
        said = [hit for hit in hits if hit.set_by == set_by and hit.entry in (key, split(key)[1])]
        kinds = next(filter(None, ({hit.kind for hit in said if hit.scope_id == scope} for scope in scopes)), set())
        if "block" in kinds or (not kinds and set_by in allowing and not is_let_in):
            return True
        is_let_in = is_let_in or bool(kinds)
    return False
