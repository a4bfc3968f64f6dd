"""A house without doors on each engine: the core is called by its own functions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import databases
from core.home import Home
from core.world import Zone
from flows.houses import Clock
from posthouse.app import House
from posthouse.kit.config import Settings
from store.builders import DOMAIN


@pytest.fixture
async def postgres_url(emptied_postgres_url: str) -> str:
    """A migrated database without any row."""
    return emptied_postgres_url


@pytest.fixture
def more_settings() -> dict[str, str]:
    """What a module's house has set beside the usual."""
    return {}


@pytest.fixture
async def home(database_url: str, engine: str, tmp_path: Path, more_settings: dict[str, str]) -> AsyncIterator[Home]:
    """A house of the test's own. Nothing is limited but what the test limits."""
    settings = Settings.of(
        data_dir=tmp_path, database_url=database_url, domain=DOMAIN, rate_limits="off", webhooks_allow_private=True,
        **more_settings,
    )  # fmt: skip
    if engine == "sqlite":
        databases.lay(settings.database_path)
    clock, zone = Clock(), Zone()
    house = await House.open(settings, clock=clock, resolver=zone)
    try:
        yield await Home.begin(house, clock, zone)
    finally:
        await house.close()
