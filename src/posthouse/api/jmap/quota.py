"""Quota (RFC 9425): the room of the account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posthouse.accounts import accounts as account_rules
from posthouse.api.jmap import filters, methods, states
from posthouse.api.jmap.calls import Answer, Call, Json, invalid
from posthouse.api.jmap.errors import MethodError
from posthouse.api.jmap.methods import Kind
from posthouse.mail import history
from posthouse.store.accounts import Account
from posthouse.store.database import Tx

ID = "storage"
PROPERTIES = (
    "id",
    "resourceType",
    "used",
    "hardLimit",
    "scope",
    "name",
    "types",
    "warnLimit",
    "softLimit",
    "description",
)
_FILTERS: dict[str, str] = {"name": "name", "scope": "scope", "resourceType": "resourceType", "type": "types"}


async def _load(call: Call) -> tuple[str, Json]:
    async def unit(tx: Tx) -> tuple[str, Account | None]:
        return await states.current(tx, call.account_id, states.QUOTA), await account_rules.find(tx, call.account_id)

    state, account = await call.services.db.read(unit)
    if account is None:
        raise MethodError("accountNotFound")
    limit = account.quota_bytes if account.quota_bytes is not None else call.services.settings.quota_bytes
    return state, {
        "id": ID,
        "resourceType": "octets",
        "used": max(0, account.used_bytes),
        "hardLimit": limit,
        "scope": "account",
        "name": call.address,
        "types": ["Email"],
        "warnLimit": None,
        "softLimit": None,
        "description": "All mail of the account.",
    }


async def read(call: Call, ids: list[str] | None, properties: Sequence[str]) -> tuple[str, list[Json]]:
    """The one quota."""
    state, quota = await _load(call)
    return state, [{name: quota[name] for name in properties}] if ids is None or ID in ids else []


KIND = Kind(name=states.QUOTA, properties=frozenset(PROPERTIES), defaults=PROPERTIES, read=read)


async def changed(call: Call) -> Answer:
    """RFC 9425 §4.2: only its use ever changes."""
    since = methods.read_since(call, "sinceState")
    kind = states.logged_as(states.QUOTA)
    page = await call.services.db.read(lambda tx: history.page(tx, call.account_id, kind, since, None))
    if page is None:
        raise MethodError("cannotCalculateChanges")
    moved = bool(page.created or page.updated or page.destroyed)
    return [
        (
            call.method,
            {
                "accountId": call.account_id,
                "oldState": call.args["sinceState"],
                "newState": states.write(page.position),
                "hasMoreChanges": False,
                "created": [],
                "updated": [ID] if moved else [],
                "destroyed": [],
                "updatedProperties": ["used"] if moved else None,
            },
        )
    ]


async def _ids(call: Call) -> tuple[str, list[str]]:
    filter_: Json = call.get("filter", dict, {})
    filters.measure(call, filter_)
    for comparator in methods.read_sort(call):
        if comparator["property"] not in ("name", "used"):
            raise MethodError("unsupportedSort")
    state, quota = await _load(call)
    for name, value in filter_.items():
        if name not in _FILTERS:
            raise MethodError("unsupportedFilter")
        if not isinstance(value, str):
            raise invalid("filter", f"{name} is a string")
        there: Any = quota[_FILTERS[name]]
        if name == "name" and value.casefold() not in there.casefold():
            return state, []
        if name != "name" and not (value in there if isinstance(there, list) else value == there):
            return state, []
    return state, [ID]


async def query(call: Call) -> Answer:
    """RFC 9425 §4.3."""
    window = methods.read_window(call)
    state, ids = await _ids(call)
    return [(call.method, methods.query_body(call, window, state=state, ids=ids))]


async def query_changes(call: Call) -> Answer:
    """RFC 9425 §4.4: there is one quota, and it never comes or goes."""
    methods.read_since(call, "sinceQueryState")
    state, ids = await _ids(call)
    body = methods.query_changes_body(
        call, new_state=state, ids=ids, gone=set(), changed=set(), created=set(), up_to=True, total=len(ids)
    )
    return [(call.method, body)]
