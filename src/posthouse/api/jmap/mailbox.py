"""Mailbox (RFC 8621 §2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from posthouse.api.jmap import filters, methods, states
from posthouse.api.jmap.budget import TESTS
from posthouse.api.jmap.calls import Answer, Call, Fields, Json, invalid
from posthouse.api.jmap.errors import MethodError, SetError
from posthouse.api.jmap.methods import Kind, Work
from posthouse.kit.errors import Conflict
from posthouse.mail import history, mailbox_rules
from posthouse.mail.journal import MAILBOX, MAILBOX_PROPERTIES
from posthouse.store.changes import Page
from posthouse.store.database import Tx
from posthouse.store.mailboxes import Mailbox

PROPERTIES = (
    "id", "name", "parentId", "role", "sortOrder", "totalEmails", "unreadEmails", "totalThreads", "unreadThreads",
    "myRights", "isSubscribed",
)  # fmt: skip
_COUNTS = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")
_SETTABLE = frozenset({"name", "parentId", "role", "sortOrder", "isSubscribed"})
_MAX_SORT_ORDER = 2**31 - 1
# Why the core does not destroy a mailbox → `SetError` (RFC 8621 §2.5).
_NOT_DESTROYED = {"has_children": "mailboxHasChild", "has_mail": "mailboxHasEmail"}


def shape(mailbox: Mailbox) -> Json:
    """A mailbox as clients read it."""
    may_change = mailbox_rules.may_delete(mailbox)
    return {
        "id": mailbox.id,
        "name": mailbox.name,
        "parentId": mailbox.parent_id,
        "role": mailbox.role,
        "sortOrder": mailbox.sort_order,
        "totalEmails": mailbox.total_messages,
        "unreadEmails": mailbox.unread_messages,
        "totalThreads": mailbox.total_threads,
        "unreadThreads": mailbox.unread_threads,
        "myRights": {
            "mayReadItems": True,
            "mayAddItems": True,
            "mayRemoveItems": True,
            "maySetSeen": True,
            "maySetKeywords": True,
            "mayCreateChild": True,
            "mayRename": True,
            "mayDelete": may_change,
            "maySubmit": True,
        },
        "isSubscribed": mailbox.is_subscribed,
    }


async def _all(tx: Tx, call: Call) -> tuple[str, list[Mailbox]]:
    """The state, and the account's mailboxes in their order."""
    state = await states.current(tx, call.account_id, MAILBOX)
    return state, list((await mailbox_rules.all_of(tx, call.account_id)).values())


async def read(call: Call, ids: list[str] | None, properties: Sequence[str]) -> tuple[str, list[Json]]:
    """The mailboxes with these ids."""

    state, found = await call.services.db.read(lambda tx: _all(tx, call))
    wanted = None if ids is None else set(ids)
    shown = [shape(each) for each in found if wanted is None or each.id in wanted]
    return state, [{name: each[name] for name in properties} for each in shown]


@dataclass(frozen=True, slots=True)
class _New:
    """A mailbox about to be made. `needs`: creation ids its parent may be made under."""

    name: str
    parent: str | None
    role: str | None
    sort_order: int
    is_subscribed: bool
    needs: tuple[str, ...] = ()


async def prepare(call: Call, value: Json) -> _New:
    """Read a mailbox to be made."""
    fields = Fields(value, _SETTABLE)
    name = fields.get("name", str)
    if name is None:
        fields.fail("name")
    sort_order = fields.get("sortOrder", int, 0)
    if not 0 <= sort_order <= _MAX_SORT_ORDER:
        fields.fail("sortOrder")
    parent = fields.get("parentId", str)
    role = fields.get("role", str)
    is_subscribed = fields.get("isSubscribed", bool, False)
    fields.check()
    needs = (parent[1:],) if parent and parent.startswith("#") else ()
    return _New(name, parent, role.lower() if role else None, sort_order, is_subscribed, needs)


async def _known(work: Work) -> dict[str, Mailbox]:
    found: dict[str, Mailbox] | None = work.cache.get("mailboxes")
    if found is None:
        found = await mailbox_rules.all_of(work.tx, work.call.account_id)
        work.cache["mailboxes"] = found
    return found


async def create(work: Work, new: _New) -> Json:
    """Make a mailbox."""
    known = await _known(work)
    try:
        made = await mailbox_rules.create(
            work.tx,
            work.journal,
            name=new.name,
            parent_id=work.call.resolve(new.parent) if new.parent else None,
            role=new.role,
            sort_order=new.sort_order,
            is_subscribed=new.is_subscribed,
            known=known,
        )
    except Conflict as error:
        raise SetError("alreadyExists", error.message) from error
    known[made.id] = made
    shown = shape(made)
    given = {"name": new.name, "parentId": new.parent, "role": new.role, "sortOrder": new.sort_order,
             "isSubscribed": new.is_subscribed}  # fmt: skip
    return {name: value for name, value in shown.items() if name not in given or given[name] != value or name == "id"}


async def update(work: Work, id_: str, patch: Json) -> Json | None:
    """Change a mailbox."""
    known = await _known(work)
    before = known.get(id_)
    if before is None:
        raise SetError("notFound")
    shown = shape(before)
    # What the server sets may be given as it is (RFC 8620 §5.3).
    rest = {
        name: value for name, value in patch.items() if not (name not in _SETTABLE and shown.get(name, ...) == value)
    }
    fields = Fields(rest, _SETTABLE)
    wanted = before
    if "name" in rest:
        name = fields.get("name", str)
        if name is None:
            fields.fail("name")
        else:
            wanted = replace(wanted, name=name)
    if "parentId" in rest:
        parent = fields.get("parentId", str)
        wanted = replace(wanted, parent_id=work.call.resolve(parent) if parent else None)
    if "role" in rest:
        role = fields.get("role", str)
        wanted = replace(wanted, role=role.lower() if role else None)
    if "sortOrder" in rest:
        sort_order = fields.get("sortOrder", int, 0)
        if not 0 <= sort_order <= _MAX_SORT_ORDER:
            fields.fail("sortOrder")
        wanted = replace(wanted, sort_order=sort_order)
    if "isSubscribed" in rest:
        wanted = replace(wanted, is_subscribed=fields.get("isSubscribed", bool, True))
    fields.check()
    if wanted != before:
        try:
            await mailbox_rules.update(work.tx, work.journal, wanted, known)
        except Conflict as error:
            raise SetError("alreadyExists", error.message) from error
        known[id_] = wanted
    return None


async def destroy(work: Work, id_: str) -> None:
    """Destroy a mailbox that has no children, with its mail only when that was asked for."""
    known = await _known(work)
    mailbox = known.get(id_)
    if mailbox is None:
        raise SetError("notFound")
    with_mail = work.call.get("onDestroyRemoveEmails", bool, False)
    try:
        await mailbox_rules.destroy(work.tx, work.journal, mailbox, known, with_mail=with_mail)
    except Conflict as error:
        raise SetError(_NOT_DESTROYED[error.reason or ""]) from error
    del known[id_]


async def destroy_order(work: Work, wanted: list[str]) -> list[str]:
    """Children before their parents, so that a whole tree can be named in any order."""
    known = await _known(work)

    def depth(id_: str) -> int:
        levels, above = 0, known.get(id_)
        while above is not None and above.parent_id is not None:
            levels, above = levels + 1, known.get(above.parent_id)
        return levels

    return sorted(wanted, key=lambda id_: -depth(id_))


KIND = Kind(
    name=MAILBOX,
    properties=frozenset(PROPERTIES),
    defaults=PROPERTIES,
    read=read,
    prepare=prepare,
    create=create,
    update=update,
    destroy=destroy,
    destroy_order=destroy_order,
)


async def changed(call: Call) -> Answer:
    """RFC 8621 §2.2: `updatedProperties` names the counts when nothing else changed."""
    answer = await methods.changed(MAILBOX, call)
    body = answer[0][1]
    since = states.read(call.args["sinceState"])
    assert since is not None
    body["updatedProperties"] = None
    if body["updated"]:
        beyond = await call.services.db.read(
            lambda tx: history.touched(
                tx, call.account_id, MAILBOX_PROPERTIES, since.modseq + (since.object_id is None)
            )
        )
        if not beyond & set(body["updated"]):
            body["updatedProperties"] = list(_COUNTS)
    return answer


# --- /query

_FILTERS = frozenset({"parentId", "name", "role", "hasAnyRole", "isSubscribed"})
_INLINE_TESTS = 5_000
_SORTS = frozenset({"sortOrder", "name", "parentId"})


def _matches(call: Call, filter_: Json | None, mailbox: Mailbox) -> bool:
    if filter_ is None:
        return True
    if "operator" in filter_:
        results = [_matches(call, each, mailbox) for each in filter_["conditions"]]
        if filter_["operator"] == "AND":
            return all(results)
        return any(results) if filter_["operator"] == "OR" else not any(results)
    unknown = sorted(filter_.keys() - _FILTERS)
    if unknown:
        raise MethodError("unsupportedFilter", f"there is no condition {unknown[0]!r}")
    for name, value in filter_.items():
        kind: Any = bool if name in ("hasAnyRole", "isSubscribed") else str
        if not isinstance(value, kind) and not (value is None and name in ("parentId", "role")):
            raise invalid("filter", f"{name} is of the wrong type")
    parent = filter_.get("parentId")
    return (
        ("parentId" not in filter_ or mailbox.parent_id == (call.resolve(parent) if parent else None))
        and ("name" not in filter_ or filter_["name"].casefold() in mailbox.name.casefold())
        # D11: a role names one mailbox at most, so its id is the first and only one.
        and ("role" not in filter_ or mailbox.role == filter_["role"])
        and ("hasAnyRole" not in filter_ or filter_["hasAnyRole"] == (mailbox.role is not None))
        and ("isSubscribed" not in filter_ or filter_["isSubscribed"] == mailbox.is_subscribed)
    )


def _sorted(call: Call, found: list[Mailbox]) -> list[Mailbox]:
    result = sorted(found, key=lambda each: (each.sort_order, each.name, each.id))
    for comparator in reversed(methods.read_sort(call)):
        name = comparator["property"]
        if name not in _SORTS:
            raise MethodError("unsupportedSort", f"mailboxes are not sorted by {name!r}")
        fold = methods.collation(comparator)
        keys: dict[str, Any] = {
            each.id: each.sort_order
            if name == "sortOrder"
            else fold(each.name if name == "name" else each.parent_id or "")
            for each in result
        }
        result.sort(key=lambda each, keys=keys: keys[each.id], reverse=not comparator.get("isAscending", True))  # type: ignore[misc]
    return result


async def _results(call: Call, found: list[Mailbox]) -> list[str]:
    """The ids that match, in order, as one list or tree by tree (RFC 8621 §2.3)."""
    tests = filters.measure(call, call.get("filter", dict)) * len(found)
    call.budget.spend(TESTS, tests)
    return await call.aside.run(tests, _matching, call, found, above=_INLINE_TESTS)


def _matching(call: Call, found: list[Mailbox]) -> list[str]:
    as_tree = call.get("sortAsTree", bool, False)
    filter_as_tree = call.get("filterAsTree", bool, False)
    filter_ = call.get("filter", dict)
    matching = {each.id for each in found if _matches(call, filter_, each)}
    if not found:
        _matches(call, filter_, Mailbox("", "", "", None, None, 0, False, 0, 0, 0, 0, 0))
    ordered = _sorted(call, found)
    by_id = {each.id: each for each in found}
    if filter_as_tree:

        def whole(mailbox: Mailbox) -> bool:
            above: Mailbox | None = mailbox
            while above is not None:
                if above.id not in matching:
                    return False
                above = by_id.get(above.parent_id) if above.parent_id else None
            return True

        matching = {each.id for each in found if whole(each)}
    if as_tree:
        children: dict[str | None, list[Mailbox]] = {}
        for each in ordered:
            children.setdefault(each.parent_id, []).append(each)
        flat: list[Mailbox] = []
        waiting = list(reversed(children.get(None, [])))
        while waiting:
            each = waiting.pop()
            flat.append(each)
            waiting.extend(reversed(children.get(each.id, [])))
        ordered = flat
    return [each.id for each in ordered if each.id in matching]


def _calculable(call: Call) -> bool:
    # A parent that moves takes its children along, of which the log says nothing.
    return not (call.get("sortAsTree", bool, False) or call.get("filterAsTree", bool, False))


async def query(call: Call) -> Answer:
    """RFC 8621 §2.3."""
    window = methods.read_window(call)

    state, found = await call.services.db.read(lambda tx: _all(tx, call))
    ids = await _results(call, found)
    body = methods.query_body(call, window, state=state, ids=ids, is_calculable=_calculable(call))
    return [(call.method, body)]


async def query_changes(call: Call) -> Answer:
    """RFC 8621 §2.4."""
    since = methods.read_since(call, "sinceQueryState")
    if not _calculable(call):
        raise MethodError("cannotCalculateChanges")

    async def unit(tx: Tx) -> tuple[Page | None, list[Mailbox]]:
        page = await history.page(tx, call.account_id, MAILBOX, since, None)
        return page, (await _all(tx, call))[1]

    page, found = await call.services.db.read(unit)
    ids = await _results(call, found)
    return [(call.method, methods.changes_of_page(call, page, ids))]
