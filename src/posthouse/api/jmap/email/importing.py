"""Email/import and Email/copy (RFC 8621 §4.7–4.8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from posthouse.api.jmap import blobs, calls, methods, states
from posthouse.api.jmap.budget import BLOBS, MAIL
from posthouse.api.jmap.calls import Answer, Call, Fields, Json, invalid
from posthouse.api.jmap.email import keywords
from posthouse.api.jmap.email.set import (
    KIND,
    PARSED_INLINE_OCTETS,
    NewEmail,
    create,
    read_mailbox_ids,
    read_received_at,
)
from posthouse.api.jmap.errors import MethodError, SetError
from posthouse.api.jmap.methods import Kind
from posthouse.kit.aside import beside
from posthouse.kit.errors import NotFound, PosthouseError
from posthouse.mail import reading
from posthouse.mail.journal import EMAIL
from posthouse.wire.canonical import canonical
from posthouse.wire.dates import parse_date
from posthouse.wire.message import ParsedMessage, parse


def _arrived_at(parsed: ParsedMessage) -> int | None:
    """When a message was last handed over, by its own word (RFC 8621 §4.8)."""
    for name, value in parsed.headers:
        if name.lower() == "received":
            at = parse_date(value.rpartition(";")[2])
            return at if at is not None and at >= 0 else None
    return None


async def _prepare(call: Call, value: Json) -> NewEmail:
    fields = Fields(value, frozenset({"blobId", "mailboxIds", "keywords", "receivedAt"}))
    blob_id = fields.get("blobId", str)
    if blob_id is None:
        fields.fail("blobId")
    fields.check()
    mailbox_ids = read_mailbox_ids(call, value.get("mailboxIds"))
    marked = keywords.check(value.get("keywords") or {})
    keywords.check_marks(marked)
    received_at = read_received_at(value.get("receivedAt"))
    try:
        known = await blobs.find(call, call.resolve(blob_id))
        limit = call.services.settings.max_message_bytes
        if known.at_most_bytes > limit and known.span.end is None:
            raise SetError("tooLarge", "the message is too large", maxSize=limit)
        call.budget.spend(MAIL, known.at_most_bytes)
        raw = await blobs.reader(call).read(known)
    except NotFound as error:
        raise SetError("invalidProperties", error.message, ["blobId"]) from error
    if len(raw) > limit:
        raise SetError("tooLarge", "the message is too large", maxSize=limit)
    raw = await call.aside.run(len(raw), canonical, raw, above=PARSED_INLINE_OCTETS)
    if len(raw) > limit:  # line ends have been put in
        raise SetError("tooLarge", "the message is too large", maxSize=limit)
    parsed = await call.aside.run(len(raw), parse, raw, above=PARSED_INLINE_OCTETS)
    if not is_message(parsed):
        raise SetError("invalidEmail", "the blob is not a message")
    if received_at is None:
        received_at = _arrived_at(parsed)
    return NewEmail(parsed, await call.services.blobs.prepare(raw), mailbox_ids, frozenset(marked), received_at)


def is_message(parsed: ParsedMessage) -> bool:
    """Whether bytes are a message at all: a header field is the least."""
    return bool(parsed.headers)


_IMPORT = Kind(name=EMAIL, properties=KIND.properties, read=KIND.read, prepare=_prepare, create=create)


async def import_(call: Call) -> Answer:
    """RFC 8621 §4.8."""
    call.required("emails", dict)
    inner = replace(call, args={"create": call.objects("emails"), "ifInState": call.args.get("ifInState")})
    outcome = await methods.apply(_IMPORT, inner)
    body = outcome.body(call.account_id)
    return [
        (call.method, {name: body[name] for name in ("accountId", "oldState", "newState", "created", "notCreated")})
    ]


async def copy(call: Call) -> Answer:
    """RFC 8621 §4.7: between the accounts a credential opens; within one there is nothing to copy."""
    named = call.required("fromAccountId", str)
    source = call.caller.find(named)
    if source is None:
        raise MethodError("fromAccountNotFound")
    if source == call.account_id:
        raise invalid("fromAccountId", "it is the same account")
    wanted = call.objects("create")
    if_from_state = call.get("ifFromInState", str)
    if if_from_state is not None:
        state = await call.services.db.read(lambda tx: states.current(tx, source, EMAIL))
        if state != if_from_state:
            raise MethodError("stateMismatch")
    originals: dict[str, str] = {}

    async def prepare(inner: Call, value: Json) -> NewEmail:
        fields = Fields(value, frozenset({"id", "mailboxIds", "keywords", "receivedAt"}))
        id_ = fields.get("id", str)
        if not calls.is_id(id_):
            fields.fail("id")
        fields.check()
        message = await inner.services.db.read(lambda tx: reading.find(tx, source, id_))
        if message is None:
            raise SetError("notFound")
        inner.budget.spend(BLOBS, message.size_bytes)
        inner.budget.spend(MAIL, message.size_bytes)
        raw = await beside(canonical, await inner.services.blobs.read(message.blob_hash))
        given: Any = value.get("keywords")
        marked = set(keywords.shown_keywords(message.keywords)) if given is None else keywords.check(given)
        received_at = read_received_at(value.get("receivedAt"))
        blob = await inner.services.blobs.prepare(raw)
        mailbox_ids = read_mailbox_ids(inner, value.get("mailboxIds"))
        parsed = await call.aside.run(len(raw), parse, raw, above=PARSED_INLINE_OCTETS)
        return NewEmail(parsed, blob, mailbox_ids, frozenset(marked), received_at or message.received_at)

    kind = Kind(name=EMAIL, properties=KIND.properties, read=KIND.read, prepare=prepare, create=create)
    inner = replace(call, args={"create": wanted, "ifInState": call.args.get("ifInState")})
    outcome = await methods.apply(kind, inner)
    body = outcome.body(call.account_id)
    shown = {name: body[name] for name in ("accountId", "oldState", "newState", "created", "notCreated")}
    answer: Answer = [(call.method, {"fromAccountId": source, **shown})]
    originals |= {creation_id: wanted[creation_id]["id"] for creation_id in outcome.created}
    if originals and call.get("onSuccessDestroyOriginal", bool, False):
        args = {"destroy": list(originals.values()), "ifInState": call.args.get("destroyFromIfInState")}
        implied = replace(call, method="Email/set", account_id=source, args=args)
        try:
            answer += await methods.set_(KIND, implied)
        except MethodError as error:
            answer.append(("error", error.body))
        except PosthouseError as error:
            answer.append(("error", {"type": "serverFail", "description": error.message}))
    return answer
