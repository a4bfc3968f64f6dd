"""Counts over time: what happened, and how much there is."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import Parameter

from posthouse.accounts import metrics
from posthouse.accounts.hearing import hidden_type
from posthouse.accounts.metrics import Growth
from posthouse.api.agentmail import scope
from posthouse.api.agentmail.permissions import need, need_to_hear
from posthouse.api.agentmail.routes.listing import Texts
from posthouse.api.agentmail.scope import Where
from posthouse.api.agentmail.shapes import metrics as shapes
from posthouse.api.agentmail.shapes.values import instant, time
from posthouse.api.request import list_of
from posthouse.api.services import Services
from posthouse.kit.clock import DAY
from posthouse.kit.errors import Invalid
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx

Period = Annotated[int | None, Parameter(ge=1, le=shapes.MAX_PERIOD_S, description="Seconds of one bucket.")]
Buckets = Annotated[int | None, Parameter(ge=1, le=shapes.MAX_BUCKETS, description="Buckets answered at most.")]


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

    async def unit(tx: Tx) -> dict[str, dict[int, int]]:
        return await metrics.events_by_period(tx, await scope.reach(tx, principal, where), types, window)

    counts = await services.db.read(unit)
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
    kinds = _known(list_of(usage_types, "usage_types"), list(metrics.KINDS), "usage_types")
    window = shapes.window_of(instant(start, "start"), instant(end, "end"), period, services.clock())

    async def unit(tx: Tx) -> dict[str, Growth]:
        return await metrics.growth(tx, await scope.reach(tx, principal, where), kinds, window)

    found = await services.db.read(unit)
    return {kind: shapes.points_of(window, found[kind], descending=descending, limit=limit) for kind in kinds}


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

    async def unit(tx: Tx) -> dict[str, list[int]]:
        return await metrics.instants(tx, await scope.reach(tx, principal, where), types, start_at, end_at)

    told = await services.db.read(unit)
    return shapes.LegacyMetrics({shapes.COUNTED[name]: [time(at) for at in told[name]] for name in types})


def _counted(principal: Principal, given: tuple[str, ...]) -> list[str]:
    """The kinds of events to count: mail that a key may not see is not counted for it either."""
    need_to_hear(principal, given)
    return _known(given, [name for name in shapes.COUNTED if hidden_type(principal, [name]) is None], "event_types")


def _known(given: tuple[str, ...], known: list[str], field: str) -> list[str]:
    for name in given:
        if name not in known:
            raise Invalid(f"{name!r} is not counted; there are {', '.join(known)}", field=field)
    return list(dict.fromkeys(given)) or known
