"""Work in the background that failed."""

from __future__ import annotations

from typing import Any

from posthouse.app import House
from posthouse.kit.clock import iso
from posthouse.kit.errors import NotFound
from posthouse.store import jobs


async def troubled(house: House) -> dict[str, Any]:
    """Jobs that are dead or failed when they were last tried."""
    found = await house.db.read(jobs.troubled)
    return {
        "jobs": [
            {
                "id": job.id,
                "kind": job.kind,
                "state": job.state,
                "attempts": job.attempts,
                "error": job.last_error,
                "created_at": iso(job.created_at),
                "due_at": iso(job.due_at) if job.state == "ready" else None,
            }
            for job in found
        ]
    }


async def retry(house: House, *, id: str | None = None) -> dict[str, Any]:
    """Try a dead job again, or all of them."""
    at = house.clock()
    revived = await house.db.write(lambda tx: jobs.revive(tx, None if id is None else [id], at))
    if id is not None and not revived:
        raise NotFound(f"there is no dead job {id}; `posthouse jobs list` shows them")
    return {"retried": revived}
