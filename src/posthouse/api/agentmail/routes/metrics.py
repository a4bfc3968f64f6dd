"""Counts over time: what happened, and how much there is."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import Parameter

from posthouse.api.agentmail import scope
from posthouse.api.agentmail.permissions import hidden_labels, need
from posthouse.api.agentmail.routes.common import Texts
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import metrics as shapes
from posthouse.api.agentmail.shapes.common import instant, time
from posthouse.api.agentmail.shapes.webhooks import LABEL_OF_TYPE
from posthouse.api.request import list_of
from posthouse.api.services import Services
from posthouse.kit.clock import DAY
from posthouse.kit.errors import Forbidden, Invalid
from posthouse.kit.principal import Principal
from posthouse.store import events, usage
from posthouse.store.database import Tx

Period = Annotated[int | None, Parameter(ge=1, le=shapes.MAX_PERIOD_S, description="Seconds of one bucket.")]
Buckets = Annotated[int | None, Parameter(ge=1, le=shapes.MAX_BUCKETS, description="Buckets answered at most.")]
_MAX_INSTANTS = 10_000


@get(scope.paths("/metrics/events"), operation_id=scope.operation("metrics_query_events"))
async def query_events(
    services: Services,
    principal: Principal,
    where: Where,
    event_types: Texts = None,
    start: str | None = None,
    end: str | None = None,
    period: Period = None,
    limit: Buckets = None,
    descending: bool = False,
) -> dict[str, list[shapes.Bucket]]:
    """How many events of each kind there were in each period; the log reaches back 30 days."""
    need(principal, "metrics_read")
    types = _counted(principal, list_of(event_types, "event_types"))
    window = shapes.window_of(instant(start, "start"), instant(end, "end"), period, services.clock())

    async def unit(tx: Tx) -> list[tuple[str, int, int]]:
        within = await scope.reach(tx, principal, where)
        return await events.count_by_period(
            tx, within.organization_id, types, pod_id=within.pod_id, account_id=within.account_id,
            start_at=window.start_at, end_at=window.end_at, period_ms=window.period_ms,
        )  # fmt: skip

    counts: dict[str, dict[int, int]] = {name: {} for name in types}
    for name, number, total in await services.db.read(unit):
        counts[name][number] = total
    return {name: shapes.buckets_of(window, counts[name], descending=descending, limit=limit) for name in types}


@get(scope.paths("/metrics/usage"), operation_id=scope.operation("metrics_query_usage"))
async def query_usage(
    services: Services,
    principal: Principal,
    where: Where,
    usage_types: Texts = None,
    start: str | None = None,
    end: str | None = None,
    period: Period = None,
    limit: Buckets = None,
    descending: bool = False,
) -> dict[str, list[shapes.UsagePoint]]:
    """How much there was at the end of each period, of what is still here."""
    need(principal, "metrics_read")
    kinds = _known(list_of(usage_types, "usage_types"), list(usage.KINDS), "usage_types")
    window = shapes.window_of(instant(start, "start"), instant(end, "end"), period, services.clock())

    async def unit(tx: Tx) -> dict[str, list[shapes.UsagePoint]]:
        within = await scope.reach(tx, principal, where)
        found: dict[str, list[shapes.UsagePoint]] = {}
        for kind in kinds:
            before, added = await usage.growth(
                tx, kind, within.organization_id, pod_id=within.pod_id, account_id=within.account_id,
                start_at=window.start_at, end_at=window.end_at, period_ms=window.period_ms,
            )  # fmt: skip
            found[kind] = shapes.points_of(window, before, added, descending=descending, limit=limit)
        return found

    return await services.db.read(unit)


@get(["/v0/metrics", "/v0/inboxes/{inbox_id:str}/metrics"], operation_id=scope.operation("metrics_list"))
async def legacy_metrics(
    services: Services,
    principal: Principal,
    where: Where,
    event_types: Texts = None,
    start_timestamp: str | None = None,
    end_timestamp: str | None = None,
) -> shapes.LegacyMetrics:
    """The instants of events by kind, as older clients ask for them."""
    need(principal, "metrics_read")
    types = _counted(principal, list_of(event_types, "event_types"))
    end_at = instant(end_timestamp, "end_timestamp")
    end_at = services.clock() if end_at is None else end_at
    start_at = instant(start_timestamp, "start_timestamp")
    start_at = end_at - DAY if start_at is None else start_at

    async def unit(tx: Tx) -> list[tuple[str, int]]:
        within = await scope.reach(tx, principal, where)
        return await events.instants(
            tx, within.organization_id, types, pod_id=within.pod_id, account_id=within.account_id,
            start_at=start_at, end_at=end_at + 1, limit=_MAX_INSTANTS,
        )  # fmt: skip

    told: dict[str, list[str]] = {shapes.COUNTED[name]: [] for name in types}
    for name, at in await services.db.read(unit):
        told[shapes.COUNTED[name]].append(time(at))
    return shapes.LegacyMetrics(message=told)


def _counted(principal: Principal, given: tuple[str, ...]) -> list[str]:
    """The kinds of events to count: mail that a key may not see is not counted for it either."""
    hidden = hidden_labels(principal)
    for name in given:
        if LABEL_OF_TYPE.get(name) in hidden:
            raise Forbidden(f"this key may not hear of {LABEL_OF_TYPE[name]} mail", reason="missing_permission")
    return _known(given, [name for name in shapes.COUNTED if LABEL_OF_TYPE.get(name) not in hidden], "event_types")


def _known(given: tuple[str, ...], known: list[str], field: str) -> list[str]:
    for name in given:
        if name not in known:
            raise Invalid(f"{name!r} is not counted; there are {', '.join(known)}", field=field)
    return list(dict.fromkeys(given)) or known
