"""Cold start: from starting the process until /health/ready answers 200.

Most of a start is Python reading modules, and that depends on whether they are compiled already. So both are
measured: with compiled modules in place, as from the second start on, and with none, as right after installing or
where `PYTHONDONTWRITEBYTECODE` is set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from bench import house, processes
from bench.report import Row, median, within

RUNS = 5
LIMIT_S = 2.0


def measure(work: Path) -> Iterator[Row]:
    """On a folder in use before, on an empty one, where keys and database are made first, and uncompiled."""
    compiled = {"PYTHONPYCACHEPREFIX": str(work / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
    # The prefix is a folder that stays empty: compiled modules elsewhere are not looked at.
    uncompiled = {"PYTHONPYCACHEPREFIX": str(work / "uncompiled"), "PYTHONDONTWRITEBYTECODE": "1"}
    used = work / "used"
    log = work / "start.log"
    _start(used, log, compiled)
    again = [_start(used, log, compiled) for _ in range(RUNS)]
    yield within("start: serve until ready", median(again), LIMIT_S)
    first = [_start(work / f"empty-{run}", log, compiled) for run in range(RUNS)]
    yield within("start: serve on an empty folder until ready", median(first), LIMIT_S)
    slow = [_start(used, log, uncompiled) for _ in range(RUNS)]
    yield Row("start: serve until ready, no module compiled", f"{median(slow):.2f} s")


def _start(folder: Path, log: Path, python: dict[str, str]) -> float:
    """Seconds until ready."""
    port = processes.free_port()
    settings = house.environment(folder, port, processes.free_port()) | python
    begun = time.monotonic()
    with processes.child([house.program(), "serve"], log, settings) as process:

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"posthouse serve ended: {log.read_text(errors='replace').strip()[-2000:]}")
            return house.is_ready(port)

        return processes.wait_for(ready, "posthouse serve being ready", 30) - begun
