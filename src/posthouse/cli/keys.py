"""API keys."""

from __future__ import annotations

from typing import Annotated

import typer

from posthouse.cli import command
from posthouse.cli.command import DataDir, InOrganization, Json, call, show

group = command.group("API keys: create, list, revoke.")


@group.command()
def create(
    surface: Annotated[str, typer.Option(help="agentmail, mailgi, agenticmail, commune or atomicmail.")],
    inbox: Annotated[str | None, typer.Option(help="Bind the key to one inbox.")] = None,
    scopes: Annotated[str | None, typer.Option(help="The surface's permissions, joined by commas.")] = None,
    level: Annotated[str | None, typer.Option(help="Tighten the oversight level for this key.")] = None,
    organization: InOrganization = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    listed = [scope.strip() for scope in scopes.split(",") if scope.strip()] if scopes is not None else None
    answer = call(
        data_dir, "key_create", surface=surface, inbox=inbox, scopes=listed, level=level, organization=organization
    )
    show(answer, lambda answer: [answer["key"]], as_json=as_json)


@group.command("list")
def listed(organization: InOrganization = None, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the keys, never their secrets."""
    show(
        call(data_dir, "key_list", organization=organization),
        lambda answer: (
            f"{key['id']}  {key['prefix']}…  {key['surface']:10}  {key['inbox'] or '(organisation)'}  {key['name']}"
            for key in answer["keys"]
        ),
        as_json=as_json,
    )


@group.command()
def revoke(id: str, data_dir: DataDir = None, as_json: Json = False) -> None:
    """Make a key worthless from now on, whosever it is."""
    show(call(data_dir, "key_revoke", id=id), lambda answer: [f"Revoked {answer['revoked']}."], as_json=as_json)
