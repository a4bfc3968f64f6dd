"""From what a path names to what the core works on, as far as the key may see it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.types.internal_types import PathParameterDefinition

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import pods
from posthouse.accounts.directory import Located
from posthouse.api.agentmail.shapes.common import DRAFT_PREFIX, MESSAGE_PREFIX, THREAD_PREFIX, core_id
from posthouse.api.agentmail.shapes.labels import is_visible, labels_of
from posthouse.api.kit import Services
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import drafts as draft_rules
from posthouse.mail import reading
from posthouse.mail.drafts import Written
from posthouse.mail.filing import DRAFT
from posthouse.mail.reading import FullThread
from posthouse.store import accounts, drafts, messages, threads
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


@dataclass(frozen=True, slots=True)
class Reach:
    """What a call speaks of: the narrower of the key's scope and the path's."""

    organization_id: str
    pod_id: str | None
    account: Account | None

    @property
    def account_id(self) -> str | None:
        """The one account, if it is one."""
        return self.account.id if self.account else None

    @property
    def scope_id(self) -> str:
        """The narrowest of the three ids."""
        return self.account_id or self.pod_id or self.organization_id

    def has(self, account: Account | None) -> bool:
        """Whether an account is within."""
        return (
            account is not None
            and account.organization_id == self.organization_id
            and self.pod_id in (None, account.pod_id)
            and self.account_id in (None, account.id)
        )


async def reach(tx: Tx, principal: Principal, where: Where) -> Reach:
    """The reach of a call. Raises `NotFound` for what the key may not see."""
    if where.inbox_id is not None:
        account = await inbox(tx, principal, where.inbox_id)
        if where.pod_id is not None and (await pods.find_in_scope(tx, principal, where.pod_id)).id != account.pod_id:
            raise NotFound("there is no such inbox", field="inbox_id")
        return Reach(principal.organization_id, account.pod_id, account)
    if where.pod_id is not None:
        pod = await pods.find_in_scope(tx, principal, where.pod_id)
        return Reach(principal.organization_id, pod.id, None)
    own = await accounts.get(tx, principal.account_id) if principal.account_id is not None else None
    if principal.account_id is not None and own is None:
        raise NotFound("there is no such inbox", field="inbox_id")
    return Reach(principal.organization_id, own.pod_id if own else principal.pod_id, own)


async def account_ids(tx: Tx, within: Reach) -> list[str]:
    """The accounts within a reach."""
    if within.account is not None:
        return [within.account.id]
    return list(await accounts.modseqs(tx, within.organization_id, pod_id=within.pod_id))


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
        message = await messages.by_header_message_id(tx, account_id, given.strip().strip("<>"))
        if message is None:
            raise NotFound("there is no such message", field="message_id")
        return message.id
    return core_id(given, MESSAGE_PREFIX, "message")


async def message(tx: Tx, principal: Principal, inbox_id: str, given: str, hidden: Collection[str]) -> Found:
    """A message the key may see. Raises `NotFound`."""
    return await message_of(tx, await inbox(tx, principal, inbox_id), given, hidden)


async def message_of(tx: Tx, account: Account, given: str, hidden: Collection[str]) -> Found:
    """A message of an inbox that the key may see. Raises `NotFound`."""
    return Found(account, *await message_with_body(tx, account.id, given, hidden))


async def message_with_body(
    tx: Tx, account_id: str, given: str, hidden: Collection[str]
) -> tuple[StoredMessage, MessageBody]:
    """The same of an account known by its id."""
    message, body = await reading.get(tx, account_id, await message_id(tx, account_id, given))
    if not shows(message, hidden):
        raise NotFound("there is no such message", field="message_id")
    return message, body


def shows(message: StoredMessage, hidden: Collection[str]) -> bool:
    """Whether a key sees a message: drafts are seen elsewhere, hidden labels nowhere."""
    return DRAFT not in message.keywords and is_visible(labels_of(message), hidden)


async def thread(
    tx: Tx, principal: Principal, where: Where, given: str, hidden: Collection[str]
) -> tuple[Account, FullThread, list[StoredMessage]]:
    """A thread with its inbox and those of its messages the key sees. Raises `NotFound`."""
    within = await reach(tx, principal, where)
    thread_id = core_id(given, THREAD_PREFIX, "thread")
    account = within.account
    if account is None:
        account_id = await threads.account_of(tx, thread_id)
        account = await accounts.get(tx, account_id) if account_id else None
    if account is None or not within.has(account):
        raise NotFound("there is no such thread", field="thread_id")
    found = await reading.get_thread(tx, account.id, thread_id)
    visible = [message for message in found.messages if shows(message, hidden)]
    if not visible:
        raise NotFound("there is no such thread", field="thread_id")
    return account, found, visible


async def draft(tx: Tx, principal: Principal, where: Where, given: str) -> tuple[Account, Written]:
    """A draft with its inbox. Raises `NotFound`."""
    within = await reach(tx, principal, where)
    draft_id = core_id(given, DRAFT_PREFIX, "draft")
    account = within.account
    if account is None:
        account_id = await drafts.account_of(tx, draft_id)
        account = await accounts.get(tx, account_id) if account_id else None
    if account is None or not within.has(account):
        raise NotFound("there is no such draft", field="draft_id")
    return account, await draft_rules.get(tx, account.id, draft_id)


async def addresses(tx: Tx, ids: Sequence[str | None]) -> dict[str, str]:
    """The inbox ids of accounts, by account id."""
    wanted = sorted({each for each in ids if each})
    known = await accounts.get_many(tx, wanted) if wanted else {}
    return {account.id: account.main_address for account in known.values()}
