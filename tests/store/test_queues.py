"""The four queues: what is claimed is claimed once, comes back when its lease is over, and is settled once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from posthouse.store import jobs, leases, spool, submissions, webhooks
from posthouse.store.database import Database, Tx
from posthouse.store.webhooks import Outcome
from store.builders import AT, claim_tellings, delivery, endpoint, house, receive, rows, spooled, submission, telling

ALL = ("spool", "delivery", "webhook_delivery", "job", "draft_plan")
Claim = Callable[[Tx, int, int, int], Awaitable[list[Any]]]


class Queue:
    """The same few verbs over each of the four tables."""

    def __init__(self, db: Database, table: str) -> None:
        self.db = db
        self.table = table

    async def begin(self) -> None:
        await house(self.db, "ann")

        async def unit(tx: Tx) -> None:
            await submissions.add(tx, submission())
            await webhooks.add(tx, endpoint())

        await self.db.write(unit)

    async def add(self, *ids: str, at: int = AT) -> None:
        """Add rows that are due from `at` on."""

        async def unit(tx: Tx) -> None:
            if self.table == "spool":
                await spool.add(tx, [spooled(id_, at=at) for id_ in ids])
            elif self.table == "delivery":
                await submissions.add_deliveries(tx, [delivery(id_, due_at=at) for id_ in ids])
            elif self.table == "webhook_delivery":
                await webhooks.add_deliveries(tx, [telling(id_, at=at) for id_ in ids])
            else:
                for id_ in ids:
                    await jobs.add(tx, "k", payload={"name": id_}, due_at=at, at=at)

        await self.db.write(unit)

    async def claim(self, now: int, lease_until: int, limit: int = 100) -> list[str]:
        """Claim; the rows' names, in the order they came in."""
        claims: dict[str, Claim] = {
            "spool": spool.claim, "delivery": submissions.claim, "webhook_delivery": claim_tellings,
            "job": lambda tx, *given: jobs.claim(tx, "k", *given),
        }  # fmt: skip
        found = await self.db.write(lambda tx: claims[self.table](tx, now, lease_until, limit))
        assert all(row.leased is True for row in found)
        self.attempts = {self._name(row): row.attempts for row in found}
        return [self._name(row) for row in found]

    def _name(self, row: Any) -> str:
        return str(row.payload["name"]) if self.table == "job" else str(row.id)

    async def next_due(self) -> int | None:
        """When a worker should look again."""
        next_due: dict[str, Callable[[Tx], Awaitable[int | None]]] = {
            "spool": spool.next_due, "delivery": submissions.next_due, "webhook_delivery": webhooks.next_due,
            "job": lambda tx: jobs.next_due(tx, "k"),
        }  # fmt: skip
        return await self.db.read(next_due[self.table])


@pytest.fixture(params=["spool", "delivery", "webhook_delivery", "job"])
async def queue(db: Database, request: pytest.FixtureRequest) -> Queue:
    made = Queue(db, request.param)
    await made.begin()
    return made


# --- what holds for all four


async def test_many_workers_at_once_never_get_the_same_row(queue: Queue) -> None:
    names = [f"r{n:02}" for n in range(40)]
    await queue.add(*names)
    found = await asyncio.gather(*(queue.claim(AT, AT + 60, 7) for _ in range(12)))
    assert all(len(part) <= 7 for part in found)
    taken = [name for part in found for name in part]
    assert len(taken) == len(set(taken))
    while rest := await queue.claim(AT, AT + 60, 7):  # a worker may be passed over while another holds the rows
        taken += rest
    assert sorted(taken) == names


async def test_what_is_due_first_is_claimed_first_and_nothing_before_its_time(queue: Queue) -> None:
    for name, at in (("late", AT + 2), ("early", AT), ("middle", AT + 1)):
        await queue.add(name, at=at)
    assert await queue.next_due() == AT
    assert await queue.claim(AT - 1, AT + 99) == []
    assert await queue.claim(AT + 1, AT + 99, 1) == ["early"]
    assert await queue.next_due() == AT + 1
    assert await queue.claim(AT + 1, AT + 99) == ["middle"]
    assert await queue.claim(AT + 1, AT + 99) == []


async def test_a_claimed_row_comes_back_when_its_lease_is_over(queue: Queue) -> None:
    await queue.add("r")
    assert await queue.claim(AT, AT + 60) == ["r"]
    assert queue.attempts == {"r": 1}
    assert await queue.next_due() == AT + 60
    assert await queue.claim(AT + 59, AT + 200) == []
    assert await queue.claim(AT + 60, AT + 200) == ["r"]
    assert queue.attempts == {"r": 2}


async def test_a_claim_that_is_not_committed_claims_nothing(queue: Queue) -> None:
    await queue.add("r")

    async def unit(tx: Tx) -> None:
        await tx.run(f"UPDATE {queue.table} SET due_at = due_at + 60, leased = TRUE")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await queue.db.write(unit)
    assert await queue.claim(AT, AT + 60) == ["r"]


async def test_at_the_start_of_the_only_process_every_lease_is_void(queue: Queue) -> None:
    await queue.add("claimed")
    assert await queue.claim(AT, AT + 10**9) == ["claimed"]
    await queue.add("waiting", at=AT + 500)
    assert await queue.db.write(lambda tx: leases.release_all(tx, [queue.table], AT + 5)) == 1
    assert await queue.claim(AT + 5, AT + 60) == ["claimed"]
    assert await queue.claim(AT + 499, AT + 600) == ["claimed"]
    assert await queue.claim(AT + 500, AT + 600) == ["waiting"]


# --- spool


async def test_a_spooled_mail_reads_back_and_leaves_once(db: Database) -> None:
    mail = spooled("s", at=AT)
    await db.write(lambda tx: spool.add(tx, [mail, spooled("t", at=AT - 1)]))
    claimed = await db.write(lambda tx: spool.claim(tx, AT, AT + 60, 9))
    assert [row.id for row in claimed] == ["t", "s"]
    assert (claimed[1].recipients, claimed[1].handed_in) == (mail.recipients, mail.handed_in)
    assert await db.read(spool.count) == 2
    assert await db.write(lambda tx: spool.remove(tx, "s"))
    assert not await db.write(lambda tx: spool.remove(tx, "s"))
    assert await db.read(spool.count) == 1


async def test_a_postponed_mail_waits_and_remembers_why(db: Database) -> None:
    await db.write(lambda tx: spool.add(tx, [spooled("s")]))
    await db.write(lambda tx: spool.claim(tx, AT, AT + 60, 9))
    await db.write(lambda tx: spool.postpone(tx, "s", AT + 7, "no DNS"))
    assert await db.write(lambda tx: leases.release_all(tx, ALL, AT)) == 0
    assert await db.write(lambda tx: spool.claim(tx, AT + 6, AT + 60, 9)) == []
    [again] = await db.write(lambda tx: spool.claim(tx, AT + 7, AT + 60, 9))
    assert (again.attempts, again.last_error) == (2, "no DNS")


# --- jobs


async def _ask(db: Database, name: str, *, kind: str = "k", key: str | None = "same") -> None:
    await db.write(lambda tx: jobs.add(tx, kind, payload={"name": name}, dedup_key=key, due_at=AT, at=AT))


async def _claimed(db: Database, now: int = AT, kind: str = "k") -> list[jobs.Job]:
    return await db.write(lambda tx: jobs.claim(tx, kind, now, now + 60, 9))


async def test_while_a_job_waits_a_second_with_its_key_is_not_added(db: Database) -> None:
    for name, kind, key in (("1", "k", "same"), ("2", "k", "same"), ("3", "other", "same"), ("4", "k", "else")):
        await _ask(db, name, kind=kind, key=key)
    for name in ("5", "6"):
        await _ask(db, name, key=None)
    assert sorted(job.payload["name"] for job in await _claimed(db)) == ["1", "4", "5", "6"]
    assert [job.payload["name"] for job in await _claimed(db, kind="other")] == ["3"]


async def test_work_asked_for_while_it_is_being_done_is_done_once_more(db: Database) -> None:
    await _ask(db, "1")
    [first] = await _claimed(db)
    for name in ("2", "3"):
        await _ask(db, name)
    [second] = await _claimed(db)
    assert second.payload == {"name": "2"}
    await db.write(lambda tx: jobs.retry(tx, first.id, AT + 5, "again"))
    await db.write(lambda tx: jobs.done(tx, [second.id]))
    [again] = await _claimed(db, AT + 5)
    assert (again.id, again.attempts, again.last_error) == (first.id, 2, "again")


async def test_asking_for_the_same_work_at_once_adds_one_job(db: Database) -> None:
    await asyncio.gather(*(_ask(db, str(n)) for n in range(10)))
    assert len(await _claimed(db)) == 1


async def test_a_job_that_failed_too_often_is_kept_and_not_tried_again(db: Database) -> None:
    await _ask(db, "1")
    [job] = await _claimed(db)
    await db.write(lambda tx: jobs.bury(tx, job.id, "hopeless"))
    assert await _claimed(db, AT + 10**9) == []
    assert await db.read(lambda tx: jobs.next_due(tx, "k")) is None
    [row] = await rows(db, "SELECT state, leased, last_error FROM job")
    assert (row["state"], bool(row["leased"]), row["last_error"]) == ("dead", False, "hopeless")
    assert await db.write(lambda tx: leases.release_all(tx, ALL, AT)) == 0
    # Its key is free for new work.
    await _ask(db, "2")
    assert len(await _claimed(db)) == 1


async def test_a_dead_job_is_shown_and_tried_again_when_the_owner_says_so(db: Database) -> None:
    for name in ("1", "2", "3"):
        await _ask(db, name, key=None)
    first, second, third = await _claimed(db)
    await db.write(lambda tx: jobs.bury(tx, first.id, "hopeless"))
    await db.write(lambda tx: jobs.retry(tx, second.id, AT + 5, "not now"))
    assert [(job.id, job.state) for job in await db.read(jobs.troubled)] == [(first.id, "dead"), (second.id, "ready")]
    assert await db.write(lambda tx: jobs.revive(tx, [second.id, "none"], AT + 9)) == []
    assert await db.write(lambda tx: jobs.revive(tx, [first.id], AT + 9)) == [first.id]
    again = [job for job in await _claimed(db, AT + 9) if job.id == first.id]
    assert [(job.attempts, job.last_error) for job in again] == [(1, None)]
    await db.write(lambda tx: jobs.bury(tx, third.id, "hopeless"))
    assert await db.write(lambda tx: jobs.prune(tx, AT)) == 0
    assert await db.write(lambda tx: jobs.prune(tx, AT + 1)) == 1
    assert await db.write(lambda tx: jobs.revive(tx, None, AT)) == []


# --- submissions and deliveries


async def test_a_submission_is_found_by_its_message_id(db: Database) -> None:
    await house(db, "ann", "bob")
    first, second = submission("s1"), submission("s2", created_at=AT + 1, key_id="k")
    for one in (first, second):
        await db.write(lambda tx, one=one: submissions.add(tx, one))
    assert await db.read(lambda tx: submissions.get(tx, "s1")) == first
    assert await db.read(lambda tx: submissions.get(tx, "s3")) is None
    assert await db.read(lambda tx: submissions.by_header_message_id(tx, "ann", "1@x")) == second
    assert await db.read(lambda tx: submissions.by_header_message_id(tx, "bob", "1@x")) is None
    assert await db.read(lambda tx: submissions.count_since(tx, "ann", AT, 9)) == 2
    assert await db.read(lambda tx: submissions.count_since(tx, "ann", AT + 1, 9)) == 1
    assert await db.read(lambda tx: submissions.count_since(tx, "ann", AT, 1)) == 1


async def test_the_state_of_a_submission_changes_and_its_end_only_when_given(db: Database) -> None:
    await house(db, "ann")
    await db.write(lambda tx: submissions.add(tx, submission()))
    for state, expires_at, expected in (("held", None, AT + 100), ("queued", AT + 900, AT + 900)):
        await db.write(lambda tx, s=state, e=expires_at: submissions.set_state(tx, "s", s, expires_at=e))
        found = await db.read(lambda tx: submissions.get(tx, "s"))
        assert found is not None
        assert (found.state, found.expires_at) == (state, expected)


async def test_a_settled_delivery_says_what_happened_and_a_final_one_is_not_claimed_again(db: Database) -> None:
    await house(db, "ann")
    await db.write(lambda tx: submissions.add(tx, submission()))
    await db.write(lambda tx: submissions.add_deliveries(tx, [delivery("d1"), delivery("d2")]))
    await db.write(lambda tx: submissions.claim(tx, AT, AT + 60, 9))

    async def settle(id_: str, state: str, due_at: int | None) -> None:
        await db.write(
            lambda tx: submissions.settle(
                tx, id_, state=state, due_at=due_at, status="4.2.1", diagnostic="451 ü", remote_mta="mx", at=AT + 3,
                delay_noticed=True,
            )
        )  # fmt: skip

    await settle("d1", "deferred", AT + 5)
    await settle("d2", "bounced", None)
    assert await db.write(lambda tx: leases.release_all(tx, ALL, AT)) == 0
    found = await db.read(lambda tx: submissions.deliveries(tx, "s"))
    assert found == [
        delivery("d1", due_at=AT + 5, state="deferred", attempts=1, status="4.2.1", diagnostic="451 ü",
                 remote_mta="mx", delay_noticed=True, updated_at=AT + 3),
        delivery("d2", due_at=None, state="bounced", attempts=1, status="4.2.1", diagnostic="451 ü",
                 remote_mta="mx", delay_noticed=True, updated_at=AT + 3),
    ]  # fmt: skip
    assert [one.id for one in await db.write(lambda tx: submissions.claim(tx, AT + 10**9, AT, 9))] == ["d1"]


async def test_held_deliveries_wait_until_they_are_released_and_only_they(db: Database) -> None:
    await house(db, "ann")
    await db.write(lambda tx: submissions.add(tx, submission()))
    made = [delivery("d1", due_at=None, state="held"), delivery("d2", due_at=None, state="suppressed")]
    await db.write(lambda tx: submissions.add_deliveries(tx, made))
    assert await db.write(lambda tx: submissions.claim(tx, AT + 10**9, AT, 9)) == []
    assert await db.read(submissions.next_due) is None
    assert await db.write(lambda tx: submissions.release(tx, "s", "queued", AT + 1, AT + 1)) == 1
    assert [one.id for one in await db.write(lambda tx: submissions.claim(tx, AT + 1, AT, 9))] == ["d1"]


# --- webhooks


async def test_an_endpoint_reads_back_and_can_be_replaced_only_in_its_organisation(db: Database) -> None:
    await house(db, "ann")
    made = endpoint(client_id="c", account_ids=["ann"], hidden=["x"])
    await db.write(lambda tx: webhooks.add(tx, made))
    assert await db.read(lambda tx: webhooks.get(tx, "org", "w")) == made
    assert await db.read(lambda tx: webhooks.by_client_id(tx, "org", "c")) == made
    assert await db.read(lambda tx: webhooks.get(tx, "other", "w")) is None
    changed = endpoint(
        client_id="c", account_ids=[], hidden=["x"], is_enabled=False, url="https://n.test", updated_at=AT + 1
    )
    await db.write(lambda tx: webhooks.replace(tx, endpoint(organization_id="other", url="https://evil.test")))
    assert await db.read(lambda tx: webhooks.get(tx, "org", "w")) == made
    assert await db.read(lambda tx: webhooks.enabled(tx, "org")) == [made]
    await db.write(lambda tx: webhooks.replace(tx, changed))
    assert await db.read(lambda tx: webhooks.get(tx, "org", "w")) == changed
    assert await db.read(lambda tx: webhooks.enabled(tx, "org")) == []
    assert not await db.write(lambda tx: webhooks.delete(tx, "other", "w"))
    assert await db.write(lambda tx: webhooks.delete(tx, "org", "w"))
    assert not await db.write(lambda tx: webhooks.delete(tx, "org", "w"))


async def test_pages_of_endpoints_are_of_one_surface_and_scope(db: Database) -> None:
    await house(db, "ann")
    for n in range(5):
        scope: dict[str, str] = {"account_id": "ann"} if n == 2 else {"pod_id": "org-pod"} if n == 3 else {}
        one = endpoint(f"w{n}", created_at=AT + n // 2, surface="commune" if n == 4 else "agentmail", **scope)
        await db.write(lambda tx, one=one: webhooks.add(tx, one))

    async def page(**values: Any) -> list[str]:
        given: dict[str, Any] = {"surface": "agentmail", "limit": 9} | values
        found = await db.read(lambda tx: webhooks.page(tx, "org", **given))
        return [one.id for one in found]

    assert await page() == ["w3", "w2", "w1", "w0"]
    assert await page(ascending=True, after=(AT, "w1")) == ["w2", "w3"]
    assert await page(after=(AT + 1, "w3"), limit=1) == ["w2"]
    assert await page(account_id="ann") == ["w2"]
    assert await page(pod_id="org-pod") == ["w3"]
    assert await page(surface="commune") == ["w4"]


async def test_every_attempt_of_a_telling_sends_the_same_bytes_and_is_written_down_once(db: Database) -> None:
    await house(db, "ann")
    await db.write(lambda tx: webhooks.add(tx, endpoint()))
    await db.write(lambda tx: webhooks.add_deliveries(tx, [telling("t")]))
    [first] = await db.write(lambda tx: claim_tellings(tx, AT, AT + 60, 9))
    assert first.body is None
    await db.write(lambda tx: webhooks.set_bodies(tx, {"t": b'{"\x00\xff"}'}))
    for _ in range(2):  # a unit may be run again
        await db.write(
            lambda tx: webhooks.settle(
                tx, [Outcome(first.id, first.attempts, "failed", AT + 5, None, "refused", 3, AT + 1)]
            )
        )
    [second] = await db.write(lambda tx: claim_tellings(tx, AT + 5, AT + 60, 9))
    assert (second.body, second.attempts, second.state) == (b'{"\x00\xff"}', 2, "failed")
    await db.write(
        lambda tx: webhooks.settle(tx, [Outcome(second.id, second.attempts, "delivered", None, 200, None, 4, AT + 6)])
    )
    assert await db.write(lambda tx: claim_tellings(tx, AT + 10**9, AT, 9)) == []
    attempts = await rows(db, "SELECT attempt, status, error, elapsed_ms FROM webhook_attempt ORDER BY attempt")
    assert [tuple(row.values()) for row in attempts] == [(1, None, "refused", 3), (2, 200, None, 4)]
    assert await db.write(lambda tx: webhooks.prune(tx, AT)) == 0
    assert await db.write(lambda tx: webhooks.prune(tx, AT + 1)) == 1
    assert await rows(db, "SELECT * FROM webhook_attempt") == []


async def test_settling_a_telling_whose_endpoint_has_gone_is_no_error(db: Database) -> None:
    await house(db, "ann")
    await db.write(lambda tx: webhooks.add(tx, endpoint()))
    await db.write(lambda tx: webhooks.add_deliveries(tx, [telling("t")]))
    [claimed] = await db.write(lambda tx: claim_tellings(tx, AT, AT + 60, 9))
    await db.write(lambda tx: webhooks.delete(tx, "org", "w"))
    await db.write(
        lambda tx: webhooks.settle(tx, [Outcome(claimed.id, claimed.attempts, "delivered", None, 200, None, 4, AT)])
    )
    assert await rows(db, "SELECT * FROM webhook_attempt") == []


async def test_a_message_s_own_queue_rows_do_not_keep_its_account(db: Database) -> None:
    await house(db, "ann")
    await receive(db, "ann")
    await db.write(lambda tx: submissions.add(tx, submission()))
    await db.write(lambda tx: submissions.add_deliveries(tx, [delivery("d1")]))
    await db.write(lambda tx: tx.run("DELETE FROM organization"))
    for table in ("submission", "delivery", "account", "message"):
        assert await rows(db, f"SELECT * FROM {table}") == [], table
