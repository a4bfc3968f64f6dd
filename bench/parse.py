"""Reading mail: ordinary messages a second beside an earlier commit, and the worst message there is.

`BENCH_COMMIT` names the commit to compare with (`HEAD~1` when unset).
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row, at_least, median, skipped, within

_ROOT = Path(__file__).resolve().parent.parent
_ROUNDS = 5
# CPU seconds one message may take.
_WORST_S = 0.25
_CLAIM = "parse: ordinary mail read"


def measure(work: Path) -> Iterator[Row]:
    """One row for ordinary mail, one for the worst."""
    peer = _earlier(work)
    if peer is None:
        yield skipped(_CLAIM, "there is no earlier commit in this checkout")
    else:
        ours, theirs = [], []
        for _ in range(_ROUNDS):
            ours.append(float(_run(_ROOT / "src", "rate")))
            theirs.append(float(_run(peer, "rate")))
        yield at_least(_CLAIM, median(ours), median(theirs), 0.9, "/s", "an earlier commit")
    name, seconds = _run(_ROOT / "src", "worst").split()
    yield within(f"parse: CPU of the worst mail ({name})", float(seconds), _WORST_S)


def _earlier(work: Path) -> Path | None:
    commit = os.environ.get("BENCH_COMMIT", "HEAD~1")
    packed = subprocess.run(["git", "archive", commit, "src"], cwd=_ROOT, capture_output=True, check=False)
    if packed.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(work, filter="data")
    return work / "src"


def _run(source: Path, what: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, str(Path(__file__).with_name("parse_load.py")), what]
    return subprocess.run(command, env=environment, capture_output=True, check=True, text=True).stdout.strip()
