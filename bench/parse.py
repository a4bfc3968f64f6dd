"""Reading mail: ordinary messages and answers a second beside an earlier commit, and the worst messages there are.

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
_RATES = {"rate": "parse: ordinary mail read", "trim": "parse: answers read and trimmed"}
_WORST = {"worst": "parse: CPU of the worst mail", "markup": "parse: CPU of the worst markup"}


def measure(work: Path) -> Iterator[Row]:
    """Rows for ordinary mail and for answers, and for the worst mail and the worst markup."""
    peer = _earlier(work)
    for what, claim in _RATES.items():
        if peer is None:
            yield skipped(claim, "there is no earlier commit in this checkout")
            continue
        ours, theirs = [], []
        for _ in range(_ROUNDS):
            ours.append(float(_run(_ROOT / "src", what)))
            theirs.append(float(_run(peer, what)))
        yield at_least(claim, median(ours), median(theirs), 0.9, "/s", "an earlier commit")
    for what, claim in _WORST.items():
        name, seconds = _run(_ROOT / "src", what).split()
        yield within(f"{claim} ({name})", float(seconds), _WORST_S)


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
