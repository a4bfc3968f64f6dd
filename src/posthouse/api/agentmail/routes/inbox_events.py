"""The log of what was labelled in an inbox."""

from __future__ import annotations

from litestar import get

from posthouse.accounts.rights import hidden_from
from posthouse.api.agentmail import scope
from posthouse.api.agentmail.permissions import hidden_labels, need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, request_of
from posthouse.api.agentmail.shapes import inbox_events as shapes
from posthouse.api.agentmail.shapes.labels import label_of_mark
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.kit.pages import Page
from posthouse.kit.principal import Principal
from posthouse.mail import marking
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.markings import Marking


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
    marks = {"of": "inbox events", "inbox": inbox_id, "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)
    hidden = hidden_labels(principal)

    def is_label(each: Marking) -> bool:
        named = label_of_mark(each.mark, is_added=each.is_added)
        return named is not None and named[0] not in hidden

    async def unit(tx: Tx) -> tuple[Account, Page[Marking]]:
        account = await scope.inbox(tx, principal, inbox_id)
        return account, await marking.log(tx, account.id, asked, hidden=hidden_from(principal), wanted=is_label)

    account, page = await services.db.read(unit)
    events = [event for event in (shapes.event_of(each, account) for each in page.items) if event]
    return shapes.InboxEventList(len(events), asked.size, events, page_token(page.more, marks))
