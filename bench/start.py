"""Cold start: from starting the process until /health/ready answers 200."""

from __future__ import annotations

import time
from pathlib import Path

from bench import house, processes
from bench.report import Row, median, within

RUNS = 5
LIMIT_S = 2.0


def measure(work: Path) -> list[Row]:
    """On a folder in use before, and on an empty one, where keys and database are made first."""
    used = work / "start-used"
    house.command(house.environment(used, 0, 0), "init")
    again = [_start(used, work / "start.log") for _ in range(RUNS)]
    first = [_start(work / f"start-{run}", work / "start.log") for run in range(RUNS)]
    return [
        within("start: serve until ready", median(again), LIMIT_S),
        within("start: serve on an empty folder until ready", median(first), LIMIT_S),
    ]


def _start(folder: Path, log: Path) -> float:
    port = processes.free_port()
    settings = house.environment(folder, port, processes.free_port())
    begun = time.monotonic()
    with processes.child([house.program(), "serve"], log, settings) as process:

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"posthouse serve ended: {log.read_text(errors='replace').strip()[-2000:]}")
            return house.is_ready(port)

        return processes.wait_for(ready, "posthouse serve being ready", 30) - begun
