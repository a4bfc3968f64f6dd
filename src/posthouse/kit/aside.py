"""Work that takes long for its size, away from the loop, where all others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Markup of this size is read in some milliseconds, were it all tags; a thread costs a tenth of one.
INLINE_BYTES = 16 * 1024


async def aside(size: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do some work: at once when it is small, on a thread when it is large.

    Args:
        size: of what is worked on, in bytes or characters.
    """
    if size <= INLINE_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
