"""Threads of an inbox: list, get, delete, and attachments by signed link."""

from __future__ import annotations

from typing import Any

from litestar import Request, delete, get

from posthouse.api.agentmail import scope
from posthouse.api.agentmail.auth import hidden_labels, need
from posthouse.api.agentmail.routes.common import Limit, PageToken, Texts, limit_of
from posthouse.api.agentmail.routes.messages import attachment_link
from posthouse.api.agentmail.shapes import messages as message_shapes
from posthouse.api.agentmail.shapes import threads as shapes
from posthouse.api.agentmail.shapes.common import instant
from posthouse.api.agentmail.shapes.labels import filter_of
from posthouse.api.kit import Services, list_of, page_token, read_page_token
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import filing, reading
from posthouse.mail.journal import changing
from posthouse.mail.mailboxes import TRASH
from posthouse.store import messages
from posthouse.store.database import Tx

_INCLUDES = ("spam", "blocked", "unauthenticated", "trash")


@get("/v0/inboxes/{inbox_id:str}/threads", operation_id="threads_list")
async def list_threads(
    services: Services,
    principal: Principal,
    inbox_id: str,
    limit: Limit = None,
    page_token_: PageToken = None,
    labels: Texts = None,
    before: str | None = None,
    after: str | None = None,
    ascending: bool = False,
    include_spam: bool = False,
    include_blocked: bool = False,
    include_unauthenticated: bool = False,
    include_trash: bool = False,
    senders: Texts = None,
    recipients: Texts = None,
    subject: Texts = None,
) -> shapes.ThreadList:
    """An inbox's threads, the one that moved last first; all given labels must be on one of its messages."""
    need(principal, "message_read")
    size = limit_of(limit)
    flags = (include_spam, include_blocked, include_unauthenticated, include_trash)
    included = [name for name, flag in zip(_INCLUDES, flags, strict=True) if flag]
    wanted = list_of(labels, "labels")
    texts = {
        "from_": list_of(senders, "senders"),
        "to": list_of(recipients, "recipients"),
        "subject": list_of(subject, "subject"),
    }
    hidden = hidden_labels(principal)
    filter_ = filter_of(
        wanted,
        included=included,
        hidden=hidden,
        after=instant(after, "after"),
        before=instant(before, "before"),
        **texts,
    )
    filters = {"of": "threads", "inbox": inbox_id, "ascending": ascending, "labels": wanted, "with": included,
               "after": after, "before": before, **texts}  # fmt: skip
    position = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> tuple[list[shapes.ThreadItem], tuple[int, str] | None]:
        account = await scope.inbox(tx, principal, inbox_id)
        if filter_ is None:
            return [], None
        found, more = await reading.thread_page(
            tx, [account.id], filter_, after=position, ascending=ascending, limit=size
        )
        items = []
        for thread in found:
            visible = shapes.shown(thread, hidden)
            if visible:
                items.append(shapes.item_of(thread, account.main_address, visible))
        return items, more

    items, more = await services.db.read(unit)
    return shapes.ThreadList(count=len(items), limit=size, threads=items, next_page_token=page_token(more, filters))


@get("/v0/inboxes/{inbox_id:str}/threads/{thread_id:str}", operation_id="threads_get")
async def get_thread(services: Services, principal: Principal, inbox_id: str, thread_id: str) -> shapes.Thread:
    """One thread with its messages, oldest first."""
    need(principal, "message_read")

    async def unit(tx: Tx) -> shapes.Thread:
        account = await scope.inbox(tx, principal, inbox_id)
        thread = await scope.thread(tx, account, thread_id)
        visible = shapes.shown(thread, hidden_labels(principal))
        if not visible:
            raise NotFound("there is no such thread", field="thread_id")
        bodies = {}
        for placed in visible:
            body = await messages.get_body(tx, account.id, placed.message.id)
            assert body is not None  # the same snapshot has the message
            bodies[placed.message.id] = body
        named = message_shapes.named_ids([placed.message for placed in visible])
        known = await messages.ids_by_header(tx, account.id, named) if named else {}
        return shapes.thread_of(thread, account.main_address, visible, bodies, known)

    return await services.db.read(unit)


@delete("/v0/inboxes/{inbox_id:str}/threads/{thread_id:str}", operation_id="threads_delete")
async def delete_thread(
    services: Services, principal: Principal, inbox_id: str, thread_id: str, permanent: bool = True
) -> None:
    """Delete a thread's messages for good; with `permanent=false` they go to the trash."""
    need(principal, "message_delete")

    async def unit(tx: Tx) -> None:
        account = await scope.inbox(tx, principal, inbox_id)
        thread = await scope.thread(tx, account, thread_id)
        visible = shapes.shown(thread, hidden_labels(principal))
        if not visible:
            raise NotFound("there is no such thread", field="thread_id")
        async with changing(tx, account.id, services.clock()) as journal:
            for placed in visible:
                if permanent:
                    await filing.destroy(tx, journal, placed.message, organization_id=account.organization_id)
                else:
                    await filing.move_to_role(tx, journal, placed.message, TRASH)

    await services.db.write(unit)


@get(
    "/v0/inboxes/{inbox_id:str}/threads/{thread_id:str}/attachments/{attachment_id:str}",
    operation_id="threads_get_attachment",
)
async def get_attachment(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    inbox_id: str,
    thread_id: str,
    attachment_id: str,
) -> message_shapes.AttachmentLink:
    """An attachment of one of the thread's messages, the latest that has it."""
    need(principal, "message_read")

    async def unit(tx: Tx) -> reading.Placed:
        account = await scope.inbox(tx, principal, inbox_id)
        thread = await scope.thread(tx, account, thread_id)
        for placed in reversed(shapes.shown(thread, hidden_labels(principal))):
            message = placed.message
            if any(message_shapes.attachment_id(message, part) == attachment_id for part in message.attachments):
                return placed
        raise NotFound("there is no such attachment", field="attachment_id")

    return attachment_link(request, services, principal, await services.db.read(unit), attachment_id)
