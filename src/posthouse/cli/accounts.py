"""Inboxes: making one, and bringing back what was destroyed."""

from __future__ import annotations

from typing import Annotated

import typer

from posthouse.cli import command
from posthouse.cli.command import DataDir, InOrganization, Json, call, show

group = command.group("Inboxes.")


@group.command()
def create(address: str, organization: InOrganization = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make an inbox; one that is there already is no error."""
    answer = call(data_dir, "inbox_create", address=address, organization=organization)
    show(answer, lambda answer: [answer["address"]], as_json=as_json)


def undelete(
    id: Annotated[str | None, typer.Argument(help="What to bring back.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show what can be brought back.")] = False,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Bring back a destroyed message, or an inbox with its mail, for 30 days after."""
    if list_ or id is None:
        show(
            call(data_dir, "undelete_list", organization=organization),
            lambda answer: (
                f"{grave['id']}  {grave['kind']:8}  {grave['destroyed_at']}  {grave['what']}"
                for grave in answer["graves"]
            ),
            as_json=as_json,
        )
        return
    answer = call(data_dir, "undelete", id=id)
    show(answer, lambda answer: [f"Brought back {answer['messages']} messages."], as_json=as_json)
