"""Pods: groups of accounts, with keys, lists, domains and endpoints of their own."""

from __future__ import annotations

from dataclasses import dataclass

from posthouse.accounts import allowance
from posthouse.accounts.accounts import note_organization
from posthouse.kit.errors import Forbidden, NotFound
from posthouse.kit.ids import new_uuid
from posthouse.kit.pages import Page, PageRequest, cut
from posthouse.kit.principal import Principal
from posthouse.store import organizations
from posthouse.store.database import Tx
from posthouse.store.organizations import Pod


async def find_in_scope(tx: Tx, principal: Principal, pod_id: str) -> Pod:
    """A pod by its id or its client id, if it is in the caller's scope.

    Raises:
        NotFound: there is none, or none the caller may see; a key of one account sees no pod.
    """
    pod = await organizations.get_pod(tx, principal.organization_id, pod_id)
    if pod is None or principal.account_id is not None or principal.pod_id not in (None, pod.id):
        raise NotFound("there is no such pod", field="pod_id")
    return pod


@dataclass(frozen=True, slots=True)
class Made:
    """A pod, and whether this call made it (a repeated `client_id` finds the first one)."""

    pod: Pod
    is_new: bool


async def create(tx: Tx, principal: Principal, *, name: str, client_id: str | None, at: int) -> Made:
    """Make a pod; the same `client_id` finds the one made before.

    Raises:
        Forbidden: the caller is bound to a part of the organisation (reason `missing_permission`).
        Forbidden, OverQuota: the organisation may have no more (`allowance.check`).
    """
    organization_id = principal.organization_id
    if principal.pod_id is not None or principal.account_id is not None:
        raise Forbidden("only a key of the organisation makes pods", reason="missing_permission")
    known = await organizations.pod_by_client_id(tx, organization_id, client_id) if client_id else None
    if known is not None:
        return Made(known, is_new=False)
    await allowance.check(tx, organization_id, "pods")
    pod = Pod(new_uuid(), organization_id, name, client_id, is_default=False, created_at=at, updated_at=at)
    await organizations.add_pod(tx, pod)
    await note_organization(tx, organization_id, "Pod", pod.id, "created", at)
    return Made(pod, is_new=True)


async def page(tx: Tx, principal: Principal, asked: PageRequest) -> Page[Pod]:
    """The pods that the caller may see; a key of one account sees none."""
    if principal.account_id is not None:
        return Page([])
    found = await organizations.pods(
        tx, principal.organization_id, pod_id=principal.pod_id, after=asked.after, ascending=asked.ascending,
        limit=asked.size + 1,
    )  # fmt: skip
    return cut(found, asked.size)


async def delete(tx: Tx, pod: Pod, at: int) -> None:
    """Delete an empty pod with its keys, lists and endpoints.

    Raises:
        Forbidden: it is the default one, or holds accounts or domains (reason `cannot_delete`).
    """
    accounts, domains = await organizations.pod_holds(tx, pod.id)
    if pod.is_default:
        raise Forbidden("the default pod stays", reason="cannot_delete")
    if accounts or domains:
        raise Forbidden(f"the pod holds {accounts} inboxes and {domains} domains", reason="cannot_delete")
    await organizations.delete_pod(tx, pod.organization_id, pod.id)
    await note_organization(tx, pod.organization_id, "Pod", pod.id, "destroyed", at)
