"""From what a path names to what the core works on, as far as the key may see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.types.internal_types import PathParameterDefinition

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import reach as reaching
from posthouse.accounts.directory import Located
from posthouse.accounts.reach import Reach
from posthouse.accounts.rights import hidden_from
from posthouse.api.agentmail.shapes.values import DRAFT_PREFIX, MESSAGE_PREFIX, THREAD_PREFIX, core_id
from posthouse.api.services import Services
from posthouse.kit.principal import Principal
from posthouse.mail import reading
from posthouse.mail.drafts import Written
from posthouse.mail.reading import FullThread
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.messages import Message as StoredMessage
from posthouse.store.messages import MessageBody


@dataclass(frozen=True, slots=True)
class Where:
    """What a path is below: the organisation, a pod, an inbox, or an inbox named below its pod."""

    pod_id: str | None
    inbox_id: str | None


def where_of(request: Request[Any, Any, Any]) -> Where:
    """Read a request's path."""
    named = request.path_params
    return Where(named.get("pod_id"), named.get("inbox_id"))


def paths(rest: str, *, inbox: bool = True) -> list[str]:
    """The same endpoint below the organisation, a pod and an inbox."""
    found = [f"/v0{rest}", f"/v0/pods/{{pod_id:str}}{rest}"]
    return [*found, f"/v0/inboxes/{{inbox_id:str}}{rest}"] if inbox else found


def operation(name: str) -> Callable[[Any, Any, list[str | PathParameterDefinition]], str]:
    """Operation ids of an endpoint that has several paths: the scope's name goes before."""

    def made(_handler: Any, _method: Any, components: list[str | PathParameterDefinition]) -> str:
        first = components[1] if len(components) > 1 and isinstance(components[1], str) else ""
        below = len(components) > 2 and isinstance(components[2], PathParameterDefinition)
        tail = "_direct" if components[-1] == "messages" and name == "messages_send" else ""
        return (f"{first}_{name}" if below and first in ("pods", "inboxes") else name) + tail

    return made


async def reach(tx: Tx, principal: Principal, where: Where) -> Reach:
    """The reach of a call. Raises `NotFound` for what the key may not see."""
    return await reaching.of(tx, principal, pod_id=where.pod_id, inbox_id=where.inbox_id)


@dataclass(frozen=True, slots=True)
class Found:
    """A message with its body and its inbox."""

    account: Account
    message: StoredMessage
    body: MessageBody


async def inbox(tx: Tx, principal: Principal, inbox_id: str) -> Account:
    """The inbox of a path. Raises `NotFound`."""
    return await account_rules.find_in_scope(tx, principal, inbox_id)


async def located(services: Services, principal: Principal, inbox_id: str) -> Located:
    """The inbox of a path, where no more than its id and address is wanted. Raises `NotFound`."""
    return await services.directory.find_in_scope(principal, inbox_id)


async def message_id(tx: Tx, account_id: str, given: str) -> str:
    """Our id of a message named by our own id or by its RFC 5322 Message-ID, brackets or none.

    Raises:
        NotFound: the inbox has no such message.
    """
    given = given.replace("%2F", "/")
    if given.startswith("<") or "@" in given:
        return await reading.id_of_header(tx, account_id, given)
    return core_id(given, MESSAGE_PREFIX, "message")


async def message(tx: Tx, principal: Principal, inbox_id: str, given: str) -> Found:
    """A message the key may see. Raises `NotFound`."""
    return await message_of(tx, principal, await inbox(tx, principal, inbox_id), given)


async def message_of(tx: Tx, principal: Principal, account: Account, given: str) -> Found:
    """A message of an inbox that the key may see. Raises `NotFound`."""
    return Found(account, *await message_with_body(tx, principal, account.id, given))


async def message_with_body(
    tx: Tx, principal: Principal, account_id: str, given: str
) -> tuple[StoredMessage, MessageBody]:
    """The same of an account known by its id."""
    return await reading.get_shown(tx, account_id, await message_id(tx, account_id, given), hidden_from(principal))


async def thread(
    tx: Tx, principal: Principal, where: Where, given: str
) -> tuple[Account, FullThread, list[StoredMessage]]:
    """A thread with its inbox and those of its messages the key sees. Raises `NotFound`."""
    within = await reach(tx, principal, where)
    return await reaching.thread(tx, within, core_id(given, THREAD_PREFIX, "thread"), hidden_from(principal))


async def draft(tx: Tx, principal: Principal, where: Where, given: str) -> tuple[Account, Written]:
    """A draft with its inbox. Raises `NotFound`."""
    within = await reach(tx, principal, where)
    return await reaching.draft(tx, within, core_id(given, DRAFT_PREFIX, "draft"))
