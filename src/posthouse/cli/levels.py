"""How closely the owner watches."""

from __future__ import annotations

from typing import Annotated

import typer

from posthouse.cli import command
from posthouse.cli.command import DataDir, InOrganization, Json, call, show

group = command.group("Oversight levels.")


@group.command("set")
def set_level(
    level: str,
    inbox: Annotated[str | None, typer.Option(help="One inbox; without it, the organisation's default.")] = None,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Set the oversight level: read_only, gated, guarded, monitored or autonomous."""
    answer = call(data_dir, "level_set", level=level, inbox=inbox, organization=organization)
    show(answer, lambda answer: [f"{answer['inbox'] or 'The organisation'} is {answer['level']} now."], as_json=as_json)
