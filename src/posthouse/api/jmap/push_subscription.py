"""PushSubscription (RFC 8620 §7.2): a URL that changes of an account are posted to.

A subscription belongs to the credential that created it: another key neither sees nor changes it. The type has no
state, so there is no `/changes`.
"""

from __future__ import annotations

import re
from typing import Any

from posthouse.api.jmap import calls
from posthouse.api.jmap.calls import Answer, Call, Fields, Json, invalid
from posthouse.api.jmap.email.get import utc
from posthouse.api.jmap.errors import MethodError, SetError, set_error
from posthouse.events import pushes
from posthouse.events.pushes import Wanted
from posthouse.kit.clock import DAY, parse_iso
from posthouse.kit.errors import Invalid, NotFound, OverQuota
from posthouse.store.database import Tx
from posthouse.store.push import PushSubscription

PROPERTIES = ("id", "deviceClientId", "verificationCode", "expires", "types")
_PRIVATE = ("url", "keys")
# RFC 8620 §7.2: a server may set an expiry; two days at least, and no endless one.
_DEFAULT_MS = 7 * DAY
_MAX_MS = 30 * DAY
_MAX_URL_CHARS = 2_048
_PLAIN_BESIDE_US = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\])[:/]")


def _shape(subscription: PushSubscription) -> Json:
    return {
        "id": subscription.id,
        "deviceClientId": subscription.device_client_id,
        "verificationCode": subscription.verification_code if subscription.is_verified else None,
        "expires": utc(subscription.expires_at),
        "types": subscription.types,
    }


async def _own(tx: Tx, call: Call) -> list[PushSubscription]:
    return await pushes.all_of(tx, call.caller.principal, call.caller.account_id, call.services.clock())


async def _find(tx: Tx, call: Call, id_: str) -> PushSubscription:
    caller = call.caller
    try:
        return await pushes.find(tx, caller.principal, caller.account_id, id_, call.services.clock())
    except NotFound as error:
        raise SetError("notFound") from error


async def get(call: Call) -> Answer:
    """Answer `PushSubscription/get` (RFC 8620 §7.2.1). A subscription's URL and keys are never returned."""
    ids, properties = call.strings("ids"), call.strings("properties")
    for name in properties or ():
        if name in _PRIVATE:
            raise MethodError("forbidden", f"{name} is never given back")
        if name not in PROPERTIES:
            raise invalid("properties", f"there is no property {name!r}")
    names = list(dict.fromkeys(["id", *(PROPERTIES if properties is None else properties)]))
    found = {each.id: _shape(each) for each in await call.services.db.read(lambda tx: _own(tx, call))}
    wanted = list(found) if ids is None else list(dict.fromkeys(call.resolve(each) for each in ids))
    return [
        (
            call.method,
            {
                "list": [{name: found[id_][name] for name in names} for id_ in wanted if id_ in found],
                "notFound": [id_ for id_ in wanted if id_ not in found],
            },
        )
    ]


def _types(fields: Fields) -> list[str] | None:
    types = fields.get("types", list)
    if types is not None and not all(isinstance(each, str) for each in types):
        fields.fail("types")
    return types  # type: ignore[no-any-return]


def _expires(call: Call, fields: Fields) -> int:
    at = call.services.clock()
    text = fields.get("expires", str)
    if text is None:
        return at + _DEFAULT_MS
    try:
        return max(at, min(parse_iso(text), at + _MAX_MS))
    except (ValueError, OverflowError):
        fields.fail("expires")
        return at


def _new(call: Call, value: Json) -> Wanted:
    fields = Fields(value, frozenset({"deviceClientId", "url", "keys", "verificationCode", "expires", "types"}))
    device, url = fields.get("deviceClientId", str), fields.get("url", str)
    if not device or len(device) > 255:
        fields.fail("deviceClientId")
    if not url or len(url) > _MAX_URL_CHARS or not url.isascii():
        fields.fail("url")
    elif not url.startswith("https://") and not (
        call.services.settings.webhooks_allow_private and _PLAIN_BESIDE_US.match(url)
    ):
        fields.fail("url")  # RFC 8620 §7.2; plain http is for tests beside the server
    if value.get("verificationCode") is not None:
        fields.fail("verificationCode")
    keys = fields.get("keys", dict)
    if keys is not None:
        try:
            pushes.check_keys(str(keys.get("p256dh", "")), str(keys.get("auth", "")))
        except Invalid:
            fields.fail("keys")
    types, expires_at = _types(fields), _expires(call, fields)
    fields.check()
    encrypted = (keys["p256dh"], keys["auth"]) if keys else None
    return Wanted(str(device), str(url), encrypted, types, expires_at)


async def set_(call: Call) -> Answer:
    """Answer `PushSubscription/set` (RFC 8620 §7.2.2)."""
    create, update, destroy = call.objects("create"), call.objects("update"), call.strings("destroy") or []
    created: dict[str, Json] = {}
    updated: dict[str, Json | None] = {}
    destroyed: list[str] = []
    if len(create) + len(update) + len(destroy) > calls.MAX_OBJECTS_IN_SET:
        raise MethodError("requestTooLarge", f"at most {calls.MAX_OBJECTS_IN_SET} objects a call")
    refused: dict[str, dict[str, Json]] = {"notCreated": {}, "notUpdated": {}, "notDestroyed": {}}
    for creation_id, value in create.items():
        try:
            wanted = _new(call, value)
            made = await call.services.db.write(
                lambda tx, wanted=wanted: pushes.add(  # type: ignore[misc]
                    tx, call.caller.principal, call.caller.account_id, wanted, call.services.clock()
                )
            )
        except OverQuota as error:
            refused["notCreated"][creation_id] = set_error(error).body
            continue
        except SetError as error:
            refused["notCreated"][creation_id] = error.body
            continue
        created[creation_id] = {"id": made.id, "keys": None, "expires": utc(made.expires_at)}
        if made.p256dh is not None:
            del created[creation_id]["keys"]
        if value.get("expires") == created[creation_id]["expires"]:
            del created[creation_id]["expires"]
        call.created_ids[creation_id] = made.id
    for named, patch in update.items():
        id_ = call.resolve(named)
        try:
            updated[id_] = await call.services.db.write(
                lambda tx, id_=id_, patch=patch: _update(tx, call, id_, patch)  # type: ignore[misc]
            )
        except SetError as error:
            refused["notUpdated"][named] = error.body
    for named in destroy:
        id_ = call.resolve(named)

        async def unit(tx: Tx, id_: str = id_) -> None:
            await pushes.end(tx, await _find(tx, call, id_))

        try:
            await call.services.db.write(unit)
            destroyed.append(id_)
        except SetError as error:
            refused["notDestroyed"][named] = error.body
    body: Json = {"created": created or None, "updated": updated or None, "destroyed": destroyed or None}
    return [(call.method, body | {name: value or None for name, value in refused.items()})]


async def _update(tx: Tx, call: Call, id_: str, patch: Json) -> Json | None:
    before = await _find(tx, call, id_)
    fields = Fields(patch, frozenset({"verificationCode", "expires", "types"}))
    changed: Any = None
    types = _types(fields) if "types" in patch else before.types
    expires_at = before.expires_at
    if "expires" in patch:
        expires_at = _expires(call, fields)
        if utc(expires_at) != patch["expires"]:
            changed = {"expires": utc(expires_at)}
    code = patch.get("verificationCode")
    if "verificationCode" in patch and not (isinstance(code, str) and pushes.is_code(before, code)):
        fields.fail("verificationCode")
    fields.check()
    await pushes.change(tx, before, types=types, expires_at=expires_at, code=code)
    return changed  # type: ignore[no-any-return]
