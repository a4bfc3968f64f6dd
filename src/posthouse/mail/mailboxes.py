"""The mailboxes every account has from its first moment."""

from __future__ import annotations

from posthouse.kit.ids import new_id
from posthouse.mail.journal import MAILBOX, Journal
from posthouse.store import mailboxes
from posthouse.store.database import Tx

INBOX, SENT, DRAFTS, TRASH, JUNK, ARCHIVE = "inbox", "sent", "drafts", "trash", "junk", "archive"

# Mail is filed into these: a mailbox that has one of these roles keeps it, and is never destroyed.
LASTING = frozenset({INBOX, SENT, DRAFTS, TRASH, JUNK, ARCHIVE})

# Role, name, order. RFC 8621 §2; names as IMAP clients show them (RFC 6154).
_PROVISIONED = (
    (INBOX, "Inbox", 1),
    (DRAFTS, "Drafts", 2),
    (SENT, "Sent", 3),
    (ARCHIVE, "Archive", 4),
    (JUNK, "Junk", 5),
    (TRASH, "Trash", 6),
)


async def provision(tx: Tx, journal: Journal) -> None:
    """Make a new account's mailboxes."""
    for role, name, order in _PROVISIONED:
        mailbox = mailboxes.Mailbox(
            id=new_id(),
            account_id=journal.account_id,
            name=name,
            parent_id=None,
            role=role,
            sort_order=order,
            is_subscribed=True,
            # RFC 3501 §2.3.1.1: 32 bits, growing with each new incarnation of a name.
            uid_validity=(journal.at // 1000) & 0xFFFFFFFF,
            uid_next=1,
            total_messages=0,
            unread_messages=0,
            created_at=journal.at,
        )
        await mailboxes.add(tx, mailbox)
        journal.created(MAILBOX, mailbox.id)
