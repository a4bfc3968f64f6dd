"""Jobs are done, tried again, and laid aside for the owner when they fail for good."""

from __future__ import annotations

from typing import Any

from posthouse.jobs import JobKind, JobRunner
from posthouse.kit.errors import NotFound, Unavailable
from posthouse.store import jobs
from posthouse.store.database import Database
from posthouse.store.jobs import Job
from store.builders import AT, rows


class Work:
    """Does jobs, or fails at them, under a clock moved by hand."""

    def __init__(self, db: Database, *, delays_ms: tuple[int, ...] = (10, 100)) -> None:
        self.db = db
        self.at = AT
        self.error: Exception | None = None
        self.done: list[Any] = []
        self.runner = JobRunner(db, lambda: self.at, JobKind("k", self.do, lease_ms=1_000, delays_ms=delays_ms))

    async def do(self, job: Job) -> None:
        self.done.append(job.payload["name"])
        if self.error is not None:
            raise self.error

    async def ask(self, name: str) -> None:
        await self.db.write(lambda tx: jobs.add(tx, "k", payload={"name": name}, due_at=AT, at=AT))

    async def left(self) -> list[tuple[str, int, str | None]]:
        found = await rows(self.db, "SELECT state, attempts, last_error FROM job ORDER BY created_at, id")
        return [(row["state"], row["attempts"], row["last_error"]) for row in found]


async def test_what_is_done_is_gone(db: Database) -> None:
    work = Work(db)
    await work.ask("1")
    assert await work.runner.next_due() == AT
    assert await work.runner.run_once() == 1
    assert await work.runner.run_once() == 0
    assert (work.done, await work.left(), await work.runner.next_due()) == (["1"], [], None)


async def test_what_fails_is_tried_again_after_each_delay_and_then_is_dead(db: Database) -> None:
    work = Work(db)
    work.error = RuntimeError("broken")
    await work.ask("1")
    for due_at in (AT, AT + 10, AT + 110):
        assert await work.runner.next_due() == due_at
        work.at = due_at
        assert await work.runner.run_once() == 1
    assert await work.left() == [("dead", 3, "broken")]
    assert await work.runner.next_due() is None
    work.error = None
    await db.write(lambda tx: jobs.revive(tx, None, work.at))
    assert await work.runner.run_once() == 1
    assert await work.left() == []


async def test_a_passing_refusal_is_tried_again_and_a_lasting_one_ends_the_job(db: Database) -> None:
    work = Work(db)
    work.error = Unavailable("not now")
    await work.ask("1")
    await work.runner.run_once()
    assert await work.left() == [("ready", 1, "not now")]
    work.error = NotFound("it is gone")
    work.at = AT + 10
    await work.runner.run_once()
    assert await work.left() == []


async def test_a_job_that_ends_the_process_each_time_is_given_up(db: Database) -> None:
    work = Work(db)
    await work.ask("1")
    for _ in range(3):  # claimed, and never heard of again
        await db.write(lambda tx: jobs.claim(tx, "k", work.at, work.at + 1_000, 9))
        work.at += 1_000
    assert await work.runner.run_once() == 1
    assert (work.done, await work.left()) == ([], [("dead", 4, "it never came to an end")])


async def test_one_job_that_fails_does_not_hold_up_the_others(db: Database) -> None:
    work = Work(db)

    async def do(job: Job) -> None:
        work.done.append(job.payload["name"])
        if job.payload["name"] == "2":
            raise RuntimeError("broken")

    runner = JobRunner(db, lambda: work.at, JobKind("k", do))
    for name in ("1", "2", "3"):
        await work.ask(name)
    assert await runner.run_once() == 3
    assert sorted(work.done) == ["1", "2", "3"]
    assert await work.left() == [("ready", 1, "broken")]
