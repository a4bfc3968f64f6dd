"""From what a path names to what the core works on, as far as the key may see it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from posthouse.accounts import accounts as account_rules
from posthouse.api.agentmail.shapes.common import MESSAGE_PREFIX, THREAD_PREFIX, core_id
from posthouse.api.agentmail.shapes.labels import is_visible, labels_of
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import reading
from posthouse.mail.filing import DRAFT
from posthouse.mail.reading import Placed, PlacedThread
from posthouse.store import messages
from posthouse.store.accounts import Account
from posthouse.store.database import Tx
from posthouse.store.messages import MessageBody


@dataclass(frozen=True, slots=True)
class Found:
    """A message with its body and its inbox."""

    account: Account
    placed: Placed
    body: MessageBody


async def inbox(tx: Tx, principal: Principal, inbox_id: str) -> Account:
    """The inbox of a path. Raises `NotFound`."""
    return await account_rules.find_in_scope(tx, principal, inbox_id)


async def message_id(tx: Tx, account: Account, given: str) -> str:
    """Our id of a message named by our own id or by its RFC 5322 Message-ID, brackets or none.

    Raises:
        NotFound: the inbox has no such message.
    """
    given = given.replace("%2F", "/")
    if given.startswith("<") or "@" in given:
        message = await messages.by_header_message_id(tx, account.id, given.strip().strip("<>"))
        if message is None:
            raise NotFound("there is no such message", field="message_id")
        return message.id
    return core_id(given, MESSAGE_PREFIX, "message")


async def message(tx: Tx, principal: Principal, inbox_id: str, given: str, hidden: Collection[str]) -> Found:
    """A message the key may see. Raises `NotFound`."""
    account = await inbox(tx, principal, inbox_id)
    placed, body = await reading.get(tx, account.id, await message_id(tx, account, given))
    if DRAFT in placed.message.keywords or not is_visible(labels_of(placed), hidden):
        raise NotFound("there is no such message", field="message_id")
    return Found(account, placed, body)


async def thread(tx: Tx, account: Account, given: str) -> PlacedThread:
    """A thread of an inbox. Raises `NotFound`."""
    return await reading.get_thread(tx, account.id, core_id(given, THREAD_PREFIX, "thread"))
