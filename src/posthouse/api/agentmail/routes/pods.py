"""Pods: make, list, get, delete."""

from __future__ import annotations

from litestar import delete, get, post

from posthouse.accounts import pods
from posthouse.api.agentmail import sight
from posthouse.api.agentmail.permissions import need
from posthouse.api.agentmail.routes.listing import Limit, PageToken, request_of
from posthouse.api.agentmail.shapes import pods as shapes
from posthouse.api.agentmail.shapes.api_keys import check_name
from posthouse.api.agentmail.shapes.inboxes import check_client_id
from posthouse.api.paging import page_token
from posthouse.api.services import Services
from posthouse.kit.principal import Principal
from posthouse.store.database import Tx


@post("/v0/pods", status_code=200, operation_id="pods_create")
async def create_pod(services: Services, principal: Principal, data: shapes.CreatePod | None = None) -> shapes.Pod:
    """Make a pod; the same `client_id` answers the first one again."""
    need(principal, "pod_create")
    given = data or shapes.CreatePod()
    check_client_id(given.client_id)
    name = check_name(given.name) or "Pod"

    made = await services.db.write(
        lambda tx: pods.create(tx, principal, name=name, client_id=given.client_id, at=services.clock())
    )
    return sight.pod(principal, shapes.pod_of(made.pod), is_new=made.is_new)


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
    marks = {"of": "pods", "ascending": ascending}
    asked = request_of(limit, page_token_, marks, ascending=ascending)
    page = await services.db.read(lambda tx: pods.page(tx, principal, asked))
    return shapes.PodList(
        len(page.items), asked.size, [shapes.pod_of(pod) for pod in page.items], page_token(page.more, marks)
    )


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
