"""Messages: list, get, mark, delete; raw and attachments by signed link."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, delete, get, patch

from posthouse.api.agentmail import scope, sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import FromTexts, Limit, PageToken, Texts, limit_of, listing_of
from posthouse.api.agentmail.shapes import messages as shapes
from posthouse.api.agentmail.shapes.labels import patch_of
from posthouse.api.agentmail.shapes.values import MESSAGE_PREFIX, time
from posthouse.api.links import LIFETIME_MS, LinkTarget
from posthouse.api.paging import page_token, read_page_token
from posthouse.api.request import base_url
from posthouse.api.services import Services
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import filing, marking, reading
from posthouse.mail.journal import changing
from posthouse.store.database import Tx
from posthouse.store.messages import Message as StoredMessage


@get("/v0/inboxes/{inbox_id:str}/messages", operation_id="messages_list")
async def list_messages(
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
    from_: FromTexts = None,
    to: Texts = None,
    subject: Texts = None,
) -> shapes.MessageList:
    """An inbox's messages, newest first; all given labels must be on a message."""
    need(principal, "message_read")
    size = limit_of(limit)
    listing = listing_of(
        principal, labels=labels, after=after, before=before, ascending=ascending,
        shown=(include_spam, include_blocked, include_unauthenticated, include_trash),
        from_=("from", from_), to=("to", to), subject=subject,
    )  # fmt: skip
    filter_, marks = listing.of_messages, {"of": "messages", "inbox": inbox_id, **listing.marks}
    position = read_page_token(page_token_, marks)

    account = await scope.located(services, principal, inbox_id)

    async def unit(tx: Tx) -> tuple[list[shapes.MessageItem], tuple[int, str] | None]:
        if filter_ is None:
            return [], None
        found, more = await reading.page(tx, account.id, filter_, after=position, ascending=ascending, limit=size)
        known = await reading.named_by(tx, account.id, found)
        return [shapes.item_of(message, account.main_address, known) for message in found], more

    items, more = await services.db.read(unit)
    return shapes.MessageList(count=len(items), limit=size, messages=items, next_page_token=page_token(more, marks))


@get("/v0/inboxes/{inbox_id:str}/messages/{message_id:str}", operation_id="messages_get")
async def get_message(services: Services, principal: Principal, inbox_id: str, message_id: str) -> shapes.Message:
    """One message. `extracted_text` is what is new in a reply."""
    need(principal, "message_read")

    account = await scope.located(services, principal, inbox_id)

    async def unit(tx: Tx) -> shapes.Message:
        message, body = await scope.message_with_body(tx, principal, account.id, message_id)
        known = await reading.named_by(tx, account.id, [message])
        return shapes.message_of(message, body, account.main_address, known)

    return await services.db.read(unit)


@patch("/v0/inboxes/{inbox_id:str}/messages/{message_id:str}", operation_id="messages_update")
async def update_message(
    services: Services, principal: Principal, inbox_id: str, message_id: str, data: shapes.UpdateMessage
) -> shapes.Message | shapes.Updated:
    """Add and remove labels; `trash` and `spam` move the message, `read` and `unread` mark it."""
    need(principal, "message_update")
    added = shapes.labels_given(data.add_labels)
    change = patch_of(added, shapes.labels_given(data.remove_labels))

    async def unit(tx: Tx) -> shapes.Message | shapes.Updated:
        found = await scope.message(tx, principal, inbox_id, message_id)
        async with changing(tx, found.account.id, services.clock()) as journal:
            await marking.apply(tx, journal, found.message, change)
        message, body = await reading.get(tx, found.account.id, found.message.id)
        known = await reading.named_by(tx, found.account.id, [message])
        return sight.message(principal, shapes.message_of(message, body, found.account.main_address, known), added)

    return await services.db.write(unit)


@delete("/v0/inboxes/{inbox_id:str}/messages/{message_id:str}", operation_id="messages_delete")
async def delete_message(services: Services, principal: Principal, inbox_id: str, message_id: str) -> None:
    """Delete a message for good, as far as any key can see."""
    need(principal, "message_delete")

    async def unit(tx: Tx) -> None:
        found = await scope.message(tx, principal, inbox_id, message_id)
        async with changing(tx, found.account.id, services.clock()) as journal:
            await filing.destroy(tx, journal, found.message)

    await services.db.write(unit)


@get("/v0/inboxes/{inbox_id:str}/messages/{message_id:str}/raw", operation_id="messages_get_raw")
async def get_raw(
    request: Request[Any, Any, Any], services: Services, principal: Principal, inbox_id: str, message_id: str
) -> shapes.RawLink | Response[bytes]:
    """A link to the message as it came. Clients before version 2 get the bytes themselves."""
    need(principal, "message_read")
    found = await services.db.read(lambda tx: scope.message(tx, principal, inbox_id, message_id))
    message = found.message
    if _wants_bytes(request):
        raw = await services.blobs.read(message.blob_hash)
        return Response(raw, media_type="message/rfc822", headers={"x-content-type-options": "nosniff"})
    url, expires_at = link(request, services, principal, message.account_id, message.id, "")
    return shapes.RawLink(
        message_id=MESSAGE_PREFIX + message.id,
        size=message.size_bytes,
        download_url=url,
        expires_at=time(expires_at),
    )


@get(
    "/v0/inboxes/{inbox_id:str}/messages/{message_id:str}/attachments/{attachment_id:str}",
    operation_id="messages_get_attachment",
)
async def get_attachment(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    inbox_id: str,
    message_id: str,
    attachment_id: str,
) -> shapes.AttachmentLink:
    """What an attachment is, and a link to its bytes that needs no key for an hour."""
    need(principal, "message_read")
    found = await services.db.read(lambda tx: scope.message(tx, principal, inbox_id, message_id))
    return attachment_link(request, services, principal, found.message, attachment_id)


def attachment_link(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    message: StoredMessage,
    attachment_id: str,
) -> shapes.AttachmentLink:
    """An attachment of a message with its link. Raises `NotFound`."""
    part = next((part for part in message.attachments if shapes.attachment_id(message, part) == attachment_id), None)
    if part is None:
        raise NotFound("there is no such attachment", field="attachment_id")
    url, expires_at = link(request, services, principal, message.account_id, message.id, part.part_id)
    shown = shapes.attachment_of(message, part)
    return shapes.AttachmentLink(
        attachment_id=shown.attachment_id,
        size=shown.size,
        download_url=url,
        expires_at=time(expires_at),
        filename=shown.filename,
        content_type=shown.content_type,
        content_disposition=shown.content_disposition,
        content_id=shown.content_id,
    )


def link(
    request: Request[Any, Any, Any],
    services: Services,
    principal: Principal,
    account_id: str,
    message_id: str,
    part: str,
) -> tuple[str, int]:
    """A signed URL and when it expires."""
    expires_at = services.clock() + LIFETIME_MS
    token = services.links.token(LinkTarget(account_id, message_id, part, principal.key_id or "", expires_at))
    origin = base_url(services.settings, request.url.scheme, request.headers.get("host", request.url.netloc))
    return f"{origin}/files/{token}", expires_at


def _wants_bytes(request: Request[Any, Any, Any]) -> bool:
    """Whether the caller is a published client from before raw became a link."""
    version = request.headers.get("x-fern-sdk-version", "")
    name = request.headers.get("x-fern-sdk-name", "")
    return name == "agentmail" and version.startswith("0.") and request.headers.get("x-fern-language") == "Python"
