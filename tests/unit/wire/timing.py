"""How long something takes, for tests of growth."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def least_time(call: Callable[..., Any], *arguments: Any) -> float:
    """CPU seconds of the fastest of three runs: what else the machine does slows the others down."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        call(*arguments)
        spent.append(time.process_time() - began)
    return min(spent)
