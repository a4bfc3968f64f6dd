"""Email/query and Email/queryChanges (RFC 8621 §4.4–4.5)."""

from __future__ import annotations

import re
from typing import Any

from posthouse.api.jmap import filters, methods, states
from posthouse.api.jmap.calls import Answer, Call, Json, invalid
from posthouse.api.jmap.errors import MethodError
from posthouse.api.jmap.methods import Window
from posthouse.kit.clock import parse_iso
from posthouse.mail import windows
from posthouse.mail.journal import EMAIL
from posthouse.mail.windows import KEYWORD_SORTS, NEWEST_FIRST, THREAD_FIELDS, Query
from posthouse.store.database import Tx
from posthouse.store.filters import TEXT_FIELDS, Comparator, Condition, Filter, Operator

SORTS = (
    "receivedAt", "sentAt", "size", "from", "to", "subject", "hasKeyword", "allInThreadHaveKeyword",
    "someInThreadHaveKeyword",
)  # fmt: skip
# RFC 8620 §5.5: a server may give fewer than everything, and says so.
MAX_LIMIT = 50_000
# What is asked of other tables for every message looked at, and of every message's header: so often in one filter.
_MAX_ASKED_ELSEWHERE = 50
_MAX_HEADER_CONDITIONS = 10

# Condition → field of `store.filters.Condition` and the type it has in JSON.
_FIELDS: dict[str, tuple[str, type]] = {
    "inMailbox": ("in_mailbox", str),
    "inMailboxOtherThan": ("in_mailbox_other_than", list),
    "before": ("before", str),
    "after": ("after", str),
    "minSize": ("min_size", int),
    "maxSize": ("max_size", int),
    "allInThreadHaveKeyword": ("all_in_thread", str),
    "someInThreadHaveKeyword": ("some_in_thread", str),
    "noneInThreadHaveKeyword": ("none_in_thread", str),
    "hasKeyword": ("has_keyword", str),
    "notKeyword": ("not_keyword", str),
    "hasAttachment": ("has_attachment", bool),
    "text": ("text", str),
    "from": ("from_", str),
    "to": ("to", str),
    "cc": ("cc", str),
    "bcc": ("bcc", str),
    "subject": ("subject", str),
    "body": ("body", str),
    "header": ("header", list),
}
_KEYWORD_FIELDS = frozenset({"all_in_thread", "some_in_thread", "none_in_thread", "has_keyword", "not_keyword"})
_SINGLE_QUOTED = re.compile(r"(?:(?<=\s)|^)'([^']*)'(?=\s|$)")


def read_query(call: Call) -> Query:
    """The filter and the sort.

    Raises:
        MethodError: `invalidArguments`, `unsupportedFilter`, `unsupportedSort`.
    """
    filter_ = read_filter(call)
    sort = []
    for each in methods.read_sort(call):
        name = each["property"]
        if name not in SORTS:
            raise MethodError("unsupportedSort", f"emails are not sorted by {name!r}")
        keyword = each.get("keyword", "")
        if name in KEYWORD_SORTS and not (isinstance(keyword, str) and keyword):
            raise invalid("sort", f"{name} needs a keyword")
        fold = methods.collation(each)
        sort.append(Comparator(name, each.get("isAscending", True), str(keyword).lower(), fold))
    return Query(
        filter_,
        tuple(sort) or NEWEST_FIRST,
        call.get("collapseThreads", bool, False),
    )


def read_filter(call: Call) -> Filter | None:
    """The filter of a call.

    Raises:
        MethodError: `invalidArguments`, `unsupportedFilter`.
    """
    value = call.get("filter", dict)
    filters.measure(call, value)
    if value is None:
        return None
    found = _filter(call, value)
    conditions = list(found.leaves())
    for names, most, what in (
        (("header",), _MAX_HEADER_CONDITIONS, "headers"),
        (("in_mailbox", "in_mailbox_other_than", *THREAD_FIELDS), _MAX_ASKED_ELSEWHERE, "mailboxes and threads"),
    ):
        if sum(each.asks(names) for each in conditions) > most:
            raise MethodError("unsupportedFilter", f"a filter has at most {most} conditions on {what}")
    return found


def _filter(call: Call, value: Json) -> Filter:
    if "operator" in value:
        return Operator(value["operator"], tuple(_filter(call, each) for each in value["conditions"]))
    fields: dict[str, Any] = {}
    for name, given in value.items():
        if name not in _FIELDS:
            raise MethodError("unsupportedFilter", f"there is no condition {name!r}")
        field, kind = _FIELDS[name]
        if not isinstance(given, kind) or (isinstance(given, bool) and kind is int):
            raise invalid("filter", f"{name} is of the wrong type")
        fields[field] = _read_value(call, name, field, given)
    return Condition(**fields)


def _read_value(call: Call, name: str, field: str, given: Any) -> Any:
    if field in ("before", "after"):
        try:
            return parse_iso(given)
        except (ValueError, OverflowError) as error:
            raise invalid("filter", f"{name} is not a date") from error
    if field == "in_mailbox":
        return call.resolve(given)
    if field == "in_mailbox_other_than":
        if not all(isinstance(each, str) for each in given):
            raise invalid("filter", f"{name} is a list of ids")
        return tuple(call.resolve(each) for each in given)
    if field in ("min_size", "max_size") and not 0 <= given < 2**53:
        raise invalid("filter", f"{name} is not an unsigned integer")
    if field in _KEYWORD_FIELDS:
        return given.lower()
    if field == "header":
        if len(given) not in (1, 2) or not all(isinstance(each, str) for each in given) or not given[0]:
            raise invalid("filter", "header is a name and perhaps a text")
        return tuple(given)
    if field in TEXT_FIELDS:
        return _SINGLE_QUOTED.sub(r'"\1"', given)  # RFC 8621 §4.4.1: either quote makes a phrase
    return given


async def query(call: Call) -> Answer:
    """RFC 8621 §4.4."""
    asked, window = read_query(call), methods.read_window(call)
    capped = window.limit is None or window.limit > MAX_LIMIT
    window = window._replace(limit=MAX_LIMIT) if capped else window
    count = call.get("calculateTotal", bool, False)
    await windows.catch_up(call.services.db, call.account_id, asked)

    async def unit(tx: Tx) -> tuple[str, int, list[str], int | None]:
        state = await states.current(tx, call.account_id, EMAIL)
        position, found = await _window(tx, call.account_id, asked, window)
        total = await windows.total(tx, call.account_id, asked) if count else None
        return state, position, found, total

    state, position, found, total = await call.services.db.read(unit)
    body: Json = {
        "accountId": call.account_id,
        "queryState": state,
        "canCalculateChanges": asked.is_calculable,
        "collapseThreads": asked.collapse,
        "position": position,
        "ids": found,
    }
    if total is not None:
        body["total"] = total
    if capped and (call.args.get("limit") is not None or len(found) == MAX_LIMIT):
        body["limit"] = MAX_LIMIT
    return [(call.method, body)]


async def _window(tx: Tx, account_id: str, asked: Query, window: Window) -> tuple[int, list[str]]:
    """The position and the ids of a window; an anchor is looked for among all results.

    Raises:
        MethodError: `anchorNotFound`.
    """
    if window.anchor is not None:
        return methods.slice_of(await windows.everything(tx, account_id, asked), window)
    assert window.limit is not None
    return await windows.window(tx, account_id, asked, position=window.position, limit=window.limit)


async def query_changes(call: Call) -> Answer:
    """RFC 8621 §4.5: what may have changed is taken out and put in again where it lies now."""
    since, asked = methods.read_since(call, "sinceQueryState"), read_query(call)
    if not asked.is_calculable:
        raise MethodError("cannotCalculateChanges")

    found = await call.services.db.read(lambda tx: windows.changed(tx, call.account_id, asked, since))
    if found is None:
        raise MethodError("cannotCalculateChanges")
    log, ids = found.log, found.ids
    body = methods.query_changes_body(
        call,
        new_state=states.write(log.position),
        ids=ids,
        gone=set(log.destroyed),
        changed=found.older,
        created=set(log.created),
        up_to=asked.is_immutable and not asked.collapse,
        total=len(ids),
    )
    return [(call.method, body)]
