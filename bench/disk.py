"""The physical limit: how often a second the disk takes 4 KB for good."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from bench.report import Row

_BLOCK = b"x" * 4096


def fsync_rate(folder: Path, seconds: float = 2.0) -> float:
    """Appends of 4 KB, each followed by an fsync, per second."""
    path = folder / "fsync"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        count, start = 0, time.monotonic()
        while (spent := time.monotonic() - start) < seconds:
            os.write(handle, _BLOCK)
            os.fsync(handle)
            count += 1
        return count / spent
    finally:
        os.close(handle)
        path.unlink()


def measure(work: Path) -> Iterator[Row]:
    """One row; every promise about durable work is to be read beside it."""
    yield Row("disk: 4 KB append and fsync, one after the other", f"{fsync_rate(work):,.0f} /s")
