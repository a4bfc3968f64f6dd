"""Threads of an inbox, a pod or the organisation: list, search, get, mark, delete, attachments by signed link."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, patch

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import reach as reaching
from posthouse.accounts.rights import hidden_from
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import (
    Limit,
    PageToken,
    Query,
    Texts,
    limit_of,
    listing_of,
    query_of,
    search_position,
    search_token,
    window,
)
from posthouse.api.agentmail.routes.messages import attachment_link
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import messages as message_shapes
from posthouse.api.agentmail.shapes import threads as shapes
from posthouse.api.agentmail.shapes.labels import labels_of, patch_of
from posthouse.api.agentmail.shapes.values import THREAD_PREFIX
from posthouse.api.paging import Position, page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid, NotFound
from posthouse.kit.ids import latest_id
from posthouse.kit.principal import Principal
from posthouse.mail import filing, marking, reading, searching, visibility
from posthouse.mail.journal import changing
from posthouse.mail.mailboxes import TRASH
from posthouse.store.database import Tx
from posthouse.store.messages import Message as StoredMessage

# A thread as long as this is changed message by message.
_MAX_UPDATED = 100


@get(scope.paths("/threads"), operation_id=scope.operation("threads_list"))
async def list_threads(
    services: Services,
    principal: Principal,
    where: Where,
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
    """Threads, the one that moved last first; all given labels must be on one of its messages."""
    need(principal, "message_read")
    size, hidden = limit_of(limit), hidden_from(principal)
    listing = listing_of(
        principal, labels=labels, after=after, before=before, ascending=ascending,
        shown=(include_spam, include_blocked, include_unauthenticated, include_trash),
        from_=("senders", senders), to=("recipients", recipients), subject=subject,
    )  # fmt: skip
    filter_, marks = listing.filter_, {"of": "threads", "in": [where.pod_id, where.inbox_id], **listing.marks}
    as_of, position = _walk(read_page_token(page_token_, marks))

    async def unit(tx: Tx) -> tuple[list[shapes.ThreadItem], Position | None]:
        within = await scope.reach(tx, principal, where)
        if filter_ is None:
            return [], None
        ids = await reaching.account_ids(tx, within)
        found, more = await reading.thread_walk(
            tx, ids, filter_, within=listing.within, as_of=as_of, after=position, ascending=ascending, limit=size
        )
        named = await account_rules.main_addresses(tx, [thread.thread.account_id for thread in found])
        items = []
        for thread in found:
            visible = thread.seen(hidden)
            if visible:
                items.append(shapes.item_of(thread, named[thread.thread.account_id], visible))
        return items, (more[0], f"{more[1]}.{as_of}") if more else None

    items, more = await services.db.read(unit)
    return shapes.ThreadList(count=len(items), limit=size, threads=items, next_page_token=page_token(more, marks))


def _walk(position: Position | None) -> tuple[str, Position | None]:
    """When a walk through the pages began, as an id, and where it is; the token carries both."""
    if position is None:
        return latest_id(), None
    thread_id, _, as_of = position[1].partition(".")
    if not as_of:
        raise Invalid("the page token is not one of ours", field="page_token")
    return as_of, (position[0], thread_id)


@get(scope.paths("/threads/search"), operation_id=scope.operation("threads_search"))
async def search_threads(
    services: Services,
    principal: Principal,
    where: Where,
    q: Query,
    limit: Limit = None,
    page_token_: PageToken = None,
    before: str | None = None,
    after: str | None = None,
) -> shapes.FoundThreads:
    """Threads with a message that has all the words, best first, with the words between `**`."""
    need(principal, "message_read")
    size, query = limit_of(limit), query_of(q)
    hidden = hidden_from(principal)
    filters = {"of": "thread search", "in": [where.pod_id, where.inbox_id], "q": q, "after": after, "before": before}
    position = search_position(read_page_token(page_token_, filters))
    times = window(after, before)
    ids = await services.db.read(lambda tx: _account_ids(tx, principal, where))
    await searching.index(services.db, ids)

    def visible(message: StoredMessage) -> bool:
        return visibility.shows(message, hidden) and not visibility.kinds_of(message)

    async def unit(tx: Tx) -> tuple[list[searching.Hit], list[shapes.ThreadItem], Position | None]:
        found, more = await searching.find_threads(
            tx, ids, query, visible=visible, position=position, limit=size, **times
        )
        named = await account_rules.main_addresses(tx, [thread.thread.account_id for thread, _ in found])
        listed = [shapes.item_of(thread, named[thread.thread.account_id], thread.seen(hidden)) for thread, _ in found]
        return [hit for _, hit in found], listed, search_token(more)

    hits, listed, more = await services.db.read(unit)
    marks = await searching.highlights(hits, query)
    items = [
        shapes.FoundThread(**msgspec.structs.asdict(item), highlights=message_shapes.highlights_of(each))
        for item, each in zip(listed, marks, strict=True)
    ]
    return shapes.FoundThreads(count=len(items), limit=size, threads=items, next_page_token=page_token(more, filters))


async def _account_ids(tx: Tx, principal: Principal, where: Where) -> list[str]:
    return await reaching.account_ids(tx, await scope.reach(tx, principal, where))


@get(scope.paths("/threads/{thread_id:str}"), operation_id=scope.operation("threads_get"))
async def get_thread(services: Services, principal: Principal, where: Where, thread_id: str) -> shapes.Thread:
    """One thread with its messages, oldest first."""
    need(principal, "message_read")

    async def unit(tx: Tx) -> shapes.Thread:
        account, thread, visible = await scope.thread(tx, principal, where, thread_id)
        bodies = await reading.bodies(tx, account.id, visible)
        known = await reading.named_by(tx, account.id, visible)
        return shapes.thread_of(thread, account.main_address, visible, bodies, known)

    return await services.db.read(unit)


@patch(scope.paths("/threads/{thread_id:str}"), operation_id=scope.operation("threads_update"))
async def update_thread(
    services: Services, principal: Principal, where: Where, thread_id: str, data: shapes.UpdateThread
) -> shapes.UpdatedThread:
    """Add labels to and remove labels from every message of a thread of fewer than 100."""
    need(principal, "message_update")
    added = message_shapes.labels_given(data.add_labels)
    change = patch_of(added, message_shapes.labels_given(data.remove_labels))
    hidden = hidden_from(principal)

    async def unit(tx: Tx) -> shapes.UpdatedThread:
        account, thread, visible = await scope.thread(tx, principal, where, thread_id)
        if len(visible) >= _MAX_UPDATED:
            raise Invalid(f"a thread of {_MAX_UPDATED} messages or more is not changed at once",
                          reason="too_many_messages")  # fmt: skip
        async with changing(tx, account.id, services.clock()) as journal:
            for message in visible:
                await marking.apply(tx, journal, message, change)
        after = await reading.get_thread(tx, account.id, thread.thread.id)
        labels = {label for message in after.seen(hidden) for label in labels_of(message)}
        return shapes.UpdatedThread(THREAD_PREFIX + thread.thread.id, sight.labels(principal, labels, added))

    return await services.db.write(unit)


@delete(scope.paths("/threads/{thread_id:str}"), operation_id=scope.operation("threads_delete"))
async def delete_thread(
    services: Services, principal: Principal, where: Where, thread_id: str, permanent: bool = True
) -> None:
    """Delete a thread's messages for good; with `permanent=false` they go to the trash."""
    need(principal, "message_delete")

    async def unit(tx: Tx) -> None:
        account, _, visible = await scope.thread(tx, principal, where, thread_id)
        async with changing(tx, account.id, services.clock()) as journal:
            for message in visible:
                if permanent:
                    await filing.destroy(tx, journal, message)
                else:
                    await filing.move_to_role(tx, journal, message, TRASH)

    await services.db.write(unit)


@get(
    scope.paths("/threads/{thread_id:str}/attachments/{attachment_id:str}"),
    operation_id=scope.operation("threads_get_attachment"),
)
async def get_attachment(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    where: Where,
    thread_id: str,
    attachment_id: str,
) -> message_shapes.AttachmentLink:
    """An attachment of one of the thread's messages, the latest that has it."""
    need(principal, "message_read")

    async def unit(tx: Tx) -> StoredMessage:
        _, _, visible = await scope.thread(tx, principal, where, thread_id)
        for message in reversed(visible):
            if any(message_shapes.attachment_id(message, part) == attachment_id for part in message.attachments):
                return message
        raise NotFound("there is no such attachment", field="attachment_id")

    return attachment_link(request, services, principal, await services.db.read(unit), attachment_id)
