"""Sending: new messages, replies, forwards. One core function sends them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import msgspec
from litestar import post
from litestar.params import HeaderParameter

from posthouse.api.agentmail import scope
from posthouse.api.agentmail.auth import SURFACE
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.shapes import drafts as draft_shapes
from posthouse.api.agentmail.shapes import messages as shapes
from posthouse.api.agentmail.shapes.labels import free_labels
from posthouse.api.agentmail.shapes.values import MESSAGE_PREFIX, THREAD_PREFIX, Addresses, read_addresses
from posthouse.api.services import Services
from posthouse.kit.principal import Principal
from posthouse.outbound import answers, attachments, writing
from posthouse.outbound.answers import Parent
from posthouse.outbound.attachments import GivenFile
from posthouse.outbound.request import Idempotency
from posthouse.outbound.writing import Words, Writing
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.wire.compose import Attachment

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
    words = words_of(data, data.to, data.cc, data.bcc, data.subject)
    written = writing.new(account, await _with_files(services, account, data, words))
    return await _submit(services, principal, account, written, "send", data, idempotency_key)


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
    words = words_of(data, data.to, data.cc, data.bcc, data.subject)
    words = await _with_files(services, account, data, words)
    passed_on = await writing.forward(services.blobs, account, found.message, words)
    operation = f"forward:{found.message.id}"
    return await _submit(services, principal, account, passed_on, operation, data, idempotency_key)


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

    async def unit(tx: Tx) -> tuple[Account, Parent]:
        found = await scope.message(tx, principal, inbox_id, message_id)
        return found.account, await answers.parent(tx, found.message)

    account, parent = await services.db.read(unit)
    words = await _with_files(services, account, data, words_of(data, to, cc, bcc))
    answer = writing.reply(account, parent, words, everyone=everyone)
    operation = f"reply:{everyone}:{parent.message.id}"
    return await _submit(services, principal, account, answer, operation, data, idempotency_key)


def words_of(
    data: shapes.SendMessage | shapes.ReplyMessage | shapes.ReplyAllMessage | draft_shapes.CreateDraft,
    to: Addresses | None,
    cc: Addresses | None,
    bcc: Addresses | None,
    subject: str | None = None,
) -> Words:
    """What a body says beside its files and fields; who it goes to and what it is called is its route's."""
    return Words(
        to=read_addresses(to, "to"),
        cc=read_addresses(cc, "cc"),
        bcc=read_addresses(bcc, "bcc"),
        reply_to=read_addresses(data.reply_to, "reply_to"),
        subject=subject or "",
        text=data.text,
        html=data.html,
    )


async def _with_files(
    services: Services,
    account: Account,
    data: shapes.SendMessage | shapes.ReplyMessage | shapes.ReplyAllMessage,
    words: Words,
) -> Words:
    files = await attachments_of(services, account, data.attachments)
    return replace(words, attachments=files, headers=tuple((data.headers or {}).items()))


async def _submit(
    services: Services,
    principal: Principal,
    account: Account,
    written: Writing,
    operation: str,
    data: shapes.SendMessage | shapes.ReplyMessage | shapes.ReplyAllMessage,
    idempotency_key: str | None,
) -> shapes.Sent:
    composition = written.composition(free_labels(data.labels))
    once = once_of(account, operation, data, idempotency_key)
    outcome = await services.submitter.submit(principal, account.id, composition, once=once)
    return shapes.Sent(message_id=MESSAGE_PREFIX + outcome.message_id, thread_id=THREAD_PREFIX + outcome.thread_id)


def once_of(account: Account, operation: str, data: msgspec.Struct, idempotency_key: str | None) -> Idempotency | None:
    """The header's key with what makes a request the same; None without a key. Raises `Invalid` for what is none."""
    return Idempotency.of(SURFACE, idempotency_key, operation, account.id, msgspec.json.encode(data))


async def attachments_of(
    services: Services, account: Account, given: Sequence[shapes.SendAttachment] | None
) -> tuple[Attachment, ...]:
    """The files to send. Raises as `outbound.attachments.gather`."""
    files = [GivenFile(**msgspec.structs.asdict(each)) for each in given or ()]
    most = services.submitter.limits.message_bytes
    return await attachments.gather(services.dialer, account.organization_id, files, message_bytes=most)
