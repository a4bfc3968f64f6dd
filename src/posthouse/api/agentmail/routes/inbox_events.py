"""The log of what was labelled in an inbox."""

from __future__ import annotations

from litestar import get

from posthouse.accounts.rights import hidden_from
from posthouse.api.agentmail import scope
from posthouse.api.agentmail.permissions import hidden_labels, need
from posthouse.api.agentmail.routes.common import Limit, PageToken, limit_of
from posthouse.api.agentmail.shapes import inbox_events as shapes
from posthouse.api.agentmail.shapes.labels import label_of_mark
from posthouse.api.paging import Position, page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.principal import Principal
from posthouse.mail import visibility
from posthouse.store import markings, messages
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.markings import Marking

_MAX_BATCHES = 20


@get("/v0/inboxes/{inbox_id:str}/events", operation_id="inboxes_events_list")
async def list_events(
    services: Services,
    principal: Principal,
    inbox_id: str,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.InboxEventList:
    """Labels that came and went, newest first; the log reaches back 30 days."""
    need(principal, "message_read")
    size = limit_of(limit)
    filters = {"of": "inbox events", "inbox": inbox_id, "ascending": ascending}
    start = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> tuple[list[shapes.InboxEvent], Position | None]:
        account = await scope.inbox(tx, principal, inbox_id)
        kept: list[Marking] = []
        position = start
        for _ in range(_MAX_BATCHES):
            batch = await markings.page(tx, account.id, after=position, ascending=ascending, limit=size + 1)
            kept += await _shown(tx, account, batch, principal)
            if len(kept) > size or len(batch) <= size:
                break
            position = (batch[-1].at, batch[-1].id)
        events = [event for event in (shapes.event_of(marking, account) for marking in kept[:size]) if event]
        return events, (kept[size - 1].at, kept[size - 1].id) if len(kept) > size else None

    events, more = await services.db.read(unit)
    return shapes.InboxEventList(len(events), size, events, page_token(more, filters))


async def _shown(tx: Tx, account: Account, batch: list[Marking], principal: Principal) -> list[Marking]:
    """Those of the markings that are labels, on messages the key sees."""
    ids = sorted({marking.message_id for marking in batch})
    stored = await messages.get_many(tx, account.id, ids) if ids else {}
    kinds, hidden = hidden_from(principal), hidden_labels(principal)
    visible = {message.id for message in stored.values() if visibility.shows(message, kinds)}
    kept = []
    for marking in batch:
        named = label_of_mark(marking.mark, is_added=marking.is_added)
        if named is not None and named[0] not in hidden and marking.message_id in visible:
            kept.append(marking)
    return kept
