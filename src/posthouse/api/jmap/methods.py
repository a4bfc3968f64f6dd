"""What the methods of all types have in common: get, changes, set, queryChanges (RFC 8620 §5).

A type (`Email`, `Mailbox` …) is a `Kind`: the type's properties, and the functions in which it differs from others.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from posthouse.api.jmap import calls, states
from posthouse.api.jmap.budget import MAX_COMPARATORS, MAX_PROPERTIES
from posthouse.api.jmap.calls import Answer, Call, Json, invalid, is_id
from posthouse.api.jmap.errors import MethodError, SetError, set_error
from posthouse.kit.errors import PosthouseError
from posthouse.mail import history
from posthouse.mail.journal import Journal, changing
from posthouse.store.changes import Page, Position
from posthouse.store.database import Tx

Properties = Sequence[str]
Read = Callable[[Call, list[str] | None, Properties], Awaitable[tuple[str, list[Json]]]]


class Work(NamedTuple):
    """What the `create`, `update` and `destroy` of a `Kind` work with, inside the unit of a `/set`."""

    tx: Tx
    journal: Journal
    call: Call
    cache: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of JMAP.

    Attributes:
        name: as written before the slash of a method, and in the change log.
        properties: the names of all properties.
        defaults: the properties a `/get` returns when it names none; None: all.
        read: (call, ids or None for all, properties) → the type's state, and the objects found. Each object has at
            least the properties asked for, and `id`.
        prepare: before the unit: reads a new object's properties, and returns what `create` is given. Raises
            `SetError`.
        create: in the unit: makes the object; returns the properties the server set, `id` among them.
        update: in the unit: applies a patch to an object; returns the properties the server changed beyond the
            patch, or None.
        destroy: in the unit: destroys an object.
        is_property: whether a name that is not among `properties` is a property all the same (`header:…`).
        singleton: an account has exactly one object of this type, with the id `singleton`.
    """

    name: str
    properties: frozenset[str]
    read: Read
    defaults: tuple[str, ...] | None = None
    prepare: Callable[[Call, Json], Awaitable[Any]] | None = None
    create: Callable[[Work, Any], Awaitable[Json]] | None = None
    update: Callable[[Work, str, Json], Awaitable[Json | None]] | None = None
    destroy: Callable[[Work, str], Awaitable[None]] | None = None
    is_property: Callable[[str], bool] | None = None
    singleton: bool = False
    destroy_order: Callable[[Work, list[str]], Awaitable[list[str]]] | None = None


# --- /get


async def get(kind: Kind, call: Call) -> Answer:
    """Answer a `/get` (RFC 8620 §5.1)."""
    ids = call.strings("ids")
    properties = check_properties(kind, call.strings("properties"))
    wanted = None
    if ids is not None:
        wanted = list(dict.fromkeys(call.resolve(each) for each in ids))
        if len(wanted) > calls.MAX_OBJECTS_IN_GET:
            raise MethodError("requestTooLarge", f"at most {calls.MAX_OBJECTS_IN_GET} objects a call")
    # What cannot be an id names nothing; it is not looked for, and does not fail the call.
    state, found = await kind.read(
        call, None if wanted is None else [each for each in wanted if is_id(each)], properties
    )
    if wanted is None and len(found) > calls.MAX_OBJECTS_IN_GET:
        raise MethodError("requestTooLarge", f"more than {calls.MAX_OBJECTS_IN_GET} objects: name their ids")
    by_id = {each["id"]: each for each in found}
    return [
        (
            call.method,
            {
                "accountId": call.account_id,
                "state": state,
                "list": [by_id[each] for each in (wanted if wanted is not None else by_id) if each in by_id],
                "notFound": [] if wanted is None else [each for each in wanted if each not in by_id],
            },
        )
    ]


def check_properties(kind: Kind, properties: list[str] | None) -> list[str]:
    """The properties a `/get` is to return, `id` among them.

    Raises:
        MethodError: `invalidArguments`: the type has no such property.
    """
    if properties is None:
        return list(kind.defaults or sorted(kind.properties))
    check_count("properties", properties)
    for name in properties:
        if name not in kind.properties and not (kind.is_property is not None and kind.is_property(name)):
            raise invalid("properties", f"{kind.name} has no property {name!r}")
    return list(dict.fromkeys(["id", *properties]))


def check_count(argument: str, properties: Sequence[str]) -> None:
    """Refuse a list of properties longer than any type has. Raises `MethodError("requestTooLarge")`."""
    if len(properties) > MAX_PROPERTIES:
        raise MethodError("requestTooLarge", f"{argument}: at most {MAX_PROPERTIES} a call")


# --- /changes


async def changed(kind: str, call: Call) -> Answer:
    """Answer a `/changes` (RFC 8620 §5.2)."""
    since, limit = read_since(call, "sinceState"), _max_changes(call)
    page = await call.services.db.read(
        lambda tx: history.page(tx, call.account_id, states.logged_as(kind), since, limit)
    )
    if page is None:
        raise MethodError("cannotCalculateChanges")
    return [
        (
            call.method,
            {
                "accountId": call.account_id,
                "oldState": call.args["sinceState"],
                "newState": states.write(page.position),
                "hasMoreChanges": page.has_more,
                "created": list(page.created),
                "updated": list(page.updated),
                "destroyed": list(page.destroyed),
            },
        )
    ]


def read_since(call: Call, name: str) -> Position:
    """The change number that the state in an argument stands for.

    Raises:
        MethodError: `cannotCalculateChanges`: this server never gave out such a state.
    """
    since = states.read(call.required(name, str))
    if since is None:
        raise MethodError("cannotCalculateChanges")
    return since


def _max_changes(call: Call) -> int | None:
    limit = call.uint("maxChanges")
    if limit == 0:
        raise invalid("maxChanges", "it is greater than zero")
    return limit


# --- /set


@dataclass(slots=True)
class Outcome:
    """What a `/set` did."""

    old_state: str = ""
    new_state: str = ""
    created: dict[str, Json] = field(default_factory=dict)
    updated: dict[str, Json | None] = field(default_factory=dict)
    destroyed: list[str] = field(default_factory=list)
    not_created: dict[str, Json] = field(default_factory=dict)
    not_updated: dict[str, Json] = field(default_factory=dict)
    not_destroyed: dict[str, Json] = field(default_factory=dict)

    def body(self, account_id: str) -> Json:
        """The response's arguments."""
        return {
            "accountId": account_id,
            "oldState": self.old_state,
            "newState": self.new_state,
            "created": self.created or None,
            "updated": self.updated or None,
            "destroyed": self.destroyed or None,
            "notCreated": self.not_created or None,
            "notUpdated": self.not_updated or None,
            "notDestroyed": self.not_destroyed or None,
        }


async def set_(kind: Kind, call: Call) -> Answer:
    """Answer a `/set` (RFC 8620 §5.3)."""
    outcome = await apply(kind, call)
    return [(call.method, outcome.body(call.account_id))]


async def apply(kind: Kind, call: Call) -> Outcome:
    """Create, update and destroy objects in one unit.

    Of an object that is refused nothing is written; the others go through.
    """
    create, update, destroy = call.objects("create"), call.objects("update"), call.strings("destroy") or []
    if_in_state = call.get("ifInState", str)
    if len(create) + len(update) + len(destroy) > calls.MAX_OBJECTS_IN_SET:
        raise MethodError("requestTooLarge", f"at most {calls.MAX_OBJECTS_IN_SET} objects a call")
    prepared: dict[str, Any] = {}
    refused: dict[str, Json] = {}
    for creation_id, value in create.items():
        try:
            if kind.singleton:
                raise SetError("singleton")
            if kind.prepare is None:
                raise SetError("forbidden")
            prepared[creation_id] = await kind.prepare(call, value)
        except SetError as error:
            refused[creation_id] = error.body
        except PosthouseError as error:
            refused[creation_id] = set_error(error).body

    at = call.services.clock()
    known = dict(call.created_ids)

    async def unit(tx: Tx) -> Outcome:
        # A unit can be run again: what it learns is its own until it has been committed.
        call.created_ids.clear()
        call.created_ids.update(known)
        outcome = Outcome(not_created=dict(refused))
        outcome.old_state = await states.current(tx, call.account_id, kind.name)
        if if_in_state is not None and if_in_state != outcome.old_state:
            raise MethodError("stateMismatch")
        if prepared or update or destroy:
            async with changing(tx, call.account_id, at) as journal:
                await _all(kind, Work(tx, journal, call, {}), outcome, prepared, update, destroy)
        outcome.new_state = await states.current(tx, call.account_id, kind.name)
        return outcome

    return await call.services.db.write(unit)


async def _all(
    kind: Kind,
    work: Work,
    outcome: Outcome,
    prepared: Mapping[str, Any],
    update: Mapping[str, Json],
    destroy: Sequence[str],
) -> None:
    call = work.call
    for creation_id in _in_order(prepared):
        try:
            assert kind.create is not None
            made = await kind.create(work, prepared[creation_id])
            outcome.created[creation_id] = made
            call.created_ids[creation_id] = made["id"]
        except (SetError, PosthouseError) as error:
            outcome.not_created[creation_id] = _body(error)
    doomed = {call.resolve(each) for each in destroy}
    for named, patch in update.items():
        id_ = call.resolve(named)
        try:
            if id_ in doomed:
                raise SetError("willDestroy")
            if kind.update is None:
                raise SetError("forbidden")
            if not is_id(id_):
                raise SetError("notFound")
            outcome.updated[id_] = await kind.update(work, id_, check_patch(patch))
        except (SetError, PosthouseError) as error:
            outcome.not_updated[named] = _body(error)
    wanted = list(dict.fromkeys(call.resolve(each) for each in destroy))
    if kind.destroy_order is not None:
        wanted = await kind.destroy_order(work, wanted)
    for id_ in wanted:
        try:
            if kind.singleton:
                raise SetError("singleton")
            if kind.destroy is None:
                raise SetError("forbidden")
            if not is_id(id_):
                raise SetError("notFound")
            await kind.destroy(work, id_)
            outcome.destroyed.append(id_)
        except (SetError, PosthouseError) as error:
            outcome.not_destroyed[id_] = _body(error)


def _body(error: SetError | PosthouseError) -> Json:
    return error.body if isinstance(error, SetError) else set_error(error).body


def _in_order(prepared: Mapping[str, Any]) -> list[str]:
    """Creation ids, each object after those it names; objects that name each other round about stay as they came."""
    order: dict[str, None] = {}
    begun: set[str] = set()
    for first in prepared:
        path = [first]
        while path:
            needs = getattr(prepared[path[-1]], "needs", ())
            begun.add(path[-1])
            following = next((each for each in needs if each in prepared and each not in begun), None)
            if following is None:
                order[path.pop()] = None
            else:
                path.append(following)
    return list(order)


def check_patch(patch: Json) -> Json:
    """Return a patch in which no path lies inside another path (RFC 8620 §5.3).

    Raises:
        SetError: `invalidPatch`.
    """
    paths = sorted(path.split("/") for path in patch)
    for one, other in itertools.pairwise(paths):
        if other[: len(one)] == one:
            raise SetError("invalidPatch", "a path lies inside another one")
    return patch


def unescape(token: str) -> str:
    """One step of a patch's path with its escapes undone (RFC 6901 §4)."""
    return token.replace("~1", "/").replace("~0", "~")


# --- /query and /queryChanges


class Window(NamedTuple):
    """Which part of a query's results the caller asks for."""

    position: int
    anchor: str | None
    anchor_offset: int
    limit: int | None


def read_window(call: Call) -> Window:
    """The window that a call's position, anchor and limit describe (RFC 8620 §5.5)."""
    position, offset = call.get("position", int, 0), call.get("anchorOffset", int, 0)
    for name, value in (("position", position), ("anchorOffset", offset)):
        if abs(value) > calls.MAX_INT:
            raise invalid(name, "it is out of range")
    anchor = call.get("anchor", str)
    return Window(position, call.resolve(anchor) if anchor else None, offset, call.uint("limit"))


def slice_of(ids: Sequence[str], window: Window) -> tuple[int, list[str]]:
    """Where a window on all results begins, and the ids inside the window.

    Raises:
        MethodError: `anchorNotFound`: the anchor is not among the results.
    """
    if window.anchor is not None:
        if window.anchor not in ids:
            raise MethodError("anchorNotFound")
        start = max(0, ids.index(window.anchor) + window.anchor_offset)
    elif window.position < 0:
        start = max(0, len(ids) + window.position)
    else:
        start = window.position
    end = len(ids) if window.limit is None else start + window.limit
    return start, list(ids[start:end])


def query_body(call: Call, window: Window, *, state: str, ids: Sequence[str], is_calculable: bool = True) -> Json:
    """The answer of a `/query` whose results are all at hand.

    Raises:
        MethodError: `anchorNotFound`.

    Source: RFC 8620 §5.5.
    """
    position, shown = slice_of(ids, window)
    body: Json = {
        "accountId": call.account_id,
        "queryState": state,
        "canCalculateChanges": is_calculable,
        "position": position,
        "ids": shown,
    }
    if call.get("calculateTotal", bool, False):
        body["total"] = len(ids)
    return body


def changes_of_page(call: Call, page: Page | None, ids: Sequence[str]) -> Json:
    """The answer of a `/queryChanges` out of the change log and the present results.

    Raises:
        MethodError: `cannotCalculateChanges` where the log does not reach back, or as `query_changes_body`.
    """
    if page is None:
        raise MethodError("cannotCalculateChanges")
    return query_changes_body(
        call,
        new_state=states.write(page.position),
        ids=ids,
        gone=set(page.destroyed),
        changed=set(page.updated),
        created=set(page.created),
        up_to=False,
        total=len(ids),
    )


def query_changes_body(
    call: Call,
    *,
    new_state: str,
    ids: Sequence[str],
    gone: set[str],
    changed: set[str],
    created: set[str],
    up_to: bool,
    total: int,
) -> Json:
    """The answer of a `/queryChanges` out of the present results and of what may have changed since.

    Args:
        gone: objects that are no more.
        changed: older objects that may have entered, left or moved.
        created: objects made since, which cannot have been among the old results.
        up_to: whether `upToId` may be honoured: filter and sort look at what never changes.

    Raises:
        MethodError: `tooManyChanges`.

    Source: RFC 8620 §5.6.
    """
    added = [{"id": id_, "index": index} for index, id_ in enumerate(ids) if id_ in changed or id_ in created]
    up_to_id = call.get("upToId", str)
    if up_to and up_to_id in ids:
        last = ids.index(up_to_id)
        added = [each for each in added if each["index"] <= last]  # type: ignore[operator]
    removed = sorted(gone | changed)
    limit = _max_changes(call)
    if limit is not None and len(added) + len(removed) > limit:
        raise MethodError("tooManyChanges")
    body: Json = {
        "accountId": call.account_id,
        "oldQueryState": call.args["sinceQueryState"],
        "newQueryState": new_state,
        "removed": removed,
        "added": added,
    }
    if call.get("calculateTotal", bool, False):
        body["total"] = total
    return body


def read_sort(call: Call) -> list[Json]:
    """The comparators, each with a property and a direction.

    Raises:
        MethodError: `invalidArguments`.
    """
    sort = call.get("sort", list, [])
    if len(sort) > MAX_COMPARATORS:
        raise MethodError("unsupportedSort", f"an order has at most {MAX_COMPARATORS} comparators")
    for each in sort:
        if not (
            isinstance(each, dict)
            and isinstance(each.get("property"), str)
            and isinstance(each.get("isAscending", True), bool)
        ):
            raise invalid("sort", "expected a list of comparators")
    return sort  # type: ignore[no-any-return]


COLLATIONS: dict[str, Callable[[str], str]] = {
    # RFC 4790 §9.2: only the letters of ASCII have two cases.
    "i;ascii-casemap": lambda text: "".join(c.upper() if c.isascii() else c for c in text),
    "i;unicode-casemap": str.casefold,  # RFC 5051
    "i;octet": lambda text: text,
}


def collation(comparator: Json) -> Callable[[str], str]:
    """How a comparator's texts are folded before they are compared.

    Raises:
        MethodError: `unsupportedSort`.
    """
    name = comparator.get("collation")
    if name is None:
        return COLLATIONS["i;unicode-casemap"]
    if name not in COLLATIONS:
        raise MethodError("unsupportedSort", f"there is no collation {name!r}")
    return COLLATIONS[name]
