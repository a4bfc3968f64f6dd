"""What happens in the house, as it happens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from posthouse.cli import command
from posthouse.cli.command import REFUSED, DataDir, InOrganization, call, fail, print_json, run, settings_of

if TYPE_CHECKING:
    from posthouse.kit.config import Settings

group = command.group("Events.")


@group.command("tail")
def tail(
    data_dir: DataDir = None,
    once: Annotated[bool, typer.Option("--once", help="Print what there is and end.")] = False,
    organization: InOrganization = None,
) -> None:
    """Print events as they happen, one JSON object a line."""
    settings = settings_of(data_dir)
    if once:
        for event in call(settings.data_dir, "events", limit=50, organization=organization)["events"]:
            print_json(event)
        return
    run(_tail(settings, organization))


async def _tail(settings: Settings, organization: str | None) -> None:
    from posthouse import control

    seen: dict[str, None] = {}
    while True:
        answer = await control.call(settings.data_dir, "events", {"limit": 200, "organization": organization})
        if answer is None:
            fail("no server runs on this folder", REFUSED)
        for event in answer["events"]:
            if event["id"] not in seen:
                seen[event["id"]] = None
                print_json(event)
        while len(seen) > 1_000:
            seen.pop(next(iter(seen)))
        await asyncio.sleep(0.5)
