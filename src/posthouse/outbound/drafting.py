"""Writing a draft for a caller: once for a name of its own, and with a plan when it is to be sent by itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from posthouse.accounts import accounts as account_rules
from posthouse.kit.errors import NotFound
from posthouse.kit.principal import Principal
from posthouse.mail import drafts as draft_rules
from posthouse.mail.drafts import SCHEDULED, Composed, Written
from posthouse.outbound import scheduled
from posthouse.outbound.writing import Writing
from posthouse.store import drafts
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database, Tx

# A draft with its account.
Owned = tuple[Account, Written]


async def by_client_id(tx: Tx, principal: Principal, client_id: str | None) -> Owned | None:
    """The draft a caller named so when writing it, if the caller sees its account."""
    if client_id is None:
        return None
    for draft in await drafts.by_client_id(tx, principal.organization_id, client_id):
        try:
            account = await account_rules.get_in_scope(tx, principal, draft.account_id)
        except NotFound:
            continue
        return account, await draft_rules.written(tx, draft)
    return None


async def begin(
    db: Database, principal: Principal, account: Account, *, client_id: str | None, send_at: int | None
) -> Owned | None:
    """Before what a draft costs: whether it may be written, and whether it has been (`client_id`).

    Raises:
        Forbidden: it is to be sent by itself, and the caller may not plan that (`scheduled.plan_for`).
    """

    async def unit(tx: Tx) -> Owned | None:
        if send_at is not None:
            await scheduled.plan_for(tx, principal, account, send_at)
        return await by_client_id(tx, principal, client_id)

    return await db.read(unit)


async def create(
    db: Database,
    blobs: Blobs,
    principal: Principal,
    account: Account,
    said: Writing,
    *,
    labels: Sequence[str],
    client_id: str | None,
    send_at: int | None,
    at: int,
) -> Owned:
    """Save a draft; the same `client_id` finds the one saved before.

    Raises:
        Invalid: a value cannot stand in a header, or a label is not acceptable.
        Forbidden: as `begin`.
    """
    text = await draft_rules.prepare(blobs, said.outgoing)

    async def unit(tx: Tx) -> Owned:
        known = await by_client_id(tx, principal, client_id)
        if known is not None:
            return known
        plan = None if send_at is None else await scheduled.plan_for(tx, principal, account, send_at)
        draft = await draft_rules.create(
            tx, account, text, kind=said.kind, parent=said.parent, labels=labels, client_id=client_id, plan=plan,
            level=principal.level, at=at,
        )  # fmt: skip
        return account, await draft_rules.written(tx, draft)

    return await db.write(unit)


async def rewrite(
    tx: Tx,
    principal: Principal,
    account: Account,
    before: Written,
    text: Composed | None,
    labels: Collection[str],
    *,
    plan: Literal["stays"] | int | None,
    at: int,
) -> Written:
    """Change a draft, as it was `before`.

    Args:
        text: None leaves what it says.
        plan: the instant it is to be sent at; None takes a plan back.

    Raises:
        Conflict: it was changed or sent meanwhile (`drafts.rewrite`).
        Forbidden: it is to be sent by itself, and the caller may not plan that.
    """
    draft = await draft_rules.rewrite(tx, account, before, text, labels, level=principal.level, at=at)
    due_at = None if plan == "stays" else plan
    if plan == "stays" and text is not None and draft.send_status == SCHEDULED:
        # Who writes what is planned plans it anew: it leaves with the rights and the level of its last writer.
        due_at = draft.send_at
    if plan != "stays" or due_at is not None:
        made = None if due_at is None else await scheduled.plan_for(tx, principal, account, due_at)
        await draft_rules.schedule(tx, replace(before, draft=draft), made, at)
    return await draft_rules.get(tx, account.id, draft.id)
