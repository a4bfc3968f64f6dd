"""Drafts: write, list, get, change, plan, send, throw away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import msgspec
from litestar import Request, delete, get, patch, post

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import identities
from posthouse.accounts import reach as reaching
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, Texts, request_of, window
from posthouse.api.agentmail.routes.messages import attachment_link
from posthouse.api.agentmail.routes.sending import IdempotencyKey, attachments_of, once_of, words_of
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import drafts as shapes
from posthouse.api.agentmail.shapes import messages as message_shapes
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.agentmail.shapes.labels import free_labels
from posthouse.api.agentmail.shapes.values import (
    DRAFT_PREFIX,
    MESSAGE_PREFIX,
    THREAD_PREFIX,
    core_id,
    instant_of,
    read_addresses,
)
from posthouse.api.paging import page_token
from posthouse.api.request import list_of
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid, NotFound
from posthouse.kit.pages import Page
from posthouse.kit.principal import Principal
from posthouse.mail import drafts as draft_rules
from posthouse.mail.drafts import Wanted, Written
from posthouse.outbound import answers, drafting, writing
from posthouse.outbound.answers import Parent
from posthouse.outbound.writing import Writing
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.compose import Outgoing

_TEXTS = ("subject", "text", "html")
_PEOPLE = ("to", "cc", "bcc", "reply_to")


@post("/v0/inboxes/{inbox_id:str}/drafts", status_code=200, operation_id="drafts_create")
async def create_draft(
    services: Services, principal: Principal, inbox_id: str, data: shapes.CreateDraft
) -> shapes.Draft:
    """Write a draft: new, an answer or a forward. With `send_at` it is sent at that time."""
    need(principal, "draft_create")
    check_client_id(data.client_id)
    send_at = _future(services, principal, instant_of(data.send_at, "send_at"))
    labels = free_labels(data.labels)
    account = await services.db.read(lambda tx: scope.inbox(tx, principal, inbox_id))
    owned = await drafting.begin(services.db, principal, account, client_id=data.client_id, send_at=send_at)
    if owned is None:
        said = await _written(services, principal, account, data)
        at = services.clock()
        owned = await drafting.create(
            services.db, services.blobs, principal, account,
            replace(said, outgoing=replace(said.outgoing, sent_at=at)), labels=labels, client_id=data.client_id,
            send_at=send_at, at=at,
        )  # fmt: skip
    found, written = owned
    return sight.draft(principal, await services.db.read(lambda tx: _shown(tx, found, written)))


@get(scope.paths("/drafts"), operation_id=scope.operation("drafts_list"))
async def list_drafts(
    services: Services,
    principal: Principal,
    where: Where,
    limit: Limit = None,
    page_token_: PageToken = None,
    labels: Texts = None,
    before: str | None = None,
    after: str | None = None,
    ascending: bool = False,
) -> shapes.DraftList:
    """Drafts, the one changed last first; all given labels must be on a draft."""
    need(principal, "draft_read")
    names, times = list_of(labels, "labels"), window(after, before)
    marks = {"of": "drafts", "in": [where.pod_id, where.inbox_id], "ascending": ascending, "labels": names,
             "after": after, "before": before}  # fmt: skip
    asked = request_of(limit, page_token_, marks, ascending=ascending)
    wanted = Wanted(
        [label for label in names if label not in ("draft", "scheduled")], "scheduled" in names, times["after"],
        times["before"],
    )  # fmt: skip

    async def unit(tx: Tx) -> Page[shapes.DraftItem]:
        ids = await reaching.account_ids(tx, await scope.reach(tx, principal, where))
        page = await draft_rules.page(tx, ids, wanted, asked)
        named = await account_rules.main_addresses(tx, [each.draft.account_id for each in page.items])
        return page.map(lambda written: shapes.item_of(written, named[written.draft.account_id]))

    page = await services.db.read(unit)
    return shapes.DraftList(
        count=len(page.items), limit=asked.size, drafts=list(page.items), next_page_token=page_token(page.more, marks)
    )


@get(scope.paths("/drafts/{draft_id:str}"), operation_id=scope.operation("drafts_get"))
async def get_draft(services: Services, principal: Principal, where: Where, draft_id: str) -> shapes.Draft:
    """One draft."""
    need(principal, "draft_read")

    async def unit(tx: Tx) -> shapes.Draft:
        return await _shown(tx, *await scope.draft(tx, principal, where, draft_id))

    return await services.db.read(unit)


@get(
    scope.paths("/drafts/{draft_id:str}/attachments/{attachment_id:str}"),
    operation_id=scope.operation("drafts_get_attachment"),
)
async def get_attachment(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    where: Where,
    draft_id: str,
    attachment_id: str,
) -> message_shapes.AttachmentLink:
    """An attachment of a draft, with a link to its bytes."""
    need(principal, "draft_read")
    _, written = await services.db.read(lambda tx: scope.draft(tx, principal, where, draft_id))
    return attachment_link(request, services, principal, written.message, attachment_id)


@patch("/v0/inboxes/{inbox_id:str}/drafts/{draft_id:str}", operation_id="drafts_update")
async def update_draft(
    services: Services, principal: Principal, where: Where, draft_id: str, data: shapes.UpdateDraft
) -> shapes.Draft:
    """Change a draft: what is left out stays, null clears; `send_at` null takes the plan back."""
    need(principal, "draft_update")
    plan: Literal["stays"] | int | None = "stays"
    if not isinstance(data.send_at, msgspec.UnsetType):
        plan = _future(services, principal, instant_of(data.send_at, "send_at"))
    add = free_labels(message_shapes.labels_given(data.add_labels), "add_labels")
    remove = set(message_shapes.labels_given(data.remove_labels))
    account, before = await services.db.read(lambda tx: scope.draft(tx, principal, where, draft_id))
    outgoing = await _edited(services, account, before, data)
    text = None if outgoing is None else await draft_rules.prepare(services.blobs, outgoing)
    labels = ({label for label in before.message.keywords if not label.startswith("$")} | set(add)) - remove

    async def unit(tx: Tx) -> shapes.Draft:
        written = await drafting.rewrite(tx, principal, account, before, text, labels, plan=plan, at=services.clock())
        return await _shown(tx, account, written)

    return sight.draft(principal, await services.db.write(unit))


@delete("/v0/inboxes/{inbox_id:str}/drafts/{draft_id:str}", operation_id="drafts_delete")
async def delete_draft(services: Services, principal: Principal, where: Where, draft_id: str) -> None:
    """Throw a draft away."""
    need(principal, "draft_delete")

    async def unit(tx: Tx) -> None:
        account, written = await scope.draft(tx, principal, where, draft_id)
        await draft_rules.delete(tx, account, written, services.clock())

    await services.db.write(unit)


@post("/v0/inboxes/{inbox_id:str}/drafts/{draft_id:str}/send", status_code=200, operation_id="drafts_send")
async def send_draft(
    services: Services,
    principal: Principal,
    inbox_id: str,
    draft_id: str,
    data: shapes.SendDraft | None = None,
    idempotency_key: IdempotencyKey = None,
) -> message_shapes.Sent:
    """Send a draft now; it is gone when this answers."""
    need(principal, "draft_send")
    given = data or shapes.SendDraft()
    account = await services.db.read(lambda tx: scope.inbox(tx, principal, inbox_id))
    outcome = await services.drafts.send(
        principal, account.id, core_id(draft_id, DRAFT_PREFIX, "draft"),
        add=free_labels(message_shapes.labels_given(given.add_labels), "add_labels"),
        remove=message_shapes.labels_given(given.remove_labels),
        once=once_of(account, f"draft:{draft_id}", given, idempotency_key),
    )  # fmt: skip
    return message_shapes.Sent(MESSAGE_PREFIX + outcome.message_id, THREAD_PREFIX + outcome.thread_id)


def _future(services: Services, principal: Principal, send_at: int | None) -> int | None:
    """The instant to send at, if one was given."""
    if send_at is None:
        return None
    need(principal, "draft_send")  # a plan sends later what a key may not send now
    if send_at <= services.clock():
        raise Invalid("the time to send lies in the future", field="send_at")
    return send_at


async def _shown(tx: Tx, account: Account, written: Written) -> shapes.Draft:
    return shapes.draft_of(written, account.main_address, await draft_rules.references(tx, written))


async def _written(services: Services, principal: Principal, account: Account, data: shapes.CreateDraft) -> Writing:
    """What a new draft says, and what it answers or forwards."""
    if data.in_reply_to is not None and data.forward_of is not None:
        raise Invalid("give either in_reply_to or forward_of", field="forward_of")
    words = words_of(data, data.to, data.cc, data.bcc, data.subject)
    if data.reply_all and (data.in_reply_to is None or words.to or words.cc or words.bcc):
        raise Invalid("reply_all goes with in_reply_to and without recipients", field="reply_all")
    words = replace(words, attachments=await attachments_of(services, account, data.attachments))
    named = data.in_reply_to if data.in_reply_to is not None else data.forward_of
    if named is None:
        return writing.new(account, words)
    need(principal, "message_read")

    async def unit(tx: Tx) -> Parent:
        found = await scope.message_of(tx, principal, account, named)
        return await answers.parent(tx, found.message)

    parent = await services.db.read(unit)
    if data.forward_of is not None:
        return await writing.forward(services.blobs, account, parent.message, words)
    return writing.reply(account, parent, words, everyone=bool(data.reply_all))


async def _edited(services: Services, account: Account, before: Written, data: shapes.UpdateDraft) -> Outgoing | None:
    """What a draft says after a change; None when its text stays as it is."""
    changes: dict[str, Any] = {}
    for name in _PEOPLE:
        value = getattr(data, name)
        if value is not msgspec.UNSET:
            changes[name] = read_addresses(value, name)
    for name in _TEXTS:
        value = getattr(data, name)
        if value is not msgspec.UNSET:
            changes[name] = (value or "") if name == "subject" else value
    if not changes and not data.add_attachments and not data.remove_attachments:
        return None
    raw = await services.blobs.read(before.message.blob_hash)
    sender = identities.own_address(account)
    outgoing = draft_rules.outgoing(before, raw, sender, services.clock())
    ids = [message_shapes.attachment_id(before.message, part) for part in before.message.attachments]
    for index, attachment_id in enumerate(data.remove_attachments or ()):
        if attachment_id not in ids:
            raise NotFound("the draft has no such attachment", field=f"remove_attachments.{index}")
    kept = [
        file
        for attachment_id, file in zip(ids, outgoing.attachments, strict=True)
        if attachment_id not in (data.remove_attachments or ())
    ]
    added = await attachments_of(services, account, data.add_attachments)
    return replace(outgoing, **changes, attachments=(*kept, *added))
