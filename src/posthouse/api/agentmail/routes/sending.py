"""Sending: new messages, replies, forwards. One core function sends them all."""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from litestar import post
from litestar.params import HeaderParameter

from posthouse.api.agentmail import scope
from posthouse.api.agentmail.fetching import attachments_of
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.shapes import messages as shapes
from posthouse.api.agentmail.shapes.common import MESSAGE_PREFIX, THREAD_PREFIX, Addresses, read_addresses
from posthouse.api.agentmail.shapes.labels import free_labels
from posthouse.api.kit import Services
from posthouse.kit.errors import Invalid
from posthouse.kit.ids import secret_digest
from posthouse.kit.principal import Principal
from posthouse.outbound import answers
from posthouse.outbound.request import Composition, Idempotency
from posthouse.store.accounts import Account
from posthouse.wire.address import Address
from posthouse.wire.compose import Outgoing

_IDEMPOTENCY_KEY = re.compile(r"[A-Za-z0-9\-._~]{1,256}")

IdempotencyKey = Annotated[
    str | None, HeaderParameter(name="Idempotency-Key", description="The same key and body send once within 24 hours.")
]


@post(
    ["/v0/inboxes/{inbox_id:str}/messages", "/v0/inboxes/{inbox_id:str}/messages/send"],
    status_code=200,
    operation_id=scope.operation("messages_send"),
)
async def send_message(
    services: Services,
    principal: Principal,
    inbox_id: str,
    data: shapes.SendMessage,
    idempotency_key: IdempotencyKey = None,
) -> shapes.Sent:
    """Send a message from an inbox. Held mail is answered the same way and carries the label `held`."""
    need(principal, "message_send")
    account = await services.db.read(lambda tx: scope.inbox(tx, principal, inbox_id))
    composition = Composition(
        outgoing=Outgoing(
            from_=Address(account.main_address),
            to=read_addresses(data.to, "to"),
            cc=read_addresses(data.cc, "cc"),
            bcc=read_addresses(data.bcc, "bcc"),
            reply_to=read_addresses(data.reply_to, "reply_to"),
            subject=data.subject or "",
            text=data.text,
            html=data.html,
            attachments=await attachments_of(services, account, data.attachments),
            in_reply_to=None,
            references=(),
            headers=tuple((data.headers or {}).items()),
            message_id=None,
            sent_at=services.clock(),
        ),
        labels=free_labels(data.labels),
    )
    return await _submit(services, principal, account, composition, "send", data, idempotency_key)


@post("/v0/inboxes/{inbox_id:str}/messages/{message_id:str}/reply", status_code=200, operation_id="messages_reply")
async def reply(
    services: Services,
    principal: Principal,
    inbox_id: str,
    message_id: str,
    data: shapes.ReplyMessage,
    idempotency_key: IdempotencyKey = None,
) -> shapes.Sent:
    """Answer a message: to its sender, to everyone with `reply_all`, or to the recipients given."""
    return await _answer(
        services, principal, inbox_id, message_id, data, idempotency_key,
        everyone=bool(data.reply_all), to=data.to, cc=data.cc, bcc=data.bcc,
    )  # fmt: skip


@post(
    "/v0/inboxes/{inbox_id:str}/messages/{message_id:str}/reply-all",
    status_code=200,
    operation_id="messages_reply_all",
)
async def reply_all(
    services: Services,
    principal: Principal,
    inbox_id: str,
    message_id: str,
    data: shapes.ReplyAllMessage,
    idempotency_key: IdempotencyKey = None,
) -> shapes.Sent:
    """Answer a message to everyone on it."""
    return await _answer(
        services, principal, inbox_id, message_id, data, idempotency_key,
        everyone=True, to=None, cc=None, bcc=None,
    )  # fmt: skip


@post(
    "/v0/inboxes/{inbox_id:str}/messages/{message_id:str}/forward",
    status_code=200,
    operation_id="messages_forward",
)
async def forward(
    services: Services,
    principal: Principal,
    inbox_id: str,
    message_id: str,
    data: shapes.SendMessage,
    idempotency_key: IdempotencyKey = None,
) -> shapes.Sent:
    """Pass a message on with its body and attachments."""
    need(principal, "message_send")
    need(principal, "message_read")
    found = await services.db.read(lambda tx: scope.message(tx, principal, inbox_id, message_id))
    account = found.account
    parent = await answers.parent(services.db, account.id, found.message.id)
    fields = await answers.forward(parent, services.blobs, text=data.text, html=data.html)
    composition = Composition(
        outgoing=Outgoing(
            from_=Address(account.main_address),
            to=read_addresses(data.to, "to"),
            cc=read_addresses(data.cc, "cc"),
            bcc=read_addresses(data.bcc, "bcc"),
            reply_to=read_addresses(data.reply_to, "reply_to"),
            subject=data.subject or fields.subject,
            text=fields.text,
            html=fields.html,
            attachments=(*fields.attachments, *await attachments_of(services, account, data.attachments)),
            in_reply_to=None,
            references=(),
            headers=tuple((data.headers or {}).items()),
            message_id=None,
            sent_at=services.clock(),
        ),
        labels=free_labels(data.labels),
        forwarded_message_id=parent.message.id,
    )
    return await _submit(
        services, principal, account, composition, f"forward:{parent.message.id}", data, idempotency_key
    )


async def _answer(
    services: Services,
    principal: Principal,
    inbox_id: str,
    message_id: str,
    data: shapes.ReplyMessage | shapes.ReplyAllMessage,
    idempotency_key: str | None,
    *,
    everyone: bool,
    to: Addresses | None,
    cc: Addresses | None,
    bcc: Addresses | None,
) -> shapes.Sent:
    need(principal, "message_send")
    if to or cc or bcc:
        need(principal, "message_read")  # an answer tells others the subject and who was written to
    found = await services.db.read(lambda tx: scope.message(tx, principal, inbox_id, message_id))
    account = found.account
    parent = await answers.parent(services.db, account.id, found.message.id)
    fields = answers.reply(parent, everyone=everyone)
    composition = Composition(
        outgoing=Outgoing(
            from_=Address(account.main_address),
            to=read_addresses(to, "to") or fields.to,
            cc=read_addresses(cc, "cc") or fields.cc,
            bcc=read_addresses(bcc, "bcc"),
            reply_to=read_addresses(data.reply_to, "reply_to"),
            subject=fields.subject,
            text=data.text,
            html=data.html,
            attachments=await attachments_of(services, account, data.attachments),
            in_reply_to=fields.in_reply_to,
            references=fields.references,
            headers=tuple((data.headers or {}).items()),
            message_id=None,
            sent_at=services.clock(),
        ),
        labels=free_labels(data.labels),
        thread_id=parent.message.thread_id,
        answered_message_id=parent.message.id,
    )
    scope_name = f"reply:{everyone}:{parent.message.id}"
    return await _submit(services, principal, account, composition, scope_name, data, idempotency_key)


async def _submit(
    services: Services,
    principal: Principal,
    account: Account,
    composition: Composition,
    operation: str,
    data: msgspec.Struct,
    idempotency_key: str | None,
) -> shapes.Sent:
    once = once_of(account, operation, data, idempotency_key)
    outcome = await services.submitter.submit(principal, account.id, composition, once=once)
    return shapes.Sent(message_id=MESSAGE_PREFIX + outcome.message_id, thread_id=THREAD_PREFIX + outcome.thread_id)


def once_of(account: Account, operation: str, data: msgspec.Struct, idempotency_key: str | None) -> Idempotency | None:
    """The header's key with what makes a request the same; None without a key.

    Raises:
        Invalid: it is no key.
    """
    if idempotency_key is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise Invalid("1 to 256 letters, digits or - . _ ~", field="Idempotency-Key")
    request_digest = secret_digest(msgspec.json.encode(data).decode())
    return Idempotency(f"agentmail:{idempotency_key}", f"{operation}:{account.id}", request_digest)
