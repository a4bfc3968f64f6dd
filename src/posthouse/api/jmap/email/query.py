"""Email/query and Email/queryChanges (RFC 8621 §4.4–4.5)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from posthouse.api.jmap import filters, methods, states
from posthouse.api.jmap.calls import Answer, Call, Json, invalid
from posthouse.api.jmap.errors import MethodError
from posthouse.api.jmap.methods import Window
from posthouse.kit.clock import parse_iso
from posthouse.mail import indexing
from posthouse.mail.journal import EMAIL, THREAD
from posthouse.store import changes, matching, messages, walking
from posthouse.store.database import Tx
from posthouse.store.matching import Comparator, Condition, Filter, Operator

SORTS = (
    "receivedAt", "sentAt", "size", "from", "to", "subject", "hasKeyword", "allInThreadHaveKeyword",
    "someInThreadHaveKeyword",
)  # fmt: skip
_KEYWORD_SORTS = frozenset(SORTS[6:])
_DEFAULT_SORT = (Comparator("receivedAt", is_ascending=False),)
# RFC 8620 §5.5: a server may give fewer than everything, and says so.
MAX_LIMIT = 50_000
# What is asked of other tables for every message looked at, and of every message's header: so often in one filter.
_MAX_ASKED_ELSEWHERE = 50
_MAX_HEADER_CONDITIONS = 10

# Condition → field of `matching.Condition` and the type it has in JSON.
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
_TEXT_FIELDS = (*matching.TEXT_FIELDS, "header")
# Sorts that the text index keeps the order of.
_INDEXED_SORTS = frozenset({"from", "subject"})
_THREAD_FIELDS = ("all_in_thread", "some_in_thread", "none_in_thread")
_SINGLE_QUOTED = re.compile(r"(?:(?<=\s)|^)'([^']*)'(?=\s|$)")


class Query(NamedTuple):
    """What is asked for."""

    filter: Filter | None
    sort: tuple[Comparator, ...]
    collapse: bool

    @property
    def is_calculable(self) -> bool:
        """Whether `/queryChanges` can answer: nothing depends on other messages, on words, or on what changes."""
        if any(comparator.property in _KEYWORD_SORTS for comparator in self.sort):
            return False
        conditions = matching.conditions_of(self.filter) if self.filter is not None else []
        return not any(
            getattr(condition, name) is not None
            for condition in conditions
            for name in (*_TEXT_FIELDS, *_THREAD_FIELDS)
        )

    @property
    def is_immutable(self) -> bool:
        """Whether neither filter nor sort looks at anything that can change of a message."""
        conditions = matching.conditions_of(self.filter) if self.filter is not None else []
        mutable = ("in_mailbox", "in_mailbox_other_than", *_KEYWORD_FIELDS)
        return self.is_calculable and not any(
            getattr(condition, name) is not None for condition in conditions for name in mutable
        )


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
        if name in _KEYWORD_SORTS and not (isinstance(keyword, str) and keyword):
            raise invalid("sort", f"{name} needs a keyword")
        fold = methods.collation(each)
        sort.append(Comparator(name, each.get("isAscending", True), str(keyword).lower(), fold))
    return Query(
        filter_,
        tuple(sort) or _DEFAULT_SORT,
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
    conditions = matching.conditions_of(found)
    for names, most, what in (
        (("header",), _MAX_HEADER_CONDITIONS, "headers"),
        (("in_mailbox", "in_mailbox_other_than", *_THREAD_FIELDS), _MAX_ASKED_ELSEWHERE, "mailboxes and threads"),
    ):
        if sum(getattr(each, name) is not None for each in conditions for name in names) > most:
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
    if field in matching.TEXT_FIELDS:
        return _SINGLE_QUOTED.sub(r'"\1"', given)  # RFC 8621 §4.4.1: either quote makes a phrase
    return given


async def prepare(call: Call, query: Query) -> None:
    """A search finds what a reader can list: the index catches up first."""
    conditions = matching.conditions_of(query.filter) if query.filter is not None else []
    if any(comparator.property in _INDEXED_SORTS for comparator in query.sort) or any(
        getattr(condition, name) is not None for condition in conditions for name in matching.TEXT_FIELDS
    ):
        await indexing.drain(call.services.db, call.account_id)


async def query(call: Call) -> Answer:
    """RFC 8621 §4.4."""
    asked, window = read_query(call), methods.read_window(call)
    capped = window.limit is None or window.limit > MAX_LIMIT
    window = window._replace(limit=MAX_LIMIT) if capped else window
    count = call.get("calculateTotal", bool, False)
    await prepare(call, asked)

    async def unit(tx: Tx) -> tuple[str, int, list[str], int | None]:
        state = await states.current(tx, call.account_id, EMAIL)
        position, found = await page(tx, call.account_id, asked, window)
        total = await matching.count(tx, call.account_id, asked.filter, collapse=asked.collapse) if count else None
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


async def page(tx: Tx, account_id: str, asked: Query, window: Window) -> tuple[int, list[str]]:
    """The position and the ids of a window, reading no more than it takes from the first result on.

    An anchor is looked for among all results, and so is a position counted from the end of collapsed ones.

    Raises:
        MethodError: `anchorNotFound`.
    """
    assert window.limit is not None
    if window.anchor is not None or (window.position < 0 and asked.collapse):
        return methods.slice_of(await everything(tx, account_id, asked), window)
    start = window.position
    if start < 0:
        start = max(0, start + await matching.count(tx, account_id, asked.filter, collapse=False))
    found = await walking.first(tx, account_id, asked.filter, asked.sort, start + window.limit, collapse=asked.collapse)
    return start, [match.id for match in found[start:]]


async def everything(tx: Tx, account_id: str, asked: Query) -> list[str]:
    """All results in order; with `collapse`, the first of each thread."""
    found = await matching.ids(tx, account_id, asked.filter, asked.sort)
    return [match.id for match in (_collapsed(found) if asked.collapse else found)]


def _collapsed(found: Sequence[matching.Match]) -> list[matching.Match]:
    seen: dict[str, matching.Match] = {}
    for match in found:
        seen.setdefault(match.thread_id, match)
    return list(seen.values())


async def query_changes(call: Call) -> Answer:
    """RFC 8621 §4.5: what may have changed is taken out and put in again where it lies now."""
    since, asked = methods.read_since(call, "sinceQueryState"), read_query(call)
    if not asked.is_calculable:
        raise MethodError("cannotCalculateChanges")

    async def unit(tx: Tx) -> tuple[changes.Page | None, list[str], set[str]]:
        log = await changes.page(tx, call.account_id, EMAIL, since, None)
        if log is None:
            return None, [], set()
        affected = {*log.created, *log.updated}
        if asked.collapse:
            # Another message may now stand for its thread.
            moved = await changes.objects_since(tx, call.account_id, THREAD, since.modseq)
            known = await messages.get_many(tx, call.account_id, sorted(affected))
            threads = {message.thread_id for message in known.values()}
            threads |= moved
            members = await messages.thread_members(tx, call.account_id, sorted(threads))
            affected |= {id_ for ids in members.values() for id_ in ids}
        return log, await everything(tx, call.account_id, asked), affected

    log, ids, affected = await call.services.db.read(unit)
    if log is None:
        raise MethodError("cannotCalculateChanges")
    # What has been made since cannot have been among the results.
    old = affected - set(log.created)
    body = methods.query_changes_body(
        call,
        new_state=states.write(log.position),
        ids=ids,
        gone=set(log.destroyed),
        changed=old,
        created=set(log.created),
        up_to=asked.is_immutable and not asked.collapse,
        total=len(ids),
    )
    return [(call.method, body)]
