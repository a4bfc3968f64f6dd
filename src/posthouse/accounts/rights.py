"""What a key may do, in the core's words. Each surface has words of its own and a table that says which of these
they mean; keys store these alone, so that a key says the same at every door.

The words are as fine as the finest surface's: a word of a surface may stand for several.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from posthouse.kit.errors import Forbidden
from posthouse.kit.principal import Principal
from posthouse.mail import visibility


class Right(StrEnum):
    """One thing that a key may do, within what it reaches (`accounts.reach`)."""

    ACCOUNT_READ = "account.read"
    ACCOUNT_CREATE = "account.create"
    ACCOUNT_UPDATE = "account.update"
    ACCOUNT_DELETE = "account.delete"

    MESSAGE_READ = "message.read"
    THREAD_READ = "thread.read"
    ATTACHMENT_READ = "attachment.read"
    MESSAGE_SEND = "message.send"
    ATTACHMENT_WRITE = "attachment.write"
    MESSAGE_UPDATE = "message.update"
    THREAD_UPDATE = "thread.update"
    MESSAGE_DELETE = "message.delete"

    # Mail of these kinds does not exist for whoever lacks the right to see it.
    JUNK_SEE = "junk.see"
    BLOCKED_SEE = "blocked.see"
    UNAUTHENTICATED_SEE = "unauthenticated.see"
    TRASH_SEE = "trash.see"

    DRAFT_READ = "draft.read"
    DRAFT_CREATE = "draft.create"
    DRAFT_UPDATE = "draft.update"
    DRAFT_DELETE = "draft.delete"
    DRAFT_SEND = "draft.send"

    WEBHOOK_READ = "webhook.read"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_UPDATE = "webhook.update"
    WEBHOOK_DELETE = "webhook.delete"

    DOMAIN_READ = "domain.read"
    DOMAIN_CREATE = "domain.create"
    DOMAIN_UPDATE = "domain.update"
    DOMAIN_DELETE = "domain.delete"

    LIST_READ = "list.read"
    LIST_CREATE = "list.create"
    LIST_DELETE = "list.delete"

    METRICS_READ = "metrics.read"

    KEY_READ = "key.read"
    KEY_CREATE = "key.create"
    KEY_UPDATE = "key.update"
    KEY_DELETE = "key.delete"

    POD_READ = "pod.read"
    POD_CREATE = "pod.create"
    POD_DELETE = "pod.delete"


SEES = {
    visibility.JUNK: Right.JUNK_SEE,
    visibility.BLOCKED: Right.BLOCKED_SEE,
    visibility.UNAUTHENTICATED: Right.UNAUTHENTICATED_SEE,
    visibility.TRASH: Right.TRASH_SEE,
}

# Reading mail with all there is of it: what whoever is told of mail has to have.
READS_MAIL = frozenset({Right.MESSAGE_READ, Right.THREAD_READ, Right.ATTACHMENT_READ})

# All there is to do with the mail of one account: what a door asks for that knows no rights by the piece.
WHOLE_ACCOUNT = frozenset(
    {
        Right.ACCOUNT_READ, Right.MESSAGE_READ, Right.THREAD_READ, Right.ATTACHMENT_READ, Right.MESSAGE_SEND,
        Right.ATTACHMENT_WRITE, Right.MESSAGE_UPDATE, Right.THREAD_UPDATE, Right.MESSAGE_DELETE, Right.DRAFT_READ,
        Right.DRAFT_CREATE, Right.DRAFT_UPDATE, Right.DRAFT_DELETE, Right.DRAFT_SEND, *SEES.values(),
    }
)  # fmt: skip


def may(principal: Principal, wanted: Collection[Right]) -> bool:
    """Whether a caller has all of these rights."""
    return principal.rights is None or principal.rights.issuperset(wanted)


def need(principal: Principal, right: Right, message: str) -> None:
    """Raises `Forbidden` (reason `missing_permission`) with this message when the caller lacks a right."""
    if not principal.may(right):
        raise Forbidden(message, reason="missing_permission")


def hidden_from(principal: Principal) -> frozenset[str]:
    """The kinds of mail (`mail.visibility`) that do not exist for this caller."""
    if principal.rights is None:
        return frozenset()
    return frozenset(kind for kind, right in SEES.items() if right not in principal.rights)
