"""Identity (RFC 8621 §6). Each address of the account has one from the first moment; more can be made for tags."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from posthouse.accounts import identities as rules
from posthouse.api.jmap import states
from posthouse.api.jmap.calls import Call, Fields, Json
from posthouse.api.jmap.email.compose import addresses
from posthouse.api.jmap.errors import SetError
from posthouse.api.jmap.methods import Kind, Work
from posthouse.kit.errors import Forbidden, Invalid
from posthouse.kit.ids import new_id
from posthouse.mail.journal import IDENTITY
from posthouse.store import accounts, identities
from posthouse.store.database import Tx
from posthouse.store.identities import Identity
from posthouse.wire.address import normalize, parse_address

PROPERTIES = ("id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete")
_SETTABLE = frozenset({"name", "email", "replyTo", "bcc", "textSignature", "htmlSignature"})
_MAX_SIGNATURE_CHARS = 65_536
_MAX_IDENTITIES = 1_000


def default_id(account_id: str, address: str) -> str:
    """The id of the identity an address has by itself."""
    return "i" + hashlib.sha256(f"{account_id}\n{address}".encode()).hexdigest()[:20]


async def all_of(tx: Tx, account_id: str) -> list[Identity]:
    """The account's identities: one for each of its addresses, the main one first, then those that were made."""
    stored = {each.id: each for each in await identities.all_of(tx, account_id)}
    account = await accounts.get(tx, account_id)
    if account is None:
        return []
    own = await accounts.addresses(tx, account_id)
    found = []
    for address in sorted(own, key=lambda each: (each != account.main_address, each)):
        id_ = default_id(account_id, address)
        own_one = Identity(id_, account_id, account.display_name or "", address, None, None, "", "", False, 0)
        found.append(stored.pop(id_, own_one))
    # One whose address is the account's no more is of no use to anybody.
    return found + [each for each in stored.values() if each.may_delete and _covers(own, each.email)]


def _covers(own: Sequence[str], email: str) -> bool:
    local, _, domain = normalize(email).rpartition("@")
    return bool({f"{local}@{domain}", f"{local.partition('+')[0]}@{domain}"} & set(own))


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
        return await states.current(tx, call.account_id, IDENTITY), await all_of(tx, call.account_id)

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
        email = parse_address(email).email
    except Invalid as error:
        raise SetError("invalidProperties", error.message, ["email"]) from error
    return _read(value, Identity("", call.account_id, "", email, None, None, "", "", True, call.services.clock()))


async def create(work: Work, identity: Identity) -> Json:
    """Make one for an address the account may write under."""
    account = await accounts.get(work.tx, work.call.account_id)
    assert account is not None  # the journal holds its row
    try:
        await rules.check_sender(work.tx, account, identity.email, "email")
    except Forbidden as error:
        raise SetError("forbiddenFrom", error.message) from error
    if len(await identities.all_of(work.tx, account.id)) >= _MAX_IDENTITIES:
        raise SetError("overQuota", f"an account has at most {_MAX_IDENTITIES} identities")
    identity = replace(identity, id=new_id())
    await identities.put(work.tx, identity)
    work.journal.created(IDENTITY, identity.id)
    return {"id": identity.id, "mayDelete": True}


async def update(work: Work, id_: str, patch: Json) -> Json | None:
    """Change one; its address never changes."""
    before = next((each for each in await all_of(work.tx, work.call.account_id) if each.id == id_), None)
    if before is None:
        raise SetError("notFound")
    shown = _shape(before)
    changed = {name: value for name, value in patch.items() if not (name in shown and shown[name] == value)}
    if "email" in changed:
        raise SetError("invalidProperties", "the email of an identity cannot be changed", ["email"])
    after = _read(changed, before)
    if after != before:
        await identities.put(work.tx, after)
        work.journal.updated(IDENTITY, id_)
    return None


async def destroy(work: Work, id_: str) -> None:
    """Destroy one that was made."""
    found = next((each for each in await all_of(work.tx, work.call.account_id) if each.id == id_), None)
    if found is None:
        raise SetError("notFound")
    if not found.may_delete:
        raise SetError("forbidden", "this identity belongs to an address of the account")
    await identities.delete(work.tx, work.call.account_id, id_)
    work.journal.destroyed(IDENTITY, id_)


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
