"""Taking turns at what costs much memory or time: a few at once, and no owner all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from posthouse.kit.errors import Unavailable


class Turns:
    """Places for `most` at once, for each owner at most `each`; the others wait."""

    def __init__(self, most: int, each: int, *, wait_s: float) -> None:
        self._most = most
        self._each = each
        self._wait_s = wait_s
        self._taken: Counter[str] = Counter()
        self._eased = asyncio.Condition()

    @asynccontextmanager
    async def one(self, owner: str) -> AsyncIterator[None]:
        """Hold a place.

        Raises:
            Unavailable: none became free in time.
        """
        async with self._eased:
            try:
                async with asyncio.timeout(self._wait_s):
                    await self._eased.wait_for(
                        lambda: self._taken.total() < self._most and self._taken[owner] < self._each
                    )
            except TimeoutError as error:
                raise Unavailable("too many downloads are under way, try again later", retry_after_s=30) from error
            self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
            async with self._eased:
                self._eased.notify_all()
