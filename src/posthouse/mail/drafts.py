"""Drafts: messages being written. Each edit makes a new message, since a message never changes.

What a draft says is kept as a composed message with `$draft`, so that every door reads it as it reads all
mail; what the bytes do not say (blind copies) is on the message's row. Sending is `outbound.scheduled`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from posthouse.kit.aside import aside
from posthouse.kit.errors import Conflict, NotFound
from posthouse.kit.ids import new_id
from posthouse.kit.pages import Page, PageRequest
from posthouse.kit.principal import tighter
from posthouse.mail import filing, reading
from posthouse.mail.filing import DRAFT, SEEN, NewMessage
from posthouse.mail.journal import Journal, changing
from posthouse.mail.mailboxes import DRAFTS
from posthouse.store import draft_plans, drafts, mailboxes, messages
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blob, Blobs
from posthouse.store.database import Tx
from posthouse.store.draft_plans import DraftPlan
from posthouse.store.drafts import Draft
from posthouse.store.messages import INLINE, Message, MessageBody, Person, StoredAttachment
from posthouse.wire.address import Address
from posthouse.wire.compose import Attachment, Outgoing, compose
from posthouse.wire.message import Contents, ParsedMessage, parse

SCHEDULED, SENDING, FAILED = "scheduled", "sending", "failed"


@dataclass(frozen=True, slots=True)
class Written:
    """A draft with the message that holds its text."""

    draft: Draft
    message: Message
    body: MessageBody


@dataclass(frozen=True, slots=True)
class Composed:
    """A text ready to be filed as a draft: composed once, outside of any unit."""

    parsed: ParsedMessage
    blob: Blob
    bcc: tuple[Address, ...]


async def prepare(blobs: Blobs, outgoing: Outgoing) -> Composed:
    """Compose a draft's text and make its bytes ready.

    Raises:
        Invalid: a value cannot stand in a header.
    """
    raw = compose(outgoing)
    return Composed(await aside(len(raw), parse, raw), await blobs.prepare(raw), outgoing.bcc)


async def create(
    tx: Tx,
    account: Account,
    text: Composed,
    *,
    kind: str,
    parent: Message | None,
    labels: Sequence[str],
    client_id: str | None,
    plan: DraftPlan | None,
    level: str | None,
    at: int,
) -> Draft:
    """Save a new draft, planned to be sent when `plan` says so (its id is set here).

    Args:
        level: the writer's own oversight level.
        kind: `new`, `reply`, `reply_all` or `forward`; the last three name their `parent`.
    """
    draft_id = new_id()
    async with changing(tx, account.id, at, added_bytes=text.blob.size_bytes) as journal:
        thread_id = parent.thread_id if parent is not None and kind != "forward" else None
        message = await filing.file(tx, journal, _new(text, labels, thread_id, at))
        draft = Draft(
            id=draft_id,
            account_id=account.id,
            message_id=message.id,
            kind=kind,
            parent_message_id=parent.id if parent else None,
            client_id=client_id,
            send_at=plan.due_at if plan else None,
            send_status=SCHEDULED if plan else None,
            created_at=at,
            updated_at=at,
            level=level,
        )
        await drafts.add(tx, draft)
        if plan is not None:
            await draft_plans.put(tx, replace(plan, id=draft_id))
    return draft


def _new(text: Composed, labels: Collection[str], thread_id: str | None, at: int) -> NewMessage:
    return NewMessage(
        parsed=text.parsed,
        blob=text.blob,
        direction="draft",
        mailbox_roles=(DRAFTS,),
        received_at=at,
        keywords={DRAFT, SEEN, *filing.check_keywords(labels, "labels")},
        thread_id=thread_id,
        bcc=text.bcc,
    )


async def note(tx: Tx, journal: Journal, message: Message, level: str | None) -> None:
    """A message that has `$draft` now is a draft at every door.

    Args:
        level: the strictest oversight level that its writing was under.
    """
    parents = await messages.ids_by_header(tx, message.account_id, message.in_reply_to)
    parent = next((parents[each] for each in message.in_reply_to if each in parents), None)
    draft = Draft(
        id=new_id(),
        account_id=message.account_id,
        message_id=message.id,
        kind="reply" if parent else "new",
        parent_message_id=parent,
        client_id=None,
        send_at=None,
        send_status=None,
        created_at=journal.at,
        updated_at=journal.at,
        level=level,
    )
    await drafts.add(tx, draft)


async def forget(tx: Tx, message: Message) -> None:
    """A message that has `$draft` no longer is none."""
    await drafts.delete_of_message(tx, message.account_id, message.id)
    if message.direction == "draft":
        await messages.set_direction(tx, message.id, "out")


async def get(tx: Tx, account_id: str, draft_id: str) -> Written:
    """A draft. Raises `NotFound`."""
    draft = await drafts.get(tx, account_id, draft_id)
    if draft is None:
        raise NotFound("there is no such draft", field="draft_id")
    return await written(tx, draft)


async def references(tx: Tx, written: Written) -> dict[str, str]:
    """Those messages of the account that a draft's References name: our id by Message-ID."""
    named = written.message.refs
    return await messages.ids_by_header(tx, written.draft.account_id, named) if named else {}


async def written(tx: Tx, draft: Draft) -> Written:
    """A draft's row with its message."""
    message, body = await reading.get(tx, draft.account_id, draft.message_id)
    return Written(draft, message, body)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which drafts are asked for: with all these labels, changed in this time."""

    labels: Sequence[str] = ()
    is_scheduled: bool = False
    updated_after: int | None = None
    updated_before: int | None = None


async def page(tx: Tx, account_ids: Sequence[str], wanted: Wanted, asked: PageRequest) -> Page[Written]:
    """Drafts of some accounts, the one changed last first; a position is of the last change."""
    found = await drafts.page(
        tx, account_ids, keywords=wanted.labels, is_scheduled=wanted.is_scheduled,
        updated_after=wanted.updated_after, updated_before=wanted.updated_before, after=asked.after,
        ascending=asked.ascending, limit=asked.size + 1,
    )  # fmt: skip
    shown = found[: asked.size]
    more = (shown[-1].updated_at, shown[-1].id) if len(found) > asked.size else None
    return Page([await written(tx, draft) for draft in shown], more)


async def rewrite(
    tx: Tx,
    account: Account,
    before: Written,
    text: Composed | None,
    labels: Collection[str],
    *,
    level: str | None,
    at: int,
) -> Draft:
    """Give a draft another text, other labels, or both; with `text` None the text stays. So do places and keywords.

    Args:
        level: the writer's own; what was written under a stricter one stays under that, since words of it may stay.

    Raises:
        Conflict: it is being sent (reason `sending`), or was changed since it was read (`changed_meanwhile`).
    """
    current = await _unlocked(tx, before)
    added = text.blob.size_bytes if text is not None else 0
    kept = {keyword for keyword in before.message.keywords if keyword.startswith("$")}
    async with changing(tx, account.id, at, added_bytes=added) as journal:
        if text is None:
            await filing.set_keywords(tx, journal, before.message, {*kept, *labels})
            message_id = before.message.id
        else:
            # The new text first: a thread whose last message went would be gone.
            places = (await mailboxes.places(tx, account.id, [before.message.id]))[before.message.id]
            new = replace(
                _new(text, labels, before.message.thread_id, at),
                mailbox_roles=(),
                mailbox_ids=[place.mailbox_id for place in places],
            )
            message = await filing.file(tx, journal, replace(new, keywords={*new.keywords, *kept}))
            message_id = message.id
        level = current.level if text is None else tighter(current.level, level)
        await drafts.replace_message(tx, account.id, current.id, message_id, level, at)
        if text is not None:
            await filing.destroy(tx, journal, before.message, bury=False)
    return replace(current, message_id=message_id, level=level, updated_at=at)


async def _unlocked(tx: Tx, before: Written) -> Draft:
    current = await drafts.get(tx, before.draft.account_id, before.draft.id)
    if current is None:
        raise NotFound("there is no such draft", field="draft_id")
    if current.send_status == SENDING:
        raise Conflict("the draft is being sent", reason="sending")
    if current.message_id != before.message.id:
        raise Conflict("the draft was changed meanwhile", reason="changed_meanwhile")
    return current


async def schedule(tx: Tx, before: Written, plan: DraftPlan | None, at: int) -> None:
    """Plan a draft's sending, or with None take the plan back. Raises as `rewrite` does."""
    draft = before.draft
    current = await drafts.get(tx, draft.account_id, draft.id)
    if current is None:
        raise NotFound("there is no such draft", field="draft_id")
    if current.send_status == SENDING:
        raise Conflict("the draft is being sent", reason="sending")
    if plan is None:
        await draft_plans.delete(tx, draft.id)
        await drafts.set_schedule(tx, draft.account_id, draft.id, None, None, at)
    else:
        await draft_plans.put(tx, replace(plan, id=draft.id))
        await drafts.set_schedule(tx, draft.account_id, draft.id, plan.due_at, SCHEDULED, at)


async def delete(tx: Tx, account: Account, before: Written, at: int) -> None:
    """Throw a draft away; what was never sent needs no grave. Raises as `rewrite` does."""
    current = await _unlocked(tx, before)
    async with changing(tx, account.id, at) as journal:
        await drafts.delete(tx, account.id, current.id)
        await filing.destroy(tx, journal, before.message, bury=False)


def outgoing(before: Written, raw: bytes, sender: Address, at: int) -> Outgoing:
    """What a draft says, ready to be composed again: edited, or to be sent.

    Args:
        raw: the bytes of its message, which hold the attachments.
    """
    message, body = before.message, before.body
    contents = Contents(raw)
    return Outgoing(
        from_=sender,
        to=people(message.to_list),
        cc=people(message.cc_list),
        bcc=people(message.bcc_list),
        reply_to=people(message.reply_to_list),
        subject=message.subject,
        text=body.text_body,
        html=body.html_body,
        attachments=tuple(attachment(contents, part) for part in message.attachments),
        in_reply_to=message.in_reply_to[0] if message.in_reply_to else None,
        references=tuple(message.refs),
        headers=(),
        message_id=None,
        sent_at=at,
    )


def people(persons: Sequence[Person]) -> tuple[Address, ...]:
    """Addresses of a stored message."""
    return tuple(Address(person.email, person.name) for person in persons if person.email)


def attachment(contents: Contents, part: StoredAttachment) -> Attachment:
    """An attachment of a stored message, to go into another."""
    return Attachment(
        filename=part.filename or "",
        content_type=part.content_type,
        data=contents.span(part.start, part.end, part.encoding),
        # In a draft, what its writer said counts: the text that shows it may still come.
        disposition="inline" if INLINE in (part.disposition, part.declared) else "attachment",
        content_id=part.content_id,
    )
