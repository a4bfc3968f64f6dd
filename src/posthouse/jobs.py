"""Doing the jobs of a kind: claimed, tried, tried again, and laid aside when they fail for good.

A job may be done twice, when a process dies between doing it and saying so: what does it must not mind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from posthouse.kit import log
from posthouse.kit.clock import MINUTE, Clock
from posthouse.kit.errors import PosthouseError
from posthouse.store import jobs, spool, submissions
from posthouse.store.database import Database, Tx
from posthouse.store.jobs import Job

_log = log.get("jobs")

_MAX_ERROR_CHARS = 500


@dataclass(frozen=True, slots=True)
class JobKind:
    """How one kind of job is done.

    Attributes:
        name: the kind's name in the table.
        do: does one job. A lasting refusal (an error of ours that is not temporary) ends the job: there is nothing
            to be done any more. Anything else that it raises is tried again.
        lease_ms: how long one round may take; a job whose worker died is taken up by another after that.
        batch: jobs claimed in one round.
        delays_ms: between one try and the next; after the last try the job is dead and waits for the owner.
    """

    name: str
    do: Callable[[Job], Awaitable[None]]
    lease_ms: int = MINUTE
    batch: int = 20
    delays_ms: Sequence[int] = (MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE)

    @property
    def topic(self) -> str:
        """What is woken when such a job is asked for."""
        return f"job:{self.name}"


class JobRunner:
    """Does what is due of one kind; `run_once` is a worker's round."""

    def __init__(self, db: Database, clock: Clock, kind: JobKind) -> None:
        self._db = db
        self._clock = clock
        self.kind = kind

    async def next_due(self) -> int | None:
        """When the next job is due."""
        return await self._db.read(lambda tx: jobs.next_due(tx, self.kind.name))

    async def run_once(self) -> int:
        """Do a batch; returns how many jobs were taken up."""
        now = self._clock()
        kind = self.kind
        claimed = await self._db.write(lambda tx: jobs.claim(tx, kind.name, now, now + kind.lease_ms, kind.batch))
        ended = [job.id for job in claimed if await self._has_ended(job)]
        if ended:
            await self._db.write(lambda tx: jobs.done(tx, ended))
        return len(claimed)

    async def _has_ended(self, job: Job) -> bool:
        """Try a job; False when it is kept, to be tried again or dead."""
        if job.attempts > len(self.kind.delays_ms) + 1:
            # The claims count, not the failures: this one ended the process each time.
            await self._bury(job, job.last_error or "it never came to an end")
            return False
        try:
            await self.kind.do(job)
        except PosthouseError as error:
            if error.temporary:
                await self._failed(job, error.message)
                return False
            _log.warning("a job was refused", kind=job.kind, job_id=job.id, error=error.message)
        except Exception as error:  # a worker's outer loop: log with the id and go on
            _log.error("a job failed", kind=job.kind, job_id=job.id, exc_info=True)
            await self._failed(job, str(error) or type(error).__name__)
            return False
        return True

    async def _failed(self, job: Job, why: str) -> None:
        if job.attempts > len(self.kind.delays_ms):
            await self._bury(job, why)
            return
        due_at = self._clock() + self.kind.delays_ms[job.attempts - 1]
        await self._db.write(lambda tx: jobs.retry(tx, job.id, due_at, why[:_MAX_ERROR_CHARS]))

    async def _bury(self, job: Job, why: str) -> None:
        _log.error("a job is given up", kind=job.kind, job_id=job.id, attempts=job.attempts)
        await self._db.write(lambda tx: jobs.bury(tx, job.id, why[:_MAX_ERROR_CHARS]))


async def look(tx: Tx) -> None:
    """Read what the workers wait for: whoever can do that has a store that answers."""
    await spool.next_due(tx)
    await submissions.next_due(tx)
