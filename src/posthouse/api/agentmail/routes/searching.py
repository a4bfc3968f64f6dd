"""Searching messages of an inbox, and getting or changing many at once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from litestar import get, post

from posthouse.accounts.rights import hidden_from
from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import (
    Limit,
    PageToken,
    Query,
    limit_of,
    query_of,
    search_position,
    search_token,
    window,
)
from posthouse.api.agentmail.scope import Found
from posthouse.api.agentmail.shapes import messages as shapes
from posthouse.api.agentmail.shapes.labels import labels_of, patch_of
from posthouse.api.agentmail.shapes.values import MESSAGE_PREFIX
from posthouse.api.paging import page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Invalid, NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import marking, reading, searching, visibility
from posthouse.mail.journal import changing
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.messages import Message as StoredMessage

_MAX_GET, _MAX_UPDATE = 500, 50


@get("/v0/inboxes/{inbox_id:str}/messages/search", operation_id="messages_search")
async def search_messages(
    services: Services,
    principal: Principal,
    inbox_id: str,
    q: Query,
    limit: Limit = None,
    page_token_: PageToken = None,
    before: str | None = None,
    after: str | None = None,
) -> shapes.FoundMessages:
    """Messages that have all the words, best first, with the words between `**`."""
    need(principal, "message_read")
    size, query = limit_of(limit), query_of(q)
    hidden = hidden_from(principal)
    filters = {"of": "message search", "inbox": inbox_id, "q": q, "after": after, "before": before}
    position = search_position(read_page_token(page_token_, filters))
    times = window(after, before)
    account = await services.db.read(lambda tx: scope.inbox(tx, principal, inbox_id))
    await searching.index(services.db, [account.id])

    def visible(message: StoredMessage) -> bool:
        return visibility.shows(message, hidden) and not visibility.kinds_of(message)

    async def unit(tx: Tx) -> tuple[list[searching.Hit], list[shapes.MessageItem], searching.Position | None]:
        found, more = await searching.find_messages(
            tx, [account.id], query, visible=visible, position=position, limit=size, **times
        )
        known = await reading.named_by(tx, account.id, [hit.message for hit in found])
        listed = [shapes.item_of(hit.message, account.main_address, known) for hit in found]
        return found, listed, more

    found, listed, more = await services.db.read(unit)
    marks = await searching.highlights(found, query)
    items = [
        shapes.FoundMessage(**msgspec.structs.asdict(item), highlights=shapes.highlights_of(each))
        for item, each in zip(listed, marks, strict=True)
    ]
    token = page_token(search_token(more), filters)
    return shapes.FoundMessages(count=len(items), limit=size, messages=items, next_page_token=token)


@post("/v0/inboxes/{inbox_id:str}/messages/batch-get", status_code=200, operation_id="messages_batch_get")
async def batch_get(
    services: Services, principal: Principal, inbox_id: str, data: shapes.BatchGet
) -> shapes.BatchGetAnswer:
    """Up to 500 messages at once; those there are not are left out."""
    need(principal, "message_read")
    ids = _each_once(data.message_ids, _MAX_GET)

    async def unit(tx: Tx) -> shapes.BatchGetAnswer:
        account = await scope.inbox(tx, principal, inbox_id)
        found = await _existing(tx, account, ids, principal)
        known = await reading.named_by(tx, account.id, [each.message for each in found])
        shown = [shapes.message_of(each.message, each.body, account.main_address, known) for each in found]
        return shapes.BatchGetAnswer(limit=_MAX_GET, count=len(shown), messages=shown)

    return await services.db.read(unit)


@post("/v0/inboxes/{inbox_id:str}/messages/batch-update", status_code=200, operation_id="messages_batch_update")
async def batch_update(
    services: Services, principal: Principal, inbox_id: str, data: shapes.BatchUpdate
) -> shapes.BatchUpdateAnswer:
    """Add and remove labels on up to 50 messages at once; those there are not are left out."""
    need(principal, "message_update")
    ids = _each_once(data.message_ids, _MAX_UPDATE)
    added = shapes.labels_given(data.add_labels)
    change = patch_of(added, shapes.labels_given(data.remove_labels))

    async def unit(tx: Tx) -> shapes.BatchUpdateAnswer:
        account = await scope.inbox(tx, principal, inbox_id)
        updates = []
        async with changing(tx, account.id, services.clock()) as journal:
            for found in await _existing(tx, account, ids, principal):
                await marking.apply(tx, journal, found.message, change)
                message, _ = await reading.get(tx, account.id, found.message.id)
                shown = sight.labels(principal, labels_of(message), added)
                updates.append(shapes.Updated(MESSAGE_PREFIX + message.id, shown))
        return shapes.BatchUpdateAnswer(limit=_MAX_UPDATE, count=len(updates), updates=updates)

    return await services.db.write(unit)


def _each_once(ids: Sequence[str], at_most: int) -> Sequence[str]:
    if not 1 <= len(ids) <= at_most:
        raise Invalid(f"1 to {at_most} message ids", field="message_ids")
    if len(set(ids)) < len(ids):
        raise Invalid("a message id is named twice", field="message_ids")
    return ids


async def _existing(tx: Tx, account: Account, ids: Sequence[str], principal: Principal) -> list[Found]:
    found: dict[str, Found] = {}
    for given in ids:
        try:
            each = await scope.message_of(tx, principal, account, given)
        except NotFound:
            continue
        found.setdefault(each.message.id, each)  # named by its own id and by its Message-ID
    return list(found.values())
