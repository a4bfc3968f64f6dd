"""The table of background work: whoever holds leases is in it, so that a crash leaves none behind."""

from __future__ import annotations

from pathlib import Path

from posthouse.app import House
from posthouse.kit.config import Settings
from posthouse.store.database import Tx


async def test_every_table_with_leases_is_released_at_the_start(tmp_path: Path) -> None:
    house = await House.open(Settings.of(data_dir=tmp_path))
    try:

        async def leased(tx: Tx) -> set[str]:
            rows = await tx.all(
                """SELECT m.name AS name FROM sqlite_schema m, pragma_table_info(m.name) c
                   WHERE m.type = 'table' AND c.name = 'leased'"""
            )
            return {row["name"] for row in rows}

        assert await house.db.read(leased) == {work.table for work in house.work}
        assert len({work.name for work in house.work}) == len(house.work)
    finally:
        await house.close()
