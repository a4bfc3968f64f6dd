"""What a mailbox may be called, where it may lie, and when it may go (RFC 8621 §2)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace

from posthouse.kit.errors import Conflict, Forbidden, Invalid
from posthouse.kit.ids import new_id
from posthouse.mail import filing
from posthouse.mail.journal import MAILBOX, MAILBOX_PROPERTIES, Journal
from posthouse.mail.mailboxes import LASTING
from posthouse.store import mailboxes, messages
from posthouse.store.database import Tx
from posthouse.store.mailboxes import Mailbox
from posthouse.wire import text

MAX_DEPTH = 10
MAX_NAME_OCTETS = 200
MAX_MAILBOXES = 10_000
# The IANA registry of IMAP mailbox name attributes, in lower case (RFC 8621 §2, `role`).
ROLES = LASTING | {"all", "flagged", "important", "subscribed", "memos", "scheduled", "snoozed"}


def check_name(name: str) -> str:
    """A name as it is stored.

    Raises:
        Invalid: empty, too long, or with control characters (RFC 5198 Net-Unicode).
    """
    if len(name) > MAX_NAME_OCTETS:  # before any work on it
        raise Invalid(f"a mailbox's name has at most {MAX_NAME_OCTETS} octets", field="name")
    key = text.nfc(name)
    if not key.strip() or any(unicodedata.category(char) in ("Cc", "Cs") for char in key):
        raise Invalid("a mailbox has a name without control characters", field="name")
    if len(key.encode("utf-8", "replace")) > MAX_NAME_OCTETS:
        raise Invalid(f"a mailbox's name has at most {MAX_NAME_OCTETS} octets", field="name")
    return key


def check(wanted: Mailbox, known: Mapping[str, Mailbox]) -> None:
    """Whether a mailbox may be as it is wanted, beside the account's others.

    Raises:
        Invalid: no such parent, under itself, too deep, an unknown or taken role.
        Conflict: a sibling has this name.
    """
    before = known.get(wanted.id)
    if wanted.parent_id is not None and wanted.parent_id not in known:
        raise Invalid("there is no such parent", field="parentId")
    depth, above = 1, wanted.parent_id
    while above is not None:
        if above == wanted.id:
            raise Invalid("a mailbox does not lie under itself", field="parentId")
        depth += 1
        above = known[above].parent_id
    if depth + _height(wanted.id, known) > MAX_DEPTH:
        raise Invalid(f"mailboxes nest at most {MAX_DEPTH} deep", field="parentId")
    if any(
        other.parent_id == wanted.parent_id and other.name == wanted.name and other.id != wanted.id
        for other in known.values()
    ):
        raise Conflict("a sibling has this name", field="name")
    if wanted.role != (before.role if before else None):
        if wanted.role is not None and wanted.role not in ROLES:
            raise Invalid(f"{wanted.role!r} is not a role", field="role")
        if wanted.role is not None and any(other.role == wanted.role for other in known.values()):
            raise Invalid("another mailbox has this role", field="role")
        if before is not None and before.role in LASTING:
            raise Invalid("mail is filed into this mailbox by its role", field="role")


def _height(mailbox_id: str, known: Mapping[str, Mailbox]) -> int:
    children = [other.id for other in known.values() if other.parent_id == mailbox_id]
    return max((1 + _height(child, known) for child in children), default=0)


def may_delete(mailbox: Mailbox) -> bool:
    """Whether a mailbox is the caller's to destroy."""
    return mailbox.role not in LASTING


async def all_of(tx: Tx, account_id: str) -> dict[str, Mailbox]:
    """The account's mailboxes by id, in their order."""
    return {mailbox.id: mailbox for mailbox in await mailboxes.all_of(tx, account_id)}


async def create(
    tx: Tx,
    journal: Journal,
    *,
    name: str,
    parent_id: str | None,
    role: str | None,
    sort_order: int,
    is_subscribed: bool,
    known: Mapping[str, Mailbox],
) -> Mailbox:
    """Make a mailbox. Raises what `check` does."""
    if len(known) >= MAX_MAILBOXES:
        raise Forbidden(f"an account has at most {MAX_MAILBOXES} mailboxes")
    mailbox = Mailbox(
        id=new_id(), account_id=journal.account_id, name=check_name(name), parent_id=parent_id, role=role,
        sort_order=sort_order, is_subscribed=is_subscribed, uid_validity=(journal.at // 1000) & 0xFFFFFFFF,
        uid_next=1, total_messages=0, unread_messages=0, created_at=journal.at,
    )  # fmt: skip
    check(mailbox, known)
    await mailboxes.add(tx, mailbox)
    journal.created(MAILBOX, mailbox.id)
    journal.updated(MAILBOX_PROPERTIES, mailbox.id)
    return mailbox


async def update(tx: Tx, journal: Journal, wanted: Mailbox, known: Mapping[str, Mailbox]) -> None:
    """Change a mailbox. Raises what `check` and `check_name` do."""
    wanted = replace(wanted, name=check_name(wanted.name))
    check(wanted, known)
    await mailboxes.update(tx, wanted)
    journal.updated(MAILBOX, wanted.id)
    journal.updated(MAILBOX_PROPERTIES, wanted.id)


async def destroy(tx: Tx, journal: Journal, mailbox: Mailbox, known: Mapping[str, Mailbox], *, with_mail: bool) -> None:
    """Take a mailbox away with what lies in it: what lies elsewhere too stays there, the rest is destroyed.

    Raises:
        Conflict: it has children (reason `has_children`), or mail and not `with_mail` (`has_mail`).
        Forbidden: mail is filed into it.
    """
    if any(other.parent_id == mailbox.id for other in known.values()):
        raise Conflict("the mailbox has mailboxes under it", reason="has_children")
    if not may_delete(mailbox):
        raise Forbidden("mail is filed into this mailbox by its role")
    member_ids = await mailboxes.member_ids(tx, mailbox.account_id, mailbox.id)
    if member_ids and not with_mail:
        raise Conflict("there is mail in the mailbox", reason="has_mail")
    found = await messages.get_many(tx, mailbox.account_id, list(member_ids))
    places = await mailboxes.places(tx, mailbox.account_id, list(found))
    for message in found.values():
        rest = {place.mailbox_id for place in places[message.id]} - {mailbox.id}
        if rest:
            await filing.move(tx, journal, message, rest)
        else:
            await filing.destroy(tx, journal, message)
    await mailboxes.delete(tx, mailbox.account_id, mailbox.id)
    journal.destroyed(MAILBOX, mailbox.id)
