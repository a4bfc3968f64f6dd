"""Identity (RFC 8621 §6). Each address of the account has one from the first moment; more can be made for tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from posthouse.accounts import identities
from posthouse.api.jmap import states
from posthouse.api.jmap.calls import Call, Fields, Json
from posthouse.api.jmap.email.compose import addresses
from posthouse.api.jmap.errors import SetError
from posthouse.api.jmap.methods import Kind, Work
from posthouse.kit.errors import Forbidden, Invalid, NotFound
from posthouse.mail.journal import IDENTITY
from posthouse.store.database import Tx
from posthouse.store.identities import Identity

PROPERTIES = ("id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete")
_SETTABLE = frozenset({"name", "email", "replyTo", "bcc", "textSignature", "htmlSignature"})
_MAX_SIGNATURE_CHARS = 65_536


def _people(pairs: list[list[str]] | None) -> list[Json] | None:
    return None if pairs is None else [{"name": name or None, "email": email} for name, email in pairs]


def _shape(identity: Identity) -> Json:
    return {
        "id": identity.id,
        "name": identity.name,
        "email": identity.email,
        "replyTo": _people(identity.reply_to),
        "bcc": _people(identity.bcc),
        "textSignature": identity.text_signature,
        "htmlSignature": identity.html_signature,
        "mayDelete": identity.may_delete,
    }


async def read(call: Call, ids: list[str] | None, properties: Sequence[str]) -> tuple[str, list[Json]]:
    """The identities with these ids."""

    async def unit(tx: Tx) -> tuple[str, list[Identity]]:
        return await states.current(tx, call.account_id, IDENTITY), await identities.all_of(tx, call.account_id)

    state, found = await call.services.db.read(unit)
    shown = [_shape(each) for each in found if ids is None or each.id in ids]
    return state, [{name: each[name] for name in properties} for each in shown]


def _read(value: Json, before: Identity) -> Identity:
    fields = Fields(value, _SETTABLE)
    lists: dict[str, Any] = {}
    for name in ("replyTo", "bcc"):
        given = value.get(name)
        try:
            lists[name] = None if given is None else [[each.name, each.email] for each in addresses(given, name)]
        except Invalid:
            fields.fail(name)
    texts = {}
    for name in ("name", "textSignature", "htmlSignature"):
        texts[name] = fields.get(name, str, "")
        if len(texts[name]) > _MAX_SIGNATURE_CHARS or (name == "name" and ("\n" in texts[name] or "\r" in texts[name])):
            fields.fail(name)
    fields.check()
    return replace(
        before,
        name=texts["name"] if "name" in value else before.name,
        reply_to=lists["replyTo"] if "replyTo" in value else before.reply_to,
        bcc=lists["bcc"] if "bcc" in value else before.bcc,
        text_signature=texts["textSignature"] if "textSignature" in value else before.text_signature,
        html_signature=texts["htmlSignature"] if "htmlSignature" in value else before.html_signature,
    )


async def prepare(call: Call, value: Json) -> Identity:
    """Read an identity to be made."""
    email = value.get("email")
    if not isinstance(email, str):
        raise SetError("invalidProperties", "an identity has an email", ["email"])
    try:
        made = identities.new(call.account_id, email, call.services.clock())
    except Invalid as error:
        raise SetError("invalidProperties", error.message, ["email"]) from error
    return _read(value, made)


async def create(work: Work, identity: Identity) -> Json:
    """Make one for an address the account may write under."""
    try:
        made = await identities.create(work.tx, work.journal, identity)
    except Forbidden as error:
        raise SetError("forbiddenFrom", error.message) from error
    return {"id": made.id, "mayDelete": True}


async def update(work: Work, id_: str, patch: Json) -> Json | None:
    """Change one; its address never changes."""
    try:
        before = await identities.find(work.tx, work.call.account_id, id_)
    except NotFound as error:
        raise SetError("notFound") from error
    shown = _shape(before)
    changed = {name: value for name, value in patch.items() if not (name in shown and shown[name] == value)}
    if "email" in changed:
        raise SetError("invalidProperties", "the email of an identity cannot be changed", ["email"])
    await identities.change(work.tx, work.journal, before, _read(changed, before))
    return None


async def destroy(work: Work, id_: str) -> None:
    """Destroy one that was made."""
    try:
        await identities.destroy(work.tx, work.journal, id_)
    except NotFound as error:
        raise SetError("notFound") from error


KIND = Kind(
    name=IDENTITY,
    properties=frozenset(PROPERTIES),
    defaults=PROPERTIES,
    read=read,
    prepare=prepare,
    create=create,
    update=update,
    destroy=destroy,
)
