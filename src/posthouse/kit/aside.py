"""Work that takes long for its size, away from the loop, where all others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Markup of this size is read in some milliseconds, were it all tags; a thread costs a tenth of one.
INLINE_BYTES = 16 * 1024
# More would only take the interpreter's lock from each other, and each of them from the loop.
_AT_ONCE = 2
_threads = ThreadPoolExecutor(_AT_ONCE, "aside")


async def aside(size: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do some work: at once when it is small, on a thread when it is large.

    Args:
        size: of what is worked on, in bytes or characters.
    """
    if size <= INLINE_BYTES:
        return work(*args, **kwargs)
    return await beside(work, *args, **kwargs)


async def beside(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Do some work on one of the few threads that compute, in its turn. What waits for a disk has others."""
    call = partial(copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_threads, call)
