"""Sending drafts: at once when asked, or by plan at their time. Both go through the one send path.

The draft ends in the unit that stores the message, so it is sent once whatever happens in between. A plan keeps
the key of whoever made it or has written the draft since, and is asked about again when it is due: a key that was
revoked, has expired or lost the right to send meanwhile sends nothing, and the plan ends as failed. The strictest
level of the keys that wrote a draft holds whoever sends it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from posthouse.accounts import accounts as account_rules
from posthouse.accounts import identities, rights
from posthouse.accounts.keys import bearer_later
from posthouse.accounts.rights import Right
from posthouse.kit import log
from posthouse.kit.clock import MINUTE, Clock
from posthouse.kit.errors import Forbidden, NotFound, PosthouseError
from posthouse.kit.principal import Principal, tighter
from posthouse.mail import drafts as draft_rules
from posthouse.mail.drafts import FAILED, SENDING, Written
from posthouse.outbound.request import Composition, Idempotency, Submitted
from posthouse.outbound.submission import Submitter
from posthouse.store import accounts, draft_plans, drafts
from posthouse.store.accounts import Account
from posthouse.store.blobfiles import Blobs
from posthouse.store.database import Database, Tx
from posthouse.store.draft_plans import DraftPlan

_log = log.get("scheduled")

WAKE = "draft_plans"
_LEASE_MS = 5 * MINUTE
_BATCH = 20
# Tries at a plan that meets a passing failure (rate, disk), a minute apart.
_TRIES = 30


async def plan_for(tx: Tx, principal: Principal, account: Account, due_at: int) -> DraftPlan:
    """A plan of this caller's, for a draft of the account.

    Raises:
        Forbidden: the caller may not send drafts (reason `missing_permission`), or may only read (`read_only`):
            what would be refused when it is due is refused at once.
    """
    rights.need(
        principal, Right.DRAFT_SEND, "what a draft that is planned says may be changed by who may send it, and no other"
    )
    if await account_rules.effective_level(tx, account, principal.level) == "read_only":
        raise Forbidden("this account may read and not send", field="send_at", reason="read_only")
    return DraftPlan(
        "", account.id, principal.key_id, principal.surface, principal.level, 0, leased=False, due_at=due_at
    )  # fmt: skip


class DraftSender:
    """Turns drafts into submissions. `run_once` does what is planned for now."""

    def __init__(self, db: Database, blobs: Blobs, submitter: Submitter, clock: Clock) -> None:
        self._db = db
        self._blobs = blobs
        self._submitter = submitter
        self._clock = clock

    async def send(
        self,
        principal: Principal,
        account_id: str,
        draft_id: str,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
        once: Idempotency | None = None,
    ) -> Submitted:
        """Send a draft now; it is gone when this returns.

        Args:
            add, remove: labels of the sent message beside the draft's own.

        Raises:
            NotFound: no such draft.
            Conflict: it was changed or sent meanwhile (reason `changed_meanwhile`).
            PosthouseError: whatever `Submitter.submit` refuses; the draft stays.
        """
        if once is not None:
            earlier = await self._submitter.earlier(principal, once)
            if earlier is not None:
                return earlier
        account, written = await self._db.read(lambda tx: _find(tx, account_id, draft_id))
        raw = await self._blobs.read(written.message.blob_hash)
        outgoing = draft_rules.outgoing(written, raw, identities.own_address(account), self._clock())
        own = {keyword for keyword in written.message.keywords if not keyword.startswith("$")}
        draft = written.draft
        answered = draft.parent_message_id if draft.kind in ("reply", "reply_all") else None
        # Words of a key that may not send wait for the owner, whoever sends them.
        written_under = "gated" if draft.level == "read_only" else draft.level
        principal = replace(principal, level=tighter(principal.level, written_under))
        composition = Composition(
            outgoing=outgoing,
            labels=sorted((own | set(add)) - set(remove)),
            thread_id=written.message.thread_id,
            answered_message_id=answered,
            forwarded_message_id=draft.parent_message_id if draft.kind == "forward" else None,
            draft=(draft.id, draft.message_id),
        )
        return await self._submitter.submit(principal, account_id, composition, once=once)

    async def run_once(self) -> int:
        """Send what is due; answers how many plans were taken up."""
        now = self._clock()

        async def claim(tx: Tx) -> list[DraftPlan]:
            claimed = await draft_plans.claim(tx, now, now + _LEASE_MS, _BATCH)
            for plan in claimed:
                draft = await drafts.get(tx, plan.account_id, plan.id)
                if draft is not None:
                    await drafts.set_schedule(tx, plan.account_id, plan.id, draft.send_at, SENDING, draft.updated_at)
            return claimed

        claimed = await self._db.write(claim)
        for plan in claimed:
            try:
                await self._planned(plan)
            except Exception as error:  # a worker's outer loop: log with the ids and go on; the lease runs out
                _log.error("sending by plan failed here", draft_id=plan.id, exc_info=error)
        return len(claimed)

    async def _planned(self, plan: DraftPlan) -> None:
        try:
            principal = await self._db.read(lambda tx: _principal(tx, plan, self._clock()))
            await self.send(principal, plan.account_id, plan.id)
        except NotFound:
            await self._db.write(lambda tx: draft_plans.delete(tx, plan.id))
        except PosthouseError as error:
            await self._put_off(plan, error)

    async def _put_off(self, plan: DraftPlan, error: PosthouseError) -> None:
        _log.warning("a planned draft was not sent", draft_id=plan.id, reason=error.reason or error.code)
        at = self._clock()

        async def unit(tx: Tx) -> None:
            draft = await drafts.get(tx, plan.account_id, plan.id)
            if draft is None:
                return
            if error.temporary and plan.attempts < _TRIES:
                await draft_plans.postpone(tx, plan.id, at + MINUTE)
                return
            await draft_plans.delete(tx, plan.id)
            await drafts.set_schedule(tx, plan.account_id, plan.id, draft.send_at, FAILED, at)

        await self._db.write(unit)


async def _find(tx: Tx, account_id: str, draft_id: str) -> tuple[Account, Written]:
    account = await accounts.get(tx, account_id)
    if account is None:
        raise NotFound("there is no such inbox", field="inbox_id")
    return account, await draft_rules.get(tx, account_id, draft_id)


async def _principal(tx: Tx, plan: DraftPlan, at: int) -> Principal:
    """Who planned it, with the rights of today."""
    account = await accounts.get(tx, plan.account_id)
    if account is None:
        raise NotFound("there is no such inbox", field="inbox_id")
    return await bearer_later(tx, account.organization_id, plan.key_id, surface=plan.surface, level=plan.level, at=at)
