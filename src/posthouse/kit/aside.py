"""Work that takes long for its size, away from the loop, where all others wait for it.

Two pieces at a time in a room, whoever asks: each thread at work may keep the loop waiting for the interpreter's lock,
five milliseconds each time. The interpreter has one lock, so the process has one set of rooms, however many houses are
open in it. There are two: what somebody asked to see is never what a mail on its way waits for. Neither is the room
of the loop's own threads, where files are read and written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar, TypeVarTuple

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

# Markup of this size is read in some milliseconds, were it all tags; a thread costs a tenth of one.
INLINE_BYTES = 16 * 1024
_AT_ONCE = 2
# What a caller asked for: parsing, composing, rendering, searching, JSON by the megabyte.
ASKED = ThreadPoolExecutor(_AT_ONCE, "asked")
# What a mail needs on its way in or out: line ends, parsing, digests, signatures.
UNDERWAY = ThreadPoolExecutor(_AT_ONCE, "underway")


async def aside(
    size: int, work: Callable[[*Ts], R], *args: *Ts, above: int = INLINE_BYTES, room: ThreadPoolExecutor = ASKED
) -> R:
    """Do some work and return what it returns: at once when it is small, on a thread when it is large.

    Args:
        size: of what is looked at or made, in bytes or characters, or in any measure that `above` is in.
        above: up to here the work is done at once.
        room: whose turn it takes.
    """
    if size <= above:
        return work(*args)
    return await beside(work, *args, room=room)


async def beside(work: Callable[[*Ts], R], *args: *Ts, room: ThreadPoolExecutor = ASKED) -> R:
    """Do some work on one of the few threads that compute, in its turn. What waits for a disk has others."""
    return await asyncio.get_running_loop().run_in_executor(room, copy_context().run, work, *args)
