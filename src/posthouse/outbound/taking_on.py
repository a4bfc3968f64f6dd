"""Taking a message on: filed, with its deliveries, its hold and its event, in the unit that promises it."""

from __future__ import annotations

from collections.abc import Sequence

from posthouse.kit.errors import Conflict, NotFound
from posthouse.kit.ids import new_id, new_secret
from posthouse.mail import filing
from posthouse.mail.filing import NewMessage
from posthouse.mail.journal import Journal
from posthouse.mail.mailboxes import DRAFTS, INBOX, SENT
from posthouse.outbound.preparation import Copy, Ready
from posthouse.outbound.request import RecipientOptions, StoredMail
from posthouse.store import correspondents, drafts, mailboxes, messages
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob
from posthouse.store.database import Tx
from posthouse.store.messages import Message
from posthouse.store.submissions import Delivery, StoredSubmission
from posthouse.wire.address import Address, normalize, split


async def file(tx: Tx, journal: Journal, account: Account, ready: Ready, blob: Blob, state: str) -> Message:
    """The writer's own copy, where its state puts it; a draft that it is the sending of ends here.

    Args:
        blob: the bytes that are sent.
        state: `queued`, `held` or `scheduled`.

    Raises:
        NotFound: the stored message was destroyed meanwhile.
        Conflict: the draft was changed or sent meanwhile (reason `changed_meanwhile`).
    """
    text = await _draft_text(tx, account.id, ready.draft) if ready.draft is not None else None
    if ready.stored is not None:
        message = await _take_stored(tx, journal, account, ready, ready.stored, blob, state)
    else:
        held = state == "held"
        message = await filing.file(
            tx,
            journal,
            NewMessage(
                parsed=ready.parsed,
                blob=blob,
                direction="out",
                mailbox_roles=(DRAFTS,) if held else (SENT,),
                received_at=journal.at,
                keywords={filing.SEEN, *ready.labels, *((filing.HELD,) if held else ())},
                thread_id=ready.thread_id,
                delivery_state="held" if held else "queued",
                bcc=ready.bcc,
            ),
        )
    if ready.draft is not None and text is not None:
        # The draft ends where its sending begins, in one unit: no crash sends it twice or loses it. After the
        # filing: a thread whose last message went would be gone.
        await drafts.delete(tx, account.id, ready.draft[0])
        await filing.destroy(tx, journal, text, bury=False)
    await _mark_parent(tx, journal, ready)
    return message


async def remember_recipients(tx: Tx, account_id: str, deliveries: Sequence[Delivery], at: int) -> None:
    """From now on the account has written to these (`strangers`)."""
    written_to = [(normalize(each.recipient), each.domain) for each in deliveries if each.state != "suppressed"]
    await correspondents.add(tx, account_id, written_to, at)


def delivery(
    submission: StoredSubmission,
    email: str,
    options: RecipientOptions,
    at: int,
    *,
    send_at: int,
    barred: bool,
) -> Delivery:
    """One recipient's journey, at its beginning."""
    state = "suppressed" if barred else "held" if submission.state == "held" else "queued"
    return Delivery(
        id=new_id(),
        submission_id=submission.id,
        account_id=submission.account_id,
        recipient=email,
        original_recipient=options.original_recipient,
        notify=options.notify,
        domain=split(normalize(email))[1],
        state=state,
        attempts=0,
        due_at=send_at if state == "queued" else None,
        leased=False,
        delay_noticed=False,
        status=None,
        diagnostic="suppressed after an earlier bounce or complaint" if barred else None,
        remote_mta=None,
        created_at=at,
        updated_at=at,
        token=new_secret("", 8) if submission.mail_from else None,
    )


async def _draft_text(tx: Tx, account_id: str, draft: tuple[str, str]) -> Message:
    """The message of a draft about to be sent. Raises `Conflict` when it is not what it was."""
    draft_id, message_id = draft
    row = await drafts.get(tx, account_id, draft_id)
    text = await messages.get(tx, account_id, message_id)
    if row is None or row.message_id != message_id or text is None:
        raise Conflict("the draft was changed or sent meanwhile", reason="changed_meanwhile")
    return text


async def _take_stored(
    tx: Tx, journal: Journal, account: Account, ready: Ready, mail: StoredMail, blob: Blob, state: str
) -> Message:
    """The stored message becomes a sent one, or one that waits; its bytes as sent are kept beside it."""
    message = await messages.get(tx, journal.account_id, mail.message_id)
    if message is None:
        raise NotFound("the message was destroyed meanwhile", field="message_id")
    await blob.store(tx, journal.at)
    await drafts.delete_of_message(tx, journal.account_id, message.id)
    if ready.copy is not None:
        message = await _replace(tx, journal, account, message, ready.copy)
    await messages.set_direction(tx, message.id, "out")
    await filing.set_delivery_state(tx, journal, message.id, state)
    keywords = {*message.keywords, *((filing.HELD,) if state == "held" else ())}
    if mail.files_itself:
        keywords = (keywords | {filing.SEEN}) - {filing.DRAFT}
    message = await filing.set_keywords(tx, journal, message, keywords)
    if mail.files_itself or state != "queued":
        roles = {mailbox.role: mailbox.id for mailbox in await mailboxes.all_of(tx, journal.account_id)}
        here = {
            place.mailbox_id for place in (await mailboxes.places(tx, journal.account_id, [message.id]))[message.id]
        }
        target = roles[SENT if state == "queued" else DRAFTS]
        # What the caller put elsewhere stays there too.
        await filing.move(tx, journal, message, (here - {roles[INBOX], roles[DRAFTS]}) | {target})
    return message


async def _replace(tx: Tx, journal: Journal, account: Account, message: Message, copy: Copy) -> Message:
    """The same message with other bytes, since those of a message never change."""
    places = (await mailboxes.places(tx, account.id, [message.id]))[message.id]
    # The new one first: a thread whose last message went would be gone.
    made = await filing.file(
        tx,
        journal,
        NewMessage(
            parsed=copy.parsed,
            blob=copy.blob,
            direction=message.direction,
            mailbox_roles=(),
            mailbox_ids=[place.mailbox_id for place in places],
            received_at=message.received_at,
            keywords=message.keywords,
            thread_id=message.thread_id,
            bcc=[Address(person.email, person.name) for person in message.bcc_list],
        ),
    )
    await filing.destroy(tx, journal, message, bury=False)
    return made


async def _mark_parent(tx: Tx, journal: Journal, ready: Ready) -> None:
    for parent_id, keyword in (
        (ready.answered_message_id, filing.ANSWERED),
        (ready.forwarded_message_id, filing.FORWARDED),
    ):
        parent = await messages.get(tx, journal.account_id, parent_id) if parent_id else None
        if parent is not None and keyword not in parent.keywords:
            await filing.set_keywords(tx, journal, parent, {*parent.keywords, keyword})
