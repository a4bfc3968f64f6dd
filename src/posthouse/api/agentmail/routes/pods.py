"""Pods: make, list, get, delete."""

from __future__ import annotations

from litestar import delete, get, post

from posthouse.accounts import pods
from posthouse.api.agentmail import sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.common import Limit, PageToken, cut, limit_of
from posthouse.api.agentmail.shapes import pods as shapes
from posthouse.api.agentmail.shapes.api_keys import check_name
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.paging import page_token, read_page_token
from posthouse.api.services import Services
from posthouse.kit.errors import Forbidden
from posthouse.kit.principal import Principal
from posthouse.store import organizations
from posthouse.store.database import Tx
from posthouse.store.organizations import Pod


@post("/v0/pods", status_code=200, operation_id="pods_create")
async def create_pod(services: Services, principal: Principal, data: shapes.CreatePod | None = None) -> shapes.Pod:
    """Make a pod; the same `client_id` answers the first one again."""
    need(principal, "pod_create")
    if principal.pod_id is not None or principal.account_id is not None:
        raise Forbidden("only a key of the organisation makes pods", reason="missing_permission")
    given = data or shapes.CreatePod()
    check_client_id(given.client_id)
    name = check_name(given.name) or "Pod"

    async def unit(tx: Tx) -> shapes.Pod:
        known = given.client_id and await organizations.pod_by_client_id(tx, principal.organization_id, given.client_id)
        pod = await pods.create(
            tx, principal.organization_id, name=name, client_id=given.client_id, at=services.clock()
        )
        return sight.pod(principal, shapes.pod_of(pod), is_new=not known)

    return await services.db.write(unit)


@get("/v0/pods", operation_id="pods_list")
async def list_pods(
    services: Services,
    principal: Principal,
    limit: Limit = None,
    page_token_: PageToken = None,
    ascending: bool = False,
) -> shapes.PodList:
    """The pods the key may see, newest first."""
    need(principal, "pod_read")
    size = limit_of(limit)
    filters = {"of": "pods", "ascending": ascending}
    after = read_page_token(page_token_, filters)

    async def unit(tx: Tx) -> list[Pod]:
        if principal.account_id is not None:
            return []
        return await organizations.pods(
            tx, principal.organization_id, pod_id=principal.pod_id, after=after, ascending=ascending, limit=size + 1
        )

    shown, more = cut(await services.db.read(unit), size)
    return shapes.PodList(len(shown), size, [shapes.pod_of(pod) for pod in shown], page_token(more, filters))


@get("/v0/pods/{pod_id:str}", operation_id="pods_get")
async def get_pod(services: Services, principal: Principal, pod_id: str) -> shapes.Pod:
    """One pod, by its id or its client id."""
    need(principal, "pod_read")
    return shapes.pod_of(await services.db.read(lambda tx: pods.find_in_scope(tx, principal, pod_id)))


@delete("/v0/pods/{pod_id:str}", operation_id="pods_delete")
async def delete_pod(services: Services, principal: Principal, pod_id: str) -> None:
    """Delete an empty pod with its keys, lists and webhooks."""
    need(principal, "pod_delete")

    async def unit(tx: Tx) -> None:
        await pods.delete(tx, await pods.find_in_scope(tx, principal, pod_id), services.clock())

    await services.db.write(unit)
