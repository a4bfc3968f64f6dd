"""What a door asks to have sent, in one of three forms, and what it is told."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from posthouse.kit.config import LADDER, Ladder
from posthouse.kit.errors import Invalid
from posthouse.kit.ids import secret_digest
from posthouse.store.database import Tx
from posthouse.wire.address import Address
from posthouse.wire.compose import Outgoing

_KEY = re.compile(r"[A-Za-z0-9\-._~]{1,256}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one submission, and one account a day, may be. None: no limit."""

    recipients: int = 50
    message_bytes: int = 25 * 1024 * 1024
    submissions_a_day: int | None = 10_000
    ladder: Ladder = LADDER


@dataclass(frozen=True, slots=True)
class RecipientOptions:
    """What a sender may ask for one recipient (RFC 3461 §4.1–4.2).

    Attributes:
        notify: `NEVER`, or words of `SUCCESS`, `FAILURE`, `DELAY` joined by commas; "" is failure and delay.
        original_recipient: ORCPT as `type;address`, "" for none.
    """

    notify: str = ""
    original_recipient: str = ""


@dataclass(frozen=True, slots=True)
class Idempotency:
    """A caller's key for a request: asked again with it, the request is not done again but answered as before.

    Attributes:
        key: what the caller chose, behind the name of its surface.
        scope: the operation and what it is done to.
        digest: of the request. The same key with another scope or digest is a `Conflict`.
    """

    key: str
    scope: str
    digest: str

    @classmethod
    def of(cls, surface: str, key: str | None, operation: str, account_id: str, request: bytes) -> Idempotency | None:
        """What the header `Idempotency-Key` of a request says; None without it.

        Args:
            operation: what is done, and to which object.
            request: its body, in one form for one meaning.

        Raises:
            Invalid: it is no key.
        """
        if key is None:
            return None
        if not _KEY.fullmatch(key):
            raise Invalid("1 to 256 letters, digits or - . _ ~", field="Idempotency-Key")
        return cls(f"{surface}:{key}", f"{operation}:{account_id}", secret_digest(request.decode()))


@dataclass(frozen=True, slots=True)
class Composition:
    """What to send, as a door understood it.

    Attributes:
        from_: None sends as the account.
        labels: kept with the sent message.
        thread_id: the thread the sent message joins, for a reply or a forward that stays in it.
        answered_message_id: the message this answers; it is marked as answered.
        forwarded_message_id: the message this forwards; it is marked as forwarded.
        draft: the draft this is the sending of, and the message that held its text; both go in the same unit.
        is_automatic: written by a program in answer to mail: it has a null reverse-path, and nobody is told when
            it does not arrive (RFC 3834 §3.3).
        outgoing: everything that becomes the message; its From, Message-ID and date are set here.
    """

    outgoing: Outgoing
    from_: Address | None = None
    labels: Sequence[str] = ()
    thread_id: str | None = None
    answered_message_id: str | None = None
    forwarded_message_id: str | None = None
    draft: tuple[str, str] | None = None
    is_automatic: bool = False


@dataclass(frozen=True, slots=True)
class RawMail:
    """What to send, as bytes a client made.

    Attributes:
        mail_from: the reverse-path it named; an address of the account, or "": nobody is told of a failure then
            (RFC 5321 §4.5.5).
        rcpt_to: the recipients it named, with what it asked for each.
        envelope_id, dsn_return: ENVID and RET (RFC 3461 §4.3–4.4).
    """

    raw: bytes
    mail_from: str
    rcpt_to: Sequence[tuple[str, RecipientOptions]]
    envelope_id: str = ""
    dsn_return: str = ""


@dataclass(frozen=True, slots=True)
class StoredMail:
    """What to send: a message that lies in the account already. It is not filed a second time, but where something
    has to be written into its header: then a message with these bytes takes its place.

    Attributes:
        message_id: our id of the message.
        blob_hash: its bytes, from whoever has read the message already; None looks for it.
        mail_from, rcpt_to, envelope_id, dsn_return: as in `RawMail`.
        send_at: not to be carried before this instant; None is at once.
        references: written into the message where it has no References of its own.
        files_itself: put it where sent mail lies, as if it had been sent at once: no draft any more, read, out
            of Inbox and Drafts into Sent. False leaves that to the caller.
    """

    message_id: str
    mail_from: str
    rcpt_to: Sequence[tuple[str, RecipientOptions]]
    envelope_id: str = ""
    dsn_return: str = ""
    send_at: int | None = None
    references: Sequence[str] = ()
    files_itself: bool = True
    blob_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The outcome. `held` True: it waits for the owner; that is an outcome, not an error.

    Attributes:
        message_id: what lies in the account; another than `StoredMail.message_id` when its bytes had to change.
        suppressed: recipients it does not go to, because of an earlier bounce or complaint.
        replayed: the answer to an earlier, identical request; nothing was sent anew.
    """

    submission_id: str
    message_id: str
    thread_id: str
    header_message_id: str
    held: bool
    suppressed: tuple[str, ...] = ()
    replayed: bool = False
    hold_id: str | None = None


Also = Callable[[Tx, Submitted], Awaitable[None]]
