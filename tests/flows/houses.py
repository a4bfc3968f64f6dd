"""A house inside the test's own process, whose clock the test moves by hand."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from litestar.exceptions import LitestarDeprecationWarning

import databases
from flows.server import Api, unique
from posthouse.admin import accounts as admin_accounts
from posthouse.admin import installation as admin_installation
from posthouse.admin import keys as admin_keys
from posthouse.app import House
from posthouse.kit.clock import now
from posthouse.kit.config import Settings


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = now()

    def __call__(self) -> int:
        return self.at

    def forward(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Move it."""
        self.at += int(1000 * (seconds + 60 * (minutes + 60 * (hours + 24 * days))))


class Indoors:
    """A house without workers: `settle` does what is due by its clock."""

    def __init__(self, house: House, clock: Clock) -> None:
        self.house = house
        self.clock = clock
        self.domain = house.settings.domain

    async def settle(self) -> None:
        """File, carry, tell: all that is due."""
        await self.house.settle()

    async def later(self, **span: float) -> None:
        """Move the clock, then settle."""
        self.clock.forward(**span)
        await self.house.settle()

    @asynccontextmanager
    async def agent(self, name: str = "", **key: Any) -> AsyncIterator[tuple[str, Api]]:
        """An inbox and its API with a key bound to it."""
        inbox = await admin_accounts.create(self.house, address=f"{name or unique('agent')}@{self.domain}")
        made = await admin_keys.create(self.house, surface="agentmail", inbox=inbox["address"], **key)
        base = f"http://127.0.0.1:{self.house.ports['http']}"
        async with aiohttp.ClientSession(base, headers={"Authorization": f"Bearer {made['key']}"}) as session:
            yield inbox["address"], Api(session)


@asynccontextmanager
async def indoors(database_url: str = "", **settings: Any) -> AsyncIterator[Indoors]:
    """A house with its doors open, on a folder and ports of its own."""
    folder = Path(tempfile.mkdtemp(prefix="ph-"))
    values: dict[str, Any] = {
        "data_dir": folder / "data", "database_url": database_url, "domain": "agents.test", "http_port": 0,
        "smtp_port": 0, "submission_port": 0, "rate_limits": "off", "webhooks_allow_private": True,
    }  # fmt: skip
    clock = Clock()
    given = Settings.of(**(values | settings))
    databases.lay(given.database_path)
    house = await House.open(given, clock=clock)
    try:
        await admin_installation.init(house)
        await house.start_smtp()
        with warnings.catch_warnings():
            # Litestar announces what its version 3 will want; these tests are about something else.
            warnings.simplefilter("ignore", LitestarDeprecationWarning)
            await house.start_http()
        yield Indoors(house, clock)
    finally:
        await house.close()
        shutil.rmtree(folder, ignore_errors=True)
