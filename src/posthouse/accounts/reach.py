"""What a call speaks of: the organisation, one of its pods or one account, as far as the caller may see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import pods
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import drafts as draft_rules
from posthouse.mail import reading
from posthouse.mail.drafts import Written
from posthouse.mail.reading import FullThread
from posthouse.store import accounts, drafts, threads
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.messages import Message


@dataclass(frozen=True, slots=True)
class Reach:
    """The narrower of what the caller may see and what the call names.

    Attributes:
        pod_id: None for all pods of the organisation.
        account: None for all accounts of the pod or the organisation.
    """

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

    def has_bound(self, pod_id: str | None, account_id: str | None) -> bool:
        """Whether something that is bound to a pod, to an account or to neither is within."""
        return self.pod_id in (None, pod_id) and self.account_id in (None, account_id)


async def of(tx: Tx, principal: Principal, *, pod_id: str | None = None, inbox_id: str | None = None) -> Reach:
    """The reach of a call.

    Args:
        pod_id: the pod that the call names.
        inbox_id: the account that it names, by its id or an address.

    Raises:
        NotFound: what it names is nothing that the caller may see, or the account does not lie in the pod.
    """
    if inbox_id is not None:
        account = await account_rules.find_in_scope(tx, principal, inbox_id)
        if pod_id is not None and (await pods.find_in_scope(tx, principal, pod_id)).id != account.pod_id:
            raise NotFound("there is no such inbox", field="inbox_id")
        return Reach(principal.organization_id, account.pod_id, account)
    if pod_id is not None:
        pod = await pods.find_in_scope(tx, principal, pod_id)
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


async def thread(
    tx: Tx, within: Reach, thread_id: str, hidden: Collection[str]
) -> tuple[Account, FullThread, list[Message]]:
    """A thread with its account, and those of its messages that are not of a hidden kind (`mail.visibility`).

    Raises:
        NotFound: there is none within, or all of its messages are hidden.
    """
    account = await _owner(tx, within, threads.account_of, thread_id)
    if account is None:
        raise NotFound("there is no such thread", field="thread_id")
    found = await reading.get_thread(tx, account.id, thread_id)
    visible = found.seen(hidden)
    if not visible:
        raise NotFound("there is no such thread", field="thread_id")
    return account, found, visible


async def draft(tx: Tx, within: Reach, draft_id: str) -> tuple[Account, Written]:
    """A draft with its account. Raises `NotFound`: there is none within."""
    account = await _owner(tx, within, drafts.account_of, draft_id)
    if account is None:
        raise NotFound("there is no such draft", field="draft_id")
    return account, await draft_rules.get(tx, account.id, draft_id)


async def _owner(
    tx: Tx, within: Reach, account_of: Callable[[Tx, str], Awaitable[str | None]], id_: str
) -> Account | None:
    """The account to look for something in: the one there is, or the one within whose it is."""
    if within.account is not None:
        return within.account
    account_id = await account_of(tx, id_)
    account = await accounts.get(tx, account_id) if account_id else None
    return account if within.has(account) else None
