"""Long work beside the event loop: parsing, composing, rendering, writing JSON by the megabyte.

Two pieces at a time, whoever asks: each thread at work may keep the loop waiting for the interpreter's lock, five
milliseconds each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# Less than this is done sooner than a thread is called.
INLINE_OCTETS = 16_384
_AT_ONCE = 2


class Aside:
    """Room for long work. One for the application."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def run(self, octets: int, function: Callable[..., T], *args: Any, inline: int = INLINE_OCTETS) -> T:
        """What the function returns; on a thread when it has more than a few octets to look at.

        Args:
            octets: how much it looks at or makes.
            inline: up to here it is called at once.
        """
        if octets <= inline:
            return function(*args)
        async with self._room:
            return await asyncio.to_thread(function, *args)
