"""Drafts."""

from __future__ import annotations

from datetime import datetime

import msgspec

from posthouse.api.agentmail.shapes.messages import Attachment, SendAttachment, attachment_of, links_of
from posthouse.api.agentmail.shapes.values import DRAFT_PREFIX, MESSAGE_PREFIX, THREAD_PREFIX, Addresses, people, time
from posthouse.mail.drafts import SCHEDULED, Written


class DraftItem(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A draft in a list. `send_status` is scheduled, sending or failed."""

    inbox_id: str
    thread_id: str
    draft_id: str
    labels: list[str]
    created_at: str
    updated_at: str
    client_id: str | None = None
    to: list[str] | None = None
    cc: list[str] | None = None
    bcc: list[str] | None = None
    subject: str | None = None
    preview: str | None = None
    attachments: list[Attachment] | None = None
    in_reply_to: str | None = None
    forward_of: str | None = None
    send_status: str | None = None
    send_at: str | None = None


class Draft(DraftItem, omit_defaults=True, kw_only=True):
    """A whole draft."""

    reply_to: list[str] | None = None
    text: str | None = None
    html: str | None = None
    references: list[str] | None = None


class DraftList(msgspec.Struct, omit_defaults=True):
    """A page of drafts; `count` is of this page."""

    count: int
    limit: int
    drafts: list[DraftItem]
    next_page_token: str | None = None


class CreateDraft(msgspec.Struct):
    """What to write; `in_reply_to` and `forward_of` name a message, at most one of them."""

    labels: list[str] | None = None
    to: Addresses | None = None
    cc: Addresses | None = None
    bcc: Addresses | None = None
    reply_to: Addresses | None = None
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    attachments: list[SendAttachment] | None = None
    in_reply_to: str | None = None
    forward_of: str | None = None
    reply_all: bool | None = None
    send_at: datetime | None = None
    client_id: str | None = None


class UpdateDraft(msgspec.Struct):
    """What to change: what is left out stays, null clears. `send_at` null takes the plan back."""

    to: Addresses | msgspec.UnsetType | None = msgspec.UNSET
    cc: Addresses | msgspec.UnsetType | None = msgspec.UNSET
    bcc: Addresses | msgspec.UnsetType | None = msgspec.UNSET
    reply_to: Addresses | msgspec.UnsetType | None = msgspec.UNSET
    subject: str | msgspec.UnsetType | None = msgspec.UNSET
    text: str | msgspec.UnsetType | None = msgspec.UNSET
    html: str | msgspec.UnsetType | None = msgspec.UNSET
    add_attachments: list[SendAttachment] | None = None
    remove_attachments: list[str] | None = None
    add_labels: str | list[str] | None = None
    remove_labels: str | list[str] | None = None
    send_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class SendDraft(msgspec.Struct):
    """Labels of the sent message beside the draft's own."""

    add_labels: str | list[str] | None = None
    remove_labels: str | list[str] | None = None


def item_of(written: Written, inbox_id: str) -> DraftItem:
    """A draft in a list."""
    draft, message = written.draft, written.message
    parent = MESSAGE_PREFIX + draft.parent_message_id if draft.parent_message_id else None
    labels = {"draft", *(keyword for keyword in message.keywords if not keyword.startswith("$"))}
    if draft.send_status == SCHEDULED:
        labels.add("scheduled")
    return DraftItem(
        inbox_id=inbox_id,
        thread_id=THREAD_PREFIX + written.message.thread_id,
        draft_id=DRAFT_PREFIX + draft.id,
        labels=sorted(labels),
        created_at=time(draft.created_at),
        updated_at=time(draft.updated_at),
        client_id=draft.client_id,
        to=people(message.to_list) or None,
        cc=people(message.cc_list) or None,
        bcc=people(message.bcc_list) or None,
        subject=message.subject or None,
        preview=message.preview or None,
        attachments=[attachment_of(message, part) for part in message.attachments] or None,
        in_reply_to=parent if draft.kind in ("reply", "reply_all") else None,
        forward_of=parent if draft.kind == "forward" else None,
        send_status=draft.send_status,
        send_at=time(draft.send_at) if draft.send_at is not None else None,
    )


def draft_of(written: Written, inbox_id: str, known: dict[str, str]) -> Draft:
    """A whole draft; `known` are our ids of the Message-IDs it refers to."""
    item = item_of(written, inbox_id)
    return Draft(
        **{field: getattr(item, field) for field in item.__struct_fields__},
        reply_to=people(written.message.reply_to_list) or None,
        text=written.body.text_body or None,
        html=written.body.html_body,
        references=links_of(written.message.refs, known) or None,
    )
